"""What becomes of a saga when the calls that were on their way have ended. Part of the pure core: no clock, no IO.

Each answer is recorded by itself; then they are judged together, since one that is Rejected undoes what the others did. A
step whose attempts ended Unknown to the last is probed once, where it declares a probe, before it is undone: the answer
tells whether it was done, or never will be.
"""

from typing import Any, Final

from msgspec import Struct
from msgspec.structs import replace

from orchestrator.outcome import Outcome, Rejected, Succeeded, Unknown
from orchestrator.progress import Answered, Move, Progress, StepProgress, StepState
from orchestrator.saga import RETRY_AFTER_MAX_S, Saga, Step, StepKind, Wait
from orchestrator.undoing import compensated, event_of_undo, if_cancelled, is_past_undoing, stuck_if_undoing_failed, turned
from sql.models import Direction, Entry, Kind, Status

SPARED: Final = "it tried whether the participant is back, and counts as no attempt"
"""Reason in the outcome entry of a trial that ended Unknown."""
UNDO_FAILED: Final = "CompensationFailed"
"""Event of a compensation that failed for good, of whichever saga: somebody has to look, though the rest is still undone."""


class _Failure(Struct, frozen=True):
    """Why the saga can't go on as it was.

    Attributes:
        ending: Status it ends with when everything is undone.
        reason: For people.
        unclear: Whether the step is a pivot of which nobody knows whether it is done.
    """

    ending: Status
    reason: str
    unclear: bool = False


class _Verdict(Struct, frozen=True):
    """What one answer changes.

    Attributes:
        progress: With the step's new state.
        event: Type of the event that tells of it; None for none.
        delay_s: Seconds before the step's next attempt; None where there is none, or at once.
        failure: Why the saga can't go on as it was; None when it can.
    """

    progress: Progress
    event: str | None = None
    delay_s: float | None = None
    failure: _Failure | None = None


def answered(saga: Saga[Any], progress: Progress, answers: tuple[Answered, ...]) -> Move:
    """Return what the answers to all calls that are on their way change.

    Raises:
        ValueError: They are not the answers to these calls.
    """
    if tuple([answer.step for answer in answers]) != progress.on_its_way:
        raise ValueError(f"step {', '.join(answer.step for answer in answers)} is not on its way")
    after = replace(progress, on_its_way=())
    entries: list[Entry] = []
    events: list[tuple[str, str | None]] = []
    delay_s: float | None = None
    failure: _Failure | None = None
    error: str | None = None
    for answer in answers:
        entry, verdict = _judged(saga, after, answer)
        after = verdict.progress
        entries.append(entry)
        if verdict.event is not None:
            events.append((verdict.event, answer.step))
        if verdict.delay_s is not None:
            delay_s = max(verdict.delay_s, delay_s or 0.0)
        failure, error = failure or verdict.failure, error or entry.error
    if progress.direction is Direction.ACTION:
        after = if_cancelled(after) if failure is None else _failed(saga, after, failure)
        delay_s = None if failure is not None or after.direction is Direction.COMPENSATION else delay_s
    elif delay_s is None:
        after = stuck_if_undoing_failed(saga, after)
    return Move(after, tuple(entries), tuple(events), delay_s=delay_s, error=error)


def finished_wait(progress: Progress, step: Wait[Any], error: str | None = None) -> Move:
    """Return the end of a wait that has begun: what it waited for came, or for this reason it did not."""
    state = StepState.SUCCEEDED if error is None else StepState.REJECTED
    attempt = (Direction.ACTION, progress.round, progress.of(step.name).attempts)
    entry = Entry(Kind.OUTCOME, step.name, *attempt, "succeeded" if error is None else "rejected", error=error)
    after = progress.having(step.name, replace(progress.of(step.name), state=state))
    events = ((step.on_success, step.name),) if step.on_success and error is None else ()
    return Move(after, (entry,), events, error=error)


def is_probed(saga: Saga[Any], step: Step[Any, Any], progress: StepProgress) -> bool:
    """Tell whether the newest attempt of a step's action is the probe that follows the last call."""
    return step.probe is not None and progress.attempts - progress.lapses > saga.retry_of(step).attempts_max


