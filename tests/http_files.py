"""Requests as a .http file writes them: the part of the format that the collection in `docs/` uses."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_NAMED = re.compile(r"\{\{([^}]+)\}\}")
_OF_AN_ANSWER = re.compile(r"(\w+)\.response\.body\.\$\.([\w.]+)")


@dataclass(frozen=True, slots=True)
class Request:
    """One request, with variables in it.

    Attributes:
        title: What stands beside its separator.
        name: By which later requests refer to its answer; empty for none.
        answers: The status that is written beside it.
        delay_s: How long to wait before it is sent.
        method, url, headers, body: As written; the body is empty for none.
    """

    title: str
    name: str
    answers: int
    delay_s: float
    method: str
    url: str
    headers: dict[str, str]
    body: str


def read_requests(file: Path) -> tuple[dict[str, str], list[Request]]:
    """Return the variables of a file, and its requests in order."""
    head, *parts = re.split(r"^### ", file.read_text(encoding="utf-8"), flags=re.MULTILINE)
    variables = dict(re.findall(r"^@(\w+) = (.+)$", head, re.MULTILINE))
    return variables, [_request(part) for part in parts]


def filled(text: str, variables: dict[str, str], answers: dict[str, Any]) -> str:
    """Return a text with the values of its variables.

    Args:
        text: Of a request.
        variables: Of the file.
        answers: JSON of the answers so far, by the request's name.

    Raises:
        KeyError: A variable, an answer or a member of it is not there.
    """

    def value(found: re.Match[str]) -> str:
        member = _OF_AN_ANSWER.fullmatch(found[1])
        if member is None:
            return variables[found[1]]
        node = answers[member[1]]
        for name in member[2].split("."):
            node = node[name]
        return str(node)

    return _NAMED.sub(value, text)


def _request(part: str) -> Request:
    title, _, rest = part.partition("\n")
    head, _, body = rest.partition("\n\n")
    lines = head.splitlines()
    said = [line.removeprefix("# ").split(maxsplit=1) for line in lines if line.startswith("#")]
    notes = dict(said)
    first, *fields = [line for line in lines if not line.startswith("#")]
    method, url = first.split(" ", 1)
    return Request(
        title=title,
        name=notes.get("@name", ""),
        answers=int(notes["answers"]),
        delay_s=int(notes.get("@sleep", 0)) / 1000,
        method=method,
        url=url,
        headers=dict(field.split(": ", 1) for field in fields),
        body=body.strip(),
    )
