"""`saga reconcile`: on what ledger and participants disagree, and what mends it."""

from typing import TYPE_CHECKING

import click

from orchestrator.operations.commands.shared import AS_JSON, at_place

if TYPE_CHECKING:
    from orchestrator.operations.place import Place


@click.command()
@at_place
@AS_JSON
@click.pass_context
def reconcile(context: click.Context, place: "Place", as_json: bool) -> None:
    """Compare ledger and participants: what is at risk, and what mends it; exit 1 when they disagree. Changes nothing."""
    from orchestrator.operations.checking import show_reconciliation
    from orchestrator.operations.place import checked_settings

    context.exit(show_reconciliation(place, checked_settings(), as_json))
