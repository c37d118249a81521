"""How an edge wakes the orchestrators: at once after a rest, and not once for each of many."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Final

import pytest

from edge_api import waking
from edge_api.waking import Waker
from sql.connect import Pool
from sql.loader import Queries
from tests.integration.edge.service import eventually
from tests.integration.orchestrator.counting import noted, open_noting

NOTIFY: Final = Queries("ledger")["wake_orchestrators"]
LONG_ENOUGH: Final = 50
"""Statements of others during which it would have been sent."""


@asynccontextmanager
async def notified_once(url: str) -> AsyncIterator[tuple[Waker, Pool]]:
    """Run a waker that has just sent its first notification."""
    async with open_noting(url) as pool:
        waker = Waker(pool, enabled=True)
        task = asyncio.create_task(waker.run())
        try:
            waker.wake()
            await eventually(lambda: _is_sent(1))
            yield waker, pool
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task


async def _is_sent(times: int) -> bool:
    return noted(NOTIFY) == times


async def test_the_first_is_sent_at_once_and_those_behind_it_wait(ledger_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waking, "WAKE_INTERVAL_S", 60.0)
    async with notified_once(ledger_url) as (waker, pool):
        for _ in range(LONG_ENOUGH):
            waker.wake()
            async with pool.connection() as conn:
                await conn.execute("select 1")

        assert await _is_sent(1)


async def test_what_was_asked_for_meanwhile_is_sent_once(ledger_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waking, "WAKE_INTERVAL_S", 0.5)
    async with notified_once(ledger_url) as (waker, _):
        for _ in range(LONG_ENOUGH):
            waker.wake()

        await eventually(lambda: _is_sent(2))
