"""Marks for what must not be seen, and the search of whatever anybody shows for them: secrets, and what tells of a person.

Everything that starts a process gives it its settings through `plant`, so that each secret among them is searched for from then
on. Everything that shows something is given to `watch` by those who start processes and ask them: `commands.py`, `stack.py`,
`stack_shop.py`, and the fixtures of `conftest.py` for what a test leaves in its folder and its databases.
"""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psycopg
from psycopg import sql as pgsql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

SECRET = "qx7secret"
"""Part of the secrets that are planted on purpose."""
PERSON = "qx7person"
"""Part of everything that is planted and tells of a person."""
ADDRESS = {
    "name": f"{PERSON} Ann",
    "lines": [f"Row 7, {PERSON} House"],
    "city": f"{PERSON} Town",
    "postal_code": f"{PERSON}7",
    "country": "GB",
}
PAYMENT_METHOD = f"pm_{PERSON}"
SHORT = 6
"""What is shorter is no secret that could be told from other text."""
_SECRETS = {SECRET}
_NAMES = re.compile(r"(API_KEYS|ADMIN_TOKEN|SECRETS?|PASSWORD)$")
_TOLD_OF_PERSONS = re.compile(r"/(customers|shipments|notifications)\b")
"""Where participants tell what they are there to know."""


def plant(settings: Mapping[str, str]) -> None:
    """Have the secrets among a process's settings searched for from now on."""
    for name, value in settings.items():
        if _NAMES.search(name):
            # `shop=key,rival=key`, `old,new`, or the secret alone.
            found = [part.rpartition("=")[2] for part in re.split(r"[,\s]+", value)]
            _SECRETS.update(secret.lower() for secret in found if len(secret) >= SHORT)


def with_password(url: str) -> str:
    """Give a database's address a password that must not be seen, where the server asks for none and so takes any."""
    return url if "password" in conninfo_to_dict(url) else make_conninfo(url, password=f"password-{SECRET}")


def watch(outputs: Mapping[str, str], *, person: bool = True) -> None:
    """Fail where one of these outputs shows what must not be seen.

    Args:
        outputs: By what they are.
        person: Whether nothing of a person may be in them either.
    """
    shown = showing(outputs, *_SECRETS, *([PERSON] if person else []))
    assert shown == {}, shown


def watch_answer(url: str, text: str) -> None:
    """Fail where an answer shows a secret, or tells of a person to somebody whom that is nothing to."""
    watch({url: text}, person=not _TOLD_OF_PERSONS.search(urlsplit(url).path))


def watch_folder(folder: Path) -> None:
    """Fail where a process has written to its log, or to a file that holds its output, what must not be seen."""
    outputs = [path for end in ("log", "txt") for path in folder.glob(f"**/*.{end}") if path.is_file()]
    watch({str(path.relative_to(folder)): path.read_text(errors="replace") for path in sorted(outputs)})


def watch_database(url: str) -> None:
    """Fail where a table shows what must not be seen; participants are there to know persons, and the ledger has one table."""
    tables = tables_of(url)
    watch(tables, person="order_personal" in tables)


def tables_of(url: str) -> dict[str, str]:
    """Return all rows of each table of a database as text, but of the one that is for what tells of persons."""
    listed = "select tablename from pg_tables where schemaname = 'public' and tablename !~ 'yoyo' order by 1"
    found = {}
    with psycopg.connect(url, connect_timeout=10) as conn:
        for (table,) in conn.execute(listed).fetchall():
            rows = conn.execute(pgsql.SQL("select * from {}").format(pgsql.Identifier(table))).fetchall()
            found[table] = "" if table == "order_personal" else "\n".join(map(str, rows))
    return found


def without_what_it_must_hold(stack: Mapping[str, Any]) -> str:
    """Return the text of a `stack.json` without the secrets and addresses of databases that it is there to tell."""
    parts = {name: {"url": part["url"]} for name, part in stack["participants"].items()}
    return json.dumps({**stack, "participants": parts, "database_url": ""})


def showing(outputs: Mapping[str, str], *marks: str) -> dict[str, list[str]]:
    """Return the outputs that show a mark, each with the places where it does."""
    found: dict[str, list[str]] = {}
    for name, text in outputs.items():
        lower = text.lower()
        places = [at for mark in marks for at in _places(lower, mark)]
        if places:
            found[name] = [text[max(at - 200, 0) : at + 60] for at in places[:3]]
    return found


def logs_in(folder: Path) -> dict[str, str]:
    """Return what the parts of a stack have logged, by file."""
    return {path.name: path.read_text(errors="replace") for path in sorted(folder.glob("**/*.log"))}


def _places(text: str, mark: str) -> list[int]:
    places, at = [], text.find(mark)
    while at >= 0:
        places.append(at)
        at = text.find(mark, at + 1)
    return places
