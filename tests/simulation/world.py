"""One order's whole world: its ledger, replicas, edge, operator, participants, the network between them, and the clock."""

from collections.abc import Callable
from typing import Final

from orchestrator.progress import Call
from sql.models import Direction
from tests.simulation.core import Core
from tests.simulation.invariants import Broken, Invariants
from tests.simulation.ledger import LEASE_S, Ledger
from tests.simulation.participants import Participants
from tests.simulation.people import Edge, Operator
from tests.simulation.phases import Mode, Phase
from tests.simulation.replica import Replica

Choose = Callable[[int], int]
"""Returns a number from 0 up to, but not including, its argument; 0 is always the tamest choice."""
Act = tuple[Callable[..., object], tuple[object, ...]]
Fates = tuple[str | None, ...]
Sent = tuple[int, "Replica | Edge", str, str]
"""A request on its way: its number, who waits for the answer, the step, and `act`, `undo` or `probe`."""

NEAR_S: Final = 3.0
"""Time also stops this long before a lease runs out, when a call must not start any more without a renewal."""


class Planted:
    """Bugs to plant: parts of the world that a test may replace by broken ones."""

    core: type[Core] = Core
    ledger: type[Ledger] = Ledger
    participants: type[Participants] = Participants
    replica: type[Replica] = Replica


