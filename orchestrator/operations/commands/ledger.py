"""`saga ledger`: look at orders, and act on them."""

from typing import TYPE_CHECKING, Any
from uuid import UUID

import click

from orchestrator.operations.commands.retrying import retry
from orchestrator.operations.commands.shared import AS_JSON, at_place, operator
from orchestrator.operations.parameters import ORDER_ID, SAGA, STATUS, TEXT, TIME
from sql.models import Status

if TYPE_CHECKING:
    from orchestrator.operations.place import Place


@click.group()
def ledger() -> None:
    """Look at orders, and act on them."""


ledger.add_command(retry)


@ledger.command("list")
@click.option("--status", type=STATUS, help="Only orders of this status, such as STUCK.")
@click.option("--saga", type=SAGA, help="Only orders of this saga.")
@click.option("--customer", help="Only orders of this customer.")
@click.option("--since", type=TIME, help="Only orders created at this time or later, ISO 8601; UTC where no zone is said.")
@click.option("--error-like", type=TEXT, help="Only orders with this in their last error.")
@click.option("--stuck", is_flag=True, help="Only orders that need an operator.")
@click.option("--paused", is_flag=True, help="Only orders that an operator has on hold.")
@click.option("--limit", type=click.IntRange(1, 1000), default=50, show_default=True, help="Most orders to show.")
@click.option("--cursor", help="Go on where a page ended: its `next_cursor`.")
@click.option("--thorough", is_flag=True, help="Look through the whole ledger for what no index tells, however long it takes.")
@at_place
@AS_JSON
def list_orders(place: "Place", **filters: Any) -> None:
    """List orders, newest first; with --stuck oldest first, with since when, worth what and why."""
    from orchestrator.operations import ledger_view

    ledger_view.show_list(place.database_url, **filters)


@ledger.command()
@click.argument("order_ledger_id", metavar="ID", type=ORDER_ID)
@at_place
@AS_JSON
def show(place: "Place", order_ledger_id: UUID, as_json: bool) -> None:
    """Show one order: its row, items, steps and journal."""
    from orchestrator.operations import ledger_view

    ledger_view.show_order(place.database_url, order_ledger_id, as_json=as_json)


@ledger.command()
@operator
def cancel(place: "Place", **asked: Any) -> None:
    """Have an order that is on its way undone, or a completed one taken back."""
    from orchestrator.operations import verbs

    verbs.act("cancel", place.database_url, **asked)


@ledger.command()
@operator
def pause(place: "Place", **asked: Any) -> None:
    """Have no further call of an order made until it is resumed; one that is on its way ends."""
    from orchestrator.operations import verbs

    verbs.act("pause", place.database_url, **asked)


@ledger.command()
@operator
def resume(place: "Place", **asked: Any) -> None:
    """Have a paused order go on where it stands."""
    from orchestrator.operations import verbs

    verbs.act("resume", place.database_url, **asked)


@ledger.command("skip-step")
@operator
@click.argument("step", required=False)
def skip_step(place: "Place", step: str | None, **asked: Any) -> None:
    """Have an order go on without its next step, or without undoing the one that can't be undone.

    Name the STEP in scripts: asked twice without it, two steps are left out.
    """
    from orchestrator.operations import verbs

    verbs.act("skip-step", place.database_url, step=step, **asked)


@ledger.command()
@operator
@click.option("--as", "ending", required=True, type=click.Choice(("completed", "failed")), help="How it ends.")
def resolve(place: "Place", ending: str, **asked: Any) -> None:
    """End a STUCK or paused order as you say; no call follows, and what was not done or not undone stays so."""
    from orchestrator.operations import verbs

    verbs.act("resolve", place.database_url, ending=Status(ending.upper()), **asked)
