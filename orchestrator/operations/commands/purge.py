"""`saga purge`: retention by hand."""

from typing import TYPE_CHECKING

import click

from orchestrator.operations.commands.shared import AS_JSON, at_place

if TYPE_CHECKING:
    from orchestrator.operations.place import Place


@click.command()
@click.option(
    "--older-than", type=click.FloatRange(min=0), metavar="DAYS", help="Days since an order finished. [SAGA_RETENTION_DAYS]"
)
@click.option("--dry-run", is_flag=True, help="Only count what would be removed.")
@at_place
@AS_JSON
def purge(place: "Place", older_than: float | None, dry_run: bool, as_json: bool) -> None:
    """Remove orders that finished long ago; repeats of their requests are still answered."""
    from orchestrator.operations import purging
    from orchestrator.settings import load_settings

    days = older_than if older_than is not None else load_settings().retention_days
    if not days and older_than is None:
        raise click.UsageError("SAGA_RETENTION_DAYS is 0, which keeps everything: say --older-than")
    purging.purge(place.database_url, older_than_days=days, dry_run=dry_run, as_json=as_json)
