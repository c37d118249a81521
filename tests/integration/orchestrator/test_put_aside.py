"""An order that the code fails on, while somebody else changes its row."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psycopg
from psycopg_pool import AsyncConnectionPool

from orchestrator.definitions import Definitions
from orchestrator.operating import cancel
from orchestrator.saga import Saga
from sql.models import Status
from tests.integration.orchestrator.shop import Basket, Shop, open_replica, place, row_of, settings_for, step, until

Pool = AsyncConnectionPool[Any]


async def test_an_order_that_was_cancelled_meanwhile_is_not_put_aside(pool: Pool, ledger_url: str, shop: Shop) -> None:
    async def cancel_it(order: Any) -> None:
        async with await psycopg.AsyncConnection.connect(ledger_url, autocommit=True) as conn:
            await cancel(conn, Definitions([saga], settings_for(ledger_url)), order, actor="ann", reason="changed my mind")

    def cancelled_while_it_fails(ctx: Any) -> Any:
        with ThreadPoolExecutor() as thread:
            thread.submit(asyncio.run, cancel_it(ctx.order_ledger_id)).result()
        raise RuntimeError("planted")

    saga = Saga(name="errand", version=1, input=Basket, steps=(step("first", request=cancelled_while_it_fails),))
    async with open_replica(pool, ledger_url, shop, saga, lapses_max=1) as replica:
        order = await place(replica)
        await until(pool, order, Status.CANCELLED)

    # The replica has stopped, so whatever it had to write of the order is written.
    row = await row_of(pool, order)
    assert (row.status, row.lapses) == (Status.CANCELLED, 0)
