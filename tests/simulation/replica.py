"""A replica of the orchestrator, act by act as `orchestrator/runner.py`, `writer.py` and `worker.py` do them.

::

    idle ─claim─▶ writing ─written, with a call─▶ calling ─▶ awaiting ─answer─▶ writing …
      ▲             └──written, without one; claim lost──▶ idle

It can be killed, frozen or cut off from the ledger between any two acts. What it believes (epoch, position, state) is what it
last read or wrote, and may be long out of date.
"""

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from orchestrator.progress import Call
from orchestrator.settings import LEASE_MARGIN_S
from sql.models import Direction
from tests.simulation.core import LAPSES_MAX, ORDINARY, PARKED, TRIAL, Decision, Seen, Setting, State
from tests.simulation.ledger import LEASE_S
from tests.simulation.phases import GIVEN_UP, Mode, Phase
from tests.simulation.story import direction_of

if TYPE_CHECKING:
    from tests.simulation.world import World

TIMEOUT_S: Final = 5.0
"""Total seconds of one call."""


class Replica:
    """One process.

    Args:
        name: For the journal.
        world: Everything around it.
    """

    def __init__(self, name: str, world: "World") -> None:
        self.name = name
        self.mode = Mode.UP
        self.cut = False
        self.stopping = False
        self.phase = Phase.IDLE
        self.epoch = 0
        self.ends_at_s = 0.0
        self.deadline_s = 0.0
        self.call_id = 0
        self._world = world
        self._last_seq = 0
        self._lapses = 0
        self._state: State
        self._claimed: tuple[State, int, int]
        self._decision: Decision
        self._seen: Seen | None = None
        self._aside = 0
        self._trial = False
        self._overdue = False
        self._deadline_at: float | None = None

    def acts(self, due: bool) -> bool:
        """Tell whether it can do something now, the order being due or not."""
        if self.mode is not Mode.UP:
            return False
        phase = self.phase
        if phase is Phase.IDLE:
            return (due or self.stopping) and not self.cut
        if phase is Phase.AWAITING:
            return self._world.now_s >= self.deadline_s
        return phase is Phase.CALLING or not self.cut

    def act(self) -> None:
        """Do the next thing."""
        match self.phase:
            case Phase.IDLE:
                if self.stopping:
                    self._world.note("%s has nothing left and exits", self.name)
                    self.mode, self.stopping = Mode.DOWN, False
                else:
                    self.claim()
            case Phase.WRITING | Phase.UNCERTAIN:
                self._write()
            case Phase.CALLING:
                self._call()
            case Phase.AWAITING:
                self.answered("unknown", "its call timed out")

    def drop(self) -> None:
        """Forget the order; somebody else has it, or will."""
        self.phase = Phase.IDLE
        self.call_id = 0

    def answered(self, outcome: str, how: str) -> None:
        """Go on with the answer to the call."""
        call = self._decision.call
        assert call is not None
        self._world.note("%s: %s is %s (%s)", self.name, direction_of(call), outcome, how)
        if call.direction is Direction.COMPENSATION and outcome in ("unknown", "busy"):
            self._world.causes.add("undo")
        self.call_id = 0
        if self._trial:
            self._world.tried(outcome)
            outcome = TRIAL + outcome
        self._decide((outcome, call.step))

    def may_claim_again(self) -> bool:
        """Tell whether it may find the order due that it has in hand: its lease ran out, and it has not noticed."""
        return self.mode is Mode.UP and not self.cut and not self.stopping and self.phase is not Phase.IDLE

    def claim(self) -> None:
        """Look for work and take the order; what it had in hand of it is dropped."""
        world = self._world
        if self.phase is not Phase.IDLE:
            world.saw("a replica took its own order over")
            self.drop()
        lapsed = world.ledger.claim(self.name, world.now_s)
        row = world.ledger.row
        if lapsed is None or row is None:
            return
        if world.fate_of_write() is not None:
            world.saw("a claim whose answer was lost")
            world.causes.add("lapses")
            world.note("%s claims (epoch %d), and never hears of it", self.name, row.epoch)
            return
        world.note("%s claims (epoch %d)%s", self.name, row.epoch, ": the lease before ran out" if lapsed else "")
        self.epoch, self.ends_at_s, self._aside = row.epoch, world.now_s + LEASE_S, 0
        self._read()
        self._claimed = (self._state, self._last_seq, self._lapses)
        self._deadline_at = row.deadline_at
        self._overdue = row.deadline_at is not None and row.deadline_at <= world.now_s
        self._begin(lapsed)

    def _begin(self, lapsed: bool) -> None:
        """Find out what the owner before has left of the order."""
        world = self._world
        seen: Seen | None = None
        if lapsed or self._state.on_its_way:
            too_often = lapsed and self._lapses >= LAPSES_MAX
            seen = ("lapsed too often" if too_often else "lapsed", "")
            world.saw("a takeover of an open call" if self._state.on_its_way else "a takeover of nothing open")
        self._decide(seen)

    def _read(self) -> None:
        row = self._world.ledger.row
        assert row is not None
        self._state, self._last_seq, self._lapses = row.state, row.last_seq, row.lapses

    def _decide(self, seen: Seen | None) -> None:
        world = self._world
        self._seen, self._trial = seen, False
        reads = seen is None or seen[0] != "lapsed too often"
        if reads and world.poison == "kills":
            world.note("%s dies of the order", self.name)
            world.crash(self)
            return
        decision = None if reads and world.poison == "raises" else self._decided(seen)
        if decision is None:
            self._fail()
            return
        left_s = math.inf if self._deadline_at is None else self._deadline_at - world.now_s
        self.phase, self._decision = Phase.WRITING, world.core.in_time(decision, left_s)

    def _decided(self, seen: Seen | None) -> Decision | None:
        """Decide, with leave for the next call if there is one."""
        world = self._world
        setting = ORDINARY
        if self._overdue or self.stopping:
            setting = Setting(go_on=not self.stopping, overdue=self._overdue)
        decision = world.core.decide(self._state, self._lapses, seen, setting)
        if decision is None or decision.call is None:
            return decision
        leave, sound = world.leave(), world.poison != "can't call"
        self._trial = leave == "trial"
        if leave not in PARKED and sound:
            return decision
        undo_overdue = self._deadline_at is not None and world.now_s - self._deadline_at >= world.core.deadline_s
        setting = replace(setting, leave=leave, undo_overdue=undo_overdue, sound=sound)
        return world.core.decide(self._state, self._lapses, seen, setting)

    def _fail(self) -> None:
        """Put the order aside as it was claimed, since the code fails on it."""
        world = self._world
        world.note("%s fails in code on the order", self.name)
        self._aside, self.phase = 1, Phase.WRITING
        self._state, self._last_seq, self._lapses = self._claimed
        self._decision = world.core.put_aside(self._state, self._lapses)

    def _write(self) -> None:
        world, decision = self._world, self._decision
        ledger = world.ledger
        if self.phase is Phase.UNCERTAIN and ledger.has(self.epoch, self._last_seq, self.name, decision):
            world.saw("a lost commit was recognised")
            world.note("%s finds that its write had worked", self.name)
            self._written()
            return
        fate = world.fate_of_write()
        if fate == "lost before":
            world.note("%s writes, but the connection breaks before", self.name)
            self.phase = Phase.UNCERTAIN
            return
        world.note("%s writes %s", self.name, decision)
        worked = ledger.write(self.epoch, self._last_seq, self.name, decision, world.now_s)
        if fate == "lost after":
            world.note("%s never hears if it worked", self.name)
            self.phase = Phase.UNCERTAIN
            return
        if worked:
            self._written()
        else:
            self._missed()

    def _written(self) -> None:
        decision, world = self._decision, self._world
        if self._aside:
            world.saw("poison was put aside")
            self.drop()
            return
        if decision.gave_up is not None:
            world.saw(f"given up: {next(words for words in GIVEN_UP if words in decision.gave_up)}")
        self._overdue = False
        self._last_seq += len(decision.entries)
        self._state, self._lapses = decision.state, decision.lapses
        if decision.call is None:
            self.drop()
        else:
            self.phase = Phase.CALLING

    def _missed(self) -> None:
        """Find out why a write met no row."""
        world, row = self._world, self._world.ledger.row
        assert row is not None
        if row.epoch != self.epoch:
            world.saw("a late owner's write was fenced")
            world.note("%s is fenced: epoch %d, not %d", self.name, row.epoch, self.epoch)
            self.drop()
            return
        world.note("%s finds the row changed under its claim", self.name)
        self._read()
        if self._aside:
            # The row is put aside as it is now; when that misses too the lease runs out.
            if self.leaves_alone(self._state):
                world.saw("an order that had ended was not put aside")
                self.drop()
                return
            if self._aside > 1:
                self.drop()
                return
            self._aside = 2
            self.phase = Phase.WRITING
            self._decision = world.core.put_aside(self._state, self._lapses)
            return
        world.saw("a write was superseded")
        if self._state.terminal:
            self.drop()
            return
        self._decide(self._seen)

    def leaves_alone(self, state: State) -> bool:
        """Tell whether an order that the code failed on has ended meanwhile."""
        return state.terminal

    def _call(self) -> None:
        world, call = self._world, self._decision.call
        assert call is not None
        if self.ends_at_s - world.now_s < TIMEOUT_S + LEASE_MARGIN_S and not self._renew():
            self.drop()
            return
        world.invariants.called((call.step, call.direction, self._state_round(), call.attempt), self.epoch)
        self._send(call)

    def _send(self, call: Call) -> None:
        world = self._world
        self.phase = Phase.AWAITING
        self.deadline_s = world.now_s + TIMEOUT_S
        self.call_id = world.send(self, call)
        world.note("%s calls: %s, attempt %d", self.name, direction_of(call), call.attempt)

    def _renew(self) -> bool:
        """Renew the lease out of turn, before a call that might outlast it."""
        world = self._world
        if self.cut:
            world.note("%s can't renew its lease before the call, and drops the order", self.name)
            return False
        if not world.ledger.renew(self.epoch, world.now_s):
            world.saw("a late owner's call was not made")
            world.note("%s finds its lease lost before the call, and drops the order", self.name)
            return False
        world.saw("a lease was renewed before a call")
        self.ends_at_s = world.now_s + LEASE_S
        return True

    def _state_round(self) -> int:
        stored: int = self._state.stored.get("round", 1)
        return stored
