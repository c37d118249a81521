"""The pure core: what an observation changes in a saga, and what comes next. No clock, no randomness, no IO.

::

    Answered, Lapsed, CancelRequested, Retried, GivenUp ──settle──▶ new progress, journal entries, events, a delay
                                       progress ──proceed─▶ the call to make now, with its intent

`settle` never starts anything and `proceed` never judges anything; the runner writes both in one transition. Delays are
durations: the database adds them to its own clock.

What has to be undone is said in `undoing.py`. A step whose attempts ended Unknown to the last is probed once, where it
declares a probe, before it is undone: the answer tells whether it was done, or never will be.
"""

from typing import Any, Final

from msgspec.structs import replace

from orchestrator.outcome import Outcome, Rejected, Succeeded, Unknown
from orchestrator.progress import (
    Answered,
    Call,
    CancelRequested,
    GivenUp,
    Lapsed,
    Move,
    Observation,
    Progress,
    Retried,
    StepProgress,
    StepState,
)
from orchestrator.saga import RETRY_AFTER_MAX_S, Saga, Step
from orchestrator.undoing import compensated, if_cancelled, next_action, next_undo, stuck_if_undoing_failed, turned
from sql.models import Direction, Entry, Kind, Status

SPARED: Final = "it tried whether the participant is back, and counts as no attempt"
"""Reason in the outcome entry of a trial that ended Unknown."""
ITSELF: Final = "sagaledger"
"""Actor of what nobody asked for."""

_STATUS_EVENTS: Final = {
    Status.COMPENSATING: "OrderCompensating",
    Status.COMPLETED: "OrderCompleted",
    Status.FAILED: "OrderFailed",
    Status.CANCELLED: "OrderCancelled",
    Status.DECLINED: "OrderDeclined",
    Status.STUCK: "OrderStuck",
}

# --- what is read off the state ---------------------------------------------------------------------------------------


def status_of(saga: Saga[Any], progress: Progress) -> Status:
    """Return the ledger status that a state means."""
    if progress.stuck is not None:
        return Status.STUCK
    if progress.ending is not None:
        return Status.COMPENSATING if next_undo(saga, progress) else progress.ending
    step = next_action(saga, progress)
    if step is None:
        return Status.COMPLETED
    if step.at_edge:
        return Status.RECEIVED
    for name, begun in progress.steps.items():
        if begun.attempts and not saga.step(name).at_edge:
            return Status.RUNNING
    return Status.PENDING


def current_step(saga: Saga[Any], progress: Progress) -> Step[Any, Any] | None:
    """Return the step that is on its way or next; None when there is none left."""
    forward = progress.direction is Direction.ACTION
    return next_action(saga, progress) if forward else next_undo(saga, progress)


# --- what comes next --------------------------------------------------------------------------------------------------


def proceed(saga: Saga[Any], progress: Progress, status: Status | None = None) -> Move:
    """Return the next call with its intent; no call when the saga is at its end or needs an operator.

    Args:
        saga: The definition.
        progress: The state.
        status: What the state means, where that is known already.

    Raises:
        ValueError: A call is on its way; settle its outcome first.
    """
    if progress.on_its_way is not None:
        raise ValueError(f"the call of step {progress.on_its_way} has not ended")
    step = current_step(saga, progress)
    if step is None or progress.stuck is not None:
        return Move(progress, status=status)
    forward = progress.direction is Direction.ACTION
    before = progress.of(step.name)
    state = StepState.RUNNING if forward else StepState.COMPENSATING
    begun = replace(before, state=state, attempts=before.attempts + 1)
    after = replace(progress.having(step.name, begun), on_its_way=step.name)
    intent = Entry(Kind.INTENT, step.name, progress.direction, progress.round, begun.attempts)
    call = Call(step.name, progress.direction, begun.attempts, probe=forward and _is_probed(saga, step, begun))
    move = Move(after, (intent,), calls=(call,))
    return _with_status(saga, move, status or status_of(saga, progress))


# --- what an observation changes --------------------------------------------------------------------------------------


