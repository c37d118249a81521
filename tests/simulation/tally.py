"""What many schedules came to together, and what has to be seen now and then or the simulation shows nothing."""

from dataclasses import dataclass, field
from typing import Final

from tests.simulation.phases import GIVEN_UP, Phase
from tests.simulation.scheduler import run

SOMETIMES: Final = (
    *(f"a crash {phase.words}" for phase in Phase),
    *(f"the edge crashed before {phase}" for phase in ("insert", "call", "await", "write")),
    "ended COMPLETED",
    "ended FAILED",
    "ended CANCELLED",
    "ended DECLINED",
    "a takeover of an open call",
    "a takeover of nothing open",
    "a replica took its own order over",
    "a late owner's write was fenced",
    "a late owner's call was not made",
    "a late edge was fenced",
    "a renewal found the claim lost",
    "a lease was renewed before a call",
    "a lease was given back",
    "a claim whose answer was lost",
    "a lost commit was recognised",
    "an order was recorded and nobody told",
    "a request was doubled",
    "a request arrived after its caller had left",
    "an answer nobody waited for",
    "an unknown attempt turned out done",
    "an undo came before its action",
    "a late action was refused by the tombstone",
    "a repeat got the stored answer",
    "a repeated undo got the stored answer",
    "a probe was answered: succeeded",
    "a probe was answered: unknown",
    "a cancel between calls",
    "a cancel during a call",
    "a cancel came under the edge's claim",
    "a cancel was refused",
    "a write was superseded",
    "a verb met a changed row",
    "a retry was written",
    "a pause between calls",
    "a pause during a call",
    "a pause was refused",
    "a resume was written",
    "a resume was refused",
    "a skip was written",
    "a skip was refused",
    "a complete was written",
    "a complete was refused",
    "a fail was written",
    "a fail was refused",
    "a step was left out",
    "an undoing was left out",
    "a retry was refused",
    "poison was put aside",
    "an order that had ended was not put aside",
    "stuck: could not be undone",
    "stuck: its claims ran out too often",
    "stuck: the code failed on it",
    "stuck: can't be undone in time",
    "an order was parked: away",
    "an order was parked: full",
    "a trial was answered",
    "a trial was not answered",
    *(f"given up: {words}" for words in GIVEN_UP),
    "a repeat got the frozen answer",
    "a repeat froze the answer",
    "a repeat was told to wait",
)
"""Of each of these a full run must see at least one."""


@dataclass
class Tally:
    """What many schedules came to.

    Attributes:
        schedules, steps: How many were run, and their acts.
        counts: How often what was seen.
        states: Numbers of the different worlds.
        histories: Numbers of the different journals.
        broken: Seeds of schedules in which a rule did not hold, with the rule.
    """

    schedules: int = 0
    steps: int = 0
    counts: dict[str, int] = field(default_factory=dict)
    states: set[int] = field(default_factory=set)
    histories: set[int] = field(default_factory=set)
    broken: list[tuple[int, str]] = field(default_factory=list)

    def add(self, other: "Tally") -> None:
        """Add what other schedules came to."""
        self.schedules += other.schedules
        self.steps += other.steps
        self.states |= other.states
        self.histories |= other.histories
        self.broken += other.broken
        for what, times in other.counts.items():
            self.counts[what] = self.counts.get(what, 0) + times

    def missing(self) -> list[str]:
        """Return what was never seen."""
        return [what for what in SOMETIMES if not self.counts.get(what)]


def run_many(first: int, count: int) -> Tally:
    """Run the schedules of so many seeds; the first broken one ends it."""
    tally = Tally()
    counts = tally.counts
    for seed in range(first, first + count):
        ran = run(seed, counts=counts)
        tally.schedules += 1
        tally.steps += ran.steps
        tally.states |= ran.states
        tally.histories.add(ran.history)
        if ran.broken is not None:
            tally.broken.append((seed, str(ran.broken)))
            break
        ended = f"ended {ran.status}"
        counts[ended] = counts.get(ended, 0) + 1
    return tally
