"""`saga definitions`: the sagas that there are, whether they are sound, and what they look like."""

from pathlib import Path
from typing import Literal

import click

from orchestrator.operations.commands.shared import AS_JSON
from orchestrator.operations.parameters import SAGA


@click.group()
def definitions() -> None:
    """Look at sagas, check them, draw them."""


@definitions.command("list")
@AS_JSON
def list_definitions(as_json: bool) -> None:
    """List the sagas that ship, and those of SAGA_DEFINITIONS."""
    from orchestrator.operations import definitions_view

    definitions_view.show_list(as_json=as_json)


@definitions.command()
@click.argument("name", metavar="NAME", type=SAGA)
@AS_JSON
def show(name: str, as_json: bool) -> None:
    """Show one saga: its steps, what undoes them, what starts it, what holds of it."""
    from orchestrator.operations import definitions_view

    definitions_view.show_one(name, as_json=as_json)


@definitions.command()
@click.argument("modules", metavar="[MODULE]...", nargs=-1)
@click.option(
    "--database-url", metavar="URL", help="Compare with this ledger too; else with that of SAGA_DATABASE_URL, if set."
)
@AS_JSON
@click.pass_context
def check(context: click.Context, modules: tuple[str, ...], database_url: str | None, as_json: bool) -> None:
    """Say what is wrong with the sagas of modules, or with all that there are; exit 1 on an error."""
    from orchestrator.operations import definitions_view

    context.exit(definitions_view.check(modules, database_url or context.obj, as_json=as_json))


@definitions.command()
@click.argument("name", type=SAGA, metavar="[NAME]", required=False)
@click.option("--kind", type=click.Choice(["sequence", "state"]), help="Draw this one alone.")
@click.option(
    "--into", type=click.Path(path_type=Path, dir_okay=False, exists=True), help="Renew all that ship in this document."
)
@click.pass_context
def draw(context: click.Context, name: str | None, kind: Literal["sequence", "state"] | None, into: Path | None) -> None:
    """Draw a saga in Mermaid: who is called in which order, and which ways lead to which end."""
    from orchestrator.operations import flows

    if (name is None) == (into is None):
        raise click.UsageError("name a saga, or a document with --into", context)
    if into is not None:
        flows.renew(into)
    elif name is not None:
        flows.show(name, kind)
