"""A ledger with orders of two clients, and sessions on it as each role."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import psycopg
import pytest

from sql.connect import Pool, open_pool
from tests.integration.roles.two_clients import fill

As = Callable[[str], AbstractAsyncContextManager[Pool]]


@pytest.fixture
async def shared_ledger(ledger_url: str) -> str:
    """URL of a ledger with orders of the clients A and B, each of which has something in every table of clients' rows."""
    async with await psycopg.AsyncConnection.connect(ledger_url, autocommit=True) as conn:
        await fill(conn)
    return ledger_url


@pytest.fixture
def acting_as(shared_ledger: str) -> As:
    """Open a pool that has taken a role, as a process does."""

    @asynccontextmanager
    async def opened(role: str) -> AsyncIterator[Pool]:
        async with open_pool(shared_ledger, name="tests", connections_max=2, role=role) as pool:
            yield pool

    return opened
