"""From a broken schedule to the shortest one that breaks the same rule."""

from collections.abc import Iterator
from typing import Final

from tests.simulation.scheduler import Ran, run
from tests.simulation.world import Planted

TRIES_MAX: Final = 6_000
"""Takes a few seconds."""


def shortest(broken: Ran, planted: type[Planted] = Planted, *, tries_max: int = TRIES_MAX) -> Ran:
    """Return a schedule with few steps and tame choices that breaks the same rule, with its story.

    Args:
        broken: What is to be shortened.
        planted: The parts of the world that it was run with.
        tries_max: Schedules that are run at most.
    """
    best, tries = broken, 0
    improved = True
    while improved and tries < tries_max:
        improved = False
        for script in _shorter(best.choices):
            tries += 1
            ran = run(broken.seed, script=script, planted=planted)
            if _breaks_the_same(ran, broken) and _size(ran) < _size(best):
                best, improved = ran, True
                break
            if tries >= tries_max:
                break
    return run(broken.seed, script=best.choices, story=True, planted=planted)


def _breaks_the_same(ran: Ran, broken: Ran) -> bool:
    return ran.broken is not None and broken.broken is not None and ran.broken.rule == broken.broken.rule


def _size(ran: Ran) -> tuple[int, int, int]:
    bold = [value for value in ran.choices if value]
    return ran.steps, len(bold), sum(bold)


def _shorter(choices: list[int]) -> Iterator[list[int]]:
    """Give the choices with a part left out, and then with one made tamer."""
    length = len(choices)
    size = length // 2
    while size:
        for start in range(0, length, size):
            yield choices[:start] + choices[start + size :]
        size //= 2
    for place, value in enumerate(choices):
        for tamer in {0, value // 2, value - 1} - {-1, value}:
            yield [*choices[:place], tamer, *choices[place + 1 :]]
