"""Runs one schedule: a time of faults, then peace, in which everything has to end well.

Every choice is a number, drawn from the seed or read from a script; 0 is the tamest. Seed and script together are the
whole schedule, so it can be run again, and made shorter.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Final

from sql.models import Status
from tests.simulation import nemesis
from tests.simulation.core import Core
from tests.simulation.invariants import Broken
from tests.simulation.profiles import PROFILES
from tests.simulation.scenes import SCENES
from tests.simulation.world import Choose, Planted, World

FAULTY_STEPS_MIN: Final = 10
FAULTY_STEPS_MORE: Final = 60
PEACE_STEPS_MAX: Final = 600
"""After faults stop an order ends in far fewer steps; more means that it never would."""

_CAUSES: Final = {"could not be undone": "undo", "the code failed": "poison", "its claims": "lapses"}
_AWAY: Final = "can't be undone in time"


@dataclass
class Ran:
    """What a schedule came to.

    Attributes:
        seed: Of the schedule.
        choices: Every choice that was made.
        broken: The rule that did not hold; None for none.
        steps: Acts of the world.
        status: Where the order ended; None when a rule was broken.
        states: Numbers of the worlds it went through, where they were asked for.
        history: A number for what was written to the journal: the same for equal ones, in every process.
        story: What happened, line by line; empty unless it was asked for.
    """

    seed: int
    choices: list[int]
    broken: Broken | None = None
    steps: int = 0
    status: Status | None = None
    states: set[int] = field(default_factory=set)
    history: int = 0
    story: list[str] = field(default_factory=list)


@cache
def core_of(scene: int, kind: type[Core]) -> Core:
    """Return the core of a scene; it keeps its memory from schedule to schedule."""
    return kind(SCENES[scene])


def run(
    seed: int,
    *,
    script: Sequence[int] | None = None,
    story: bool = False,
    counts: dict[str, int] | None = None,
    planted: type[Planted] = Planted,
) -> Ran:
    """Run a schedule.

    Args:
        seed: Gives scene, faults and, without a script, every choice.
        script: Choices to be made instead; tame ones follow when it ends.
        story: Whether to tell what happens.
        counts: Added to: how often what was seen.
        planted: Parts of the world to use.
    """
    choices: list[int] = []
    choose = _drawn(random.Random(seed), choices) if script is None else _read(script, choices)
    profile, core = PROFILES[seed % len(PROFILES)], core_of(seed % len(SCENES), planted.core)
    world = World(
        core,
        choose,
        replicas=profile.replicas,
        writes=profile.writes,
        deliveries=profile.deliveries,
        counts={} if counts is None else counts,
        planted=planted,
    )
    ran = Ran(seed, choices)
    if story:
        world.story = ran.story
        world.note(
            "seed %d: saga %s, %d replicas, faults: %s", seed, core.scene.name, profile.replicas, ", ".join(profile.groups)
        )
    try:
        _trouble(world, profile.steps, ran)
        ran.status = come_to_an_end(world, ran)
    except Broken as broken:
        ran.broken = broken
    except Exception as error:
        ran.broken = Broken("the core does not raise", f"{type(error).__name__}: {error}")
    if ran.broken is not None:
        world.note("broken: %s", ran.broken)
    ran.history = hash(tuple(world.ledger.history))
    return ran


def _trouble(world: World, table: Sequence[str | None], ran: Ran) -> None:
    choose = world.choose
    for _ in range(FAULTY_STEPS_MIN + choose(FAULTY_STEPS_MORE)):
        ran.steps += 1
        fate = table[choose(len(table))]
        if fate is not None and nemesis.ACTS[fate](world):
            continue
        acts = world.acts()
        if not acts:
            return
        act, values = acts[choose(len(acts))]
        act(*values)
        ran.states.add(world.code())


def come_to_an_end(world: World, ran: Ran | None = None) -> Status:
    """End all faults, let everything come to its end, help what is stuck, and check what is left.

    Returns:
        The status in which the order ended.

    Raises:
        Broken: It did not end, or not well.
    """
    ran = ran or Ran(0, [])
    world.at_peace()
    nemesis.heal(world)
    _settle(world, ran)
    row = world.ledger.row
    assert row is not None
    if row.state.paused:
        world.operator.ask("resume")
        _settle(world, ran)
    if row.state.status is Status.STUCK:
        _blame(world, row.state.stuck or "")
        world.operator.ask("retry")
        _settle(world, ran)
    if row.state.status is Status.STUCK and world.invariants.left:
        # What an operator left standing may be why an earlier step can't be undone.
        world.operator.ask("fail")
        _settle(world, ran)
    nemesis.repeat_request(world)
    world.invariants.ended(row.state, world.participants.accounts)
    return row.state.status


def _settle(world: World, ran: Ran) -> None:
    choose = world.choose
    for _ in range(PEACE_STEPS_MAX):
        acts = world.acts()
        if not acts:
            return
        ran.steps += 1
        act, values = acts[choose(len(acts))]
        act(*values)
        ran.states.add(world.code())
    raise Broken("what is on its way ends once faults stop (I16)", f"not after {PEACE_STEPS_MAX} steps")


def _blame(world: World, reason: str) -> None:
    """Check that an order is stuck for a reason that was planted."""
    head = reason.partition(":")[0]
    world.saw(f"stuck: {_AWAY if _AWAY in head else head}")
    if _AWAY in reason and "away" not in world.causes:
        raise Broken("stuck only for a cause", f"{reason}, yet no participant was away")
    for words, cause in _CAUSES.items():
        if reason.startswith(words) and cause not in world.causes:
            raise Broken("stuck only for a cause", f"{reason}, yet nothing was planted that leads there")


def _drawn(rng: random.Random, made: list[int]) -> Choose:
    draw, keep = rng.random, made.append

    def choose(below: int) -> int:
        if below == 1:
            return 0
        value = int(draw() * below)
        keep(value)
        return value

    return choose


def _read(script: Sequence[int], made: list[int]) -> Choose:
    rest = iter(script)

    def choose(below: int) -> int:
        if below == 1:
            return 0
        value = next(rest, 0)
        value = value if value < below else 0
        made.append(value)
        return value

    return choose
