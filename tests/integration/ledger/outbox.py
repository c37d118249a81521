"""Orders and their events as the feed meets them, written by the real store or, where only the order matters, by hand."""

import asyncio
from typing import Any
from uuid import UUID, uuid4

from psycopg import AsyncConnection

from orchestrator.definitions import Definitions
from orchestrator.identity import order_id
from orchestrator.opening import Request, open_order
from orchestrator.settings import Settings
from sql import ledger
from tests.integration.orchestrator.shop import ERRAND, Basket

Connection = AsyncConnection[Any]


async def prepare(conn: Connection) -> None:
    """Register the saga that orders are placed with."""
    await Definitions([ERRAND], Settings()).register(conn)


async def place(conn: Connection, client: str = "ours") -> UUID:
    """Place an order, which writes its first event."""
    key, saga = uuid4().hex, Definitions([ERRAND], Settings()).named("errand")
    request = Request(order_id(client, key), client, key, b"hash", Basket(), {}, "correlation")
    assert await ledger.insert_order(conn, open_order(saga, request).order)
    return request.order_ledger_id


async def tell(conn: Connection, order: UUID, type: str = "Told", *, seq: int = 1, count: int = 1) -> None:
    """Write events of an order."""
    await conn.execute(
        "insert into outbox (aggregateid, type, payload, correlation_id, seq)"
        " select %s, %s, '{}', 'c', %s from generate_series(1, %s)",
        (order, type, seq, count),
    )


async def finish(conn: Connection, order: UUID) -> None:
    """Have an order end, with whatever it has told."""
    await conn.execute(
        "update order_ledger set status = 'COMPLETED', finished_at = clock_timestamp() where order_ledger_id = %s", (order,)
    )


async def settle(conn: Connection, timeout_s: float = 10.0) -> None:
    """Wait until the feed shows all that was written; somebody else's transaction on the server may hold it back."""
    async with asyncio.timeout(timeout_s):
        while True:
            cursor = await conn.execute(
                "select from outbox where transaction_id >= pg_snapshot_xmin(pg_current_snapshot()) limit 1"
            )
            if await cursor.fetchone() is None:
                return
            await asyncio.sleep(0.01)
