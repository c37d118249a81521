"""`saga migrate`: the schema of the ledger and of the participants."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from orchestrator.operations.commands.shared import AS_JSON, DATA_DIR, DATABASE_URL, at_place, databases_of

if TYPE_CHECKING:
    from orchestrator.operations.place import Place


@click.group(invoke_without_command=True)
@click.option("--dry-run", is_flag=True, help="Only show what would be applied.")
@DATABASE_URL
@DATA_DIR
@AS_JSON
@click.pass_context
def migrate(context: click.Context, dry_run: bool, database_url: str | None, data_dir: Path, as_json: bool) -> None:
    """Create the ledger's and the participants' databases and bring them to the newest schema."""
    from orchestrator.operations import schema
    from orchestrator.operations.place import find_place

    context.obj = database_url or context.obj
    if context.invoked_subcommand is None:
        databases = find_place(context.obj, data_dir, databases_of).databases
        (schema.show_status if dry_run else schema.apply_and_show)(databases, as_json)


@migrate.command()
@at_place
@AS_JSON
def status(place: "Place", as_json: bool) -> None:
    """Show which migrations each database has had and lacks; changes nothing."""
    from orchestrator.operations import schema

    schema.show_status(place.databases, as_json)