def _judged(saga: Saga[Any], progress: Progress, answer: Answered) -> tuple[Entry, _Verdict]:
    step, outcome, before = saga.call_of(answer.step), answer.outcome, progress.of(answer.step)
    spared = answer.trial and isinstance(outcome, Unknown)
    entry = Entry(
        Kind.OUTCOME,
        step.name,
        progress.direction,
        progress.round,
        before.attempts,
        outcome=type(outcome).__name__.lower(),
        response=outcome.result if isinstance(outcome, Succeeded) else outcome.response,
        error=None if isinstance(outcome, Succeeded) else outcome.reason,
        duration_ms=answer.duration_ms,
        reason=SPARED if spared else None,
    )
    if spared:
        before = replace(before, lapses=before.lapses + 1)
        progress = progress.having(step.name, before)
    judge = _action_ended if progress.direction is Direction.ACTION else _compensation_ended
    return entry, judge(saga, progress, step, before, outcome)


def _action_ended(
    saga: Saga[Any], progress: Progress, step: Step[Any, Any], before: StepProgress, outcome: Outcome
) -> _Verdict:
    match outcome:
        case Succeeded():
            done = progress.having(step.name, replace(before, state=StepState.SUCCEEDED, doubtful=False))
            return _Verdict(done, step.on_success)
        case Rejected(reason):
            # What a probe says is final: it settles the attempts before it, which ended unclear.
            doubtful = before.doubtful and not is_probed(saga, step, before)
            state = StepState.SKIPPED if step.optional else StepState.REJECTED
            rejected = progress.having(step.name, replace(before, state=state, doubtful=doubtful))
            ending = Status.DECLINED if step.declines else Status.FAILED
            failure = None if step.optional else _Failure(ending, f"{step.name} was rejected: {reason}")
            return _Verdict(rejected, step.on_rejection, failure=failure)
        case Unknown(reason, retry_after_s):
            unclear = progress.having(step.name, replace(before, state=StepState.UNKNOWN, doubtful=True))
            if progress.cancelling:
                return _Verdict(unclear)
            delay_s = _delay_s(saga, step, before, retry_after_s)
            if delay_s is not None:
                return _Verdict(replace(unclear, retries=unclear.retries + 1), delay_s=delay_s)
            if step.probe is not None and not is_probed(saga, step, before):
                return _Verdict(unclear)
            if step.optional:
                return _Verdict(unclear.having(step.name, replace(before, state=StepState.SKIPPED, doubtful=True)))
            said = f"{step.name} is out of attempts: {reason}"
            return _Verdict(unclear, failure=_Failure(Status.FAILED, said, unclear=step.kind is StepKind.PIVOT))


def _compensation_ended(
    saga: Saga[Any], progress: Progress, step: Step[Any, Any], before: StepProgress, outcome: Outcome
) -> _Verdict:
    delay_s = None
    match outcome:
        case Succeeded():
            return _Verdict(compensated(saga, progress, step), event_of_undo(saga, progress, step))
        case Unknown(_, retry_after_s):
            delay_s = _delay_s(saga, step, before, retry_after_s)
        case Rejected():
            pass
    if delay_s is not None:
        return _Verdict(replace(progress, retries=progress.retries + 1), delay_s=delay_s)
    return _Verdict(progress.having(step.name, replace(before, state=StepState.COMPENSATION_FAILED)), UNDO_FAILED)


def _failed(saga: Saga[Any], progress: Progress, failure: _Failure) -> Progress:
    if failure.unclear or is_past_undoing(saga, progress):
        return replace(progress, stuck=f"{failure.reason}; it only goes forward", cancelling=False)
    return turned(progress, failure.ending, failure.reason)


def _delay_s(saga: Saga[Any], step: Step[Any, Any], progress: StepProgress, retry_after_s: float | None) -> float | None:
    """Return the wait before the next attempt; None when there is none left."""
    retry, spent = saga.retry_of(step), progress.attempts - progress.lapses
    if spent >= retry.attempts_max:
        return None
    return max(retry.delay_s(max(spent, 1)), min(retry_after_s or 0.0, RETRY_AFTER_MAX_S))
