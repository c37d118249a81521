"""Whether what a saga reserves for a while (a TCC's try) lasts until it is confirmed, however long its attempts take."""

from collections.abc import Iterator
from itertools import groupby
from typing import Any

from orchestrator.dependencies import Dependencies
from orchestrator.saga import Saga, Step, StepKind
from orchestrator.settings import Settings


def expires_too_early(saga: Saga[Any], needed: Dependencies, settings: Settings) -> Iterator[str]:
    """Say of a saga that may still try or confirm when a participant has let go what it reserved."""
    tries = {step.name for step in saga.calls if expires(step)}
    if not tries:
        return
    concerned = [i for i, step in enumerate(saga.steps) if step.name in tries or needed.uses[step.name] & tries]
    span = [step for step in saga.steps[concerned[0] : concerned[-1] + 1] if isinstance(step, Step)]
    # Neighbours of one group are at work together; a replica may die in each phase.
    phases = [list(phase) for _, phase in groupby(span, key=lambda step: step.group or step.name)]
    needed_s = sum(max(_longest_s(saga, step, settings) for step in phase) + settings.lease_s for phase in phases)
    if needed_s > settings.reservation_s:
        yield (
            f"its attempts from {span[0].name} to the first of {span[-1].name} may take {needed_s:.0f} s, and what is reserved"
            f" meanwhile expires after {settings.reservation_s:g} s (SAGA_RESERVATION_S)"
        )


def expires(step: Step[Any, Any]) -> bool:
    """Tell whether a step reserves something for a while only: its answer says until when."""
    return "expires_at" in step.action.response.model_fields


def _longest_s(saga: Saga[Any], step: Step[Any, Any], settings: Settings) -> float:
    retry, timeout_s = saga.retry_of(step), saga.timeout_s_of(step)
    if step.kind is StepKind.PIVOT:
        # It goes on for as long as it takes: one that comes too late is refused, and then all of it is undone.
        return timeout_s + settings.poll_interval_s
    return retry.budget_s(0.0) * (1 + settings.retry_jitter) + retry.attempts_max * (timeout_s + settings.poll_interval_s)
