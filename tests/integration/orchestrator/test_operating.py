"""Operators who do the same thing at once, and again: it takes effect once, and everybody is told what happened."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from psycopg_pool import AsyncConnectionPool

from orchestrator.operating import cancel, retry
from orchestrator.verdict import Busy, NotRetryable, Verdict
from sql.connect import open_pool
from sql.models import Status
from tests.integration.orchestrator.shop import Shop, open_replica, place, row_of, status, until

Pool = AsyncConnectionPool[Any]
TIMES = 20


@pytest.fixture
async def people(ledger_url: str) -> Any:
    async with open_pool(ledger_url, name="people", connections_max=TIMES) as opened:
        yield opened


async def at_once(people: Pool, act: Callable[[Any], Awaitable[Verdict]]) -> list[Verdict | BaseException]:
    """Have many people do something at the same moment; what each is told."""
    ready = asyncio.Barrier(TIMES)

    async def person() -> Verdict:
        async with people.connection() as conn:
            await ready.wait()
            return await act(conn)

    return await asyncio.gather(*(person() for _ in range(TIMES)), return_exceptions=True)


async def operators_acts(pool: Pool, order: Any) -> list[tuple[Any, ...]]:
    async with pool.connection() as conn:
        cursor = await conn.execute(
            "select actor, reason from ledger_journal where order_ledger_id = %s and kind = 'operator' order by seq", (order,)
        )
        return await cursor.fetchall()


async def test_twenty_retries_at_once_take_effect_once_and_the_others_are_told(
    pool: Pool, people: Pool, ledger_url: str, shop: Shop
) -> None:
    shop.behaviours["/second"] = [status(422)]
    shop.behaviours["/undo-first"] = [status(500)] * 5
    async with open_replica(pool, ledger_url, shop) as replica:
        order = await place(replica)
        await until(pool, order, Status.STUCK)

    told = await at_once(people, lambda conn: retry(conn, replica.definitions, order, actor="ann", reason="mended"))

    done = [verdict for verdict in told if isinstance(verdict, Verdict)]
    assert [verdict.done for verdict in done] == [True]
    assert {type(each) for each in told} - {Verdict} <= {NotRetryable, Busy}
    assert await operators_acts(pool, order) == [("ann", "mended")]
    before = len(shop.calls)
    async with open_replica(pool, ledger_url, shop):
        await until(pool, order, Status.FAILED)
    assert shop.paths()[before:] == ["/undo-first"], "it goes on undoing, never forward"


async def test_twenty_cancels_at_once_take_effect_once(pool: Pool, people: Pool, ledger_url: str, shop: Shop) -> None:
    shop.behaviours["/second"] = [status(503, **{"Retry-After": "60"})]
    async with open_replica(pool, ledger_url, shop) as replica:
        order = await place(replica)
        async with asyncio.timeout(5):
            while (await row_of(pool, order)).last_error is None:
                await asyncio.sleep(0.01)

        told = await at_once(people, lambda conn: cancel(conn, replica.definitions, order, actor="ann", reason="no more"))
        await until(pool, order, Status.CANCELLED)

    assert sum(isinstance(each, Verdict) and each.done for each in told) == 1
    assert {type(each) for each in told} <= {Verdict, Busy}
    assert await operators_acts(pool, order) == [("ann", "no more")]
