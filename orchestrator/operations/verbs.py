"""What operators do to an order from the command line: `saga ledger retry`, `cancel`, `pause` and the others."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import asdict
from types import MappingProxyType
from typing import Any, Final
from uuid import UUID

from rich.console import Console

from orchestrator import cancelling, mending, operating
from orchestrator.definitions import Definitions
from orchestrator.loading import registered
from orchestrator.operations.asking import connected
from orchestrator.operations.render import open_console, print_json, say
from orchestrator.settings import load_settings
from orchestrator.verdict import Verdict

VERBS: Final[Mapping[str, Callable[..., Awaitable[Verdict]]]] = MappingProxyType(
    {
        "retry": operating.retry,
        "cancel": cancelling.cancel,
        "pause": mending.pause,
        "resume": mending.resume,
        "skip-step": mending.skip_step,
        "resolve": mending.resolve,
    }
)


def act(
    verb: str,
    database_url: str,
    *,
    order_ledger_id: UUID,
    actor: str,
    reason: str,
    dry_run: bool,
    as_json: bool,
    **options: Any,
) -> None:
    """Do something to an order, or show what would follow, and print it.

    Raises:
        LedgerError: It can't be done; nothing was changed.
    """
    asked = {"actor": actor, "reason": reason, "dry_run": dry_run, **options}
    verdict = asyncio.run(_act(verb, database_url, order_ledger_id, asked))
    if as_json:
        print_json({**asdict(verdict), "dry_run": dry_run})
    else:
        _print(open_console(), verb, order_ledger_id, verdict, dry_run=dry_run)


async def _act(verb: str, database_url: str, order_ledger_id: UUID, asked: Mapping[str, Any]) -> Verdict:
    settings = load_settings()
    definitions = Definitions(registered(settings), settings)
    async with connected(database_url) as conn:
        return await VERBS[verb](conn, definitions, order_ledger_id, **asked)


def _print(console: Console, verb: str, asked: UUID, verdict: Verdict, *, dry_run: bool) -> None:
    order = f"order {asked}"
    if verdict.order_ledger_id != asked and verb == "cancel":
        order += f", which is completed and is taken back by cancel_order {verdict.order_ledger_id},"
    elif verdict.order_ledger_id != asked:
        order += f", which was undone and is tried anew as order {verdict.order_ledger_id},"
    if dry_run:
        say(console, f"{verb} of {order} would be followed{', once it is resumed,' if verdict.paused else ''} by:")
    elif verdict.done:
        goes_on = "on hold; once it is resumed it goes on with:" if verdict.paused else "goes on with:"
        say(console, f"{verb} of {order} is recorded; it is {verdict.status}, and {goes_on}")
    else:
        say(console, f"{verb} of {order} had been asked for before; it is {verdict.status}")
    for number, call in enumerate(verdict.calls, start=1):
        say(console, f"{number:>4}  {call}")
    if not verdict.calls:
        console.print("      no calls")
    for sentence in verdict.irreversible:
        say(console, f"can't be undone: {sentence}")
    if dry_run:
        say(console, f"nothing was changed; with --seen {verdict.seen} it is refused once the order has changed")
