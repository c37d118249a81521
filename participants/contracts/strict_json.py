"""JSON read strictly (RFC 8259, and I-JSON of RFC 7493 where that is silent).

Two readers of one body must never understand two things: members that stand twice, numbers outside JSON, encodings other
than UTF-8 and unpaired surrogates are refused, not guessed at.
"""

import json
import re
from typing import Any, Final, NoReturn

DEPTH_MAX: Final = 32
INTEGER_MIN: Final = -(2**63)
INTEGER_MAX: Final = 2**64 - 1
"""What 64 bits hold, signed or not: other readers round an integer beyond, and we could not write it down."""
_SURROGATE: Final = re.compile("[\ud800-\udfff]")
_STRUCTURE: Final = re.compile(r'"(?:[^"\\]++|\\.)*+"?|[\[\]{}]', re.DOTALL)
"""A string as a whole, whatever it holds, or a bracket outside of strings."""


class NotJson(ValueError):
    """The bytes are not strict JSON; the message says why and, where it is known, at which position."""


def loads(body: bytes) -> Any:
    """Read a document.

    Args:
        body: UTF-8 without a byte order mark.

    Raises:
        NotJson: It is something else.
    """
    try:
        text = body.decode("utf-8", errors="strict")
    except UnicodeDecodeError as error:
        raise NotJson(f"not UTF-8 at byte {error.start}") from None
    if text.startswith("\ufeff"):
        raise NotJson("starts with a byte order mark")
    _check_depth(text)
    try:
        document = json.loads(
            text, object_pairs_hook=_object, parse_constant=_no_constant, parse_float=_finite, parse_int=_short
        )
    except json.JSONDecodeError as error:
        raise NotJson(f"{error.msg} at character {error.pos}") from None
    except NotJson:
        raise
    except ValueError:
        # The interpreter refuses integers of more than some thousand digits.
        raise NotJson("holds a number that is too long") from None
    if "\\u" in text:
        _check_surrogates(document)
    return document


def _check_depth(text: str) -> None:
    """Refuse deep nesting before the recursive reader sees it."""
    depth = 0
    for token in _STRUCTURE.finditer(text):
        if token[0] in "[{":
            depth += 1
            if depth > DEPTH_MAX:
                raise NotJson(f"is nested deeper than {DEPTH_MAX}")
        elif token[0] in "]}":
            depth -= 1


def _check_surrogates(document: Any) -> None:
    if isinstance(document, str):
        if _SURROGATE.search(document):
            raise NotJson("holds an unpaired surrogate")
    elif isinstance(document, dict):
        for name, value in document.items():
            _check_surrogates(name)
            _check_surrogates(value)
    elif isinstance(document, list):
        for value in document:
            _check_surrogates(value)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        # One pass: comparing each name with every other would let one body of a megabyte stop the process for minutes.
        seen: set[str] = set()
        for name, _ in pairs:
            if name in seen:
                raise NotJson(f"member {name[:64]!r} stands twice")
            seen.add(name)
    return members


def _no_constant(name: str) -> NoReturn:
    raise NotJson(f"{name} is no JSON number")


def _finite(text: str) -> float:
    value = float(text)
    if value in (float("inf"), float("-inf")):
        raise NotJson("holds a number out of range")
    return value


def _short(text: str) -> int:
    value = int(text)
    if not INTEGER_MIN <= value <= INTEGER_MAX:
        raise NotJson("holds a number out of range")
    return value
