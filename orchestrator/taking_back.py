"""The end of a saga that takes back a completed order: its own last transition and that order's, both or neither.

::

    cancel_order   ─ its last step is done ─▶ COMPLETED ┐
                                                        ├─ one transaction, both fenced
    the order      COMPLETED ───────────────▶ CANCELLED ┘

It is the one way out of a terminal status. What the order's steps did stays recorded as done: that it does not stand any
more is what the other saga's journal tells.
"""

from uuid import UUID

import psycopg
from msgspec import Struct

from orchestrator.progress import TakenBack
from orchestrator.snapshot import saga_of
from orchestrator.work import Work
from sql import ledger
from sql.models import SagaRow, Status, Transition


class NotTakenBack(ledger.LedgerError):
    """The order that was to be taken back is not there or not completed any more; nothing was written."""


class Back(Struct, frozen=True):
    """What is taken back with a transition.

    Attributes:
        order_ledger_id: The order.
        said: What its journal says of it.
    """

    order_ledger_id: UUID
    said: TakenBack


def back_of(work: Work, transition: Transition) -> Back | None:
    """Return which order is taken back with a transition of an order at work; None for nearly all."""
    if work.saga.takes_back is None or transition.status is not Status.COMPLETED:
        return None
    if work.row.parent_id is None:
        raise NotTakenBack(f"order {work.order_id} takes back no order")
    demand = work.saga.takes_back(work.input)
    return Back(work.row.parent_id, TakenBack(demand.actor, demand.reason, f"{work.saga.name} {work.order_id}"))


async def write_with_parent(conn: ledger.Connection, transition: Transition, back: Back) -> dict[UUID, int]:
    """Write the last transition of a saga together with that of the order which it took back.

    Args:
        conn: Autocommit connection to the ledger.
        transition: Completes the saga.
        back: What is taken back with it.

    Returns:
        As `ledger.write_transitions`; nothing where one of the rows was changed since it was read, or is locked: then neither
        was written.

    Raises:
        NotTakenBack: The other order is not completed; neither was written.
        psycopg.DataError: One of the two can't be stored; neither was written.
        psycopg.OperationalError: The connection is gone; whether both or none was written is not known.
    """
    written: dict[UUID, int] = {}
    async with conn.transaction():
        if not (ended := await ledger.write_transitions(conn, [transition])):
            return written
        rows = await ledger.get_rows(conn, [back.order_ledger_id])
        parent = await _taken_back(conn, rows.get(back.order_ledger_id), back, transition.replica)
        if not await ledger.write_transitions(conn, [parent]):
            raise psycopg.Rollback
        written = ended
    return written


async def _taken_back(conn: ledger.Connection, row: SagaRow | None, back: Back, replica: str) -> Transition:
    if row is None or row.status is not Status.COMPLETED:
        stands = "is not in the ledger" if row is None else f"is {row.status}"
        raise NotTakenBack(f"order {back.order_ledger_id} {stands}: only what is completed is taken back")
    # By its snapshot: the code that it ran on may be gone since it was completed.
    definition = await ledger.get_definition(conn, row.definition_id)
    assert definition is not None
    work = Work.unread(saga_of(definition["body"]), row)
    return work.transition(work.advance(back.said, go_on=False), replica=replica)
