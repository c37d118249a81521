"""The same world with Hypothesis at the helm: its choices, its shrinking, and rules of its own weight."""

import os
from typing import Final

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test

from tests.simulation import nemesis
from tests.simulation.invariants import Broken
from tests.simulation.scenes import SCENES
from tests.simulation.scheduler import come_to_an_end, core_of
from tests.simulation.test_planted_bugs import WithoutStoredAnswer, world_with
from tests.simulation.world import Planted, World

EXAMPLES_ENV: Final = "SIMULATION_EXAMPLES"
"""How many examples are tried, by chance: `make simulate` asks for many. Without it they are few, and the same every time."""


class OneOrder(RuleBasedStateMachine):
    """One order: it goes on by itself, or something goes wrong, and in the end everything has to be well."""

    planted: type[Planted] = Planted

    @initialize(scene=st.integers(0, len(SCENES) - 1), replicas=st.integers(1, 3))
    def begin(self, scene: int, replicas: int) -> None:
        self.world = World(
            core_of(scene, self.planted.core),
            lambda below: 0,
            replicas=replicas,
            writes=(None, "lost before", "lost after"),
            deliveries=(None, "refuses", "fails before", "busy", "fails after", "says nothing", "won't undo"),
            counts={},
            planted=self.planted,
        )

    @rule(data=st.data())
    def go_on(self, data: st.DataObject) -> None:
        """Do one of the things that can happen now."""
        self._choose(data)
        acts = self.world.acts()
        if acts:
            act, values = acts[self.world.choose(len(acts))]
            act(*values)

    @rule(data=st.data(), fate=st.sampled_from(sorted(nemesis.ACTS)))
    def strike(self, data: st.DataObject, fate: str) -> None:
        """Have something go wrong, or be asked for."""
        self._choose(data)
        nemesis.ACTS[fate](self.world)

    def teardown(self) -> None:
        """End all faults; everything has to end well."""
        self.world.choose = lambda below: 0
        come_to_an_end(self.world)

    def _choose(self, data: st.DataObject) -> None:
        self.world.choose = lambda below: data.draw(st.integers(0, below - 1)) if below > 1 else 0


SETTINGS: Final = settings(
    max_examples=int(os.environ.get(EXAMPLES_ENV, "25")),
    derandomize=EXAMPLES_ENV not in os.environ,
    stateful_step_count=40,
    deadline=None,
    database=None,
    suppress_health_check=list(HealthCheck),
)
OneOrder.TestCase.settings = SETTINGS
test_one_order = OneOrder.TestCase


def test_a_planted_bug_is_found_by_these_rules_too() -> None:
    class WithABug(OneOrder):
        planted = world_with(WithoutStoredAnswer)

    # Found is enough: how it is shrunk is Hypothesis's affair, and takes a while.
    quick = settings(SETTINGS, max_examples=2_000, phases=[Phase.generate], report_multiple_bugs=False)
    with pytest.raises(Broken):
        run_state_machine_as_test(WithABug, settings=quick)
