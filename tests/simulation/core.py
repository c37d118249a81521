"""The product's own core behind a memory of its decisions.

Deciding is a pure function of an order's state and what is observed, so each decision is computed once by the real code
(`Work.advance`, `Work.transition`, `Runner._aside`, `operating._kept`) and looked up from then on: that is what makes a million
schedules affordable. `remembers=False` computes every one anew; a test compares the two.
"""

from dataclasses import dataclass, replace
from types import SimpleNamespace
from typing import Any, Final
from uuid import UUID
from zlib import crc32

import orjson

from orchestrator.opening import Opening, Request, open_order
from orchestrator.operating import _kept
from orchestrator.outcome import Outcome, Rejected, Succeeded, Unknown
from orchestrator.progress import Answered, Call, CancelRequested, Lapsed, Observation, Retried
from orchestrator.runner import Runner
from orchestrator.work import Work
from sql.models import TERMINAL, Entry, Json, Status, Transition
from tests.simulation.scenes import Scene
from tests.simulation.story import shown

LAPSES_MAX: Final = 3
DECISIONS_MAX: Final = 200_000
"""Remembered at most, so that a long run stays small."""

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
}

Seen = tuple[str, str]
"""What was observed: a key of `OUTCOMES` with its step, or one of `OTHERS` with an empty one."""


@dataclass(frozen=True, slots=True, eq=False)
class State:
    """Where an order stands, one object for each different state.

    Attributes:
        stored: `order_ledger.progress`.
        status: `order_ledger.status`.
        on_its_way: Step whose call has not ended; None for none.
        cancelling: Whether somebody asked to cancel, now or before.
        stuck: Why an operator is needed; None for not.
        terminal: Whether it has ended.
        code: The same number for the same state in every process.
    """

    stored: Json
    status: Status
    on_its_way: str | None
    cancelling: bool
    stuck: str | None
    terminal: bool
    code: int


@dataclass(frozen=True, slots=True, eq=False)
class Decision:
    """A transition without its fence.

    Attributes:
        state: The new one.
        call: To be made once it is written; None for none.
        entries, events: To be appended; events by type.
        keep_lease, delay_s, lapses: As in `Transition`.
        code: The same number for the same decision in every process.
    """

    state: State
    call: Call | None
    entries: tuple[Entry, ...]
    events: tuple[str, ...]
    keep_lease: bool
    delay_s: float | None
    lapses: int
    code: int

    def __str__(self) -> str:
        return shown(self)


class Core:
    """Decides for one scene.

    Args:
        scene: Saga and input.
        remembers: Whether a decision is computed once only.
    """

    def __init__(self, scene: Scene, *, remembers: bool = True) -> None:
        self.scene = scene
        self.states: dict[bytes, State] = {}
        self._remembers = remembers
        self._decisions: dict[tuple[object, ...], Decision] = {}
        self._request = Request(UUID(int=0), "client", "key", b"", scene.order, {}, "correlation")
        self._by_edge = open_order(scene.saga, self._request, owner="edge", lease_s=1.0)
        self._opening = self._by_edge if self._by_edge.call else open_order(scene.saga, self._request)
        self.first = self._first(self._opening)
        self._runner: Any = SimpleNamespace(_replica="", _lapses_max=LAPSES_MAX)

    def decide(self, state: State, lapses: int, seen: Seen | None, *, go_on: bool) -> Decision:
        """Return what an owner writes, having seen something or nothing new."""
        key = (state, lapses, seen, go_on)
        known = self._decisions.get(key)
        return known if known is not None else self._kept(key, self._decided(state, lapses, seen, go_on=go_on))

    def decide_verb(self, state: State, lapses: int, verb: str, *, held: bool) -> Decision:
        """Return what an operator's verb writes, under the claim of whoever holds the order."""
        key = (state, lapses, verb, held, "verb")
        known = self._decisions.get(key)
        if known is not None:
            return known
        work = self._work(state, lapses, owner="replica" if held else None)
        transition = work.transition(work.advance(OTHERS[verb], go_on=False), replica="")
        return self._kept(key, self._decision(_kept(transition, work.row), None))

    def put_aside(self, state: State, lapses: int) -> Decision:
        """Return what a replica writes whose code fails on the order."""
        key = (state, lapses, "aside")
        known = self._decisions.get(key)
        if known is not None:
            return known
        row = self._work(state, lapses).row
        return self._kept(key, self._decision(Runner._aside(self._runner, row, "planted"), None))

    def _decided(self, state: State, lapses: int, seen: Seen | None, *, go_on: bool) -> Decision:
        work = self._work(state, lapses)
        move = work.advance(_observation(seen), go_on=go_on)
        return self._decision(work.transition(move, replica=""), move.calls[0] if move.calls else None)

    def _first(self, opening: Opening) -> Decision:
        order = opening.order
        state = self._state(order.progress, order.status)
        events = tuple(event.type for event in order.events)
        return Decision(state, opening.call, order.entries, events, opening.call is not None, None, 0, state.code)

    def _work(self, state: State, lapses: int, owner: str | None = "replica") -> Work:
        row = replace(
            self._opening.work.row,
            progress=state.stored,
            status=state.status,
            lapses=lapses,
            lease_owner=owner,
            last_error=None,
        )
        return self._opening.work.on(row)

    def _decision(self, transition: Transition, call: Call | None) -> Decision:
        state = self._state(transition.progress, transition.status)
        events = tuple(event.type for event in transition.events)
        told = repr((state.code, transition.entries, events, transition.keep_lease, transition.delay_s, transition.lapses))
        return Decision(
            state=state,
            call=call,
            entries=transition.entries,
            events=events,
            keep_lease=transition.keep_lease,
            delay_s=transition.delay_s,
            lapses=transition.lapses,
            code=crc32(told.encode()),
        )

    def _state(self, stored: Json, status: Status) -> State:
        text = orjson.dumps([stored, status], option=orjson.OPT_SORT_KEYS)
        known = self.states.get(text)
        if known is None:
            cancelling = stored["cancelling"] or stored["ending"] == Status.CANCELLED
            known = self.states[text] = State(
                orjson.loads(text)[0],
                status,
                stored["on_its_way"],
                cancelling,
                stored["stuck"],
                status in TERMINAL,
                crc32(text),
            )
        return known

    def _kept(self, key: tuple[object, ...], decision: Decision) -> Decision:
        if self._remembers:
            if len(self._decisions) >= DECISIONS_MAX:
                self._decisions.clear()
            self._decisions[key] = decision
        return decision


def _observation(seen: Seen | None) -> Observation | None:
    if seen is None:
        return None
    what, step = seen
    return Answered(step, OUTCOMES[what]) if step else OTHERS[what]
