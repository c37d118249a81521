"""What becomes of a saga when something else than an answer is observed: a lapse, a request, a limit of patience.

Part of the pure core: no clock, no randomness, no IO. Whatever can't be observed of a state raises ValueError.
"""

from typing import Any, Final

from msgspec.structs import replace

from orchestrator.answers import finished_wait
from orchestrator.progress import (
    ITSELF,
    SIGNAL,
    GivenUp,
    Lapsed,
    Move,
    Progress,
    Signalled,
    Skipped,
    StepProgress,
    StepState,
    TakenBack,
)
from orchestrator.saga import Saga, Signal
from orchestrator.turns import next_action, next_actions, waiting
from orchestrator.undoing import if_cancelled, is_committed, left_standing, next_undo, stuck_if_undoing_failed, turned
from orchestrator.verb import CancelRequested, Paused, Resolved, Resumed, Retried
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
    if progress.on_its_way or progress.paused:
        # The outcome of what is on its way is waited for and counts: its owner turns the saga round then. What an operator
        # has on hold is turned when it goes on.
        return Move(after, (entry,))
    ended = _unwaited(saga, after)
    return Move(if_cancelled(ended.progress), (entry, *ended.entries))


def retried(saga: Saga[Any], progress: Progress, retry: Retried) -> Move:
    """Return what it changes that an operator has a stuck order go on."""
    if progress.stuck is None:
        raise ValueError("only a stuck order is retried")
    landed = _landed(progress)
    onward = _next_round(saga, landed.progress, _UNFINISHED)
    entry = Entry(Kind.OPERATOR, round=onward.progress.round, outcome="retry", actor=retry.actor, reason=retry.reason)
    return landed.then(Move(onward.progress, (entry, *onward.entries)))


def paused(progress: Progress, pause: Paused) -> Move:
    """Return what it changes that an operator wants no further call made: what is on its way ends, and is all."""
    if progress.halted:
        raise ValueError("nothing happens by itself already")
    entry = Entry(Kind.OPERATOR, round=progress.round, outcome="pause", actor=pause.actor, reason=pause.reason)
    return Move(replace(progress, paused=True), (entry,))


def resumed(saga: Saga[Any], progress: Progress, resume: Resumed) -> Move:
    """Return what it changes that an operator has a paused order go on where it stands."""
    if not progress.paused:
        raise ValueError("only a paused order is resumed")
    onward = Move(replace(progress, paused=False))
    if not progress.on_its_way:
        onward = _with_time_anew(saga, onward.progress)
    entry = Entry(Kind.OPERATOR, round=onward.progress.round, outcome="resume", actor=resume.actor, reason=resume.reason)
    return Move(onward.progress, (entry, *onward.entries))


def resolved(saga: Saga[Any], progress: Progress, resolve: Resolved) -> Move:
    """Return what it changes that an operator says how an order ends: what was not done, or not undone, is left out."""
    if progress.stuck is None and (not progress.paused or progress.on_its_way):
        raise ValueError("only a stuck order is resolved, or a paused one without a call on its way")
    landed = _landed(progress)
    ended = _unwaited(saga, landed.progress)
    completes = resolve.ending is Status.COMPLETED
    after = replace(
        _without_the_rest(saga, ended.progress, completes),
        direction=Direction.ACTION if completes else Direction.COMPENSATION,
        ending=resolve.ending,
        reason=f"resolved by {resolve.actor}: {resolve.reason}",
        cancelling=False,
        stuck=None,
    )
    verb = RESOLVES[resolve.ending]
    entry = Entry(Kind.OPERATOR, round=after.round, outcome=verb, actor=resolve.actor, reason=resolve.reason)
    return landed.then(Move(after, (entry, *ended.entries)))


def given_up(saga: Saga[Any], progress: Progress, despair: GivenUp) -> Move:
    """Return what it changes that what the order waits for did not come in time."""
    if progress.on_its_way or progress.paused:
        raise ValueError("calls have not ended, or an operator has it on hold")
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


def skippable(saga: Saga[Any], progress: Progress) -> tuple[str, ...]:
    """Return the steps that an order may go on without doing, or without undoing; the one first that is meant by none."""
    if progress.on_its_way and progress.stuck is None:
        return ()
    progress = _landed(progress).progress
    if progress.direction is Direction.ACTION:
        return tuple(step.name for step in next_actions(saga, progress))
    failed = [s.name for s in reversed(saga.calls) if progress.of(s.name).state is StepState.COMPENSATION_FAILED]
    step = next_undo(saga, progress)
    return tuple(failed or ([step.name] if step else []))


