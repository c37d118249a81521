"""What becomes of a saga when something else than an answer is observed: a lapse, a request, a limit of patience.

Part of the pure core: no clock, no randomness, no IO. Whatever can't be observed of a state raises ValueError.
"""

from typing import Any, Final

from msgspec.structs import replace

from orchestrator.answers import finished_wait
from orchestrator.progress import (
    ITSELF,
    SIGNAL,
    CancelRequested,
    GivenUp,
    Lapsed,
    Move,
    Progress,
    Retried,
    Signalled,
    Skipped,
    StepProgress,
    StepState,
    TakenBack,
)
from orchestrator.saga import Saga, Signal
from orchestrator.turns import next_action, next_actions, waiting
from orchestrator.undoing import if_cancelled, is_committed, turned
from sql.models import Direction, Entry, Kind, Status


def lapsed(progress: Progress, lapse: Lapsed) -> Move:
    """Return what it changes that the owner before let its lease run out."""
    after, error = replace(progress, on_its_way=()), "the lease ran out"
    entries: tuple[Entry, ...] = (Entry(Kind.TAKEOVER, round=progress.round, error=error),)
    if progress.on_its_way:
        error, entries = "the lease ran out while the call was on its way", ()
    for step in progress.on_its_way:
        before = progress.of(step)
        attempt = (progress.direction, progress.round, before.attempts)
        entries += (Entry(Kind.TAKEOVER, step, *attempt, "unknown", error=error),)
        counted = replace(before, lapses=before.lapses + 1)
        if progress.direction is Direction.ACTION:
            counted = replace(counted, state=StepState.UNKNOWN, doubtful=True)
        after = after.having(step, counted)
    if lapse.too_often:
        return Move(replace(after, stuck="its claims ran out too often"), entries, error=error)
    return Move(if_cancelled(after), entries, error=error)


def cancel_requested(saga: Saga[Any], progress: Progress, cancel: CancelRequested) -> Move:
    """Return what it changes that somebody wants the order undone."""
    if is_committed(saga, progress):
        raise ValueError("what may be done of it can't be undone: it only goes forward")
    entry = Entry(Kind.OPERATOR, round=progress.round, outcome="cancel", actor=cancel.actor, reason=cancel.reason)
    after = replace(progress, cancelling=True)
    if progress.on_its_way:
        # The outcome of what is on its way is waited for and counts: its owner turns the saga round then.
        return Move(after, (entry,))
    ended = _unwaited(saga, after)
    return Move(if_cancelled(ended.progress), (entry, *ended.entries))


def retried(saga: Saga[Any], progress: Progress, retry: Retried) -> Move:
    """Return what it changes that an operator has a stuck order go on."""
    if progress.stuck is None:
        raise ValueError("only a stuck order is retried")
    if progress.on_its_way:
        # Put aside with calls on their way: what became of them is not known.
        landed = lapsed(progress, Lapsed())
        return landed.then(retried(saga, landed.progress, retry))
    forward = progress.direction is Direction.ACTION
    unfinished = _UNFINISHED_FORWARD if forward else _UNFINISHED
    # A wait in which the order was put aside begins once more.
    ended = _unwaited(saga, progress)
    steps = {name: _anew(step) if step.state in unfinished else step for name, step in ended.progress.steps.items()}
    after = replace(progress.having_all(steps), stuck=None, round=progress.round + 1)
    entry = Entry(Kind.OPERATOR, round=after.round, outcome="retry", actor=retry.actor, reason=retry.reason)
    return Move(if_cancelled(after), (entry, *ended.entries))


def given_up(saga: Saga[Any], progress: Progress, despair: GivenUp) -> Move:
    """Return what it changes that what the order waits for did not come in time."""
    if progress.on_its_way:
        raise ValueError(f"the calls of {', '.join(progress.on_its_way)} have not ended")
    reason = despair.reason
    entry = Entry(Kind.OPERATOR, round=progress.round, outcome="give-up", actor=ITSELF, reason=reason)
    if progress.direction is Direction.COMPENSATION or is_committed(saga, progress):
        return Move(replace(progress, stuck=reason), (entry,), error=reason)
    ended = _unwaited(saga, progress)
    return Move(turned(ended.progress, Status.FAILED, reason), (entry, *ended.entries), error=reason)


def signalled(saga: Saga[Any], progress: Progress, signal: Signalled) -> Move:
    """Return what it changes that an answer came from outside."""
    step = saga.step(signal.step)
    if not isinstance(step, Signal) or signal.step in progress.signals:
        raise ValueError(f"step {signal.step} waits for no answer, or has one")
    said = f"an answer for {signal.step}"
    entry = Entry(
        Kind.OPERATOR, step.name, None, progress.round, None, SIGNAL, response=signal.payload, actor=signal.actor, reason=said
    )
    after = replace(progress, signals=(*progress.signals, step.name))
    if (current := waiting(saga, progress)) is None or current.name != step.name:
        return Move(after, (entry,))
    ended = finished_wait(after, step)
    return replace(ended, entries=(entry, *ended.entries))


def skipped(saga: Saga[Any], progress: Progress, skip: Skipped) -> Move:
    """Return what it changes that the saga goes on without its next step."""
    if progress.on_its_way or skip.step not in {step.name for step in next_actions(saga, progress)}:
        raise ValueError(f"step {skip.step} is not the next one")
    ended = _unwaited(saga, progress)
    before = ended.progress.of(skip.step)
    after = ended.progress.having(skip.step, replace(before, state=StepState.SKIPPED))
    entry = Entry(Kind.OPERATOR, skip.step, round=progress.round, outcome="skip", actor=skip.actor, reason=skip.reason)
    return Move(after, (entry, *ended.entries))


def taken_back(saga: Saga[Any], progress: Progress, back: TakenBack) -> Move:
    """Return what it changes that a saga about the order has taken back what was done of it. Its steps stay done."""
    if progress.ending is not None or progress.stuck is not None or next_action(saga, progress) is not None:
        raise ValueError("only what is completed is taken back")
    entry = Entry(Kind.OPERATOR, round=progress.round, outcome="cancel", actor=back.actor, reason=back.reason)
    return Move(replace(progress, ending=Status.CANCELLED, reason=f"taken back by {back.by}"), (entry,))


def _unwaited(saga: Saga[Any], progress: Progress) -> Move:
    """End a wait that has begun because nobody waits for it any more; change nothing where none has."""
    step = waiting(saga, progress)
    return Move(progress) if step is None else finished_wait(progress, step, error="it is not waited for any more")


_UNFINISHED: Final = frozenset({StepState.UNKNOWN, StepState.COMPENSATING, StepState.COMPENSATION_FAILED})
_UNFINISHED_FORWARD: Final = _UNFINISHED | {StepState.REJECTED}


def _anew(step: StepProgress) -> StepProgress:
    failed = step.state is StepState.COMPENSATION_FAILED
    state = StepState.COMPENSATING if failed else step.state
    return replace(step, attempts=0, lapses=0, state=state, began_s=None)
