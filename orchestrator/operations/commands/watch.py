"""`saga watch`: what changes, live."""

from typing import TYPE_CHECKING
from uuid import UUID

import click

from orchestrator.operations.commands.shared import AS_JSON, at_place
from orchestrator.operations.parameters import ORDER_ID, SAGA, STATUS

if TYPE_CHECKING:
    from orchestrator.operations.place import Place


@click.command()
@click.argument("order_ledger_id", metavar="[ID]", type=ORDER_ID, required=False)
@click.option("--status", "statuses", type=STATUS, multiple=True, help="Only changes to this status; may be repeated.")
@click.option("--saga", type=SAGA, help="Only orders of this saga.")
@click.option("--after", type=click.IntRange(min=0), metavar="SEQ", help="Begin behind this change: its `seq`.")
@at_place
@AS_JSON
@click.pass_context
def watch(
    context: click.Context,
    /,
    place: "Place",
    order_ledger_id: UUID | None,
    statuses: tuple[str, ...],
    saga: str | None,
    after: int | None,
    as_json: bool,
) -> int | None:
    """Print changes as they come: those of the order ID, from its beginning to its end, or all from now on.

    Of one order the exit code tells how it ended: 0 COMPLETED, 3 FAILED, 4 CANCELLED, 5 DECLINED, 6 STUCK, when nothing more
    happens of it before an operator says so. Without ID it goes on until Ctrl-C.
    """
    from orchestrator.operations import watching

    if order_ledger_id is None:
        watching.watch_all(place.database_url, statuses=statuses, saga=saga, after=after, as_json=as_json)
        return None
    if statuses or saga:
        raise click.UsageError("--status and --saga are of all orders: leave out the ID", context)
    return watching.watch_order(place.database_url, order_ledger_id, after=after, as_json=as_json)
