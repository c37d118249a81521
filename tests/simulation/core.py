"""The product's own core behind a memory of its decisions.

Deciding is a pure function of an order's state, of what is observed and of what its replica knows beside, so each decision
is computed once by the real code (`Work.advance`, `Work.transition`, `Runner._parked`, `aside`, `operating._kept`)
and looked up from then on: that is what makes a million schedules affordable. `remembers=False` computes every one
anew; a test compares the two.
"""

from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any, Final, TypeVar
from uuid import UUID
from zlib import crc32

import msgspec
from msgspec.structs import replace

from orchestrator import asked
from orchestrator.aside import aside
from orchestrator.fleet import Parked
from orchestrator.opening import Opening, Request, open_order
from orchestrator.operating import CANCELLABLE, _kept
from orchestrator.outcome import Outcome, Rejected, Succeeded, Unknown
from orchestrator.progress import Answered, Call, Lapsed, Observation, Progress, Skipped
from orchestrator.runner import Runner
from orchestrator.verb import CancelRequested, Paused, Resolved, Resumed, Retried
from orchestrator.work import Work
from sql.models import TERMINAL, Entry, Json, Status, Transition
from tests.simulation.scenes import Scene
from tests.simulation.story import shown

LAPSES_MAX: Final = 3
DECISIONS_MAX: Final = 40_000
"""Remembered at most of one saga, so that a long run stays small."""

OUTCOMES: Final[dict[str, Outcome]] = {
    "succeeded": Succeeded({}),
    "rejected": Rejected("refused"),
    "unknown": Unknown("no clear answer"),
    "busy": Unknown("asked to wait", retry_after_s=90.0),
}
OTHERS: Final[dict[str, Observation]] = {
    "lapsed": Lapsed(),
    "lapsed too often": Lapsed(too_often=True),
    "cancel": CancelRequested("client", "changed my mind"),
    "retry": Retried("operator", "mended"),
    "pause": Paused("operator", "wait"),
    "resume": Resumed("operator", "go on"),
    "complete": Resolved(Status.COMPLETED, "operator", "by hand"),
    "fail": Resolved(Status.FAILED, "operator", "by hand"),
}

D = TypeVar("D", "Decision", "Decision | None")
Seen = tuple[str, str]
"""What was observed: a key of `OUTCOMES` with its step, or one of `OTHERS` with an empty one. An outcome of a trial has `TRIAL`
before it."""
TRIAL: Final = "trial "

PARKED: Final = {
    "away": Parked(30.0, "shop is away", away=True),
    "full": Parked(1.0, "shop has as many calls on their way as it may have", away=False),
}
"""What a replica is told that may not call now; `pass` and `trial` let it."""


@dataclass(frozen=True, slots=True)
class Setting:
    """What a replica knows beside the order, when it decides.

    Attributes:
        go_on: Whether it may plan another call; a replica that stops may not.
        leave: Whether the next call may be made: `pass`, `trial`, or a key of `PARKED`.
        overdue: Whether the order's deadline had passed when it was claimed.
        undo_overdue: Whether it has passed by as long again.
        sound: Whether the code makes the next call out.
    """

    go_on: bool = True
    leave: str = "pass"
    overdue: bool = False
    undo_overdue: bool = False
    sound: bool = True


ORDINARY: Final = Setting()
AT_REST: Final = Setting(go_on=False)


@dataclass(frozen=True, slots=True, eq=False)
class State:
    """Where an order stands, one object for each different state.

    Attributes:
        stored: `order_ledger.progress`.
        status: `order_ledger.status`.
        on_its_way: Step whose call has not ended; None for none.
        cancelling: Whether somebody asked to cancel, now or before.
        paused: Whether an operator has it on hold.
        skippable: The step that an operator may leave out; None for none.
        stuck: Why an operator is needed; None for not.
        terminal: Whether it has ended.
        turns: Whether it goes forward and waits, so that a deadline turns it round.
        code: The same number for the same state in every process.
    """

    stored: Json
    status: Status
    on_its_way: str | None
    cancelling: bool
    paused: bool
    skippable: str | None
    stuck: str | None
    terminal: bool
    turns: bool
    code: int


@dataclass(frozen=True, slots=True, eq=False)
class Decision:
    """A transition without its fence.

    Attributes:
        state: The new one.
        call: To be made once it is written; None for none.
        entries, events: To be appended; events by type.
        keep_lease, delay_s, deadline_s, lapses: As in `Transition`.
        gave_up: Why the order waits no longer; None where it does.
        transition: What the core made; None for the first entries of an order.
        code: The same number for the same decision in every process.
    """

    state: State
    call: Call | None
    entries: tuple[Entry, ...]
    events: tuple[str, ...]
    keep_lease: bool
    delay_s: float | None
    deadline_s: float | None
    lapses: int
    gave_up: str | None
    transition: Transition | None
    code: int

    def __str__(self) -> str:
        return shown(self)


