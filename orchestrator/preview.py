"""What would follow: the calls and waits that lie before an order, as an operator reads them before a verb."""

from typing import Any

from orchestrator import machine
from orchestrator.outcome import Succeeded
from orchestrator.progress import ITSELF, Answered, Call, Elapsed, Progress, Round, Signalled
from orchestrator.saga import AnyStep, Signal, Timer
from orchestrator.turns import waiting
from orchestrator.work import Work
from sql.models import Direction


def preview(work: Work, progress: Progress, *, judged: bool = False) -> tuple[str, ...]:
    """Return the calls and waits that follow from a state if every one succeeds, in order, a sentence each.

    Args:
        work: The order.
        progress: The state.
        judged: Whether the conditions of all steps that are left are known to hold.
    """
    lines: list[str] = []
    progress = _if_all_succeed(work, progress)
    while True:
        move = machine.proceed(work.saga, progress)
        if not move.entries:
            return tuple(lines)
        if move.waits is not None:
            lines.append(f"{move.waits}: {_waits_for(work.saga.step(move.waits))}")
        lines += [_shown(work, call, judged) for call in move.calls]
        progress = _if_all_succeed(work, move.progress)


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


def _shown(work: Work, call: Call, judged: bool) -> str:
    endpoint, step = work.endpoint(call), work.saga.call_of(call.step)
    try:
        path = work.prepared(call).path
    except Exception:
        # It may need an answer that is not there yet, or be what the order is stuck on.
        path = endpoint.path
    said = f"{call.step}: {endpoint.method} {path} at {endpoint.participant}"
    doubtful = step.when is not None and not judged and call.direction is Direction.ACTION
    return f"{said}, if its condition holds" if doubtful else said
