"""Whose turn it is while a saga goes forward. Part of the pure core: no clock, no randomness, no IO."""

from typing import Any, Final

from orchestrator.progress import Progress, StepState
from orchestrator.saga import AnyStep, Saga, Signal, Timer
from sql.models import Direction

_PASSED: Final = frozenset({StepState.SUCCEEDED, StepState.SKIPPED})


def next_action(saga: Saga[Any], progress: Progress) -> AnyStep[Any] | None:
    """Return the first step that is neither done nor skipped; None when every one is."""
    steps = progress.steps
    for step in saga.steps:
        found = steps.get(step.name)
        if found is None or (found.state is not StepState.SUCCEEDED and found.state is not StepState.SKIPPED):
            return step
    return None


def next_actions(saga: Saga[Any], progress: Progress) -> tuple[AnyStep[Any], ...]:
    """Return the steps whose turn it is at once: the next one, with those of its group that are neither done nor skipped."""
    step = next_action(saga, progress)
    if step is None:
        return ()
    if step.group is None:
        return (step,)
    return tuple(s for s in saga.steps if s.group == step.group and progress.of(s.name).state not in _PASSED)


def waiting(saga: Saga[Any], progress: Progress) -> Signal[Any] | Timer[Any] | None:
    """Return the step that waits for something else than a participant; None when none has begun to."""
    step = None if progress.direction is Direction.COMPENSATION else next_action(saga, progress)
    if isinstance(step, Signal | Timer) and progress.of(step.name).state is StepState.RUNNING:
        return step
    return None
