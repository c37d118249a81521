"""What the nemesis does, and when: a pure function of the seed."""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import count
from typing import Final


class Deed(StrEnum):
    """What is done."""

    KILL_REPLICA = "SIGKILL a replica"
    KILL_REPLICAS = "SIGKILL every replica"
    FREEZE_REPLICA = "SIGSTOP a replica past its leases, then SIGCONT"
    STARVE_REPLICAS = "SIGSTOP and SIGCONT every replica ten times a second"
    STOP_REPLICA = "SIGTERM a replica"
    KILL_EDGE = "SIGKILL an edge"
    STOP_EDGE = "SIGTERM an edge"
    FREEZE_EDGE = "SIGSTOP an edge, then SIGCONT"
    KILL_PARTICIPANT = "SIGKILL a participant"
    FREEZE_PARTICIPANT = "SIGSTOP a participant, then SIGCONT"
    REMOVE_PARTICIPANT = "cut a participant off for longer than all attempts last"
    FLAP_PARTICIPANT = "fail every second call of a participant"
    RESTART_FAST = "restart PostgreSQL, fast"
    RESTART_IMMEDIATE = "restart PostgreSQL, immediate"
    KILL_POSTMASTER = "SIGKILL the postmaster"
    END_LISTENERS = "pg_terminate_backend of the listeners"
    END_SESSIONS = "pg_terminate_backend of every session"
    LOSE_COMMITS = "cut connections after their COMMIT was sent"
    CUT_SQL = "cut connections to PostgreSQL"
    HALF_CLOSE_SQL = "half-close connections to PostgreSQL"
    STALL_SQL = "stall the network to PostgreSQL"
    DEGRADE_SQL = "lag of 100 ms and resets on the network to PostgreSQL"


WEIGHTS: Final = {
    Deed.KILL_REPLICA: 8,
    Deed.KILL_REPLICAS: 1,
    Deed.FREEZE_REPLICA: 6,
    Deed.STARVE_REPLICAS: 1,
    Deed.STOP_REPLICA: 4,
    Deed.KILL_EDGE: 4,
    Deed.STOP_EDGE: 2,
    Deed.FREEZE_EDGE: 2,
    Deed.KILL_PARTICIPANT: 4,
    Deed.FREEZE_PARTICIPANT: 2,
    Deed.REMOVE_PARTICIPANT: 1,
    Deed.FLAP_PARTICIPANT: 3,
    Deed.RESTART_FAST: 4,
    Deed.RESTART_IMMEDIATE: 4,
    Deed.KILL_POSTMASTER: 1,
    Deed.END_LISTENERS: 4,
    Deed.END_SESSIONS: 2,
    Deed.LOSE_COMMITS: 8,
    Deed.CUT_SQL: 4,
    Deed.HALF_CLOSE_SQL: 3,
    Deed.STALL_SQL: 2,
    Deed.DEGRADE_SQL: 2,
}
DURATIONS_S: Final = {
    Deed.KILL_REPLICA: (0.0, 2.0),
    Deed.KILL_REPLICAS: (1.0, 4.0),
    Deed.FREEZE_REPLICA: (0.0, 0.0),
    Deed.STARVE_REPLICAS: (1.0, 3.0),
    Deed.KILL_EDGE: (0.0, 1.0),
    Deed.FREEZE_EDGE: (0.5, 5.0),
    Deed.KILL_PARTICIPANT: (0.0, 2.0),
    Deed.FREEZE_PARTICIPANT: (0.5, 4.0),
    Deed.REMOVE_PARTICIPANT: (6.0, 8.0),
    Deed.FLAP_PARTICIPANT: (2.0, 6.0),
    Deed.RESTART_FAST: (0.0, 2.0),
    Deed.RESTART_IMMEDIATE: (0.0, 2.0),
    Deed.KILL_POSTMASTER: (0.0, 1.0),
    Deed.STALL_SQL: (0.5, 6.0),
    Deed.DEGRADE_SQL: (1.0, 4.0),
}
PAUSE_S: Final = (0.2, 2.5)


@dataclass(frozen=True, slots=True)
class Act:
    """One thing that is done.

    Attributes:
        number: In the schedule, from 1.
        after_s: Pause before it.
        deed: What.
        pick: Chooses whom it strikes.
        duration_s: How long it lasts; of a process that is killed, until it is started again.
        count: How many are struck, where that is free.
    """

    number: int
    after_s: float
    deed: Deed
    pick: int
    duration_s: float
    count: int

    def __str__(self) -> str:
        return f"#{self.number} after {self.after_s:.1f} s: {self.deed} (pick {self.pick}, {self.duration_s:.1f} s)"


@dataclass(frozen=True, slots=True)
class Disruption:
    """Something that was done, with the wall-clock times between which its consequences began."""

    began_s: float
    ended_s: float
    what: str


def schedule(seed: int) -> Iterator[Act]:
    """Yield the acts of a seed, without end."""
    dice = random.Random(f"{seed}/nemesis")
    number = 0
    while True:
        number += 1
        (deed,) = dice.choices(list(WEIGHTS), list(WEIGHTS.values()))
        duration_s = dice.uniform(*DURATIONS_S.get(deed, (0.0, 0.0)))
        yield Act(number, dice.uniform(*PAUSE_S), deed, dice.randrange(1000), duration_s, dice.randint(1, 8))


def script(seed: int, rounds: Sequence[Sequence[Deed]]) -> Iterator[tuple[Act, ...]]:
    """Yield the acts of each round, for runs that are too short for chance; those of one round are done at once."""
    dice = random.Random(f"{seed}/script")
    numbers = count(1)
    for deeds in rounds:
        yield tuple(_brief(next(numbers), deed, dice.randrange(1000)) for deed in deeds)


def _brief(number: int, deed: Deed, pick: int) -> Act:
    low_s, high_s = DURATIONS_S.get(deed, (0.0, 0.0))
    return Act(number, 0.0, deed, pick, low_s + (high_s - low_s) / 8, 3)
