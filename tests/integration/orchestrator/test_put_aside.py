"""An order that the code fails on, while somebody else changes its row."""

import asyncio
import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import UUID

import psycopg
import pytest
from psycopg_pool import AsyncConnectionPool

from orchestrator.definitions import Definitions
from orchestrator.operating import cancel, retry
from orchestrator.retrace import retrace
from orchestrator.saga import Saga
from orchestrator.verdict import Unreadable
from sql import ledger
from sql.models import Status
from tests.integration.orchestrator.past import Past, history_of
from tests.integration.orchestrator.shop import Basket, Shop, new_order, open_replica, place, row_of, settings_for, step, until

Pool = AsyncConnectionPool[Any]


async def test_an_order_that_was_cancelled_meanwhile_is_not_put_aside(pool: Pool, ledger_url: str, shop: Shop) -> None:
    async def cancel_it(order: Any) -> None:
        async with await psycopg.AsyncConnection.connect(ledger_url, autocommit=True) as conn:
            await cancel(conn, Definitions([saga], settings_for(ledger_url)), order, actor="ann", reason="changed my mind")

    def cancelled_while_it_fails(ctx: Any) -> Any:
        with ThreadPoolExecutor() as thread:
            thread.submit(asyncio.run, cancel_it(UUID(ctx.order_id))).result()
        raise RuntimeError("planted")

    saga = Saga(name="errand", version=1, input=Basket, steps=(step("first", request=cancelled_while_it_fails),))
    async with open_replica(pool, ledger_url, shop, saga, lapses_max=1) as replica:
        order = await place(replica)
        await until(pool, order, Status.CANCELLED)

    # The replica has stopped, so whatever it had to write of the order is written.
    row = await row_of(pool, order)
    assert (row.status, row.lapses) == (Status.CANCELLED, 0)


@pytest.mark.parametrize("what", ["broken", 7])
async def test_a_poisoned_order_that_is_retried_shows_its_calls_and_is_put_aside_again(
    pool: Pool, ledger_url: str, shop: Shop, what: Any
) -> None:
    past = Past(pool, ledger_url, shop)
    async with past.replica(lapses_max=1) as replica:
        order = await past.poisoned(replica, json.dumps({"what": what}))
        async with pool.connection() as conn:
            shown = await retry(conn, replica.definitions, order, actor="ann", reason="why not", dry_run=True)
            done = await retry(conn, replica.definitions, order, actor="ann", reason="why not")
        row = await until(pool, order, Status.STUCK)

    assert "hold: POST /hold at shop" in shown.calls
    assert (shown.done, done.done, row.progress["round"]) == (False, True, 2)


async def test_what_was_done_is_known_although_the_next_call_can_not_be_made_out(
    pool: Pool, ledger_url: str, shop: Shop
) -> None:
    past = Past(pool, ledger_url, shop)
    async with past.replica(lapses_max=1) as replica:
        order = await past.poisoned(replica, '{"what": "broken"}')

    row = await row_of(pool, order)
    assert set(row.results) == {"pay", "create"}
    assert shop.paths() == ["/pay", "/create"], "no call was made twice"


@pytest.mark.parametrize("progress", ["{}", "[]", "7", "null", '{"round": "one"}', '{"steps": 7}'])
async def test_an_order_whose_progress_is_garbage_ends_stuck_and_no_verb_is_done_to_it(
    pool: Pool, ledger_url: str, shop: Shop, progress: str
) -> None:
    past = Past(pool, ledger_url, shop)
    async with past.replica(lapses_max=1) as replica:
        order = new_order(replica.definitions, "history")
        async with pool.connection() as conn, conn.transaction():
            await ledger.insert_order(conn, order)
            await conn.execute("update order_ledger set progress = %s", (progress,))
        replica.worker.wake()
        row = await until(pool, order.order_ledger_id, Status.STUCK)
        async with pool.connection() as conn:
            with pytest.raises(Unreadable):
                await retry(conn, replica.definitions, order.order_ledger_id, actor="ann", reason="why not")
        sound = await past.ends(replica, Status.COMPLETED)

    assert row.last_error
    assert retrace(await history_of(pool, order.order_ledger_id)), "the replay tells that row and journal differ"
    assert retrace(await history_of(pool, sound)) == ()