def settle(saga: Saga[Any], progress: Progress, observation: Observation, status: Status | None = None) -> Move:
    """Return what an observation changes.

    Args:
        saga: The definition.
        progress: The state.
        observation: What was seen of it.
        status: What the state means, where that is known already.

    Raises:
        ValueError: The observation can't be of this state, for example an answer to a call that is not on its way.
    """
    match observation:
        case Answered():
            move = _answered(saga, progress, observation)
        case Lapsed():
            move = _lapsed(progress, observation)
        case CancelRequested():
            move = _cancel_requested(progress, observation)
        case Retried():
            move = _retried(progress, observation)
        case GivenUp():
            move = _given_up(progress, observation)
    return _with_status(saga, move, status or status_of(saga, progress))


def _answered(saga: Saga[Any], progress: Progress, answered: Answered) -> Move:
    if progress.on_its_way != answered.step:
        raise ValueError(f"step {answered.step} is not on its way")
    step, outcome = saga.step(answered.step), answered.outcome
    spared = answered.trial and isinstance(outcome, Unknown)
    entry = Entry(
        Kind.OUTCOME,
        step.name,
        progress.direction,
        progress.round,
        progress.of(step.name).attempts,
        outcome=type(outcome).__name__.lower(),
        response=outcome.result if isinstance(outcome, Succeeded) else outcome.response,
        error=None if isinstance(outcome, Succeeded) else outcome.reason,
        duration_ms=answered.duration_ms,
        reason=SPARED if spared else None,
    )
    landed = replace(progress, on_its_way=None)
    if spared:
        before = progress.of(step.name)
        landed = landed.having(step.name, replace(before, lapses=before.lapses + 1))
    decide = _action_ended if progress.direction is Direction.ACTION else _compensation_ended
    move = decide(saga, landed, step, outcome)
    return replace(move, entries=(entry, *move.entries), error=entry.error)


def _action_ended(saga: Saga[Any], progress: Progress, step: Step[Any, Any], outcome: Outcome) -> Move:
    before = progress.of(step.name)
    match outcome:
        case Succeeded():
            done = progress.having(step.name, replace(before, state=StepState.SUCCEEDED, doubtful=False))
            return Move(if_cancelled(done), events=_event(step.on_success, step))
        case Rejected(reason):
            # What a probe says is final: it settles the attempts before it, which ended unclear.
            doubtful = before.doubtful and not _is_probed(saga, step, before)
            rejected = progress.having(step.name, replace(before, state=StepState.REJECTED, doubtful=doubtful))
            ending = Status.DECLINED if step.declines else Status.FAILED
            back = turned(rejected, ending, f"{step.name} was rejected: {reason}")
            return Move(back, events=_event(step.on_rejection, step))
        case Unknown(reason, retry_after_s):
            unclear = progress.having(step.name, replace(before, state=StepState.UNKNOWN, doubtful=True))
            if progress.cancelling:
                return Move(if_cancelled(unclear))
            delay_s = _delay_s(saga, step, before, retry_after_s)
            if delay_s is None and step.probe is not None and not _is_probed(saga, step, before):
                return Move(unclear)
            if delay_s is None:
                return Move(turned(unclear, Status.FAILED, f"{step.name} is out of attempts: {reason}"))
            return Move(replace(unclear, retries=unclear.retries + 1), delay_s=delay_s)


def _compensation_ended(saga: Saga[Any], progress: Progress, step: Step[Any, Any], outcome: Outcome) -> Move:
    before = progress.of(step.name)
    delay_s = None
    match outcome:
        case Succeeded():
            after = stuck_if_undoing_failed(saga, compensated(saga, progress, step))
            return Move(after, events=_event(step.on_undo, step))
        case Unknown(_, retry_after_s):
            delay_s = _delay_s(saga, step, before, retry_after_s)
        case Rejected():
            pass
    if delay_s is not None:
        return Move(replace(progress, retries=progress.retries + 1), delay_s=delay_s)
    failed = progress.having(step.name, replace(before, state=StepState.COMPENSATION_FAILED))
    return Move(stuck_if_undoing_failed(saga, failed))


