"""Every way a saga can go, by exhaustion: the real core against a model of its participants.

A world is the core's state, what each participant holds, and which calls are still on the network. The network may keep
a call whose answer nobody waits for and deliver it at any later moment. Participants fence as ours do: an effect at most
once, and a tombstone after an undo. States that were seen before are not gone into again.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from orchestrator import machine
from orchestrator.asked import skippable
from orchestrator.outcome import Outcome, Rejected, Succeeded, Unknown
from orchestrator.preview import remains
from orchestrator.progress import (
    BEGINNING,
    Answered,
    Elapsed,
    GivenUp,
    Lapsed,
    Observation,
    Progress,
    Round,
    Signalled,
    Skipped,
    StepState,
)
from orchestrator.saga import Saga, Signal, Step, StepKind
from orchestrator.turns import next_actions, waiting
from orchestrator.undoing import is_committed
from orchestrator.verb import CancelRequested, Paused, Resolved, Resumed, Retried
from sql.models import TERMINAL, Direction, Status

LAPSES_MAX = 1
VERBS_MAX = 2
TRIALS_MAX = 1
ROUNDS_MAX = 2
ENDED = {StepState.SUCCEEDED, StepState.COMPENSATED}


@dataclass(frozen=True)
class World:
    """One state of everything.

    Attributes:
        progress: The core's state.
        effects: Steps whose effect stands at their participant.
        tombstones: Steps that were undone: their action is refused from then on.
        late: Steps whose action is still on the network, and could still have an effect.
        cancelled: Whether somebody asked to cancel, which happens once at most.
        lapses: How often an owner died so far.
        probing: Steps whose call on its way only asks if the action was done.
        trials: How often a call that tried whether its participant is back ended Unknown so far.
        verbs: How often an operator paused the order or left a step of it out so far.
        left: Steps that are not to be undone, by an operator's word.
        resolved: Whether an operator said how it ends.
    """

    progress: Progress = BEGINNING
    effects: frozenset[str] = frozenset()
    tombstones: frozenset[str] = frozenset()
    late: frozenset[str] = frozenset()
    cancelled: bool = False
    lapses: int = 0
    probing: frozenset[str] = frozenset()
    trials: int = 0
    verbs: int = 0
    left: frozenset[str] = frozenset()
    resolved: bool = False

    def __post_init__(self) -> None:
        # A late call changes nothing where its effect stands already or is refused: one world less to look at.
        object.__setattr__(self, "late", self.late - self.effects - self.tombstones)

    def key(self) -> tuple[object, ...]:
        """What makes two worlds the same.

        How many attempts a step took that has ended is not read again by the core, so it makes no difference.
        """
        progress = self.progress
        steps = tuple(
            (name, p.state) if p.state in ENDED else (name, p.state, p.attempts, p.lapses, p.doubtful)
            for name, p in progress.steps.items()
        )
        core = (progress.direction, progress.round, progress.ending, progress.on_its_way, progress.cancelling, progress.signals)
        world = (self.effects, self.tombstones, self.late, self.cancelled, self.lapses, self.trials)
        people = (progress.paused, self.verbs, self.left, self.resolved)
        return (*core, progress.stuck, steps, *world, *people)


def explore(
    saga: Saga, *, cancels: bool = False, undo_rejections: bool = False, parks: bool = False, verbs: bool = False
) -> tuple[int, set[Status]]:
    """Go through every reachable world and check each.

    Args:
        saga: The definition.
        cancels: Whether somebody may ask to cancel at any moment.
        undo_rejections: Whether a participant may refuse an undo for good.
        parks: Whether a participant may be away: an order that waits for it may be given up at any moment, and a call may
            try whether it is back.
        verbs: Whether an operator may pause, resume, skip and resolve at any moment.

    Returns:
        The number of worlds, and the terminal statuses that were reached.
    """
    seen: set[tuple[object, ...]] = set()
    ends: set[Status] = set()
    open_worlds = [World()]
    while open_worlds:
        world = open_worlds.pop()
        if world.key() in seen:
            continue
        seen.add(world.key())
        check(saga, world)
        status = machine.status_of(saga, world.progress)
        following = list(_next_worlds(saga, world, cancels=cancels, undo_rejections=undo_rejections, parks=parks))
        following += list(_verbs(saga, world, status)) if verbs and status not in TERMINAL else []
        if status in TERMINAL:
            ends.add(status)
        elif status is not Status.STUCK:
            assert following, f"a world in {status} that nothing leads out of: {world}"
        open_worlds.extend(following)
    return len(seen), ends


def check(saga: Saga, world: World) -> None:
    """Assert what must hold of a world whatever comes."""
    status = machine.status_of(saga, world.progress)
    if status is Status.COMPLETED:
        skipped = {name for name, p in world.progress.steps.items() if p.state is StepState.SKIPPED}
        missing = {step.name for step in saga.calls} - skipped - world.effects
        assert world.resolved or not missing, f"completed without {missing}"
    if status in (Status.FAILED, Status.CANCELLED, Status.DECLINED):
        # What nothing undoes has left nothing behind, or nobody minds it; a pivot is neither.
        left = {name for name in world.effects - world.left if _is_undone(saga.call_of(name))}
        assert world.resolved or not left, f"{status} with {left} done: {world}"
    assert not world.progress.paused or (status is not Status.STUCK and status not in TERMINAL), "nothing to hold"
    assert Progress.from_json(world.progress.to_json()) == world.progress
    for step in saga.calls:
        spent = world.progress.of(step.name).attempts - world.progress.of(step.name).lapses
        assert spent <= saga.retry_of(step).attempts_max + (step.probe is not None)


def _next_worlds(saga: Saga, world: World, *, cancels: bool, undo_rejections: bool, parks: bool) -> Iterator[World]:
    yield from _late_arrivals(world)
    status = machine.status_of(saga, world.progress)
    if status in TERMINAL:
        return
    if status is Status.STUCK:
        if world.progress.round < ROUNDS_MAX:
            yield _settled(saga, world, Retried("operator", "mended"))
        return
    forward = world.progress.direction is Direction.ACTION
    if cancels and forward and not world.cancelled and not is_committed(saga, world.progress):
        yield replace(_settled(saga, world, CancelRequested("client", "changed my mind")), cancelled=True)
    for step in saga.steps if forward else ():
        if isinstance(step, Signal) and step.name not in world.progress.signals:
            yield _settled(saga, world, Signalled(step.name, {}, "client"))
    if world.progress.on_its_way:
        yield from _ends(saga, world, undo_rejections=undo_rejections, parks=parks)
    elif world.progress.paused:
        assert machine.proceed(saga, world.progress).entries == (), "a call of what is on hold"
    else:
        yield from _beginnings(saga, world, status, parks=parks)


def _verbs(saga: Saga, world: World, status: Status) -> Iterator[World]:
    """What an operator may do beside retrying: pause and skip a few times, resume and resolve whenever it is allowed."""
    progress, counted = world.progress, replace(world, verbs=world.verbs + 1)
    if progress.paused:
        yield _settled(saga, world, Resumed("operator", "go on"))
    elif status is not Status.STUCK and world.verbs < VERBS_MAX:
        yield _settled(saga, counted, Paused("operator", "wait"))
    if world.verbs < VERBS_MAX:
        for step in skippable(saga, progress):
            after = _settled(saga, counted, Skipped(step, "not needed", "operator"))
            back = after.progress.direction is Direction.COMPENSATION and not progress.cancelling
            yield replace(after, left=after.left | _left_standing(progress, after.progress)) if back else after
    if progress.stuck is not None or (progress.paused and not progress.on_its_way):
        for ending in (Status.COMPLETED, Status.FAILED):
            after = replace(_settled(saga, world, Resolved(ending, "operator", "by hand")), resolved=True)
            assert machine.status_of(saga, after.progress) is ending
            told = " ".join(remains(saga, progress, after.progress))
            calls = (saga.call_of(name) for name in world.effects - world.left)
            untold = {
                step.name for step in calls if step.kind is not StepKind.READ_ONLY and f"what {step.name} did" not in told
            }
            assert ending is Status.COMPLETED or not untold, f"{untold} stand, and nobody is told: {world}"
            yield after


def _left_standing(before: Progress, after: Progress) -> set[str]:
    """Return the steps that are not undone any more since."""
    return {name for name, p in after.steps.items() if p.state is StepState.SKIPPED and p != before.of(name)}


def _beginnings(saga: Saga, world: World, status: Status, *, parks: bool) -> Iterator[World]:
    if parks:
        yield _settled(saga, world, GivenUp("the participant is away for too long"))
    if (step := waiting(saga, world.progress)) is not None:
        yield _settled(saga, world, Elapsed(step.name))
        return
    for step in next_actions(saga, world.progress) if world.progress.direction is Direction.ACTION else ():
        if step.when is not None and not world.progress.of(step.name).attempts:
            yield _settled(saga, world, Skipped(step.name, "its condition does not hold"))
    move = machine.proceed(saga, world.progress)
    assert move.entries, f"nothing to do in {status}"
    yield replace(world, progress=move.progress, probing=frozenset(call.step for call in move.calls if call.probe))


def _ends(saga: Saga, world: World, *, undo_rejections: bool, parks: bool) -> Iterator[World]:
    """Every way in which the calls that are on their way may end."""
    for after, answers in _answers(saga, world, world.progress.on_its_way, undo_rejections=undo_rejections):
        yield _settled(saga, after, answers[0] if len(answers) == 1 else Round(answers))
    if world.lapses < LAPSES_MAX:
        for before in _fates(saga, world, world.progress.on_its_way):
            yield replace(_settled(saga, before, Lapsed()), lapses=world.lapses + 1)
    if parks and world.trials < TRIALS_MAX and len(world.progress.on_its_way) == 1:
        answer = Answered(world.progress.on_its_way[0], Unknown("no answer"), trial=True)
        for before in _fates(saga, world, world.progress.on_its_way):
            yield replace(_settled(saga, before, answer), trials=world.trials + 1)


def _answers(
    saga: Saga, world: World, names: tuple[str, ...], *, undo_rejections: bool
) -> Iterator[tuple[World, tuple[Answered, ...]]]:
    """Every combination of answers to these calls, each with what it has left behind."""
    if not names:
        yield world, ()
        return
    for after, outcome in _outcomes(saga, world, names[0], undo_rejections=undo_rejections):
        for last, answers in _answers(saga, after, names[1:], undo_rejections=undo_rejections):
            yield last, (Answered(names[0], outcome), *answers)


def _outcomes(saga: Saga, world: World, name: str, *, undo_rejections: bool) -> Iterator[tuple[World, Outcome]]:
    if name in world.probing:
        yield world, Unknown("not done by now, or no answer")
        if name in world.effects:
            yield world, Succeeded({})
        if name in world.tombstones:
            yield world, Rejected("undone before")
        return
    if world.progress.direction is Direction.COMPENSATION:
        undone = _undo(saga, world, name)
        yield undone, Succeeded({})
        yield undone, Unknown("after the effect")
        yield world, Unknown("before the effect")
        if undo_rejections:
            yield world, Rejected("can't be undone")
        return
    if name in world.tombstones:
        yield world, Rejected("undone before")
    else:
        yield _do(world, name), Succeeded({})
        if name not in world.effects:
            yield world, Rejected("refused")
    for before in _fates_of_a_lost_call(saga, world, name):
        yield before, Unknown("no answer")


def _fates(saga: Saga, world: World, names: tuple[str, ...]) -> Iterator[World]:
    """What these calls may have come to, in every combination."""
    if not names:
        yield world
        return
    for after in _fates_of_a_lost_call(saga, world, names[0]):
        yield from _fates(saga, after, names[1:])


def _fates_of_a_lost_call(saga: Saga, world: World, name: str) -> Iterator[World]:
    """What a call may have come to whose answer was not heard: done, never to arrive, or still to arrive."""
    yield world
    if name in world.probing:
        return
    if world.progress.direction is Direction.COMPENSATION:
        yield _undo(saga, world, name)
        return
    yield _do(world, name)
    yield replace(world, late=world.late | {name})


def _is_undone(step: Step) -> bool:
    """Tell whether a step must have left nothing in an order that was undone."""
    return step.compensation is not None or step.undone_by is not None or step.kind is StepKind.PIVOT


def _late_arrivals(world: World) -> Iterator[World]:
    for name in world.late:
        yield replace(_do(world, name), late=world.late - {name})


def _do(world: World, name: str) -> World:
    return world if name in world.tombstones else replace(world, effects=world.effects | {name})


def _undo(saga: Saga, world: World, name: str) -> World:
    gone = {name} | {step.name for step in saga.calls if step.undone_by == name}
    return replace(world, effects=world.effects - gone, tombstones=world.tombstones | gone)


def _settled(saga: Saga, world: World, observation: Observation) -> World:
    progress = machine.settle(saga, world.progress, observation).progress
    return replace(world, progress=progress, probing=world.probing if progress.on_its_way else frozenset())
