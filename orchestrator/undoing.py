"""What has to be undone, and when a saga turns round. Part of the pure core: no clock, no randomness, no IO.

An attempt that ended Unknown obliges the step's undo, even when a later attempt was Rejected. A step whose attempts were
all Rejected is left out. Compensations run in reverse order, one at a time; one that fails for good is recorded, the
earlier ones run all the same unless the saga says otherwise, and the order ends STUCK with the list.

Once a pivot may be done, nobody turns the saga round any more but a pivot that was Rejected, and that only where every other
pivot that may be done has a reversal.
"""

from typing import Any, Final

from msgspec.structs import replace

from orchestrator.progress import Progress, StepProgress, StepState
from orchestrator.saga import Saga, Step
from sql.models import Direction, Status

_MAY_BE_DONE: Final = frozenset({StepState.SUCCEEDED, StepState.UNKNOWN, StepState.RUNNING, StepState.COMPENSATING})
_UNDO_ENDED: Final = frozenset({StepState.COMPENSATED, StepState.COMPENSATION_FAILED})


def if_cancelled(progress: Progress) -> Progress:
    """Turn a saga with no call on its way that somebody asked to cancel."""
    if not progress.cancelling or progress.direction is Direction.COMPENSATION:
        return progress
    return turned(progress, Status.CANCELLED, "cancelled on request")


def turned(progress: Progress, ending: Status, reason: str) -> Progress:
    """Turn a saga with no call on its way: everything that was or may have been done is undone, for this reason."""
    # A refused payment leaves an order DECLINED only where nothing else was done before it.
    if ending is Status.DECLINED and any(p.state is StepState.SUCCEEDED for p in progress.steps.values()):
        ending = Status.FAILED
    steps = {name: replace(step, attempts=0, lapses=0, began_s=None) for name, step in progress.steps.items()}
    after = progress.having_all(steps)
    return replace(after, direction=Direction.COMPENSATION, ending=ending, reason=reason, cancelling=False)


def is_committed(saga: Saga[Any], progress: Progress) -> bool:
    """Tell whether a pivot may be done, so that neither a cancel nor a deadline turns the saga round."""
    return any(_may_be_done(progress.of(step.name)) for step in saga.pivots)


def is_past_undoing(saga: Saga[Any], progress: Progress) -> bool:
    """Tell whether a pivot may be done that has no reversal."""
    return any(step.undone_by is None and _may_be_done(progress.of(step.name)) for step in saga.pivots)


def next_undo(saga: Saga[Any], progress: Progress) -> Step[Any, Any] | None:
    """Return the last step that has to be undone; None when none has."""
    return next((step for step in reversed(saga.calls) if _has_to_be_undone(saga, step, progress)), None)


def compensated(saga: Saga[Any], progress: Progress, step: Step[Any, Any]) -> Progress:
    """Record that a step's compensation succeeded: it undid the step, and later ones that have none of their own."""
    undone = _undone_with(saga, progress, step)
    steps = {name: replace(progress.of(name), state=StepState.COMPENSATED) for name in undone}
    return progress.having_all({**progress.steps, **steps})


def left_standing(saga: Saga[Any], progress: Progress, step: Step[Any, Any]) -> Progress:
    """Record that a step's compensation is left out, so that what it would have undone stays."""
    left = _undone_with(saga, progress, step)
    steps = {name: replace(progress.of(name), state=StepState.SKIPPED, doubtful=False) for name in left}
    return progress.having_all({**progress.steps, **steps})


def event_of_undo(saga: Saga[Any], progress: Progress, step: Step[Any, Any]) -> str | None:
    """Return the event that tells of a compensation: that of the last step which it undoes and which is known to be done."""
    known = [s for s in saga.calls if _covered(saga, step, s.name) and progress.of(s.name).state is StepState.SUCCEEDED]
    return next((s.on_undo for s in reversed(known) if s.on_undo is not None), step.on_undo)


def stuck_if_undoing_failed(saga: Saga[Any], progress: Progress) -> Progress:
    """Put a saga aside that has nothing left to undo but what could not be undone, or that stops at that."""
    failed = [s.name for s in saga.steps if progress.of(s.name).state is StepState.COMPENSATION_FAILED]
    if not failed:
        return progress
    left = [step.name for step in reversed(saga.calls) if _has_to_be_undone(saga, step, progress)]
    if left and saga.undo_failure == "continue":
        return progress
    stuck = f"could not be undone: {', '.join(failed)}"
    return replace(progress, stuck=f"{stuck}; not undone for that: {', '.join(left)}" if left else stuck)


def _has_to_be_undone(saga: Saga[Any], step: Step[Any, Any], progress: Progress) -> bool:
    if step.compensation is None or progress.of(step.name).state in _UNDO_ENDED:
        return False
    undone_by_it = (p for name, p in progress.steps.items() if name == step.name or _covered(saga, step, name))
    return any(_may_be_done(p) for p in undone_by_it)


def _undone_with(saga: Saga[Any], progress: Progress, step: Step[Any, Any]) -> list[str]:
    """Return the steps that a step's compensation undoes."""
    return [name for name, p in progress.steps.items() if name == step.name or (_covered(saga, step, name) and _may_be_done(p))]


def _covered(saga: Saga[Any], step: Step[Any, Any], name: str) -> bool:
    return saga.step(name).undone_by == step.name


def _may_be_done(step: StepProgress) -> bool:
    return step.state in _MAY_BE_DONE or step.doubtful
