"""Connections that remember what they were asked to do: the product's own, with one line more."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, ClassVar

from psycopg import AsyncCursor

from sql.connect import Pool, Session


class Noting(AsyncCursor[Any]):
    """A cursor whose statements are noted.

    Attributes:
        noted: Each statement that was sent, by any of them; emptied by whoever begins to count.
    """

    noted: ClassVar[list[Any]] = []

    async def execute(self, query: Any, *arguments: Any, **options: Any) -> Any:
        self.noted.append(query)
        return await super().execute(query, *arguments, **options)


class NotingSession(Session):
    """A session as the product opens it, all of whose cursors note."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.cursor_factory = Noting


@asynccontextmanager
async def open_noting(url: str) -> AsyncIterator[Pool]:
    """Open a pool like that of a replica; nothing has been noted when it is given."""
    async with Pool(url, min_size=1, max_size=8, open=False, connection_class=NotingSession) as pool:
        await pool.wait()
        Noting.noted.clear()
        yield pool


def noted(query: object) -> int:
    """Count how often a statement was sent."""
    return Noting.noted.count(query)
