"""Fixtures for tests of webhooks on a real ledger."""

from collections.abc import AsyncIterator

import psycopg
import pytest

from sql.connect import Pool, open_pool
from tests.integration.ledger.outbox import Connection, prepare
from tests.integration.webhooks.receiver import Receiver, open_receiver


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
