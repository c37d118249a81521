"""Exhaustive for the kinds of steps: whatever is lost, late, refused or doubled, and whoever dies when.

The numbers of states are asserted so that a change which cuts a branch off, or opens one, is noticed.
"""

from dataclasses import replace
from typing import Any

import pytest

from orchestrator.saga import AnyStep, Signal, Timer
from sql.models import Status
from tests.unit.core.exploration import explore
from tests.unit.core.sagas import PROBE, TRY_CONFIRM_CANCEL, Nothing, pivot, read_only, retriable, saga, step

DONE, UNDONE, CANCELLED = {Status.COMPLETED}, {Status.FAILED}, {Status.CANCELLED}


@pytest.mark.parametrize(
    ("steps", "attempts_max", "states"),
    [
        pytest.param((step("first"), pivot("pay"), retriable("ship")), 2, 765, id="pivot"),
        pytest.param((step("first"), pivot("pay", probe=PROBE), retriable("ship")), 1, 426, id="probed pivot"),
        pytest.param(
            (read_only("look"), step("first"), pivot("pay"), pivot("burn"), retriable("tell")), 1, 500, id="two pivots"
        ),
        pytest.param((step("first"), step("tell", optional=True), step("last")), 2, 26_751, id="optional"),
        pytest.param((step("first", when=bool), step("second"), step("third", when=bool)), 2, 14_066, id="conditional"),
        pytest.param((step("left", group="both"), step("right", group="both"), step("last")), 2, 16_699, id="group"),
        pytest.param(
            (step("a", group="g"), step("b", group="g", optional=True), step("c", group="g", when=bool)),
            1,
            40_382,
            id="mixed group",
        ),
        pytest.param(TRY_CONFIRM_CANCEL, 1, 5_653, id="try, confirm, cancel"),
        pytest.param((step("first"), Signal("approval"), Timer("rest", wait_s=5.0), step("last")), 1, 1_588, id="waits"),
        pytest.param((step("first"), pivot("pay"), Signal("approval"), retriable("ship")), 1, 725, id="wait after a pivot"),
    ],
)
def test_every_kind_of_step_ends_wholly_done_or_wholly_undone(
    steps: tuple[AnyStep[Nothing], ...], attempts_max: int, states: int
) -> None:
    explored, ends = explore(saga(*steps, attempts_max=attempts_max), cancels=True)

    assert ends == DONE | UNDONE | CANCELLED
    assert explored == states


@pytest.mark.parametrize("policy", ["continue", "stop"])
def test_an_undo_refused_for_good_is_stuck_under_each_policy(policy: Any) -> None:
    explored, ends = explore(replace(saga(*(step(f"step_{n}") for n in range(3))), undo_failure=policy), undo_rejections=True)

    assert ends == DONE | UNDONE
    assert explored == {"continue": 7_667, "stop": 935}[policy]


def test_what_waits_for_something_is_given_up_wholly() -> None:
    explored, ends = explore(saga(step("first"), Signal("approval"), pivot("pay"), attempts_max=1), parks=True)

    assert ends == DONE | UNDONE
    assert explored == 1_550
