"""The pure core: what an observation changes in a saga, and what comes next. No clock, no randomness, no IO.

::

    Answered, Round, Elapsed, Lapsed, GivenUp,      ──settle──▶ new progress, journal entries, events, a delay
    Signalled, Skipped, TakenBack, and the verbs
                                        progress   ──proceed─▶ the calls to make now with their intents, or a wait

`settle` never starts anything and `proceed` never judges anything; the runner writes both in one transition. Delays are
durations: the database adds them to its own clock.

What becomes of calls that ended is said in `answers.py`, of everything else that is observed in `asked.py`, whose turn it is
in `turns.py`, and what has to be undone in `undoing.py`.
"""

from typing import Any, Final

from msgspec.structs import replace

from orchestrator import asked
from orchestrator.answers import answered, finished_wait, is_probed
from orchestrator.progress import (
    Answered,
    Call,
    Elapsed,
    GivenUp,
    Lapsed,
    Move,
    Observation,
    Progress,
    Round,
    Signalled,
    Skipped,
    StepProgress,
    StepState,
    TakenBack,
)
from orchestrator.saga import AnyStep, Saga, Signal, Step, Timer, Wait
from orchestrator.turns import next_action, next_actions, waiting
from orchestrator.undoing import is_past_undoing, next_undo, turned
from orchestrator.verb import CancelRequested, Paused, Resolved, Resumed, Retried
from sql.models import TERMINAL, Direction, Entry, Kind, Status

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
        # What was taken back by another saga went forward to its end, and is undone by none of its own compensations.
        turned_round = progress.direction is Direction.COMPENSATION
        return Status.COMPENSATING if turned_round and next_undo(saga, progress) else progress.ending
    step = next_action(saga, progress)
    if step is None:
        return Status.COMPLETED
    if step.at_edge:
        return Status.RECEIVED
    for name, begun in progress.steps.items():
        if begun.attempts and not saga.step(name).at_edge:
            return Status.RUNNING
    return Status.PENDING


def current_step(saga: Saga[Any], progress: Progress) -> AnyStep[Any] | None:
    """Return the step that is on its way or next; None when there is none left."""
    if progress.direction is Direction.COMPENSATION:
        return next_undo(saga, progress)
    # What went forward and has an ending has ended: it was taken back, or somebody said how it ends.
    return next_action(saga, progress) if progress.ending is None else None


# --- what comes next --------------------------------------------------------------------------------------------------


def proceed(saga: Saga[Any], progress: Progress, status: Status | None = None, age_s: float | None = None) -> Move:
    """Return the next calls with their intents, or the wait that begins; neither at the end or where an operator is needed.

    A wait whose answer has come before it began begins and ends here, without anything to wait for: proceed again.

    Args:
        saga: The definition.
        progress: The state.
        status: What the state means, where that is known already.
        age_s: Seconds since the order was recorded; None where no time limit hangs on it.

    Raises:
        ValueError: Calls are on their way; settle their outcomes first.
    """
    if progress.on_its_way:
        raise ValueError(f"the calls of {', '.join(progress.on_its_way)} have not ended")
    if progress.halted:
        return Move(progress, status=status)
    step = current_step(saga, progress)
    if step is None:
        return Move(progress, status=status)
    before = status or status_of(saga, progress)
    if isinstance(step, Wait):
        return _wait(saga, progress, step, before)
    steps = (step,) if step.group is None or progress.direction is Direction.COMPENSATION else next_actions(saga, progress)
    after = progress
    entries: list[Entry] = []
    calls: list[Call] = []
    for step in steps:
        assert isinstance(step, Step)
        forward = progress.direction is Direction.ACTION
        begun = _begun(step, progress.of(step.name), forward, age_s)
        after = after.having(step.name, begun)
        entries.append(Entry(Kind.INTENT, step.name, progress.direction, progress.round, begun.attempts))
        calls.append(Call(step.name, progress.direction, begun.attempts, forward and is_probed(saga, step, begun)))
    after = replace(after, on_its_way=tuple([step.name for step in steps]))
    return _with_status(saga, Move(after, tuple(entries), calls=tuple(calls)), before)


def _begun(step: Step[Any, Any], before: StepProgress, forward: bool, age_s: float | None) -> StepProgress:
    state = StepState.RUNNING if forward else StepState.COMPENSATING
    timed = step.deadline_s is not None or step.group is not None
    began_s = age_s if timed and before.began_s is None else before.began_s
    return replace(before, state=state, attempts=before.attempts + 1, began_s=began_s)


def _wait(saga: Saga[Any], progress: Progress, step: Wait[Any], before: Status) -> Move:
    begun = StepProgress(StepState.RUNNING, attempts=1)
    intent = Entry(Kind.INTENT, step.name, Direction.ACTION, progress.round, 1)
    if isinstance(step, Signal) and step.name in progress.signals:
        # What it waits for has come already.
        ended = finished_wait(progress.having(step.name, begun), step)
        return _with_status(saga, replace(ended, entries=(intent, *ended.entries)), before)
    delay_s = step.timeout_s if isinstance(step, Signal) else step.wait_s if isinstance(step, Timer) else None
    after = progress.having(step.name, begun)
    return _with_status(saga, Move(after, (intent,), waits=step.name, delay_s=delay_s), before)


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
            move = answered(saga, progress, (observation,))
        case Round():
            move = answered(saga, progress, observation.answers)
        case Lapsed():
            move = asked.lapsed(progress, observation)
        case CancelRequested():
            move = asked.cancel_requested(saga, progress, observation)
        case Retried():
            move = asked.retried(saga, progress, observation)
        case Paused():
            move = asked.paused(progress, observation)
        case Resumed():
            move = asked.resumed(saga, progress, observation)
        case Resolved():
            move = asked.resolved(saga, progress, observation)
        case GivenUp():
            move = asked.given_up(saga, progress, observation)
        case Elapsed():
            move = _elapsed(saga, progress, observation)
        case Signalled():
            move = asked.signalled(saga, progress, observation)
        case Skipped():
            move = asked.skipped(saga, progress, observation)
        case TakenBack():
            move = asked.taken_back(saga, progress, observation)
    return _with_status(saga, move, status or status_of(saga, progress))


def _elapsed(saga: Saga[Any], progress: Progress, elapsed: Elapsed) -> Move:
    step = waiting(saga, progress)
    if step is None or step.name != elapsed.step or progress.paused:
        raise ValueError(f"step {elapsed.step} does not wait")
    if isinstance(step, Timer):
        return finished_wait(progress, step)
    late = finished_wait(progress, step, error="no answer came in time")
    reason = f"{step.name}: no answer came in time"
    if is_past_undoing(saga, progress):
        return replace(late, progress=replace(late.progress, stuck=reason))
    return replace(late, progress=turned(late.progress, Status.FAILED, reason))


def _with_status(saga: Saga[Any], move: Move, before: Status) -> Move:
    """Add the status, and what tells of a change of it: a journal entry, and an event where one is due."""
    status = status_of(saga, move.progress)
    if move.progress.paused and (status is Status.STUCK or status in TERMINAL):
        # There is nothing to hold any more.
        move = replace(move, progress=replace(move.progress, paused=False))
    if status is before:
        return replace(move, status=status)
    reason = move.progress.stuck or move.progress.reason
    entry = Entry(Kind.STATUS, round=move.progress.round, outcome=status.value, reason=reason)
    event = ((_STATUS_EVENTS[status], None),) if status in _STATUS_EVENTS else ()
    return replace(move, status=status, entries=(*move.entries, entry), events=(*move.events, *event))
