"""What commands show and do of webhooks and of dead letters."""

import asyncio
import contextlib
from typing import Final, TypeVar
from uuid import UUID

from orchestrator.events import CATALOGUE
from orchestrator.operations.asking import Connection, ask, connected
from orchestrator.operations.render import open_console, print_json, print_table, progress_bar, say, short
from orchestrator.webhooks import subscribing
from sql import acts, webhooks
from sql.ledger import LedgerError
from sql.models import Json

T = TypeVar("T")
TICK_S: Final = 0.1
"""Of pacing: dead letters are replayed in so small groups."""


class NoDeadLetter(LedgerError):
    """There is no such dead letter; nothing was changed."""


def add(
    database_url: str,
    name: str,
    url: str,
    types: tuple[str, ...],
    *,
    from_start: bool,
    client: str | None,
    actor: str,
    reason: str,
    as_json: bool,
) -> None:
    """Add a webhook and print its secret, which nothing shows again.

    Raises:
        NameTaken: There is one of this name.
    """
    secret = ask(
        database_url,
        lambda conn: subscribing.subscribe(
            conn, name, url, types, from_start=from_start, client_id=client, actor=actor, reason=reason
        ),
    )
    if as_json:
        print_json({"name": name, "url": url, "types": sorted(set(types)), "client_id": client, "secret": secret})
        return
    begin = "the oldest that is kept" if from_start else "those that come from now on"
    whose = f"events of {client}'s orders" if client else "events"
    print(f"{name} gets {whose} at {url}, beginning with {begin}")
    unknown = sorted(set(types) - CATALOGUE.keys())
    if unknown:
        print(f"no saga that ships tells of {', '.join(unknown)}")
    _print_secret(secret)


def show_list(database_url: str, *, as_json: bool) -> None:
    """Print every webhook."""
    rows = ask(database_url, webhooks.list_subscriptions)
    if as_json:
        print_json({"webhooks": rows})
        return
    console = open_console()
    shown = [(row["name"], _state(row), row["waiting"], row["dead"], ", ".join(row["types"]) or "all") for row in rows]
    print_table(console, ("WEBHOOK", "STATE", "WAITING#", "DEAD#", "TYPES"), shown)
    for row in rows:
        say(console, f"{row['name']}: {row['url']}" + (f", of {row['client_id']}'s orders" if row["client_id"] else ""))
        if row["disabled_reason"]:
            say(console, f"{row['name']} is disabled since {short(row['disabled_at'])} UTC: {row['disabled_reason']}")
        if row["missed"]:
            say(console, f"{row['name']} missed {row['missed']:,} events: retention removed them first")
    if not rows:
        console.print("no webhooks: see `saga webhooks add --help`")


def rotate(database_url: str, name: str, *, grace_s: float, actor: str, reason: str, as_json: bool) -> None:
    """Give a webhook a new secret and print it.

    Raises:
        NoWebhook: There is none of this name.
    """
    secret = ask(database_url, lambda conn: subscribing.rotate(conn, name, grace_s=grace_s, actor=actor, reason=reason))
    if as_json:
        print_json({"name": name, "secret": secret})
        return
    print(
        f"{name} is signed with a new secret; "
        + (f"with the one before too for {_hours(grace_s)}" if grace_s else "the one before is void")
    )
    _print_secret(secret)


def enable(database_url: str, name: str, *, actor: str, reason: str) -> None:
    """Enable a webhook, and say so.

    Raises:
        NoWebhook: There is none of this name.
    """
    ask(database_url, lambda conn: subscribing.enable(conn, name, actor=actor, reason=reason))
    print(f"{name} goes on where it stood")


def disable(database_url: str, name: str, *, actor: str, reason: str) -> None:
    """Disable a webhook, and say so.

    Raises:
        NoWebhook: There is none of this name.
    """
    ask(database_url, lambda conn: subscribing.disable(conn, name, actor=actor, reason=reason))
    print(f"{name} gets nothing more until `saga webhooks enable {name}`; retention does not wait for it")


