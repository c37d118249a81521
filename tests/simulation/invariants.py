"""What must hold after every step of every schedule, and at the end. The numbers are those of the audit queries."""

from typing import TYPE_CHECKING

from sql.models import TERMINAL, Direction, Entry, Kind, Status
from tests.simulation.scenes import Scene

if TYPE_CHECKING:
    from tests.simulation.core import Decision, State


class Broken(Exception):
    """A rule does not hold.

    Args:
        rule: Which, in the same words every time.
        detail: What was seen.
    """

    def __init__(self, rule: str, detail: str) -> None:
        super().__init__(f"{rule}: {detail}")
        self.rule = rule


class Invariants:
    """Follows the journal, the row and the accounts of one order.

    Args:
        scene: What is simulated.
    """

    def __init__(self, scene: Scene) -> None:
        self.scene = scene
        self.status = Status.PENDING
        self.may_be_done: set[str] = set()
        self.undone: set[str] = set()
        self.done: set[str] = set()
        self.unknown: set[str] = set()
        self._epoch = self._round = 1
        self._owner: tuple[int, str] | None = None
        self._open: tuple[object, ...] | None = None
        self._attempts: dict[tuple[object, ...], int] = {}
        self._spent: dict[tuple[object, ...], int] = {}
        self._undo_place = len(scene.saga.steps)
        self._undos_begun: set[str] = set()
        self._ends: list[str] = []
        self._held = False
        self.skipped: set[str] = set()
        self.left: set[str] = set()
        self.resolved = False

    def inserted(self, decision: "Decision") -> None:
        """Look at a new row."""
        self.status = decision.state.status

    def entry_written(self, entry: Entry, epoch: int, replica: str) -> None:
        """Look at a journal entry."""
        if epoch < self._epoch:
            raise Broken("epochs never fall (I8)", f"{epoch} after {self._epoch}")
        if entry.round < self._round:
            raise Broken("rounds never fall", f"{entry.kind} of round {entry.round} after {self._round}")
        self._epoch, self._round = epoch, entry.round
        match entry.kind:
            case Kind.INTENT:
                self._own(epoch, replica)
                self._intended(entry)
            case Kind.OUTCOME:
                self._own(epoch, replica)
                self._ended(entry)
            case Kind.TAKEOVER:
                self._taken_over(entry)
            case Kind.STATUS:
                self._moved(entry)
            case Kind.OPERATOR:
                self._asked(entry)

    def written(self, before: "State", decision: "Decision") -> None:
        """Look at a row as it was and as it is now."""
        after = decision.state
        if after.paused is not self._held:
            raise Broken("the row knows whether it is on hold", f"row {after.paused}, journal {self._held}")
        if before.terminal:
            raise Broken("what has ended never changes", f"{before.status} was written again as {after.status}")
        if after.status is not self.status:
            raise Broken("the status is what the journal says", f"row {after.status}, journal {self.status}")
        on_its_way = self._open[0] if self._open else None
        if after.on_its_way != on_its_way:
            raise Broken("the row knows the call on its way", f"row {after.on_its_way}, journal {on_its_way}")
        if after.status is Status.STUCK and before.status is not Status.STUCK and "OrderStuck" not in decision.events:
            raise Broken("a stuck order is loud (I19)", "no event tells of it")
        if after.terminal:
            self._ends += [event for event in decision.events if event in _END_EVENTS]
            if self._ends != [_EVENT_OF[after.status]]:
                raise Broken("an end is told once", f"{after.status} with {self._ends}")

    def posted(self, account: str, balance: int) -> None:
        """Look at an account at a participant."""
        if not 0 <= balance <= 1:
            raise Broken("no effect is doubled or negative", f"{account} is {balance}")

    def called(self, call: tuple[object, ...], epoch: int) -> None:
        """Look at a call that is being made."""
        if call not in self._attempts:
            raise Broken("a call has a durable intent", f"{call} under epoch {epoch}")

    def ended(self, state: "State", accounts: dict[str, int]) -> None:
        """Look at everything once faults have stopped and an operator has helped."""
        scene, status = self.scene, state.status
        standing = {account: balance for account, balance in accounts.items() if balance}
        if status in TERMINAL and self.resolved:
            return
        if status is Status.COMPLETED and self.skipped:
            lacking = set(scene.place_of) - self.done - self.skipped
            if lacking or self._undos_begun:
                raise Broken("completed means done, but for what was left out", f"{lacking} not done")
            return
        if status is Status.COMPLETED:
            if standing != scene.stands:
                raise Broken("completed means done, all of it, once", f"{standing} stands")
            if self.done != set(scene.place_of) or self._undos_begun:
                raise Broken("completed means done, all of it, once", f"done {self.done}, undone {self._undos_begun}")
            return
        if status not in TERMINAL:
            raise Broken("what is on its way ends once faults stop (I16)", f"it is {status}")
        left = set(standing) - scene.lasting
        if left and not self.left:
            raise Broken("undone means nothing stands", f"{status} with {standing}")
        forgotten = {step for step in self.may_be_done if scene.undoing[step] not in (None, *self.undone, *self.left)}
        if forgotten:
            raise Broken("what may be done is undone (I12)", f"{status} and {forgotten} never were")
        if status is Status.DECLINED and self.done:
            raise Broken("declined means that nothing was done", str(self.done))

    def _asked(self, entry: Entry) -> None:
        if not entry.actor or not entry.reason:
            raise Broken("an operator's entry names actor and reason", str(entry))
        match entry.outcome:
            case "pause" | "resume":
                self._held = entry.outcome == "pause"
            case "skip":
                assert entry.step is not None
                (self.skipped if entry.direction is None else self.left).add(entry.step)
            case "resolve-completed" | "resolve-failed":
                self.resolved = True

    def _own(self, epoch: int, replica: str) -> None:
        if self._owner is not None and self._owner[0] == epoch and self._owner[1] != replica:
            raise Broken("one owner at a time (I8)", f"{replica} and {self._owner[1]} under epoch {epoch}")
        self._owner = (epoch, replica)

    def _intended(self, entry: Entry) -> None:
        step, direction = entry.step, entry.direction
        assert step is not None
        if self._held:
            raise Broken("what is on hold makes no call", f"{step} was intended")
        if self._open is not None:
            raise Broken("one call at a time", f"{step} while {self._open} has not ended")
        key = (step, direction, entry.round)
        if entry.attempt != self._attempts.get(key, 0) + 1:
            raise Broken("attempts count up without holes (I14)", f"{key} has attempt {entry.attempt}")
        self._attempts[key] = entry.attempt
        self._attempts[*key, entry.attempt] = entry.attempt
        self._open = (*key, entry.attempt)
        if direction is Direction.ACTION:
            if self._undos_begun:
                raise Broken("nothing goes forward after the first undo (I13)", f"{step} after {self._undos_begun}")
        elif step not in self._undos_begun:
            place = self.scene.place_of[step]
            if place >= self._undo_place:
                raise Broken("compensations run in reverse order (I11)", f"{step} after {self._undos_begun}")
            self._undo_place = place
            self._undos_begun.add(step)

    def _ended(self, entry: Entry) -> None:
        step, attempt = entry.step, (entry.step, entry.direction, entry.round, entry.attempt)
        assert step is not None
        if self._open != attempt:
            raise Broken("an outcome follows its intent (I9)", f"{attempt} while {self._open} is open")
        self._open = None
        key = attempt[:3]
        # An attempt that was spared has a reason: it only tried whether its participant is back.
        spent = self._spent[key] = self._spent.get(key, 0) + (entry.reason is None)
        if spent > self.scene.attempts_max[step] + (entry.direction is Direction.ACTION and step in self.scene.probed):
            raise Broken("attempts stay within the budget (I14)", f"{key} has {spent}")
        if entry.direction is Direction.ACTION:
            if entry.outcome != "rejected":
                self.may_be_done.add(step)
                (self.done if entry.outcome == "succeeded" else self.unknown).add(step)
        elif entry.outcome == "succeeded":
            self.undone.add(step)

    def _taken_over(self, entry: Entry) -> None:
        attempt = None if entry.step is None else (entry.step, entry.direction, entry.round, entry.attempt)
        if attempt != self._open:
            raise Broken("a takeover closes what is open (I9)", f"{attempt} while {self._open} is open")
        self._open = None
        if entry.step is not None and entry.direction is Direction.ACTION:
            self.may_be_done.add(entry.step)
            self.unknown.add(entry.step)

    def _moved(self, entry: Entry) -> None:
        assert entry.outcome is not None
        status = Status(entry.outcome)
        if status is self.status or self.status in TERMINAL:
            raise Broken("a status entry tells of a change", f"{self.status} to {status}")
        if status is Status.STUCK and not entry.reason:
            raise Broken("a stuck order is loud (I19)", "its entry gives no reason")
        self.status = status
        # There is nothing to hold any more.
        self._held = self._held and status not in (*TERMINAL, Status.STUCK)


_EVENT_OF = {status: f"Order{status.value.capitalize()}" for status in TERMINAL}
_END_EVENTS = frozenset(_EVENT_OF.values())
