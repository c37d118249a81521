"""What a journal entry changed, in the words that clients and operators know: the order's status, a step and its state.

Part of the pure core: no clock, no randomness, no IO. What is told of an entry depends on the entries up to it alone, so it is
the same whenever and by whomever it is read.
"""

from dataclasses import dataclass
from typing import Final
from uuid import UUID

from orchestrator.progress import StepState
from sql.changes import Appended, Moment
from sql.models import Direction, Json, Kind, Status

SKIP: Final = "skip"
"""Verb of the operator's entry by which a step, or undoing it, is left out."""
_BEGUN: Final = {Direction.ACTION: StepState.RUNNING, Direction.COMPENSATION: StepState.COMPENSATING}
_TAKEN_OVER: Final = {Direction.ACTION: StepState.UNKNOWN, Direction.COMPENSATION: StepState.COMPENSATING}


@dataclass(frozen=True, slots=True)
class Change:
    """A change of an order.

    Attributes:
        seq: Position in the order's journal, or among the changes of all orders, as was asked for.
        order_ledger_id: The order.
        status: Its status after the change.
        step: Name of the step that changed; None for a change of the order as a whole.
        state: That step's state after the change; None where `step` is.
        at: Aware time.
    """

    seq: int
    order_ledger_id: UUID
    status: Status
    step: str | None
    state: StepState | None
    at: Moment

    def document(self) -> Json:
        """Return it as it is sent, ready for JSON."""
        return {
            "seq": self.seq,
            "order_ledger_id": self.order_ledger_id,
            "status": self.status,
            "step": self.step,
            "state": self.state,
            "at": self.at,
        }


def change_of(entry: Appended, seq: int) -> Change:
    """Return what an entry changed.

    Args:
        entry: The entry.
        seq: Under which position it is told.
    """
    state = _state_after(entry)
    return Change(seq, entry.order_ledger_id, entry.status, entry.step if state else None, state, entry.at)


def _state_after(entry: Appended) -> StepState | None:
    if entry.step is None:
        return None
    direction = entry.direction or Direction.ACTION
    match entry.kind:
        case Kind.INTENT:
            return _BEGUN[direction]
        case Kind.TAKEOVER:
            return _TAKEN_OVER[direction]
        case Kind.OUTCOME:
            return _done(entry) if direction is Direction.ACTION else _undone(entry)
        case Kind.OPERATOR if entry.outcome == SKIP:
            return StepState.SKIPPED
    return None


def _done(entry: Appended) -> StepState:
    match entry.outcome:
        case "succeeded":
            return StepState.SUCCEEDED
        case "rejected":
            return StepState.SKIPPED if entry.optional else StepState.REJECTED
    # Where it is probed, the probe follows the last attempt and is the last itself.
    is_last = _left(entry) < 0 if entry.probed else _left(entry) <= 0
    return StepState.SKIPPED if entry.optional and is_last else StepState.UNKNOWN


def _undone(entry: Appended) -> StepState:
    if entry.outcome == "succeeded":
        return StepState.COMPENSATED
    is_last = entry.outcome == "rejected" or _left(entry) <= 0
    return StepState.COMPENSATION_FAILED if is_last else StepState.COMPENSATING


def _left(entry: Appended) -> int:
    """Return how many attempts are left of those that its policy gives a step."""
    return (entry.attempts_max or 0) - ((entry.attempt or 0) - (entry.spared or 0))
