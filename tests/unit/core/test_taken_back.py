"""What a saga about a completed order changes in that order: its end, and nothing of what it did."""

import pytest

from orchestrator import machine
from orchestrator.configuration import Configuration, Unsafe
from orchestrator.definitions import Definitions
from orchestrator.outcome import Outcome, Rejected, Succeeded, Unknown
from orchestrator.progress import BEGINNING, Answered, GivenUp, Progress, StepState, TakenBack
from orchestrator.saga import Demand, Saga
from orchestrator.sagas.cancel_order import CANCEL_ORDER
from orchestrator.settings import Settings
from orchestrator.verb import CancelRequested, Retried
from sql.models import Direction, Kind, Status
from tests.unit.core.sagas import pivot, plain_saga, read_only, saga, step

BACK = TakenBack("ann", "asked by phone", "cancel_order 7")
OPTIONAL = step("told", optional=True, compensation=None)
CANCEL = saga(read_only("check"), pivot("call_off"), pivot("refund"), OPTIONAL, pivot("mark"))


def after(definition: Saga, *outcomes: Outcome) -> Progress:
    progress = BEGINNING
    for outcome in outcomes:
        called = machine.proceed(definition, progress)
        progress = machine.settle(definition, called.progress, Answered(called.calls[0].step, outcome)).progress
    return progress


def test_a_completed_order_becomes_cancelled_with_who_and_why_and_its_steps_stay_done() -> None:
    definition = plain_saga(2)
    done = after(definition, Succeeded({}), Succeeded({}))

    move = machine.settle(definition, done, BACK)

    assert (move.status, machine.status_of(definition, move.progress)) == (Status.CANCELLED, Status.CANCELLED)
    operator, status = move.entries
    assert (operator.kind, operator.outcome, operator.actor, operator.reason) == (
        Kind.OPERATOR,
        "cancel",
        "ann",
        "asked by phone",
    )
    assert (status.kind, status.outcome, status.reason) == (Kind.STATUS, "CANCELLED", "taken back by cancel_order 7")
    assert move.events == (("OrderCancelled", None),)
    assert move.progress.direction is Direction.ACTION
    assert {p.state for p in move.progress.steps.values()} == {StepState.SUCCEEDED}


def test_nothing_follows_once_it_is_taken_back() -> None:
    definition = plain_saga(1)
    back = machine.settle(definition, after(definition, Succeeded({})), BACK).progress

    assert machine.proceed(definition, back).calls == ()
    for again in (BACK, Retried("ann", "x")):
        with pytest.raises(ValueError, match="only"):
            machine.settle(definition, back, again)


def test_only_a_completed_order_is_taken_back() -> None:
    definition = plain_saga(2)
    running = after(definition, Succeeded({}))
    called = machine.proceed(definition, running).progress
    turned = machine.settle(definition, running, CancelRequested("ann", "x")).progress
    undone = machine.settle(
        definition, machine.proceed(definition, turned).progress, Answered("step_1", Succeeded({}))
    ).progress

    assert machine.status_of(definition, undone) is Status.CANCELLED
    for progress in (BEGINNING, running, called, turned, undone):
        with pytest.raises(ValueError, match="only what is completed"):
            machine.settle(definition, progress, BACK)


@pytest.mark.parametrize("refused", [0, 1])
def test_a_refusal_before_anything_was_taken_back_ends_it_with_nothing_done(refused: int) -> None:
    progress = after(CANCEL, *[Succeeded({})] * refused, Rejected("the goods have left"))

    assert machine.status_of(CANCEL, progress) is Status.FAILED
    assert machine.proceed(CANCEL, progress).calls == ()


@pytest.mark.parametrize("outcome", [Rejected("no"), Unknown("?")])
@pytest.mark.parametrize("done", [2, 4])
def test_what_fails_after_something_was_taken_back_needs_an_operator_and_undoes_nothing(done: int, outcome: Outcome) -> None:
    progress = after(CANCEL, *[Succeeded({})] * done, *([outcome] if isinstance(outcome, Rejected) else [outcome] * 2))

    assert machine.status_of(CANCEL, progress) is Status.STUCK
    assert progress.direction is Direction.ACTION
    again = machine.settle(CANCEL, progress, Retried("ann", "mended")).progress
    assert [call.step for call in machine.proceed(CANCEL, again).calls] == [("refund" if done == 2 else "mark")]


def test_nobody_turns_it_round_once_something_may_be_taken_back() -> None:
    unclear = after(CANCEL, Succeeded({}), Unknown("?"))

    with pytest.raises(ValueError, match="only goes forward"):
        machine.settle(CANCEL, unclear, CancelRequested("ann", "x"))
    assert machine.settle(CANCEL, unclear, GivenUp("too late")).status is Status.STUCK


def test_a_customer_who_can_not_be_told_changes_nothing() -> None:
    progress = after(CANCEL, *[Succeeded({})] * 3, Rejected("no such address"), Succeeded({}))

    assert machine.status_of(CANCEL, progress) is Status.COMPLETED


def test_that_a_saga_takes_back_its_parent_is_part_of_its_code() -> None:
    other = Saga("test", 1, CANCEL.input, CANCEL.steps, takes_back=lambda _: Demand("ann", "x"))

    assert other.fingerprint != CANCEL.fingerprint


def test_no_configuration_moves_the_money_before_the_shipment() -> None:
    code = Definitions([CANCEL_ORDER], Settings())
    order = [step.name for step in CANCEL_ORDER.steps]
    order.insert(0, order.pop(order.index("refund_payment")))

    with pytest.raises(Unsafe, match="step refund_payment can't come before cancel_shipment"):
        code.fit(CANCEL_ORDER.name, Configuration.read(CANCEL_ORDER.name, {"order": order}), 1)
    # A shipment that has left can't be called off, so who does not want to ask first need not.
    off = code.fit(CANCEL_ORDER.name, Configuration.read(CANCEL_ORDER.name, {"off": ["check_cancellable"]}), 1)
    assert [step.name for step in off.steps][:2] == ["cancel_shipment", "refund_payment"]
