"""`saga stats` and `saga health`: how it stands."""

from typing import TYPE_CHECKING

import click

from orchestrator.operations.commands.shared import AS_JSON, at_place

if TYPE_CHECKING:
    from orchestrator.operations.place import Place


@click.command()
@click.option(
    "--window", type=click.IntRange(1, 1440), default=60, show_default=True, metavar="MINUTES", help="How far to look back."
)
@at_place
@AS_JSON
def stats(place: "Place", window: int, as_json: bool) -> None:
    """Show what is unfinished now, and rates, percentiles and failures of the last hour."""
    from orchestrator.operations import ledger_view

    ledger_view.show_statistics(place.database_url, window_s=window * 60, as_json=as_json)


@click.command()
@click.option("--only", metavar="NAME", help="Ask one part: database, edge, orchestrator or a participant's name.")
@at_place
@AS_JSON
@click.pass_context
def health(context: click.Context, place: "Place", only: str | None, as_json: bool) -> None:
    """Ask every part whether it is well; exit 1 when one is not or can't be reached."""
    from orchestrator.operations import checking
    from orchestrator.operations.health import part_names

    if only is not None and only not in part_names(place):
        raise click.UsageError(f"there is no part {only!r} here, only {', '.join(part_names(place))}", context)
    context.exit(checking.show_health(place, only, as_json))
