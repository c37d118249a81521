"""An order that the code fails on: put aside for a while, and for an operator when that does not help."""

from typing import Final, TypeGuard

from orchestrator.events import event_payload
from participants.contracts import masked
from sql.models import Entry, Event, Json, Kind, SagaRow, Status, Transition
from sql.telling import said_of

POISON_DELAY_MAX_S: Final = 60.0
"""Longest pause before an order is tried again that the code failed on."""


def aside(row: SagaRow, reason: str, *, replica: str, lapses_max: int) -> Transition:
    """Return the write that gives back a row which the code failed on.

    Args:
        row: The row as it was last read.
        reason: Why, in a sentence.
        replica: Who writes.
        lapses_max: How often the code may fail on it, or its owners may die of it, before an operator has to look.
    """
    lapses = row.lapses + 1
    stuck = lapses >= lapses_max
    # It may be the progress that the code fails on, so nothing is expected of that.
    progress = row.progress if isinstance(row.progress, dict) else {}
    round_ = progress.get("round")
    if stuck:
        # There is nothing to hold any more.
        progress = {name: value for name, value in progress.items() if name != "paused"}
    entry = Entry(Kind.STATUS, round=round_ if _is_round(round_) else 1, outcome=Status.STUCK.value, reason=reason)
    return Transition(
        order_ledger_id=row.order_ledger_id,
        lease_epoch=row.lease_epoch,
        last_seq=row.last_seq,
        replica=replica,
        status=Status.STUCK if stuck else row.status,
        step=row.step,
        direction=row.direction,
        retry_count=row.retry_count,
        progress={**progress, "stuck": f"the code failed on it: {reason}"} if stuck else row.progress,
        last_error=reason,
        delay_s=None if stuck else min(4.0**lapses, POISON_DELAY_MAX_S),
        lapses=lapses,
        entries=(entry,) if stuck else (),
        events=(Event("OrderStuck", event_payload(row, Status.STUCK.value)),) if stuck else (),
    )


def sentence(error: BaseException, personal: Json) -> str:
    """Return an exception as one line of text that can be stored, without what is known of a person."""
    text: str = masked(said_of(error), personal)
    return text.replace("\0", " ").splitlines()[0][:500].encode(errors="backslashreplace").decode()


def _is_round(value: object) -> TypeGuard[int]:
    return type(value) is int and 0 < value < 2**31
