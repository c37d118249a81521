"""`saga audit`: whether everything is as it must be, and whether the core decides today as it did then."""

from pathlib import Path
from typing import TYPE_CHECKING
from uuid import UUID

import click

from orchestrator.operations.commands.shared import AS_JSON, DATA_DIR, DATABASE_URL, at_place, databases_of

if TYPE_CHECKING:
    from orchestrator.operations.place import Place


@click.group(invoke_without_command=True)
@click.option("--questions", is_flag=True, help="Answer an auditor's questions too.")
@DATABASE_URL
@DATA_DIR
@AS_JSON
@click.pass_context
def audit(context: click.Context, questions: bool, database_url: str | None, data_dir: Path, as_json: bool) -> None:
    """Check every invariant, and compare the ledger with what the participants did; exit 1 on a violation."""
    context.obj = database_url or context.obj
    if context.invoked_subcommand is not None:
        return
    from orchestrator.operations.checking import show_audit
    from orchestrator.operations.place import checked_settings, find_place

    place = find_place(context.obj, data_dir, databases_of)
    context.exit(show_audit(place, checked_settings(), as_json, questions=questions))


@audit.command()
@click.argument("order_ledger_id", metavar="[ID]", type=click.UUID, required=False)
@click.option("--all", "every", is_flag=True, help="Replay the journal of every order, as without ID.")
@at_place
@AS_JSON
@click.pass_context
def replay(context: click.Context, place: "Place", order_ledger_id: UUID | None, every: bool, as_json: bool) -> None:
    """Run the journal of an order, or of all, through the core and compare every decision; exit 1 when one differs."""
    from orchestrator.operations.retracing import show_replay

    if order_ledger_id is not None and every:
        raise click.UsageError("name an order or ask for --all, not both", context)
    context.exit(show_replay(place.database_url, order_ledger_id, as_json=as_json))