def remove(database_url: str, name: str, *, actor: str, reason: str) -> None:
    """Remove a webhook, and say so.

    Raises:
        NoWebhook: There is none of this name.
    """
    ask(database_url, lambda conn: subscribing.remove(conn, name, actor=actor, reason=reason))
    print(f"{name} is removed, with its dead letters")


def show_dead(database_url: str, *, webhook: str | None, limit: int, as_json: bool) -> None:
    """Print dead letters, those given up last first."""

    async def read(conn: Connection) -> tuple[list[Json], int]:
        return await webhooks.list_dead(conn, webhook, limit=limit), await webhooks.count_dead(conn, webhook)

    dead, total = ask(database_url, read)
    if as_json:
        print_json({"dead": dead, "total": total})
        return
    console = open_console()
    for row in dead:
        say(console, f"{row['event_id']} {row['type']} of {row['order_ledger_id']}")
        given_up = f"given up {short(row['dead_at'])} UTC after {row['attempts']} attempts"
        say(console, f"  {row['webhook']}, {given_up}: {row['error']}")
    console.print(f"{total:,} dead" + (f", {len(dead):,} shown: --limit" if total > len(dead) else ""))


def replay(
    database_url: str,
    event_id: UUID | None,
    *,
    webhook: str | None,
    rate: float,
    actor: str,
    reason: str,
    as_json: bool,
) -> None:
    """Have dead letters tried again, so many a second, and print how many; broken off, those that were are.

    Args:
        database_url: The ledger's.
        event_id: Of one event; None for all that are dead now.
        webhook: Of this webhook; None for all.
        rate: A second, for all.
        actor: Who does it, for the record.
        reason: Why; may be empty.
        as_json: Print JSON.

    Raises:
        NoDeadLetter: There is none of this event.
    """

    async def record(conn: Connection) -> None:
        details = {"webhook": webhook, "replayed": replayed}
        await acts.insert_act(conn, "replay_dead", str(event_id or "all"), actor=actor, reason=reason, details=details)

    if event_id is None:
        replayed = asyncio.run(_replay_all(database_url, webhook, rate, quiet=as_json))
    else:
        replayed = len(ask(database_url, lambda conn: webhooks.replay_dead(conn, event_id, webhook=webhook, limit=1_000)))
        if not replayed:
            raise NoDeadLetter(f"there is no dead letter of event {event_id}: see `saga outbox dead`")
    ask(database_url, record)
    if as_json:
        print_json({"replayed": replayed})
    else:
        print(f"{replayed:,} deliver{'y is' if replayed == 1 else 'ies are'} tried again")


async def _replay_all(database_url: str, webhook: str | None, rate: float, *, quiet: bool) -> int:
    replayed, loop = 0, asyncio.get_running_loop()
    async with connected(database_url) as conn:
        before = await webhooks.read_clock(conn)
        with progress_bar(quiet=quiet) as bar, contextlib.suppress(asyncio.CancelledError):
            shown, began_s = bar.add_task("replaying", total=await webhooks.count_dead(conn, webhook)), loop.time()
            while True:
                allowed = max(int(rate * (loop.time() - began_s + TICK_S)), 1) - replayed
                if allowed > 0:
                    group = await webhooks.replay_dead(conn, None, webhook=webhook, limit=allowed, before=before)
                    if not group:
                        break
                    replayed += len(group)
                    bar.advance(shown, len(group))
                    await subscribing.wake(conn)
                await asyncio.sleep(TICK_S)
    return replayed


def _print_secret(secret: str) -> None:
    print(f"secret (shown once): {secret}")


def _state(row: Json) -> str:
    if row["disabled_at"]:
        return "disabled"
    return f"failing since {short(row['failing_since'])}" if row["failing_since"] else "well"


def _hours(seconds: float) -> str:
    return f"{seconds / 3600:g} hour{'s' * (seconds != 3600)}"
