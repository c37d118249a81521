"""The breaker's rules one at a time, then every state it can come to."""

from itertools import product

import pytest

from orchestrator.circuit import (
    ANSWERED,
    TRIAL_MARGIN_S,
    UNCLEAR,
    Circuit,
    Policy,
    State,
    concluded,
    held,
    mark_of,
    reported,
    reset,
    tried,
    wait_s,
)
from orchestrator.outcome import Rejected, Succeeded, Unknown

POLICY = Policy()
OPEN, HALF_OPEN = Circuit(State.OPEN, "xxxxx"), Circuit(State.HALF_OPEN, "xxxxx", trial_left_s=6.0)
HELD = held(Circuit(), "ops", "maintenance")
CALL_S = 5.0


def test_a_rejection_is_an_answer() -> None:
    assert [mark_of(outcome) for outcome in (Succeeded({}), Rejected("no"), Unknown("?"))] == [".", ".", "x"]


@pytest.mark.parametrize("marks", ["xxxxx", "....xxxxx", ".....xxxxx", "x.x.x.x.x", "xxxx.....x"])
def test_half_of_the_last_ten_calls_unclear_opens_it(marks: str) -> None:
    circuit = Circuit()
    for mark in marks[:-1]:
        circuit = reported(circuit, mark, POLICY)
        assert circuit.state is State.CLOSED

    assert reported(circuit, marks[-1], POLICY).state is State.OPEN


def test_what_was_before_the_window_is_forgotten() -> None:
    circuit = reported(Circuit(), "xxxx", POLICY)

    for _ in range(3):
        circuit = reported(circuit, "......", POLICY)
        circuit = reported(circuit, "xxxx", POLICY)

    assert circuit == Circuit(State.CLOSED, "......xxxx")


def test_marks_that_come_together_count_as_if_they_came_one_by_one() -> None:
    at_once, one_by_one = reported(Circuit(), "..xx..x", POLICY), Circuit()
    for mark in "..xx..x":
        one_by_one = reported(one_by_one, mark, POLICY)

    assert at_once == one_by_one


@pytest.mark.parametrize("circuit", [OPEN, HALF_OPEN, HELD])
def test_calls_that_were_on_their_way_when_it_opened_change_nothing(circuit: Circuit) -> None:
    assert reported(circuit, "xxxxxxxxxx", POLICY) is circuit
    assert reported(circuit, "..........", POLICY) is circuit


def test_an_open_breaker_waits_its_time_by_the_databases_clock() -> None:
    assert wait_s(OPEN, POLICY) == 30.0
    assert wait_s(OPEN.aged(29.0), POLICY) == 1.0
    assert wait_s(OPEN.aged(31.0), POLICY) == 0.0


def test_the_trial_is_given_to_one_and_again_when_its_owner_must_have_died() -> None:
    too_early = tried(OPEN.aged(29.0), POLICY, CALL_S)
    first = tried(OPEN.aged(30.0), POLICY, CALL_S)
    second = tried(first, POLICY, CALL_S)
    later = tried(first.aged(CALL_S + TRIAL_MARGIN_S), POLICY, CALL_S)

    assert too_early.state is State.OPEN
    assert (first.state, first.trial_left_s) == (State.HALF_OPEN, CALL_S + TRIAL_MARGIN_S)
    assert second is first
    assert (later.state, later.trial_left_s) == (State.HALF_OPEN, CALL_S + TRIAL_MARGIN_S)


def test_a_trial_that_is_answered_closes_it_with_an_empty_window() -> None:
    assert concluded(HALF_OPEN, ANSWERED) == Circuit()


def test_a_trial_that_is_not_opens_it_anew() -> None:
    assert wait_s(concluded(HALF_OPEN.aged(3.0), UNCLEAR), POLICY) == 30.0


@pytest.mark.parametrize("circuit", [Circuit(State.CLOSED, "x"), OPEN, HELD])
@pytest.mark.parametrize("mark", [ANSWERED, UNCLEAR])
def test_the_end_of_a_trial_leaves_alone_what_was_decided_meanwhile(circuit: Circuit, mark: str) -> None:
    assert concluded(circuit, mark) is circuit


def test_a_hold_stays_until_it_is_reset_and_says_by_whom_and_why() -> None:
    circuit = held(OPEN, "ops", "maintenance")

    for after in (circuit, circuit.aged(1e6), tried(circuit.aged(1e6), POLICY, CALL_S), concluded(circuit, ANSWERED)):
        assert (after.state, after.actor, after.reason) == (State.HELD, "ops", "maintenance")
        assert wait_s(after, POLICY) > 0
    assert wait_s(reset("ops", "done"), POLICY) == 0.0


@pytest.mark.parametrize("policy", [Policy(window=1, threshold=0.1), Policy(window=3, threshold=1.0), Policy(window=4)])
def test_from_every_state_that_can_be_reached_it_can_close_and_never_waits_for_ever(policy: Policy) -> None:
    seen: set[Circuit] = set()
    found = [Circuit()]
    while found:
        circuit = found.pop()
        if circuit in seen:
            continue
        seen.add(circuit)
        assert len(circuit.recent) <= policy.window
        assert (circuit.state is State.HALF_OPEN) or circuit.trial_left_s == 0.0
        assert (circuit.state is State.OPEN) or circuit.opened_for_s == 0.0
        unclear = circuit.recent.count(UNCLEAR)
        assert circuit.state is not State.CLOSED or unclear < policy.threshold * policy.window
        if circuit.state is not State.HELD:
            after = circuit.aged(wait_s(circuit, policy))
            ready = after.state is State.CLOSED or tried(after, policy, CALL_S).state is State.HALF_OPEN
            assert ready, f"nothing leads out of {circuit}"
        found += [reported(circuit, marks, policy) for marks in (ANSWERED, UNCLEAR, ".x", "xx.")]
        found += [concluded(circuit, mark) for mark in (ANSWERED, UNCLEAR)]
        if circuit.state is not State.HELD and wait_s(circuit, policy) > 0:
            found.append(circuit.aged(3.0))
        found += [tried(circuit, policy, CALL_S), held(circuit, "ops", "why"), reset("ops", "why")]

    assert {circuit.state for circuit in seen} == set(State)
    assert all(concluded(circuit, ANSWERED).state is State.CLOSED for circuit in seen if circuit.state is State.HALF_OPEN)


def test_the_window_is_judged_the_same_however_it_came_about() -> None:
    policy = Policy(window=4, threshold=0.5)

    for marks in product(".x", repeat=4):
        opens = any("".join(marks[:end]).count("x") >= 2 for end in range(1, 5))
        circuit = Circuit()
        for mark in marks:
            circuit = reported(circuit, mark, policy)
        assert (circuit.state is State.OPEN) == opens
