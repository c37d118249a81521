"""Webhooks: subscriptions, and the delivery of each event to each of them.

One async function per query of `sql/queries/webhooks.sql`, of the same name. Who moves a delivery where::

    waiting ─claimed─▶ on its way ─answered─▶ delivered ─some days later─▶ removed
       ▲                   │ no answer, or not 2xx
       └───after a wait────┴─no attempt left─▶ dead ─replayed─▶ waiting

A delivery on its way is one that waits for the end of its lease: a claim needs no owner's name, the number of the attempt is
the proof. Functions need no transaction.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from psycopg import AsyncConnection

from sql.loader import Queries
from sql.models import Json

Connection = AsyncConnection[Any]

_QUERIES: Final = Queries("webhooks")


@dataclass(frozen=True, slots=True)
class FanOut:
    """What there is to do.

    Attributes:
        subscriptions: How many there are, enabled or not.
        made: Deliveries that were made by this look.
        more: Whether another look finds more at once.
        next_due_s: Seconds until a delivery that was there before is due, below 0 for one that is; None when none waits.
    """

    subscriptions: int
    made: int
    more: bool
    next_due_s: float | None


@dataclass(frozen=True, slots=True)
class Delivery:
    """One attempt to deliver an event, begun.

    Attributes:
        subscription_id, webhook: The subscription, and its name.
        url: Where to.
        secrets: To sign with, the newest first; two while one takes the place of the other.
        attempts: Which attempt this is, from 1.
        now_s: The database's clock when it began, in whole seconds since 1970.
        id, type, order_ledger_id, seq, correlation_id, occurred_at, data: The event; see `sql.events.StoredEvent`.
    """

    subscription_id: UUID
    webhook: str
    url: str
    secrets: tuple[str, ...]
    attempts: int
    now_s: int
    id: UUID
    type: str
    order_ledger_id: UUID
    seq: int
    correlation_id: str
    occurred_at: datetime
    data: Json


@dataclass(frozen=True, slots=True)
class Settlement:
    """What an attempt came to.

    Attributes:
        delivery: The attempt.
        error: Why it was not answered as it should be, in a few words; None when it was.
        delay_s: Seconds until the next attempt; None when there is none, which with an error makes it a dead letter.
        gone: Whether the receiver wants nothing more.
    """

    delivery: Delivery
    error: str | None = None
    delay_s: float | None = None
    gone: bool = False


async def insert_subscription(
    conn: Connection,
    name: str,
    url: str,
    types: Sequence[str],
    secret: str,
    *,
    from_start: bool,
    client_id: str | None = None,
) -> bool:
    """Add a subscription; tell whether there was none of this name.

    Args:
        conn: To the ledger.
        name: Unique.
        url: Where events go.
        types: Of the events it gets; empty for all.
        secret: To sign with.
        from_start: Begin with the oldest event that is kept instead of what comes from now on.
        client_id: Whose orders' events it gets; None for every client's.
    """
    parameters = {"name": name, "url": url, "types": list(types), "secret": secret, "client_id": client_id}
    return bool(await _QUERIES.fetch(conn, "insert_subscription", {**parameters, "from_start": from_start}))


async def list_subscriptions(conn: Connection, name: str | None = None) -> list[Json]:
    """Return subscriptions by name, without their secrets.

    Args:
        conn: To the ledger.
        name: One; None for all.

    Returns:
        `name`, `url`, `types`, `client_id` (None: every client's), `created_at`, `enabled`,
        `failing_since`, `disabled_at`, `disabled_reason`, `missed`,
        `old_secret_until`, and the numbers of its deliveries that are `waiting` and `dead`.
    """
    return await _QUERIES.fetch(conn, "list_subscriptions", {"name": name})


async def rotate_secret(conn: Connection, name: str, secret: str, *, grace_s: float) -> bool:
    """Give a subscription a new secret; tell whether there is such a one.

    Args:
        conn: To the ledger.
        name: Which.
        secret: The new one.
        grace_s: Seconds for which the one before signs too; 0 for none.
    """
    return bool(await _QUERIES.fetch(conn, "rotate_secret", {"name": name, "secret": secret, "grace_s": grace_s}))


async def disable_subscription(conn: Connection, name: str, reason: str) -> bool:
    """Send a subscription nothing more until it is enabled; tell whether there is such a one."""
    return bool(await _QUERIES.fetch(conn, "disable_subscription", {"name": name, "reason": reason}))


async def enable_subscription(conn: Connection, name: str) -> bool:
    """Have a subscription go on where it stood; tell whether there is such a one."""
    return bool(await _QUERIES.fetch(conn, "enable_subscription", {"name": name}))


async def delete_some_deliveries(conn: Connection, name: str, *, limit: int) -> int:
    """Remove at most so many deliveries of a subscription, whatever became of them; how many."""
    return int((await _QUERIES.fetch(conn, "delete_some_deliveries", {"name": name, "limit": limit}))[0]["deleted"])


async def delete_subscription(conn: Connection, name: str) -> bool:
    """Remove a subscription with its deliveries; tell whether there was such a one."""
    return bool(await _QUERIES.fetch(conn, "delete_subscription", {"name": name}))


async def fan_out(conn: Connection, *, limit: int, waiting_max: int) -> FanOut:
    """Make deliveries of the events that came since.

    Args:
        conn: To the ledger's primary.
        limit: Most events that are looked at for one subscription.
        waiting_max: Deliveries of one subscription that may wait; more events stay in the outbox until then.
    """
    return FanOut(**(await _QUERIES.fetch(conn, "fan_out", {"limit": limit, "waiting_max": waiting_max}))[0])


async def claim_deliveries(conn: Connection, busy: dict[UUID, int], *, slots_max: int, lease_s: float) -> tuple[Delivery, ...]:
    """Begin attempts of what is due.

    Args:
        conn: To the ledger's primary.
        busy: For subscriptions with deliveries on their way, how many more may be begun; not below 0.
        slots_max: How many may be for any other.
        lease_s: Seconds in which nobody else begins the same one.

    Returns:
        In the order of the feed.
    """
    parameters = {"busy": list(busy), "slots": list(busy.values()), "slots_max": slots_max, "lease_s": lease_s}
    return tuple(_delivery(row) for row in await _QUERIES.fetch(conn, "claim_deliveries", parameters))


async def settle_deliveries(conn: Connection, settlements: Sequence[Settlement], *, disable_after_s: float) -> dict[str, str]:
    """Write what attempts came to.

    Args:
        conn: To the ledger's primary.
        settlements: Each of another delivery.
        disable_after_s: Seconds without an answer after which a subscription is disabled.

    Returns:
        Names of the subscriptions that were disabled by this, each with the reason.
    """
    parameters = {
        **_keys([settlement.delivery for settlement in settlements]),
        "errors": [settlement.error for settlement in settlements],
        "delays_s": [settlement.delay_s for settlement in settlements],
        "gone": [settlement.gone for settlement in settlements],
        "disable_after_s": disable_after_s,
    }
    rows = await _QUERIES.fetch(conn, "settle_deliveries", parameters)
    return {row["name"]: row["disabled_reason"] for row in rows}


async def give_back_deliveries(conn: Connection, deliveries: Sequence[Delivery]) -> None:
    """Have attempts that were broken off made again at once, by whoever comes first; they don't count."""
    await conn.execute(_QUERIES["give_back_deliveries"], _keys(deliveries))


async def delete_delivered(conn: Connection, *, older_than_days: float, limit: int) -> int:
    """Remove at most so many deliveries that were answered so many days ago; how many."""
    parameters = {"older_than_days": older_than_days, "limit": limit}
    return int((await _QUERIES.fetch(conn, "delete_delivered", parameters))[0]["deleted"])


async def count_dead(conn: Connection, webhook: str | None = None) -> int:
    """Count dead letters, of one subscription or of all."""
    return int((await _QUERIES.fetch(conn, "count_dead", {"webhook": webhook}))[0]["dead"])


async def list_dead(conn: Connection, webhook: str | None = None, *, limit: int) -> list[Json]:
    """Return dead letters, those given up last first.

    Args:
        conn: To the ledger.
        webhook: Of this subscription; None for all.
        limit: Most of them.

    Returns:
        `event_id`, `type`, `order_ledger_id`, `seq`, `occurred_at`, `webhook`, `attempts`, `dead_at` and `error`.
    """
    return await _QUERIES.fetch(conn, "list_dead", {"webhook": webhook, "limit": limit})


async def replay_dead(
    conn: Connection, event_id: UUID | None, *, webhook: str | None, limit: int, before: datetime | None = None
) -> list[Json]:
    """Have dead letters tried again, with all their attempts.

    Args:
        conn: To the ledger.
        event_id: The event; None for all.
        webhook: Of this subscription; None for all.
        limit: Most of them, the oldest first.
        before: Only those that were given up until then; None for now.

    Returns:
        `event_id` and `webhook` of each that will be.
    """
    parameters = {"event_id": event_id, "webhook": webhook, "limit": limit, "before": before}
    return await _QUERIES.fetch(conn, "replay_dead", parameters)


async def count_deliveries(conn: Connection) -> tuple[int, int]:
    """Return how many deliveries wait, and how many are dead."""
    row = (await _QUERIES.fetch(conn, "count_deliveries", {}))[0]
    return row["pending"], row["dead"]


async def read_clock(conn: Connection) -> datetime:
    """Return the database's time."""
    now: datetime = (await _QUERIES.fetch(conn, "read_clock", {}))[0]["now"]
    return now


def _keys(deliveries: Sequence[Delivery]) -> dict[str, Any]:
    return {
        "subscription_ids": [delivery.subscription_id for delivery in deliveries],
        "order_ledger_ids": [delivery.order_ledger_id for delivery in deliveries],
        "event_ids": [delivery.id for delivery in deliveries],
        "attempts": [delivery.attempts for delivery in deliveries],
    }


def _delivery(row: Json) -> Delivery:
    return Delivery(
        subscription_id=row["subscription_id"],
        webhook=row["name"],
        url=row["url"],
        secrets=tuple(secret for secret in (row["secret"], row["old_secret"]) if secret),
        attempts=row["attempts"],
        now_s=row["now_s"],
        id=row["event_id"],
        type=row["type"],
        order_ledger_id=row["order_ledger_id"],
        seq=row["seq"],
        correlation_id=row["correlation_id"],
        occurred_at=row["created_at"],
        data=row["payload"],
    )