def _lapsed(progress: Progress, lapsed: Lapsed) -> Move:
    step = progress.on_its_way
    after, error = replace(progress, on_its_way=None), "the lease ran out"
    entry = Entry(Kind.TAKEOVER, round=progress.round, error=error)
    if step is not None:
        before = progress.of(step)
        error = "the lease ran out while the call was on its way"
        entry = Entry(Kind.TAKEOVER, step, progress.direction, progress.round, before.attempts, "unknown", error=error)
        counted = replace(before, lapses=before.lapses + 1)
        if progress.direction is Direction.ACTION:
            counted = replace(counted, state=StepState.UNKNOWN, doubtful=True)
        after = after.having(step, counted)
    if lapsed.too_often:
        return Move(replace(after, stuck="its claims ran out too often"), (entry,), error=error)
    return Move(if_cancelled(after), (entry,), error=error)


def _cancel_requested(progress: Progress, cancel: CancelRequested) -> Move:
    entry = Entry(Kind.OPERATOR, round=progress.round, outcome="cancel", actor=cancel.actor, reason=cancel.reason)
    after = replace(progress, cancelling=True)
    # The outcome of a call on its way is waited for and counts: its owner turns the saga round then.
    return Move(after if progress.on_its_way else if_cancelled(after), (entry,))


def _retried(progress: Progress, retried: Retried) -> Move:
    if progress.stuck is None:
        raise ValueError("only a stuck order is retried")
    if progress.on_its_way:
        # Put aside with a call on its way: what became of that is not known.
        lapsed = _lapsed(progress, Lapsed())
        return lapsed.then(_retried(lapsed.progress, retried))
    steps = {name: _anew(step) if step.state in _UNFINISHED else step for name, step in progress.steps.items()}
    after = replace(progress.having_all(steps), stuck=None, round=progress.round + 1)
    entry = Entry(Kind.OPERATOR, round=after.round, outcome="retry", actor=retried.actor, reason=retried.reason)
    return Move(if_cancelled(after), (entry,))


def _given_up(progress: Progress, given_up: GivenUp) -> Move:
    if progress.on_its_way:
        raise ValueError(f"the call of step {progress.on_its_way} has not ended")
    reason = given_up.reason
    entry = Entry(Kind.OPERATOR, round=progress.round, outcome="give-up", actor=ITSELF, reason=reason)
    if progress.direction is Direction.ACTION:
        return Move(turned(progress, Status.FAILED, reason), (entry,), error=reason)
    return Move(replace(progress, stuck=reason), (entry,), error=reason)


_UNFINISHED: Final = frozenset({StepState.UNKNOWN, StepState.COMPENSATING, StepState.COMPENSATION_FAILED})


def _anew(step: StepProgress) -> StepProgress:
    failed = step.state is StepState.COMPENSATION_FAILED
    return replace(step, attempts=0, lapses=0, state=StepState.COMPENSATING if failed else step.state)


def _delay_s(saga: Saga[Any], step: Step[Any, Any], progress: StepProgress, retry_after_s: float | None) -> float | None:
    """Return the wait before the next attempt; None when there is none left."""
    retry, spent = saga.retry_of(step), progress.attempts - progress.lapses
    if spent >= retry.attempts_max:
        return None
    return max(retry.delay_s(max(spent, 1)), min(retry_after_s or 0.0, RETRY_AFTER_MAX_S))


def _is_probed(saga: Saga[Any], step: Step[Any, Any], progress: StepProgress) -> bool:
    """Tell whether the newest attempt of a step's action is the probe that follows the last call."""
    return step.probe is not None and progress.attempts - progress.lapses > saga.retry_of(step).attempts_max


def _event(type_: str | None, step: Step[Any, Any]) -> tuple[tuple[str, str | None], ...]:
    return ((type_, step.name),) if type_ else ()


def _with_status(saga: Saga[Any], move: Move, before: Status) -> Move:
    """Add the status, and what tells of a change of it: a journal entry, and an event where one is due."""
    status = status_of(saga, move.progress)
    if status is before:
        return replace(move, status=status)
    reason = move.progress.stuck or move.progress.reason
    entry = Entry(Kind.STATUS, round=move.progress.round, outcome=status.value, reason=reason)
    event = ((_STATUS_EVENTS[status], None),) if status in _STATUS_EVENTS else ()
    return replace(move, status=status, entries=(*move.entries, entry), events=(*move.events, *event))
