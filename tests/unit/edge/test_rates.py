"""The buckets of tokens: no name ever gets more than its burst and its pace, and none pays for another."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_api.rates import Rates


def taken(rates: Rates, name: str, now_s: float, times: int) -> int:
    return sum(rates.take(name, now_s) == 0 for _ in range(times))


def test_a_burst_is_taken_and_then_one_at_a_time() -> None:
    rates = Rates(per_s=10, burst=5)

    assert taken(rates, "shop", 100.0, 20) == 5
    assert taken(rates, "shop", 100.05, 20) == 0
    assert taken(rates, "shop", 100.1, 20) == 1
    assert taken(rates, "shop", 1_000.0, 20) == 5


def test_who_is_refused_is_told_when_to_come_again_and_then_is_not() -> None:
    rates = Rates(per_s=4, burst=1)
    assert rates.take("shop", 100.0) == 0

    wait_s = rates.take("shop", 100.1)

    assert wait_s == pytest.approx(0.15)
    assert rates.take("shop", 100.1 + wait_s * 0.9) > 0
    assert rates.take("shop", 100.1 + wait_s) == 0


def test_being_refused_costs_nothing() -> None:
    rates = Rates(per_s=1, burst=1)
    rates.take("shop", 100.0)

    assert taken(rates, "shop", 100.5, 1_000) == 0
    assert rates.take("shop", 101.0) == 0


def test_turns_come_at_the_pace_and_nobody_waits_longer_than_is_said() -> None:
    rates = Rates(per_s=10, burst=2)

    waits_s = [rates.take_turn("shop", 100.0, wait_max_s=0.25) for _ in range(6)]

    assert waits_s == pytest.approx([0, 0, 0.1, 0.2, 0.25, 0.25])
    assert rates.take_turn("shop", 100.2, wait_max_s=0.25) == pytest.approx(0.1), "who gave up has taken no turn"
    assert rates.take_turn("other", 100.2, wait_max_s=0.25) == 0


def test_one_name_does_not_pay_for_another() -> None:
    rates = Rates(per_s=10, burst=5)
    taken(rates, "loud", 100.0, 1_000)

    assert taken(rates, "quiet", 100.0, 10) == 5


def test_ten_thousand_names_are_remembered_and_no_more() -> None:
    rates = Rates(per_s=1, burst=1, names_max=10_000)
    for number in range(10_000):
        assert rates.take(f"address {number}", 100.0) == 0
    assert rates.take("address 0", 100.0) > 0
    assert rates.take("address 9999", 100.0) > 0

    for number in range(10_000, 30_000):
        assert rates.take(f"address {number}", 100.0) == 0

    assert len(rates) == 10_000
    assert rates.take("address 29999", 100.0) > 0


@given(
    per_s=st.floats(min_value=0.1, max_value=10_000),
    burst=st.integers(min_value=1, max_value=5_000),
    waits_s=st.lists(st.floats(min_value=0, max_value=2), max_size=200),
)
def test_in_no_time_is_more_taken_than_burst_and_pace_allow(per_s: float, burst: int, waits_s: list[float]) -> None:
    rates = Rates(per_s, burst)
    now_s, times = 0.0, []
    for wait_s in waits_s:
        now_s += wait_s
        if rates.take("shop", now_s) == 0:
            times.append(now_s)

    for first in range(len(times)):
        for last in range(first, len(times)):
            assert last - first + 1 <= burst + per_s * (times[last] - times[first]) + 0.01
