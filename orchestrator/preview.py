"""What would follow: calls and waits that lie before an order, and what a verb leaves for good, as an operator reads them."""

from typing import Any

from orchestrator import machine
from orchestrator.dependencies import dependencies_of
from orchestrator.outcome import Succeeded
from orchestrator.progress import ITSELF, Answered, Call, Elapsed, Progress, Round, Signalled, StepProgress, StepState
from orchestrator.saga import AnyStep, Saga, Signal, Step, StepKind, Timer
from orchestrator.turns import waiting
from orchestrator.verb import Resumed
from orchestrator.work import Work
from sql.models import Direction, Status


def preview(work: Work, progress: Progress, *, judged: bool = False) -> tuple[str, ...]:
    """Return the calls and waits that follow from a state if every one succeeds, in order, a sentence each.

    Of an order on hold they are those that follow once it is resumed.

    Args:
        work: The order.
        progress: The state.
        judged: Whether the conditions of all steps that are left are known to hold.
    """
    lines: list[str] = []
    progress = _if_all_succeed(work, progress)
    if progress.paused:
        progress = _if_all_succeed(work, machine.settle(work.saga, progress, Resumed(ITSELF, "")).progress)
    while True:
        move = machine.proceed(work.saga, progress)
        if not move.entries:
            return tuple(lines)
        if move.waits is not None:
            lines.append(f"{move.waits}: {_waits_for(work.saga.step(move.waits))}")
        lines += [_shown(work, move.progress, call, judged) for call in move.calls]
        progress = _if_all_succeed(work, move.progress)


def remains(saga: Saga[Any], before: Progress, after: Progress) -> tuple[str, ...]:
    """Return what a verb leaves that nothing of the saga mends any more, a sentence each.

    Args:
        saga: The definition.
        before: The state before the verb.
        after: The state after it.
    """
    said = [f"{step} is on its way: its answer is waited for, and counts" for step in after.on_its_way if after.paused]
    ended = after.stuck is None and after.ending is not None and machine.current_step(saga, after) is None
    for step in saga.steps:
        was, now = before.of(step.name), after.of(step.name)
        left_out = now.state is StepState.SKIPPED and (was.state is not now.state or was.doubtful is not now.doubtful)
        if left_out and after.direction is Direction.ACTION:
            said.append(f"{step.name} is left out{', though it may have been done' if now.doubtful else ''}")
        elif ended and after.ending is Status.COMPLETED and now.state is StepState.COMPENSATED:
            said.append(f"{step.name} was undone, and stays so")
        elif left_out or (ended and after.ending is not Status.COMPLETED and _may_stand(step, now)):
            said.append(f"what {step.name} did{'' if was.state is StepState.SUCCEEDED else ', or may have done,'} stays")
    return tuple(said)


def _may_stand(step: AnyStep[Any], now: StepProgress) -> bool:
    if not isinstance(step, Step) or step.kind is StepKind.READ_ONLY or now.state is StepState.COMPENSATED:
        return False
    return now.doubtful or now.state in (StepState.SUCCEEDED, StepState.COMPENSATION_FAILED)


def _if_all_succeed(work: Work, progress: Progress) -> Progress:
    """Return the state once every call that is on its way has succeeded, or what is waited for has come."""
    if (step := waiting(work.saga, progress)) is not None:
        came = Signalled(step.name, {}, ITSELF) if isinstance(step, Signal) else Elapsed(step.name)
        return machine.settle(work.saga, progress, came).progress
    answers = tuple(Answered(step, Succeeded({})) for step in progress.on_its_way)
    return machine.settle(work.saga, progress, Round(answers)).progress if answers else progress


def _waits_for(step: AnyStep[Any]) -> str:
    if isinstance(step, Signal):
        return f"waits up to {step.timeout_s:g} s for its signal"
    assert isinstance(step, Timer)
    return "waits until its time" if step.wait_s is None else f"waits {step.wait_s:g} s"


def _shown(work: Work, progress: Progress, call: Call, judged: bool) -> str:
    endpoint, step = work.endpoint(call), work.saga.call_of(call.step)
    lacking: list[str] = []
    try:
        path = work.prepared(call).path
    except Exception:
        # It may need an answer that is not there yet, or be what the order is stuck on.
        path = endpoint.path
        lacking = _lacking(work, progress, call.step)
    said = f"{call.step}: {endpoint.method} {path} at {endpoint.participant}"
    if lacking:
        return f"{said}, which can't be made out: {', '.join(lacking)} has no answer"
    doubtful = step.when is not None and not judged and call.direction is Direction.ACTION
    return f"{said}, if its condition holds" if doubtful else said


def _lacking(work: Work, progress: Progress, step: str) -> list[str]:
    """Return the steps whose answers a step needs and never gets."""
    needed = dependencies_of(work.saga).needs[step]
    return sorted(n for n in needed if n not in work.row.results and progress.of(n).state is StepState.SKIPPED)
