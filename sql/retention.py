"""Retention: finished orders leave the ledger whole, and each leaves what answers repeats of its request."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from psycopg import AsyncConnection

from sql.loader import Queries

Connection = AsyncConnection[Any]

_QUERIES: Final = Queries("retention")


@dataclass(frozen=True, slots=True)
class Purgeable:
    """What is old enough to be removed.

    Attributes:
        orders: How many.
        oldest: When the oldest of them was created; None when there is none.
    """

    orders: int
    oldest: datetime | None


async def purge_orders(conn: Connection, *, older_than_days: float, orders_max: int) -> int:
    """Remove a batch of finished orders, oldest first, each with its journal, items, personal data and events.

    What is locked, what has an event still to be delivered, and what an unfinished order stands under is left alone.

    Args:
        conn: Its owner commits; until then the orders are locked.
        older_than_days: Days since they finished.
        orders_max: Most of them.

    Returns:
        How many were removed.
    """
    cursor = await conn.execute(_QUERIES["purge_orders"], {"older_than_days": older_than_days, "orders_max": orders_max})
    row = await cursor.fetchone()
    assert row is not None
    return int(row[0])


async def count_purgeable(conn: Connection, *, older_than_days: float) -> Purgeable:
    """Count the orders that finished so many days ago; it may read that many rows."""
    cursor = await conn.execute(_QUERIES["count_purgeable"], {"older_than_days": older_than_days})
    row = await cursor.fetchone()
    assert row is not None
    return Purgeable(*row)
