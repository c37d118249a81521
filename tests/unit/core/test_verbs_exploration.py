"""Exhaustive with an operator who holds, skips and resolves at any moment, whatever is lost, late or refused, and whoever dies.

What an operator left standing is all that may stand of an order that ended undone, and a preview of its end names it. The
numbers of states are asserted so that a change which cuts a branch off, or opens one, is noticed.
"""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings

from orchestrator.saga import AnyStep, Saga, Signal, Timer
from sql.models import Status
from tests.unit.core.exploration import explore
from tests.unit.core.sagas import Nothing, pivot, retriable, saga, step
from tests.unit.core.test_any_saga_exploration import ENDS, sagas

BY_ITSELF = {Status.COMPLETED, Status.FAILED, Status.CANCELLED}


@pytest.mark.parametrize(
    ("steps", "options", "states"),
    [
        pytest.param((step("a"), step("b")), {}, 17_951, id="plain"),
        pytest.param((step("a"), step("b")), {"undo_failure": "stop"}, 10_962, id="stops at what can't be undone"),
        pytest.param((step("first"), pivot("pay"), retriable("ship")), {}, 8_696, id="pivot"),
        pytest.param((step("first"), Signal("approval"), Timer("rest", wait_s=5.0)), {}, 6_563, id="waits"),
        pytest.param((step("create"), step("confirm", undone_by="create")), {}, 5_877, id="undone by another"),
        pytest.param((step("left", group="both"), step("right", group="both")), {}, 40_947, id="group"),
    ],
)
def test_whatever_an_operator_does_only_what_was_left_is_left(
    steps: tuple[AnyStep[Nothing], ...], options: dict[str, Any], states: int
) -> None:
    definition = replace(saga(*steps, attempts_max=1), **options)

    explored, ends = explore(definition, cancels=True, undo_rejections=True, verbs=True)

    assert ends == BY_ITSELF
    assert explored == states


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
@given(sagas(steps_max=2))
def test_any_saga_ends_well_whatever_an_operator_does(definition: Saga[Nothing]) -> None:
    _, ends = explore(definition, cancels=True, undo_rejections=True, verbs=True)

    assert {Status.COMPLETED, Status.FAILED} <= ends <= ENDS
