"""What operators do with webhooks, by whatever way they ask for it."""

from collections.abc import Sequence
from typing import Final

from orchestrator.oncall import ONCALL
from orchestrator.webhooks.signing import new_secret
from sql import acts, ledger, webhooks
from sql.ledger import LedgerError
from sql.models import Json
from sql.webhooks import Connection

NAME: Final = r"[a-z][a-z0-9_-]{0,62}"
TYPE: Final = r"[A-Za-z][A-Za-z0-9_.]{0,127}"
TYPES_MAX: Final = 100
GRACE_S: Final = 86_400.0
"""For which a secret signs beside the one that takes its place, where nothing else is said: a day to change it everywhere."""
GRACE_MAX_S: Final = 31_536_000.0
DELETE_BATCH: Final = 2_000
"""Deliveries that one statement removes, well within its time limit."""


class NameTaken(LedgerError):
    """There is a webhook of this name; nothing was changed."""


class NoWebhook(LedgerError):
    """There is no webhook of this name; nothing was changed."""


async def subscribe(
    conn: Connection,
    name: str,
    url: str,
    types: Sequence[str],
    *,
    from_start: bool,
    client_id: str | None,
    actor: str,
    reason: str,
) -> str:
    """Add a webhook; replicas that are idle begin with it within a minute, with NOTIFY within seconds.

    Args:
        conn: To the ledger, autocommit.
        name: Fits `NAME`.
        url: As `receiver_url` gives it.
        types: Each fits `TYPE`; empty for every type.
        from_start: Begin with the oldest event that is kept instead of what comes from now on.
        client_id: Whose orders' events it gets; None for every client's.
        actor: Who adds it, for the record, as with every act here.
        reason: Why; may be empty.

    Returns:
        Its secret, which nothing shows again.

    Raises:
        NameTaken: There is one of this name, or it is kept for telling people.
    """
    if name.startswith(ONCALL):
        raise NameTaken(f"names that begin with {ONCALL} are kept for telling people: take another name")
    secret = new_secret()
    wanted = sorted(set(types))
    async with conn.transaction():
        if not await webhooks.insert_subscription(conn, name, url, wanted, secret, from_start=from_start, client_id=client_id):
            raise NameTaken(f"there is a webhook {name}: remove it first, or take another name")
        details = {"url": url, "types": wanted, "client_id": client_id}
        await acts.insert_act(conn, "add_webhook", name, actor=actor, reason=reason, details=details)
    await wake(conn)
    return secret


async def rotate(conn: Connection, name: str, *, grace_s: float, actor: str, reason: str) -> str:
    """Give a webhook a new secret, and return it; for `grace_s` seconds deliveries are signed with the one before too.

    Raises:
        NoWebhook: There is none of this name; what people are told is signed with a setting.
    """
    if name.startswith(ONCALL):
        raise NoWebhook(f"{name} is no webhook: what people are told is signed with SAGA_ONCALL_SECRET")
    secret = new_secret()
    async with conn.transaction():
        if not await webhooks.rotate_secret(conn, name, secret, grace_s=grace_s):
            raise _unknown(name)
        await acts.insert_act(conn, "rotate_webhook", name, actor=actor, reason=reason, details={"grace_s": grace_s})
    return secret


async def enable(conn: Connection, name: str, *, actor: str, reason: str) -> None:
    """Have a webhook go on where it stood.

    Raises:
        NoWebhook: There is none of this name.
    """
    async with conn.transaction():
        if not await webhooks.enable_subscription(conn, name):
            raise _unknown(name)
        await acts.insert_act(conn, "enable_webhook", name, actor=actor, reason=reason)
    await wake(conn)


async def disable(conn: Connection, name: str, *, actor: str, reason: str) -> None:
    """Send a webhook nothing more until it is enabled; what is on its way still arrives.

    Raises:
        NoWebhook: There is none of this name.
    """
    async with conn.transaction():
        if not await webhooks.disable_subscription(conn, name, reason):
            raise _unknown(name)
        await acts.insert_act(conn, "disable_webhook", name, actor=actor, reason=reason)


async def remove(conn: Connection, name: str, *, actor: str, reason: str) -> None:
    """Remove a webhook with its deliveries and dead letters, in batches: broken off, it is disabled, and goes on when repeated.

    Raises:
        NoWebhook: There is none of this name.
    """
    async with conn.transaction():
        if not await webhooks.disable_subscription(conn, name, "it is being removed"):
            raise _unknown(name)
        await acts.insert_act(conn, "remove_webhook", name, actor=actor, reason=reason)
    while await webhooks.delete_some_deliveries(conn, name, limit=DELETE_BATCH):
        pass
    await webhooks.delete_subscription(conn, name)


async def wake(conn: Connection) -> None:
    """Tell replicas that there may be something to send; best effort, their poll is the guarantee."""
    await ledger.wake_orchestrators(conn)


async def describe(conn: Connection, name: str) -> Json:
    """Return how a webhook stands; see `sql.webhooks.list_subscriptions`.

    Raises:
        NoWebhook: There is none of this name.
    """
    found = await webhooks.list_subscriptions(conn, name)
    if not found:
        raise _unknown(name)
    return found[0]


def _unknown(name: str) -> NoWebhook:
    return NoWebhook(f"there is no webhook {name}")