class Core:
    """Decides for one scene.

    Args:
        scene: Saga and input.
        remembers: Whether a decision is computed once only.

    Attributes:
        deadline_s: Of the saga; 0 for none.
        states: Every state that was met, by what is stored of it.
        opening: How the order begins, at the edge where the saga says so.
        first: The same as a decision.
    """

    def __init__(self, scene: Scene, *, remembers: bool = True) -> None:
        self.scene = scene
        self.deadline_s = scene.saga.deadline_s or 0.0
        self.states: dict[bytes, State] = {}
        self._remembers = remembers
        self._decisions: dict[tuple[object, ...], Any] = {}
        request = Request(UUID(int=0), "client", "key", b"", scene.order, {}, "correlation")
        by_edge = open_order(scene.saga, request, owner="edge", lease_s=1.0)
        self.opening = by_edge if by_edge.call else open_order(scene.saga, request)
        self.first = self._first(self.opening)
        self._runner: Any = SimpleNamespace()

    def decide(self, state: State, lapses: int, seen: Seen | None, setting: Setting) -> Decision | None:
        """Return what an owner writes, having seen something or nothing new; None where the code fails on the order."""
        key = (state, lapses, seen, setting)
        try:
            return self._decisions[key]
        except KeyError:
            return self._kept(key, self._decided(state, lapses, seen, setting))

    def decide_verb(self, state: State, lapses: int, verb: str, *, held: bool) -> Decision:
        """Return what an operator's verb writes, under the claim of whoever holds the order."""
        key = (state, lapses, verb, held, "verb")
        known = self._decisions.get(key)
        if known is not None:
            return known
        work = self.work_on(state, lapses, owner="replica" if held else None)
        said = Skipped(state.skippable or "", "by hand", "operator") if verb == "skip" else OTHERS[verb]
        transition = work.transition(work.advance(said, go_on=False), replica="")
        return self._kept(key, self.decision_of(_kept(transition, work.row), None))

    def put_aside(self, state: State, lapses: int) -> Decision:
        """Return what a replica writes whose code fails on the order."""
        key = (state, lapses, "aside")
        known = self._decisions.get(key)
        if known is not None:
            return known
        row = self.work_on(state, lapses).row
        return self._kept(key, self.decision_of(aside(row, "RuntimeError: planted", replica="", lapses_max=LAPSES_MAX), None))

    def _decided(self, state: State, lapses: int, seen: Seen | None, setting: Setting) -> Decision | None:
        """Decide as one round of `Runner._work_on` does."""
        work = self.work_on(state, lapses)
        if seen is not None and seen[0] == "lapsed too often":
            work = Work.unread(work.saga, work.row)
        settled = work.advance(_observation(seen), go_on=False)
        if setting.overdue and settled.delay_s is None and work.may_turn(settled):
            settled = work.give_up(settled, "its deadline has passed")
        onward = work.onward(settled) if setting.go_on else settled
        move = onward
        if onward.calls and setting.leave in PARKED:
            hold: Any = SimpleNamespace(is_overdue=lambda by_s: setting.undo_overdue)
            move = Runner._parked(self._runner, work, settled, onward, PARKED[setting.leave], hold)
        if move.calls and not setting.sound:
            if not settled.entries:
                return None
            move = settled
        return self.decision_of(work.transition(move, replica=""), move.calls[0] if move.calls else None)

    def _first(self, opening: Opening) -> Decision:
        order = opening.order
        state = self._state(msgspec.to_builtins(order.progress), order.status)
        return Decision(
            state=state,
            call=opening.call,
            entries=order.entries,
            events=tuple(event.type for event in order.events),
            keep_lease=opening.call is not None,
            delay_s=None,
            deadline_s=order.deadline_s,
            lapses=0,
            gave_up=None,
            transition=None,
            code=state.code,
        )

    def work_on(self, state: State, lapses: int, owner: str | None = "replica") -> Work:
        """Return the order at work in a state."""
        row = replace(
            self.opening.work.row,
            progress=state.stored,
            status=state.status,
            lapses=lapses,
            lease_owner=owner,
            last_error=None,
        )
        return self.opening.work.on(row)

    def decision_of(self, transition: Transition, call: Call | None) -> Decision:
        """Return a transition as a decision, without its fence."""
        state = self._state(msgspec.to_builtins(transition.progress), transition.status)
        events = tuple(event.type for event in transition.events)
        told = repr((state.code, transition.entries, events, transition.keep_lease, transition.delay_s, transition.lapses))
        return Decision(
            state=state,
            call=call,
            entries=transition.entries,
            events=events,
            keep_lease=transition.keep_lease,
            delay_s=transition.delay_s,
            deadline_s=transition.deadline_s,
            lapses=transition.lapses,
            gave_up=next((entry.reason for entry in transition.entries if entry.outcome == "give-up"), None),
            transition=transition,
            code=crc32(told.encode()),
        )

    def in_time(self, decision: Decision, left_s: float) -> Decision:
        """Have an order that waits looked at at its deadline, even if it would wait longer."""
        if decision.delay_s is None or not decision.state.turns or not 0 < left_s < decision.delay_s:
            return decision
        assert decision.transition is not None
        return self.decision_of(replace(decision.transition, delay_s=left_s), decision.call)

    def _state(self, stored: Json, status: Status) -> State:
        text = msgspec.json.encode([stored, status], order="sorted")
        known = self.states.get(text)
        if known is None:
            read = Progress.from_json(stored)
            skippable = () if status in TERMINAL else asked.skippable(self.scene.saga, read)
            known = self.states[text] = State(
                stored,
                status,
                read.on_its_way[0] if read.on_its_way else None,
                read.cancelling or read.ending is Status.CANCELLED,
                read.paused,
                next(iter(skippable), None),
                read.stuck,
                status in TERMINAL,
                status in CANCELLABLE and not read.on_its_way and not read.paused,
                crc32(text),
            )
        return known

    def _kept(self, key: tuple[object, ...], decision: D) -> D:
        if self._remembers:
            if len(self._decisions) >= DECISIONS_MAX:
                self._decisions.clear()
            self._decisions[key] = decision
        return decision


def _observation(seen: Seen | None) -> Observation | None:
    if seen is None:
        return None
    what, step = seen
    if not step:
        return OTHERS[what]
    return Answered(step, OUTCOMES[what.removeprefix(TRIAL)], trial=what.startswith(TRIAL))
