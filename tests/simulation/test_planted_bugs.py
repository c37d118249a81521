"""Bugs planted into the simulated world are found, by the rule that they break, and told shortly."""

from typing import Any

import pytest

from sql.models import Direction, Json, Status
from tests.simulation.core import Core, Decision, Seen, Setting, State
from tests.simulation.ledger import Ledger, Row
from tests.simulation.participants import Participants
from tests.simulation.phases import Phase
from tests.simulation.replica import Replica
from tests.simulation.scheduler import Ran, run
from tests.simulation.shrinking import shortest
from tests.simulation.world import Planted

SCHEDULES_MAX = 20_000


class ForgetsDoubt(Core):
    """Keeps no note of attempts that ended unknown, so that a later rejection looks final."""

    def _state(self, stored: Json, status: Status) -> State:
        steps = {name: {**step, "doubtful": False} for name, step in stored.get("steps", {}).items()}
        return super()._state({**stored, "steps": steps}, status)


class NeverUndoesTheUnknown(Core):
    """Takes the last unknown attempt for one that had no effect."""

    def _decided(self, state: State, lapses: int, seen: Seen | None, setting: Setting) -> Decision | None:
        if seen is not None and seen[0] == "unknown" and state.stored.get("direction", Direction.ACTION) == Direction.ACTION:
            seen = ("rejected", seen[1])
        return super()._decided(state, lapses, seen, setting)


class ForgetsTheHold(Core):
    """Goes on with what an operator has on hold."""

    def _state(self, stored: Json, status: Status) -> State:
        return super()._state({name: value for name, value in stored.items() if name != "paused"}, status)


class WithoutEpoch(Ledger):
    """Writes whoever comes, if the position is right."""

    def fenced(self, row: Row, epoch: int, last_seq: int) -> bool:
        return row.last_seq == last_seq


class WithoutPosition(Ledger):
    """Writes over what came between under the same claim."""

    def fenced(self, row: Row, epoch: int, last_seq: int) -> bool:
        return row.epoch == epoch


class WithoutTombstone(Participants):
    """Undoes, and does what comes later all the same."""

    def undo(self, step: str) -> str:
        answer = super().undo(step)
        self.fence = {subject: stands for subject, stands in self.fence.items() if stands != "undone"}
        return answer


class WithoutStoredAnswer(Participants):
    """Does an action as often as it is asked."""

    def act(self, step: str, number: int, *, refuses: bool = False) -> str:
        if self.fence.get(step) == "done":
            del self.fence[step]
        return super().act(step, number, refuses=refuses)


class ChangesItsMind(Participants):
    """Does what it has refused, when a copy of the request comes later: the orchestrator has believed the refusal."""

    def refused_before(self, number: int) -> bool:
        return False


class TakesTimeoutForRefusal(Replica):
    """Counts no answer as a refusal."""

    def answered(self, outcome: str, how: str) -> None:
        super().answered("rejected" if outcome == "unknown" else outcome, how)


class NeverLooksIfItHadWorked(Replica):
    """Writes again after the answer to a commit was lost, without looking."""

    def _write(self) -> None:
        self.phase = Phase.WRITING
        super()._write()


class IgnoresWhatIsOpen(Replica):
    """Goes on after a takeover as if nothing were on its way."""

    def _decide(self, seen: Seen | None) -> None:
        super()._decide(None if seen is not None and seen[0].startswith("lapsed") else seen)


class PutsAsideWhatHasEnded(Replica):
    """Puts an order aside that was cancelled while the code failed on it."""

    def leaves_alone(self, state: State) -> bool:
        return False


def world_with(bug: type[Any]) -> type[Planted]:
    """Return the parts of a world, one of them replaced."""
    part = next(name for name, sound in vars(Planted).items() if isinstance(sound, type) and issubclass(bug, sound))
    return type(bug.__name__, (Planted,), {part: bug})


def found(planted: type[Planted]) -> Ran:
    """Run schedules until one is broken."""
    for seed in range(1, SCHEDULES_MAX):
        ran = run(seed, planted=planted)
        if ran.broken is not None:
            return ran
    raise AssertionError(f"not found in {SCHEDULES_MAX} schedules")


STANDS, FORGOTTEN = "undone means nothing stands", "what may be done is undone (I12)"
RAISES, SAYS = "the core does not raise", "the status is what the journal says"
BUGS = {
    ForgetsDoubt: {STANDS, FORGOTTEN},
    NeverUndoesTheUnknown: {STANDS},
    ForgetsTheHold: {"the row knows whether it is on hold", "what is on hold makes no call"},
    WithoutEpoch: {"one owner at a time (I8)", "a takeover closes what is open (I9)", RAISES},
    WithoutPosition: {
        RAISES,
        SAYS,
        "the row knows the call on its way",
        "what has ended never changes",
        "the row knows whether it is on hold",
        "what is on hold makes no call",
        "an attempt is intended once and closed once (I9)",
    },
    WithoutTombstone: {STANDS},
    ChangesItsMind: {STANDS},
    WithoutStoredAnswer: {"no effect is doubled or negative"},
    TakesTimeoutForRefusal: {STANDS},
    NeverLooksIfItHadWorked: {RAISES, SAYS, "stuck only for a cause"},
    IgnoresWhatIsOpen: {RAISES},
    PutsAsideWhatHasEnded: {"what has ended never changes"},
}
STEPS_MAX, TRIES_MAX = 40, 1_500


@pytest.mark.parametrize("bug", BUGS)
def test_a_planted_bug_is_found_and_told_shortly(bug: type[Any]) -> None:
    planted = world_with(bug)
    broken = found(planted)
    short = shortest(broken, planted, tries_max=TRIES_MAX)

    assert broken.broken is not None
    assert short.broken is not None
    assert broken.broken.rule == short.broken.rule
    assert broken.broken.rule in BUGS[bug]
    assert short.steps <= min(STEPS_MAX, broken.steps)
    assert short.story[-1].endswith(f"broken: {short.broken}")


def test_a_shortened_schedule_is_the_same_every_time() -> None:
    planted = world_with(WithoutStoredAnswer)
    broken = found(planted)

    assert shortest(broken, planted).story == shortest(found(planted), planted).story
