"""Telling people of orders that need them: one async function per query of `sql/queries/oncall.sql`, of the same name.

What becomes of deliveries is said in `sql.webhooks`. Functions need no transaction.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from psycopg import AsyncConnection

from sql.loader import Queries
from sql.webhooks import Delivery

Connection = AsyncConnection[Any]

_QUERIES: Final = Queries("oncall")


@dataclass(frozen=True, slots=True)
class Notice:
    """An order that needs somebody, to be told now.

    Attributes:
        delivery: The attempt to tell of it; it has no address and no secrets, which are the channel's.
        status: The order's status now, which may have changed since the event.
        step: The step that is on its way or was last tried, of a STUCK order one that could not be undone; None for none.
        reason: What its last error was; None where it is mended.
        repeated: Whether people were told of the same cause before, and need not be told again.
    """

    delivery: Delivery
    status: str
    step: str | None
    reason: str | None
    repeated: bool = False


async def open_channel(conn: Connection, channel: str, name: str, source: str, types: Sequence[str]) -> None:
    """Have a way of telling people from now on; where it is there already nothing is changed.

    Args:
        conn: To the ledger.
        channel: `webhook` or `mail`.
        name: Its name among subscriptions.
        source: The setting that says where it leads, which is shown in place of an address.
        types: Of the events that people are told of.
    """
    parameters = {"channel": channel, "name": name, "url": source, "types": list(types)}
    await _QUERIES.fetch(conn, "open_channel", parameters)


async def claim_notices(conn: Connection, channel: str, *, window_s: float, lease_s: float, limit: int) -> list[Notice]:
    """Begin one message of all that is due by a channel, in the order in which it happened.

    Args:
        conn: To the ledger.
        channel: `webhook` or `mail`.
        window_s: Seconds for which no other message of this channel begins.
        lease_s: Seconds for which nobody else tells of these.
        limit: Most events.

    Returns:
        What to tell; empty where nothing is due, or a message began not long ago. Settle each with `settle_deliveries`.
    """
    parameters = {"channel": channel, "window_s": window_s, "lease_s": lease_s, "limit": limit}
    return [
        Notice(
            delivery=Delivery(
                subscription_id=row["subscription_id"],
                webhook=row["name"],
                url="",
                secrets=(),
                attempts=row["attempts"],
                now_s=row["now_s"],
                id=row["event_id"],
                type=row["type"],
                order_ledger_id=row["order_ledger_id"],
                seq=row["seq"],
                correlation_id=row["correlation_id"],
                occurred_at=row["created_at"],
                data=row["payload"],
            ),
            status=row["status"],
            step=row["step"],
            reason=row["last_error"],
            repeated=row["repeated"],
        )
        for row in await _QUERIES.fetch(conn, "claim_notices", parameters)
    ]


async def find_notified(conn: Connection, order_ledger_id: UUID) -> datetime | None:
    """Return when people were last told that an order needs them; None for never."""
    found: datetime | None = (await _QUERIES.fetch(conn, "find_notified", {"order_ledger_id": order_ledger_id}))[0][
        "notified_at"
    ]
    return found
