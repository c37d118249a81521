"""Exhaustive: COMPLETED means every effect, FAILED none, whatever is lost, late or doubled, and whoever dies when.

The numbers of states are asserted so that a change which cuts a branch off, or opens one, is noticed.
"""

import pytest

from sql.models import Status
from tests.unit.core.exploration import explore
from tests.unit.core.sagas import PROBE, plain_saga, saga, step


@pytest.mark.parametrize(("length", "states"), [(1, 149), (2, 811), (3, 3_553), (4, 14_431), (5, 55_981)])
def test_every_way_ends_wholly_done_or_wholly_undone(length: int, states: int) -> None:
    explored, ends = explore(plain_saga(length))

    assert ends == {Status.COMPLETED, Status.FAILED}
    assert explored == states


def test_a_cancel_at_any_moment_ends_wholly_done_or_wholly_undone() -> None:
    explored, ends = explore(plain_saga(3), cancels=True)

    assert ends == {Status.COMPLETED, Status.FAILED, Status.CANCELLED}
    assert explored == 11_481


def test_an_undo_refused_for_good_is_stuck_and_never_called_undone() -> None:
    explored, ends = explore(plain_saga(3), undo_rejections=True)

    assert ends == {Status.COMPLETED, Status.FAILED}
    assert explored == 7_667


def test_a_step_undone_by_another_is_never_left_done() -> None:
    covered = saga(
        step("authorize", at_edge=True, declines=True), step("create"), step("hold"), step("confirm", undone_by="create")
    )

    explored, ends = explore(covered, cancels=True)

    assert ends == {Status.COMPLETED, Status.FAILED, Status.CANCELLED, Status.DECLINED}
    assert explored == 24_901


def test_a_probe_at_the_end_of_the_attempts_never_leaves_a_step_in_between() -> None:
    probed = saga(step("first", probe=PROBE), step("second", probe=PROBE), step("third"))

    explored, ends = explore(probed, cancels=True)

    assert ends == {Status.COMPLETED, Status.FAILED, Status.CANCELLED}
    assert explored == 11_526


@pytest.mark.parametrize(("length", "cancels", "states"), [(3, False, 19_710), (2, True, 11_874)])
def test_an_order_given_up_while_it_waits_ends_wholly_undone(length: int, cancels: bool, states: int) -> None:
    explored, ends = explore(plain_saga(length), cancels=cancels, parks=True)

    assert ends == {Status.COMPLETED, Status.FAILED} | ({Status.CANCELLED} if cancels else set())
    assert explored == states
