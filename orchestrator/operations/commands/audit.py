"""`saga audit`: whether everything is as it must be."""

from typing import TYPE_CHECKING

import click

from orchestrator.operations.commands.shared import AS_JSON, at_place

if TYPE_CHECKING:
    from orchestrator.operations.place import Place


@click.command()
@click.option("--questions", is_flag=True, help="Answer an auditor's questions too.")
@at_place
@AS_JSON
@click.pass_context
def audit(context: click.Context, place: "Place", questions: bool, as_json: bool) -> None:
    """Check every invariant, and compare the ledger with what the participants did; exit 1 on a violation."""
    from orchestrator.operations.checking import show_audit
    from orchestrator.sagas import SHIPPED

    context.exit(show_audit(place, SHIPPED, as_json, questions=questions))
