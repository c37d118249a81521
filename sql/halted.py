"""What needs a person: one async function per query of `sql/queries/halted.sql`, of the same name."""

from datetime import datetime
from typing import Any, Final, Literal

from psycopg import AsyncConnection

from sql.loader import Queries
from sql.models import Json
from sql.reading import Position

Connection = AsyncConnection[Any]

LOOK_MAX: Final = 10_000
"""Orders that are looked at for one answer: more than people can mend one by one."""
GROUPS_MAX: Final = 100

# Prepared, a statement may be planned for an index that was empty then.
_QUERIES: Final = Queries("halted", prepare=False)


async def sum_halted(conn: Connection) -> Json:
    """Return how many orders are STUCK or on hold, what they are worth, and why they are.

    Returns:
        `looked_at`; `complete` (False where there are more than `LOOK_MAX`, of which the oldest were looked at); `totals`
        (`currency`, None for orders without an amount, `orders`, `total_minor` as a text of digits, None without an amount);
        `groups` (the same by `saga`, `state` (STUCK or on hold), `step` and `reason` (None of those on hold), with `since`:
        when the first of them stopped), the greatest `GROUPS_MAX` first.
    """
    return (await _QUERIES.fetch(conn, "sum_halted", {"look_max": LOOK_MAX, "groups_max": GROUPS_MAX}))[0]


async def list_stuck(
    conn: Connection,
    *,
    saga: str | None = None,
    customer_id: str | None = None,
    error: str | None = None,
    since: datetime | None = None,
    cursor: Position | None = None,
    limit: int,
) -> list[Json]:
    """Return orders that are STUCK, the oldest first, with the members that `reading.look_for_orders` gives them.

    Args:
        conn: Any connection to the ledger.
        saga: Orders of this saga; None for any.
        customer_id: Orders of this customer; None for any.
        error: Orders whose last error holds this text, in whichever case; None for any.
        since: Aware time; orders recorded then or later.
        cursor: Position after which the page starts; None for the first page.
        limit: Most orders, at least 1.
    """
    after_at, after_id = cursor or (None, None)
    asked = {"saga": saga, "customer_id": customer_id, "error": error, "since": since}
    return await _QUERIES.fetch(conn, "list_stuck", {**asked, "after_at": after_at, "after_id": after_id, "limit": limit})


async def list_halted(conn: Connection, *, by: Literal["age", "value"], limit: int) -> list[Json]:
    """Return orders that are STUCK or on hold, of the oldest `LOOK_MAX`.

    Args:
        conn: Any connection to the ledger.
        by: Those that stopped first, or, of each currency, those worth most.
        limit: Most orders, at least 1.

    Returns:
        `order_ledger_id`, `saga`, `status`, `step`, `direction`, `last_error`, `currency`, `total_minor`, `customer_id`,
        `client_id`, `client_request_id`, `paused_at`, `created_at`, `since` (when it stopped), `notified_at`
        (when people were last told of it, None for never); of those on hold `actor` and `reason`.
    """
    parameters = {"look_max": LOOK_MAX, "by_value": by == "value", "limit": limit}
    return await _QUERIES.fetch(conn, "list_halted", parameters)
