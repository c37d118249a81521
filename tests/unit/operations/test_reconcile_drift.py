"""What differences between ledger and participants mean, and which calls would undo what stands."""

import shlex

import pytest

from orchestrator.identity import resource_id
from orchestrator.operations.audit_spool import Logged
from orchestrator.operations.reconcile_drift import THINGS, Difference, Drift, ValueAtRisk, drifts_of, standing, stuck

ORDER = "0198c0de-0000-8000-8000-000000000001"
URLS = {name: f"http://{name}" for name in THINGS}
MADE = {
    "payments": [("authorize_payment", "authorized", {"authorized": 5}),
                 ("capture_payment", "captured", {"authorized": -5, "captured": 5})],
    "inventory": [("try_stock", "stock_tried", {"tried": 2}),
                  ("confirm_stock", "stock_confirmed", {"tried": -2, "reserved": 2})],
    "orders": [("create_order", "order_created", {"created": 1}), ("confirm_order", "order_confirmed", {"confirmed": 1})],
    "shipping": [("schedule_shipping", "shipment_scheduled", {"shipments": 1})],
    "notifications": [("send_notification", "notification_sent", {"notifications": 1})],
}  # fmt: skip
UNDO = {
    "payments": f"POST http://payments/payments/refund/{resource_id(ORDER, 'authorize_payment')}",
    "inventory": f"DELETE http://inventory/inventory/reservations/{ORDER}",
    "orders": f"PUT http://orders/orders/{ORDER}/cancel",
    "shipping": f"DELETE http://shipping/shipments/{resource_id(ORDER, 'schedule_shipping')}",
}


def effects_of(participant: str) -> list[Logged]:
    return [
        Logged(participant, seq, f"{ORDER}:{step}:action", ORDER, True, kind, amounts)
        for seq, (step, kind, amounts) in enumerate(MADE[participant])
    ]


def called(command: str) -> str:
    words = shlex.split(command)
    return " ".join(words[words.index("--request") + 1 :][:2])


@pytest.mark.parametrize("participant", THINGS)
@pytest.mark.parametrize(("status", "situation"), [(None, "unknown_order_holds"), ("FAILED", "undone_order_holds")])
def test_what_stands_and_must_not_is_undone_by_one_call(participant: str, status: str | None, situation: str) -> None:
    effects = effects_of(participant)

    (drift,) = drifts_of(ORDER, status, standing(effects), effects, URLS)

    assert drift.kind == f"{situation}_{THINGS[participant]}"
    assert [called(command) for command in drift.mend] == ([UNDO[participant]] if participant in UNDO else [])


@pytest.mark.parametrize("participant", THINGS)
@pytest.mark.parametrize(("expected", "found", "situation"), [(2, 1, "lacks"), (1, 2, "exceeds")])
def test_what_a_completed_order_lacks_is_taken_back_and_what_it_exceeds_is_not(
    participant: str, expected: int, found: int, situation: str
) -> None:
    difference = Difference(f"{participant}.account", expected, found)

    (drift,) = drifts_of(ORDER, "COMPLETED", [difference], effects_of(participant), URLS)

    assert drift.kind == f"completed_order_{situation}_{THINGS[participant]}"
    reason = f"--reason 'reconcile: {drift.kind}'"
    assert drift.mend == ((f"saga ledger cancel {ORDER} {reason}",) if situation == "lacks" else ())


def test_orders_that_are_stuck_for_one_cause_are_mended_by_one_command_that_is_looked_at_first() -> None:
    reasons = [f"order {ORDER} could not be undone: create_order", "order 7 could not be undone: create_order"]

    (command,) = {stuck(ORDER, "place_order", reason, 100, "GBP").mend for reason in reasons}

    (words,) = (shlex.split(each) for each in command)
    assert words[:5] == ["saga", "ledger", "retry", "--all", "--status"]
    assert words[-1] == "--dry-run"
    like = words[words.index("--error-like") + 1]
    assert all(like in reason for reason in reasons)
    assert like == "could not be undone: create_order"


def test_money_that_is_only_set_aside_is_let_go_and_what_was_taken_is_given_back() -> None:
    effects = effects_of("payments")[:1]

    (drift,) = drifts_of(ORDER, None, standing(effects), effects, URLS)

    assert [called(command) for command in drift.mend] == [UNDO["payments"].replace("refund", "void")]


def test_stock_that_was_held_in_two_ways_is_released_by_one_call() -> None:
    held = Logged("inventory", 9, f"{ORDER}:reserve_inventory:action", ORDER, True, "stock_reserved", {"reserved": 1})
    effects = [*effects_of("inventory"), held]

    (drift,) = drifts_of(ORDER, None, standing(effects), effects, URLS)

    assert [called(command) for command in drift.mend] == [UNDO["inventory"]]


def test_what_was_done_under_a_key_of_others_is_undone_by_no_call() -> None:
    effects = [Logged("inventory", 1, "till", ORDER, False, "stock_reserved", {"reserved": 2})]

    (drift,) = drifts_of(ORDER, "FAILED", standing(effects), effects, URLS)

    assert drift.mend == ()


def test_an_effect_of_a_teams_own_participant_is_called_an_effect() -> None:
    effects = [Logged("hotel", 1, f"{ORDER}:book:action", ORDER, True, "booked", {"rooms": 1})]

    (drift,) = drifts_of(ORDER, None, standing(effects), effects, {})

    assert (drift.kind, drift.mend) == ("unknown_order_holds_effect", ())


def test_an_id_with_a_shells_signs_stays_one_word() -> None:
    order = "x'; reboot; '"
    (drift,) = drifts_of(order, "COMPLETED", [Difference("payments.captured", 5, 0)], [], URLS)

    assert shlex.split(drift.mend[0])[3] == order


def test_of_an_order_what_is_most_is_at_risk_and_by_currency() -> None:
    drifts = [
        Drift("a", "1", "FAILED", "", value_minor=5, currency="GBP"),
        Drift("b", "1", "FAILED", "", value_minor=8, currency="GBP"),
        Drift("a", "2", "FAILED", "", value_minor=3, currency="EUR"),
        Drift("a", "3", None, "", value_minor=2),
        Drift("a", "4", None, ""),
    ]

    assert ValueAtRisk.of(drifts) == ValueAtRisk({"GBP": 8, "EUR": 3, "unknown": 2}, orders_unvalued=1)
