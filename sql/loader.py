"""Named queries from `sql/queries/`, resolved at import so that a misspelt name stops the start, not an order."""

import re
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, LiteralString

from psycopg import AsyncConnection
from psycopg.rows import dict_row

QUERIES: Final = Path(__file__).parent / "queries"
_NAME: Final = re.compile(r"^-- name: ([a-z][a-z0-9_]*)$", re.MULTILINE)


class Queries:
    """The queries of one file, by name.

    A query starts at a line `-- name: verb_noun` and ends before the next one; the comment lines under its name say what
    it does and why. `queries["claim_due"]` gives its text for `cursor.execute`: its name as a comment, then its lines
    without indentation and comments, so that psycopg remembers how it is taken apart (it does up to 4,096 characters).

    Args:
        subject: Name of the file, without `.sql`.
        prepare: False where no statement may be prepared; None to leave that to psycopg.

    Raises:
        LookupError: The file has no query of that name, or names one twice.
    """

    def __init__(self, subject: str, *, prepare: bool | None = None) -> None:
        parts = _NAME.split((QUERIES / f"{subject}.sql").read_text(encoding="utf-8"))
        names, texts = parts[1::2], parts[2::2]
        if len(set(names)) != len(names):
            raise LookupError(f"sql/queries/{subject}.sql names a query twice")
        self._subject = subject
        self._prepare = prepare
        self._texts = MappingProxyType({name: _bare(name, text) for name, text in zip(names, texts, strict=True)})

    def __getitem__(self, name: str) -> LiteralString:
        """Return the text of a query."""
        try:
            text = self._texts[name]
        except KeyError:
            raise LookupError(f"sql/queries/{self._subject}.sql has no query {name!r}") from None
        # The text comes from a file of this package, never from data: as literal as a string in the source.
        return text

    async def fetch(self, conn: AsyncConnection[Any], name: str, parameters: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Run a query, and return all its rows by the names of their columns."""
        async with conn.cursor(row_factory=dict_row) as cursor:
            await cursor.execute(self[name], parameters, prepare=self._prepare)
            return await cursor.fetchall()


def _bare(name: str, text: str) -> str:
    lines = (line.strip() for line in text.splitlines())
    return "\n".join([f"-- {name}", *(line for line in lines if line and not line.startswith("--"))])