def skipped(saga: Saga[Any], progress: Progress, skip: Skipped) -> Move:
    """Return what it changes that the saga goes on without its next step, or without undoing one that it can't undo."""
    if skip.step not in skippable(saga, progress):
        raise ValueError(f"step {skip.step} is not the next one")
    landed = _landed(progress)
    forward = landed.progress.direction is Direction.ACTION
    stuck = progress.stuck is not None
    onward = _next_round(saga, landed.progress, _BEGUN) if stuck else _unwaited(saga, landed.progress)
    after = onward.progress
    if forward:
        after = after.having(skip.step, replace(after.of(skip.step), state=StepState.SKIPPED))
    else:
        after = stuck_if_undoing_failed(saga, left_standing(saga, after, saga.call_of(skip.step)))
    direction = None if forward else Direction.COMPENSATION
    entry = Entry(Kind.OPERATOR, skip.step, direction, after.round, outcome="skip", actor=skip.actor, reason=skip.reason)
    return landed.then(Move(after, (entry, *onward.entries)))


def taken_back(saga: Saga[Any], progress: Progress, back: TakenBack) -> Move:
    """Return what it changes that a saga about the order has taken back what was done of it. Its steps stay done."""
    done = next_action(saga, progress) is None if progress.ending is None else progress.ending is Status.COMPLETED
    if progress.stuck is not None or not done:
        raise ValueError("only what is completed is taken back")
    entry = Entry(Kind.OPERATOR, round=progress.round, outcome="cancel", actor=back.actor, reason=back.reason)
    return Move(replace(progress, ending=Status.CANCELLED, reason=f"taken back by {back.by}"), (entry,))


def _unwaited(saga: Saga[Any], progress: Progress) -> Move:
    """End a wait that has begun because nobody waits for it any more; change nothing where none has."""
    step = waiting(saga, progress)
    return Move(progress) if step is None else finished_wait(progress, step, error="it is not waited for any more")


def _landed(progress: Progress) -> Move:
    """End what was on its way when the order was put aside: what became of it is not known."""
    return lapsed(progress, Lapsed()) if progress.stuck is not None and progress.on_its_way else Move(progress)


def _next_round(saga: Saga[Any], progress: Progress, unfinished: frozenset[StepState]) -> Move:
    """Have an order go on: attempts of what is unfinished are counted anew, and a wait that has begun begins once more."""
    ended = _unwaited(saga, progress)
    states = unfinished | _REFUSED if progress.direction is Direction.ACTION else unfinished
    steps = {name: _anew(step) if step.state in states else step for name, step in ended.progress.steps.items()}
    after = replace(progress.having_all(steps), stuck=None, round=progress.round + 1)
    return Move(if_cancelled(after), ended.entries)


def _with_time_anew(saga: Saga[Any], progress: Progress) -> Move:
    """Have an order go on whose time stood still: a wait begins once more, in a round of its own, and so does a step's time."""
    ended = _unwaited(saga, progress)
    steps = {n: replace(p, began_s=None) if p.state in _BEGUN else p for n, p in ended.progress.steps.items()}
    round_ = progress.round + 1 if ended.entries else progress.round
    return Move(if_cancelled(replace(ended.progress.having_all(steps), round=round_)), ended.entries)


def _without_the_rest(saga: Saga[Any], progress: Progress, completes: bool) -> Progress:
    """Leave out what was not done of a saga that completes, and what was not undone of one that does not."""
    if completes:
        steps = {step.name: progress.of(step.name) for step in saga.steps}
        return progress.having_all(
            {n: p if p.state in _ENDED else replace(p, state=StepState.SKIPPED) for n, p in steps.items()}
        )
    while (step := next_undo(saga, progress)) is not None:
        progress = left_standing(saga, progress, step)
    return progress


RESOLVES: Final = {Status.COMPLETED: "resolve-completed", Status.FAILED: "resolve-failed"}
"""What the journal says of an order that ends as an operator says, by its ending."""
_BEGUN: Final = frozenset({StepState.UNKNOWN, StepState.COMPENSATING})
_UNFINISHED: Final = _BEGUN | {StepState.COMPENSATION_FAILED}
_REFUSED: Final = frozenset({StepState.REJECTED})
_ENDED: Final = frozenset({StepState.SUCCEEDED, StepState.SKIPPED, StepState.COMPENSATED, StepState.COMPENSATION_FAILED})


def _anew(step: StepProgress) -> StepProgress:
    failed = step.state is StepState.COMPENSATION_FAILED
    state = StepState.COMPENSATING if failed else step.state
    return replace(step, attempts=0, lapses=0, state=state, began_s=None)
