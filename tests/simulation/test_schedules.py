"""A small number of schedules of the simulation, and that it repeats itself; `make simulate` runs a million."""

import pytest

from sql.models import Status
from tests.simulation.core import Core
from tests.simulation.profiles import GROUPS, PROFILES
from tests.simulation.scenes import SCENES
from tests.simulation.scheduler import run
from tests.simulation.tally import Tally, run_many
from tests.simulation.world import Planted

SCHEDULES = 5_000
RARE = {"a crash with a commit unanswered", "an order that had ended was not put aside"}
"""Seen too seldom to be sure of them in so few schedules."""


@pytest.fixture(scope="module")
def tally() -> Tally:
    return run_many(1, SCHEDULES)


def test_every_rule_holds_after_every_step_of_every_schedule(tally: Tally) -> None:
    assert tally.broken == []
    assert tally.schedules == SCHEDULES


def test_what_the_rules_are_for_is_seen(tally: Tally) -> None:
    assert set(tally.missing()) <= RARE


def test_a_seed_is_the_same_schedule_every_time() -> None:
    for seed in range(50):
        first, again = run(seed, story=True), run(seed, story=True)

        assert first.story == again.story
        assert (first.choices, first.history, first.states) == (again.choices, again.history, again.states)


def test_the_choices_of_a_schedule_are_the_whole_schedule() -> None:
    for seed in range(50):
        first = run(seed, story=True)

        assert run(seed, script=first.choices, story=True).story == first.story


def test_telling_the_story_changes_nothing() -> None:
    for seed in range(50):
        assert run(seed).choices == run(seed, story=True).choices


def test_remembered_decisions_are_those_of_the_core() -> None:
    class Forgetful(Planted):
        @staticmethod
        def core(scene: object) -> Core:
            return Core(scene, remembers=False)  # type: ignore[arg-type]

    for seed in range(150):
        remembered, anew = run(seed, story=True), run(seed, story=True, planted=Forgetful)

        assert remembered.story == anew.story
        assert remembered.history == anew.history


def test_without_faults_every_order_completes_and_every_fault_has_schedules() -> None:
    assert PROFILES[0].groups == ()
    assert all(run(len(PROFILES) * scene).status == Status.COMPLETED for scene in range(len(SCENES)))
    assert {group for profile in PROFILES for group in profile.groups} >= set(GROUPS)
