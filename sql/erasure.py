"""Erasing what orders say of a person: the row that says it goes, an entry in the order's journal says that it went."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

from psycopg import AsyncConnection

from sql.loader import Queries
from sql.models import Status

Connection = AsyncConnection[Any]

ERASE: Final = "erase"
"""Outcome of the operator's entry that records it."""

_QUERIES: Final = Queries("erasure")


@dataclass(frozen=True, slots=True)
class CustomerOrder:
    """One order of a customer.

    Attributes:
        order_ledger_id: The order.
        status: Where it stands.
        has_ended: Whether nothing needs its personal data any more.
        is_personal: Whether the ledger has any of it.
    """

    order_ledger_id: UUID
    status: Status
    has_ended: bool
    is_personal: bool


async def page_customer_orders(
    conn: Connection, *, customer_id: str, client_id: str | None, after: UUID | None, limit: int
) -> list[CustomerOrder]:
    """Read one page of a customer's orders, and of what was begun on them.

    Args:
        conn: Connection to the ledger.
        customer_id: As the orders' inputs name the customer.
        client_id: Only orders of this client; None for those of every client.
        after: Id of the last order of the page before; None for the first page.
        limit: Most orders to return.
    """
    parameters = {"customer_id": customer_id, "client_id": client_id, "after": after, "limit": limit}
    rows = await _QUERIES.fetch(conn, "page_customer_orders", parameters)
    return [CustomerOrder(**{**row, "status": Status(row["status"])}) for row in rows]


async def is_of_others(conn: Connection, *, customer_id: str, client_id: str) -> bool:
    """Tell whether any client but this one has orders of a customer."""
    rows = await _QUERIES.fetch(conn, "is_of_others", {"customer_id": customer_id, "client_id": client_id})
    return bool(rows[0]["found"])


async def erase_orders(conn: Connection, order_ledger_ids: Sequence[UUID], *, actor: str, reason: str) -> set[UUID]:
    """Erase what orders say of a person, where they have ended, and record who asked for it.

    Args:
        conn: Its owner commits; until then the orders are locked.
        order_ledger_ids: The orders.
        actor: Who asks.
        reason: Why.

    Returns:
        The orders of which something was erased: not those that go on, nor those of which nothing was left.

    Raises:
        psycopg.errors.LockNotAvailable: Somebody holds one of them for too long; nothing was erased.
    """
    parameters = {"order_ledger_ids": list(order_ledger_ids), "actor": actor, "reason": reason}
    return {row["order_ledger_id"] for row in await _QUERIES.fetch(conn, "erase_orders", parameters)}


async def is_erased(conn: Connection, order_ledger_id: UUID) -> bool:
    """Tell whether anything that an order said of a person was erased."""
    rows = await _QUERIES.fetch(conn, "is_erased", {"order_ledger_id": order_ledger_id})
    return bool(rows[0]["erased"])
