"""A schedule as a story: one line for each thing that happened, with the ledger's time."""

from typing import TYPE_CHECKING

from sql.models import Direction, Entry, Kind

if TYPE_CHECKING:
    from orchestrator.progress import Call
    from tests.simulation.core import Decision


def direction_of(call: "Call") -> str:
    """Return a call in words."""
    if call.direction is Direction.COMPENSATION:
        return f"undo of {call.step}"
    return f"probe of {call.step}" if call.probe else call.step


def shown(decision: "Decision") -> str:
    """Return what a decision writes, in words."""
    entries = ", ".join(_entry(entry) for entry in decision.entries) or "nothing but the row"
    waits = "" if decision.delay_s is None else f", due in {decision.delay_s:g} s"
    return f"[{entries}{waits}]"


def _entry(entry: Entry) -> str:
    step = entry.step if entry.direction is not Direction.COMPENSATION else f"undo of {entry.step}"
    match entry.kind:
        case Kind.INTENT:
            return f"intent {step} #{entry.attempt}"
        case Kind.OUTCOME:
            return f"{step} #{entry.attempt} {entry.outcome}"
        case Kind.TAKEOVER:
            return f"takeover of {step} #{entry.attempt}" if entry.step else "takeover"
        case Kind.STATUS:
            return f"status {entry.outcome}"
        case Kind.OPERATOR:
            return f"{entry.outcome} by {entry.actor}"
