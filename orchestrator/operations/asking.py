"""What commands ask of the ledger: over one connection, in autocommit."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, Final, TypeVar

import psycopg

CONNECT_TIMEOUT_S: Final = 5
Connection = psycopg.AsyncConnection[Any]
T = TypeVar("T")


@asynccontextmanager
async def connected(database_url: str) -> AsyncIterator[Connection]:
    """Connect to the ledger."""
    async with await psycopg.AsyncConnection.connect(
        database_url, autocommit=True, connect_timeout=CONNECT_TIMEOUT_S, application_name="saga cli"
    ) as conn:
        yield conn


def ask(database_url: str, question: Callable[[Connection], Awaitable[T]]) -> T:
    """Return the answer to one question, whatever has to be asked for it."""

    async def answer() -> T:
        async with connected(database_url) as conn:
            return await question(conn)

    return asyncio.run(answer())
