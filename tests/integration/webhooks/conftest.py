"""Fixtures for tests of webhooks on a real ledger."""

from collections.abc import AsyncIterator, Iterator

import psycopg
import pytest
import structlog

from sql.connect import Pool, open_pool
from tests.integration.ledger.outbox import Connection, prepare
from tests.integration.webhooks.receiver import Receiver, open_receiver


@pytest.fixture(autouse=True)
def no_fault() -> Iterator[None]:
    """A fault of the sender's code is logged and stops nothing: no test may cause one."""
    with structlog.testing.capture_logs() as lines:
        yield
    assert [line for line in lines if line["event"] == "webhooks_broken"] == []


@pytest.fixture
async def conn(ledger_url: str) -> AsyncIterator[Connection]:
    async with await psycopg.AsyncConnection.connect(ledger_url, autocommit=True) as opened:
        await prepare(opened)
        yield opened


@pytest.fixture
async def pool(ledger_url: str) -> AsyncIterator[Pool]:
    async with open_pool(ledger_url, name="tests", connections_max=4) as opened:
        yield opened


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with open_receiver() as opened:
        yield opened
