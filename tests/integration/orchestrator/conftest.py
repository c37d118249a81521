"""Fixtures for tests of the orchestrator on a real ledger."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
import structlog
from psycopg_pool import AsyncConnectionPool

from sql.connect import open_pool
from tests.integration.orchestrator.shop import Shop, open_shop


@pytest.fixture(scope="session", autouse=True)
def plain_logs() -> None:
    """Log as the product does: the coloured tracebacks that are structlog's default take half a second each."""
    merge, level = structlog.contextvars.merge_contextvars, structlog.processors.add_log_level
    structlog.configure(processors=[merge, level, structlog.processors.format_exc_info, structlog.processors.JSONRenderer()])


@pytest.fixture
async def pool(ledger_url: str) -> AsyncIterator[AsyncConnectionPool[Any]]:
    async with open_pool(ledger_url, name="tests", connections_max=8) as opened:
        yield opened


@pytest.fixture
async def shop() -> AsyncIterator[Shop]:
    async with open_shop() as opened:
        yield opened
