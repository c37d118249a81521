"""Which faults a schedule has, and how often: a swarm, so that one fault does not hide what another would show."""

import random
from dataclasses import dataclass
from typing import Final

from tests.simulation.world import Fates

GROUPS: Final[dict[str, dict[str, int]]] = {
    "crashes": {"crash": 4, "restart": 5},
    "freezes": {"freeze": 4, "thaw": 4, "time": 5},
    "cuts": {"cut": 3, "mend": 4, "time": 4},
    "slowness": {"time": 8},
    "losses": {"lose_request": 4, "lose_answer": 4, "time": 2},
    "resets": {"reset": 7},
    "doubles": {"double_request": 7},
    "stops": {"terminate": 4, "restart": 4},
    "cancels": {"cancel": 5},
    "retries": {"retry": 6},
    "holds": {"pause": 4, "resume": 5, "time": 3},
    "skips": {"skip": 3, "pause": 1, "resume": 2},
    "words": {"complete": 2, "fail": 2, "pause": 2, "resume": 1},
    "repeats": {"repeat_request": 5, "time": 2},
    "poison": {"raise_on_it": 4, "cure": 2, "time": 5},
    "deaths": {"die_of_it": 3, "cure": 2, "restart": 12, "time": 8},
    "bad calls": {"fail_on_the_call": 4, "cure": 2, "time": 5},
    "absences": {"go_away": 5, "offer_trial": 4, "come_back": 1, "time": 8},
    "queues": {"fill": 5, "come_back": 3, "time": 3},
    "edge": {"crash_edge": 8, "stall_edge": 6, "time": 3},
}
"""Of a hundred steps of the scheduler, how many are such an act."""

DELIVERIES: Final[dict[str, dict[str, int]]] = {
    "refusals": {"refuses": 12},
    "failures": {"fails before": 12, "busy": 4},
    "late failures": {"fails after": 10, "says nothing": 6},
    "no undo": {"won't undo": 20},
}
"""Of a hundred requests that arrive, how many are answered so."""

WRITES: Final[dict[str, dict[str, int]]] = {"commits": {"lost before": 8, "lost after": 10}}
"""Of a hundred statements, how many end so."""

PROFILES_MAX: Final = 509
"""A prime, so that every scene meets every profile."""
SHARE: Final = 0.3
"""Of the groups, those that a profile has."""


@dataclass(frozen=True)
class Profile:
    """The faults of a schedule; each a table of a hundred places, None where nothing is wrong.

    Attributes:
        groups: Names of those that it has.
        steps, deliveries, writes: What happens at a step, to a request, to a statement.
        replicas: How many there are.
    """

    groups: tuple[str, ...]
    steps: Fates
    deliveries: Fates
    writes: Fates
    replicas: int


def _profile(number: int) -> Profile:
    rng = random.Random(f"profile {number}")
    everything = (*GROUPS, *DELIVERIES, *WRITES)
    groups = tuple(group for group in everything if rng.random() < SHARE) if number else ()
    strength = rng.choice((1.0, 2.0, 4.0))
    return Profile(
        groups,
        _table(GROUPS, groups, strength),
        _table(DELIVERIES, groups, strength),
        _table(WRITES, groups, strength),
        replicas=rng.choice((2, 2, 3)),
    )


def _table(kinds: dict[str, dict[str, int]], groups: tuple[str, ...], strength: float) -> Fates:
    weights: dict[str, float] = {}
    for group in groups:
        for fate, weight in kinds.get(group, {}).items():
            weights[fate] = weights.get(fate, 0) + weight * strength
    total = sum(weights.values())
    share = min(1.0, 70.0 / total) if total else 0.0
    fates = [fate for fate, weight in weights.items() for _ in range(max(1, round(weight * share)))]
    return (*[None] * (100 - len(fates)), *fates) if fates else (None,)


PROFILES: Final = tuple(_profile(number) for number in range(PROFILES_MAX))
"""The first has no faults at all."""
