"""The phases of a TCC, for those who measure it: try, confirm, and cancel where it is undone.

A phase is the group of steps that bears its name; it lasts from its first attempt to its end, with all waits between, whoever
does it. Part of the pure core: no clock, no randomness, no IO.
"""

from collections.abc import Iterable
from typing import Any, Final

from msgspec import Struct

from orchestrator.progress import Progress, StepState
from orchestrator.saga import Saga
from orchestrator.turns import next_action
from orchestrator.undoing import next_undo
from sql.models import Direction, Status

TRY: Final = "try"
CONFIRM: Final = "confirm"
CANCEL: Final = "cancel"


class Phase(Struct, frozen=True):
    """A phase that has ended.

    Attributes:
        name: `try`, `confirm` or `cancel`.
        duration_s: From its first attempt to its end.
        timed_out: Whether it was a try that was given up because no answer came in time, or within its attempts.
    """

    name: str
    duration_s: float
    timed_out: bool


def ended_phase(saga: Saga[Any], before: Progress, after: Progress, age_s: float) -> Phase | None:
    """Return the phase that a decision ends; None where it ends none.

    Args:
        saga: The definition; one without a group `try` has no phases.
        before: The state before the decision.
        after: The state after it.
        age_s: Seconds since the order was recorded.
    """
    if TRY not in saga.groups or after.stuck is not None:
        return None
    name = _phase_in(saga, before)
    if name is None or name == _phase_in(saga, after):
        return None
    steps = saga.steps if name == CANCEL else [step for step in saga.steps if step.group == name]
    began_s = min(_beginnings(before, [step.name for step in steps]), default=None)
    if began_s is None:
        return None
    return Phase(name, max(age_s - began_s, 0.0), name == TRY and _is_given_up(after))


def _phase_in(saga: Saga[Any], progress: Progress) -> str | None:
    if progress.direction is Direction.COMPENSATION:
        return CANCEL if next_undo(saga, progress) else None
    step = next_action(saga, progress)
    return step.group if step is not None and step.group in (TRY, CONFIRM) else None


def _beginnings(progress: Progress, steps: Iterable[str]) -> Iterable[float]:
    return (began_s for step in steps if (began_s := progress.of(step).began_s) is not None)


def _is_given_up(after: Progress) -> bool:
    refused = any(step.state is StepState.REJECTED for step in after.steps.values())
    return after.ending is Status.FAILED and not refused
