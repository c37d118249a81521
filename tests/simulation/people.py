"""The edge that authorizes first, the client that repeats itself, and the operator: who else writes the order's row."""

from typing import TYPE_CHECKING, Final

from edge_api.starting import LEASE_MARGIN_S
from orchestrator.operating import CANCELLABLE
from sql.models import Status
from tests.simulation.core import AT_REST
from tests.simulation.phases import Mode

if TYPE_CHECKING:
    from tests.simulation.core import Decision, Seen, State
    from tests.simulation.world import World

EDGE_TIMEOUT_S: Final = 2.0
EDGE_LEASE_S: Final = EDGE_TIMEOUT_S + LEASE_MARGIN_S


class Edge:
    """One request at the edge: the row with the first intent, the call, the outcome with the answer (`edge_api/starting.py`).

    Args:
        world: Everything around it.
    """

    def __init__(self, world: "World") -> None:
        self.mode = Mode.UP
        self.phase = "insert"
        self.call_id = 0
        self.deadline_s = 0.0
        self._world = world
        self._decision = world.core.first
        self._seen: Seen
        self._began_s = 0.0
        self._seen_row = (self._decision.state, len(self._decision.entries))

    def acts(self) -> bool:
        """Tell whether it can do something now."""
        if self.phase == "done" or self.mode is not Mode.UP:
            return False
        return self.phase != "await" or self._world.now_s >= self.deadline_s

    def act(self) -> None:
        """Do the next thing."""
        match self.phase:
            case "insert":
                self._insert()
            case "call":
                call = self._decision.call
                assert call is not None
                self.phase, self.deadline_s = "await", self._world.now_s + EDGE_TIMEOUT_S
                self.call_id = self._world.send(self, call)
                self._world.note("the edge calls: %s", call.step)
            case "await":
                self.answered("unknown", "its call timed out")
            case "write":
                self._write()

    def answered(self, outcome: str, how: str) -> None:
        """Go on with the answer to the call."""
        assert self._decision.call is not None
        self._world.note("the edge: %s is %s (%s)", self._decision.call.step, outcome, how)
        self._seen, self.call_id, self.phase = (outcome, self._decision.call.step), 0, "write"

    def _insert(self) -> None:
        world, first = self._world, self._decision
        self.phase = "done"
        fate = world.fate_of_write()
        if fate == "lost before":
            world.note("the edge inserts the order, but the connection breaks before")
            return
        world.ledger.insert(first, None if first.call is None else "edge", EDGE_LEASE_S, world.now_s)
        world.note("the edge inserts the order as %s%s", first.state.status, "; its answer is lost" if fate else "")
        if fate is not None:
            world.saw("an order was recorded and nobody told")
            return
        self._began_s = world.now_s
        if first.call is None:
            world.told(world.ledger.freeze(202))
        else:
            self.phase = "call"

    def _write(self) -> None:
        world, row = self._world, self._world.ledger.row
        assert row is not None
        state, last_seq = self._seen_row
        decision = world.core.decide(state, 0, self._seen, AT_REST)
        assert decision is not None
        fate = world.fate_of_write()
        if fate == "lost before":
            world.note("the edge writes, but the connection breaks before")
            self.phase = "done"
            return
        if world.ledger.write(1, last_seq, "edge", decision, world.now_s):
            answer = world.ledger.freeze(answer_for(decision.state.status))
            world.note("the edge writes %s and answers %d%s", decision, answer, "; COMMIT unanswered" if fate else "")
            self.phase = "done"
            if fate is None:
                world.told(answer)
        elif fate is not None:
            self.phase = "done"
        elif row.epoch != 1 or row.state.on_its_way != self._seen[1]:
            world.saw("a late edge was fenced")
            world.note("the edge writes, and finds that somebody went on with the order")
            self.phase = "done"
            world.told(world.ledger.freeze(answer_for(row.state.status)))
        else:
            world.saw("a cancel came under the edge's claim")
            world.note("the edge writes, and finds a cancel under its claim")
            self._seen_row = (row.state, row.last_seq)


class Operator:
    """Whoever asks something of the order: reads it, decides, writes, and again when it changed (`orchestrator/operating.py`).

    Args:
        world: Everything around them.
    """

    def __init__(self, world: "World") -> None:
        self.verb: str | None = None  # that is being written
        self._world = world
        self._decision: Decision | None = None
        self._epoch = self._last_seq = 0

    def ask(self, verb: str) -> bool:
        """Begin `skip`, or a verb of `OTHERS`; False while another verb is being written, or there is no order."""
        if self.verb is not None or self._world.ledger.row is None:
            return False
        self.verb = verb
        self._world.note("somebody asks to %s", verb)
        self._read()
        return True

    def act(self) -> None:
        """Write the verb."""
        world, decision, verb = self._world, self._decision, self.verb
        assert decision is not None
        assert verb is not None
        if not world.ledger.write(self._epoch, self._last_seq, "operator", decision, world.now_s):
            world.saw("a verb met a changed row")
            self._read()
            return
        world.note("the %s is written: %s", verb, decision)
        if verb == "skip":
            undoing = any(entry.outcome == "skip" and entry.direction is not None for entry in decision.entries)
            world.saw("an undoing was left out" if undoing else "a step was left out")
            if undoing:
                # What stays may bar the undoing of what was done before it.
                world.causes.add("undo")
        if verb in ("cancel", "pause"):
            world.saw(f"a {verb} during a call" if decision.state.on_its_way else f"a {verb} between calls")
        else:
            world.saw(f"a {verb} was written")
        self.verb = None

    def _read(self) -> None:
        row, verb = self._world.ledger.row, self.verb
        assert row is not None
        assert verb is not None
        state = row.state
        if _is_refused(verb, state):
            self._world.saw(f"a {verb} was refused")
            self._world.note("the %s is refused: the order is %s", verb, state.status)
            self.verb = None
            return
        self._decision = self._world.core.decide_verb(state, row.lapses, verb, held=row.owner is not None)
        self._epoch, self._last_seq = row.epoch, row.last_seq


def _is_refused(verb: str, state: "State") -> bool:
    """Tell whether an order's state does not allow a verb (`orchestrator/operating.py`, `mending.py`)."""
    match verb:
        case "cancel":
            return state.status is Status.CANCELLED or state.cancelling or state.status not in CANCELLABLE
        case "retry":
            return state.status is not Status.STUCK
        case "pause":
            return state.terminal or state.paused or state.status is Status.STUCK
        case "resume":
            return not state.paused
        case "skip":
            return state.skippable is None
    return state.stuck is None and (not state.paused or state.on_its_way is not None)


def answer_for(status: Status) -> int:
    """Return the HTTP status of the answer to the request of an order in this status."""
    return 402 if status is Status.DECLINED else 202


def repeat(world: "World") -> None:
    """Have the client repeat its request."""
    row, edge = world.ledger.row, world.edge
    if row is None:
        if edge.phase == "done" or edge.mode is Mode.DOWN:
            world.note("the client repeats its request: a first one")
            world.edge = Edge(world)
    elif row.answer is not None:
        world.saw("a repeat got the frozen answer")
        world.told(row.answer)
    elif row.epoch == 1 and row.expires_at is not None and row.expires_at > world.now_s:
        world.saw("a repeat was told to wait")
    else:
        world.saw("a repeat froze the answer")
        world.note("the client repeats its request and gets %d", answer_for(row.state.status))
        world.told(world.ledger.freeze(answer_for(row.state.status)))
