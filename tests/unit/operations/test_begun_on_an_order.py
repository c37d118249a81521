"""What was begun on an order counts for that order: its payment adds to what stands, its cancellation leaves nothing."""

from datetime import UTC, datetime
from uuid import UUID

import pytest

from orchestrator.operations.audit_compare import Finding, acting, check_key, check_order, expect, logged
from orchestrator.operations.audit_spool import Logged
from orchestrator.sagas import SHIPPED
from participants.contracts.effects import Effect
from sql.auditing import FinishedOrder

ORDER = UUID("0198c0de-0000-8000-8000-000000000001")
CHILD = UUID("0198c0de-0000-8000-8000-000000000002")
ITEMS = [{"sku": "tea", "quantity": 2, "unit_price_minor": 400}]
PLACED = {"customer_id": "c", "currency": "GBP", "items": ITEMS}
PAID = {
    "order": str(ORDER),
    "customer_id": "c",
    "currency": "GBP",
    "total_minor": 800,
    "lines": [{"sku": "tea", "quantity": 2}],
    "payment_method": "pm_card",
}
RECALLED = {
    "order": str(ORDER),
    "customer_id": "c",
    "currency": "GBP",
    "total_minor": 800,
    "shipment_id": None,
    "authorization_id": "a",
    "captured": True,
    "holds_stock": True,
    "recorded": True,
    "actor": "ann",
    "reason": "x",
}
SAGAS = {(saga.name, saga.version): saga for saga in SHIPPED}
EVERYBODY = frozenset({"orders", "inventory", "payments", "shipping", "notifications"})
AS_PLACED = {"orders": {"created": 1, "confirmed": 1}, "inventory": {"reserved": 2}}
MONEY = {"payments": {"captured": 800}}


def child(saga: str, status: str = "COMPLETED", *done: str) -> FinishedOrder:
    started = PAID if saga == "pay_order" else RECALLED
    return FinishedOrder(CHILD, saga, 1, status, started, list(done))


def order(status: str, saga: str, *begun: FinishedOrder) -> FinishedOrder:
    return FinishedOrder(ORDER, saga, 1, status, PLACED, [], begun, "as it was")


def findings(finished: FinishedOrder, effects: dict[str, dict[str, int]]) -> list[Finding]:
    expected, unchecked = expect(finished, SAGAS)
    assert unchecked is None
    assert expected.family == "as it was"
    found = [
        Logged(name, seq, f"{ORDER}:{name}:action", str(ORDER), True, "done", amounts)
        for seq, (name, amounts) in enumerate(effects.items())
    ]
    return list(check_order(expected, found, EVERYBODY))


def test_a_payment_adds_to_what_stands_of_its_order() -> None:
    paid = order("COMPLETED", "place_unpaid_order", child("pay_order"))

    assert findings(paid, {**AS_PLACED, **MONEY}) == []
    ((check, row),) = findings(paid, AS_PLACED)
    assert (check, row["account"], row["expected"]) == ("effects_completed_stand", "payments.captured", 800)


@pytest.mark.parametrize("status", ["FAILED", "CANCELLED"])
def test_a_payment_that_failed_adds_nothing(status: str) -> None:
    unpaid = order("COMPLETED", "place_unpaid_order", child("pay_order", status))

    assert findings(unpaid, AS_PLACED) == []
    assert [check for check, _ in findings(unpaid, {**AS_PLACED, **MONEY})] == ["effects_completed_stand"]


def test_nothing_stands_of_an_order_that_was_taken_back_but_a_message() -> None:
    cancelled = order("CANCELLED", "place_order", child("cancel_order"))

    assert findings(cancelled, {"notifications": {"notifications": 1}}) == []
    assert [(check, row["account"]) for check, row in findings(cancelled, MONEY)] == [
        ("effects_undone_net_zero", "payments.captured")
    ]


def test_what_took_an_order_back_has_to_be_in_the_logs() -> None:
    cancelled = order("CANCELLED", "place_order", child("cancel_order", "COMPLETED", "refund_payment"))

    ((check, row),) = findings(cancelled, {})

    assert (check, row["operation_key"]) == ("effects_action_once", f"{CHILD}:refund_payment:action")


def test_an_order_on_which_something_has_not_ended_is_left_to_the_next_audit() -> None:
    expected, why = expect(order("COMPLETED", "place_order", child("cancel_order", "RUNNING")), SAGAS)

    assert (expected.stands, expected.actions, why) == (None, (), "what was begun on it has not ended")


def test_nothing_is_expected_under_the_own_id_of_what_was_begun_on_another_order() -> None:
    expected, why = expect(child("pay_order", "COMPLETED", "confirm_payment"), SAGAS)

    assert (expected.stands, expected.actions, why) == ({}, (), None)


def effect(key: str) -> Effect:
    return Effect(
        seq=1, operation_key=key, order_id=str(ORDER), kind="refunded", amounts={"captured": -8}, at=datetime.now(UTC)
    )


def test_an_effect_under_the_key_of_what_was_begun_on_an_order_counts_for_that_order() -> None:
    refund = effect(f"{CHILD}:refund_payment:action")

    assert acting([refund, effect(f"{ORDER}:capture_payment:compensation"), effect("by-hand")]) == [CHILD]
    assert logged("payments", refund, {CHILD: ORDER}).order == str(ORDER)
    assert list(check_key("payments", refund, {CHILD: ORDER})) == []


@pytest.mark.parametrize("parents", [{}, {CHILD: CHILD}])
def test_an_effect_that_is_booked_on_an_order_which_its_key_has_nothing_to_do_with_is_found(parents: dict[UUID, UUID]) -> None:
    refund = effect(f"{CHILD}:refund_payment:action")

    assert logged("payments", refund, parents).order == str(CHILD)
    assert [check for check, _ in check_key("payments", refund, parents)] == ["effects_key_names_order"]