class World:
    """Everything, at one moment.

    Args:
        core: Decides.
        choose: Makes every choice that is left to chance.
        replicas: How many orchestrators there are.
        writes, deliveries: What may become of a write and of a request that arrives; None for the ordinary.
        counts: How often what was seen; added to.
        planted: Parts to use.
    """

    def __init__(
        self,
        core: Core,
        choose: Choose,
        *,
        replicas: int,
        writes: Fates,
        deliveries: Fates,
        counts: dict[str, int],
        planted: type[Planted] = Planted,
    ) -> None:
        self.core = core
        self.choose = choose
        self.now_s = 0.0
        self.poison: str | None = None
        self.fleet = "closed"
        self.causes: set[str] = set()
        self.story: list[str] | None = None
        self.counts = counts
        self.invariants = Invariants(core.scene)
        self.ledger = planted.ledger(self.invariants)
        self.participants = planted.participants(core.scene, self.invariants, self.saw)
        self.replicas = [planted.replica(name, self) for name in ("A", "B", "C")[:replicas]]
        self.edge = Edge(self)
        self.operator = Operator(self)
        self.requests: list[Sent] = []
        self.answers: list[tuple[int, Replica | Edge, str]] = []
        self._writes = writes
        self._deliveries = deliveries
        self._calls = 0
        self._answer: int | None = None

    def code(self) -> int:
        """Return a number that differs for different worlds, and is the same for the same one in every process."""
        row, parts = self.ledger.row, [replica.phase for replica in self.replicas]
        parts += (self.participants.code, len(self.requests), len(self.answers))
        if row is not None:
            parts += (row.state.code, row.lapses, row.expires_at is None)
        return hash(tuple(parts))

    # --- what others tell or ask ---

    def saw(self, what: str) -> None:
        """Count something that has to happen now and then."""
        self.counts[what] = self.counts.get(what, 0) + 1

    def note(self, line: str, *values: object) -> None:
        """Add a line to the story, if it is being told."""
        if self.story is not None:
            self.story.append(f"{self.now_s:6.1f} s  {line % values}")

    def told(self, answer: int) -> None:
        """Look at an answer that the client was given."""
        if self._answer not in (None, answer):
            raise Broken("one request has one answer (I5)", f"{answer} after {self._answer}")
        self._answer = answer

    def is_due(self) -> bool:
        """Tell whether a replica that looks finds the order."""
        row = self.ledger.row
        due_at = row.due_at() if row is not None else None
        return due_at is not None and due_at <= self.now_s

    def at_peace(self) -> None:
        """Have every statement and every request be served from now on."""
        self._writes = self._deliveries = (None,)
        self.fleet = "closed"
        self.poison = None

    def fate_of_write(self) -> str | None:
        """Choose what becomes of a statement; None for the ordinary."""
        return self._writes[self.choose(len(self._writes))]

    def send(self, sender: Replica | Edge, call: Call) -> int:
        """Put a call on the network; return its number."""
        self._calls += 1
        what = "undo" if call.direction is Direction.COMPENSATION else "probe" if call.probe else "act"
        self.requests.append((self._calls, sender, call.step, what))
        return self._calls

    def leave(self) -> str:
        """Ask for leave for a call: `pass`, `trial`, `away` or `full`; of trials there is one at a time."""
        if self.fleet == "trial due":
            self.fleet = "on trial"
            return "trial"
        if self.fleet == "closed":
            return "pass"
        leave = "full" if self.fleet == "full" else "away"
        self.causes.add(leave)
        self.saw(f"an order was parked: {leave}")
        return leave

    def tried(self, outcome: str) -> None:
        """Take note of how a trial ended."""
        unclear = outcome in ("unknown", "busy")
        self.saw("a trial was not answered" if unclear else "a trial was answered")
        if self.fleet == "on trial":
            self.fleet = "away" if unclear else "closed"

    def crash(self, replica: Replica) -> None:
        """Kill a replica."""
        self.saw(f"a crash {replica.phase.words}")
        self.causes.add("lapses")
        replica.mode, replica.cut, replica.stopping = Mode.DOWN, False, False
        replica.drop()

    # --- what can happen next ---

    def acts(self) -> list[Act]:
        """Everything that can happen now by itself; time passes only when nothing else can."""
        due, acts = self.is_due(), list[Act]()
        for replica in self.replicas:
            if replica.acts(due):
                acts.append((replica.act, ()))
        if self.edge.acts():
            acts.append((self.edge.act, ()))
        if self.operator.verb is not None:
            acts.append((self.operator.act, ()))
        if due:
            acts += [(replica.claim, ()) for replica in self.replicas if replica.may_claim_again()]
        if self.answers:
            acts += [(self.answer, (answer,)) for answer in self.answers if answer[1].mode is not Mode.FROZEN]
        if self.requests:
            acts += [(self.deliver, (request,)) for request in self.requests]
        if not acts and self._next_s() is not None:
            acts.append((self.pass_time, ()))
        return acts

    def answer(self, answer: tuple[int, Replica | Edge, str]) -> None:
        """Bring an answer to its caller, if that still waits for it."""
        self.answers.remove(answer)
        number, caller, outcome = answer
        if caller.mode is Mode.UP and caller.call_id == number:
            caller.answered(outcome, "answered")
        else:
            self.saw("an answer nobody waited for")

    def deliver(self, request: Sent) -> None:
        """Bring a request to its participant."""
        self.requests.remove(request)
        number, caller, step, what = request
        fate = self._deliveries[self.choose(len(self._deliveries))]
        self.note("%s %s arrives", what, step)
        answer = self._served(number, step, what, fate)
        heard = answer is not None and caller.call_id == number
        if not heard and answer is not None:
            self.saw("a request arrived after its caller had left")
        self.note("%s %s is answered: %s%s", what, step, answer or "not at all", "" if heard else ", unheard")
        if heard and answer is not None:
            self.answers.append((number, caller, answer))

    def _served(self, number: int, step: str, what: str, fate: str | None) -> str | None:
        participants = self.participants
        if fate in ("fails before", "busy"):
            return "unknown" if fate == "fails before" else "busy"
        if what == "act":
            if participants.fence.get(step) == "done" and step in self.invariants.unknown:
                self.saw("an unknown attempt turned out done")
            answer = participants.act(step, number, refuses=fate == "refuses")
        elif what == "probe":
            answer = participants.probe(step)
            self.saw(f"a probe was answered: {answer}")
        elif fate == "won't undo" and step not in participants.undone:
            self.causes.add("undo")
            answer = "rejected"
        else:
            answer = participants.undo(step)
        if fate == "fails after":
            return "unknown"
        return None if fate == "says nothing" else answer

    # --- time ---

    def pass_time(self) -> bool:
        """Go on to the next instant at which something is due; replicas that live keep their leases meanwhile."""
        instant = self._next_s()
        if instant is None or self._is_overdue():
            return False
        self.now_s = instant
        row = self.ledger.row
        for replica in self.replicas:
            if replica.mode is Mode.UP and not replica.cut and replica.phase is not Phase.IDLE and row is not None:
                if self.ledger.renew(replica.epoch, instant):
                    replica.ends_at_s = instant + LEASE_S
                elif row.epoch != replica.epoch:
                    self.saw("a renewal found the claim lost")
                    self.note("%s learns that its claim is lost", replica.name)
                    replica.drop()
        return True

    def _is_overdue(self) -> bool:
        callers = (self.edge, *self.replicas)
        return any(caller.call_id and caller.mode is Mode.UP and caller.deadline_s <= self.now_s for caller in callers)

    def _next_s(self) -> float | None:
        now_s, row = self.now_s, self.ledger.row
        instants = [caller.deadline_s for caller in (self.edge, *self.replicas) if caller.call_id and caller.mode is Mode.UP]
        if row is not None:
            due_at = row.due_at()
            if due_at is not None:
                instants.append(due_at)
                if row.expires_at == due_at:
                    instants.append(due_at - NEAR_S)
        return min((instant for instant in instants if instant > now_s), default=None)
