"""An order with what was begun on it: its payment, its cancellation.

Whoever begins something on an order locks the order's row first, in the transaction that inserts the child: so of two who
begin something at once, the second sees what the first has begun. The caller owns the transaction.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from psycopg import AsyncConnection

from sql import ledger
from sql.loader import Queries
from sql.models import TERMINAL, SagaRow, Status

Connection = AsyncConnection[Any]

_QUERIES: Final = Queries("families")


@dataclass(frozen=True, slots=True)
class Child:
    """What was begun on an order.

    Attributes:
        order_ledger_id: Its row.
        saga: What it runs.
        status: Where it stands.
        created_at: When it was begun.
    """

    order_ledger_id: UUID
    saga: str
    status: Status
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Family:
    """An order and what was begun on it, as one moment had them.

    Attributes:
        parent: The order's row.
        client_id: Whose order it is.
        children: Oldest first; of those one at most is unfinished.
    """

    parent: SagaRow
    client_id: str
    children: tuple[Child, ...]

    @property
    def unfinished(self) -> Child | None:
        """What was begun and has not ended, STUCK included; None for nothing."""
        return next((child for child in self.children if child.status not in TERMINAL), None)

    def completed(self, saga: str) -> Child | None:
        """Return the newest completed run of a saga on the order; None where none is."""
        done = [child for child in self.children if child.saga == saga and child.status is Status.COMPLETED]
        return done[-1] if done else None


async def lock_family(conn: Connection, order_ledger_id: UUID) -> Family | None:
    """Lock an order, then read it with what was begun on it.

    Args:
        conn: In a transaction at READ COMMITTED; until it ends nobody else begins anything on the order.
        order_ledger_id: The order.

    Returns:
        None when there is no such order.
    """
    found = await _QUERIES.fetch(conn, "lock_parent", {"order_ledger_id": order_ledger_id})
    if not found:
        return None
    children = await _QUERIES.fetch(conn, "list_children", {"order_ledger_id": order_ledger_id})
    rows = await ledger.get_rows(conn, [order_ledger_id])
    return Family(
        parent=rows[order_ledger_id],
        client_id=found[0]["client_id"],
        children=tuple(Child(**{**child, "status": Status(child["status"])}) for child in children),
    )
