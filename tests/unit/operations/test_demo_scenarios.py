"""What a demo places, and how it is told what came of it."""

import pytest

from orchestrator.identity import order_id
from orchestrator.operations.acts import End, summarise
from orchestrator.operations.scenarios import CUSTOMER, EXPECTED, DemoOrder, Scenario, plan_orders
from participants.contracts import orders, payments


@pytest.mark.parametrize("count", [1, 2, 5, 8, 40, 1000])
def test_a_demo_places_as_many_orders_as_asked_and_begins_with_a_plain_one(count: int) -> None:
    planned = plan_orders(count)

    assert [order.number for order in planned] == list(range(1, count + 1))
    assert planned[0].scenario is Scenario.PLAIN


def test_the_default_demo_has_every_scenario_and_ordinary_traffic() -> None:
    scenarios = [order.scenario for order in plan_orders(40)]

    assert set(scenarios) == set(Scenario)
    assert scenarios.count(Scenario.PLAIN) >= 10


def test_every_scenario_says_what_is_expected() -> None:
    assert set(EXPECTED) == set(Scenario)


def test_only_a_known_customer_gets_a_delivery() -> None:
    delivered, refused, plain = (
        DemoOrder(7, scenario).body for scenario in (Scenario.DELIVERED, Scenario.STRANGER, Scenario.PLAIN)
    )

    assert (delivered["saga"], delivered["customer_id"]) == ("deliver_order", CUSTOMER)
    assert (refused["saga"], refused["customer_id"] == CUSTOMER) == ("deliver_order", False)
    assert "shipping_address" in delivered.keys() & refused.keys()
    assert not {"saga", "shipping_address"} & plain.keys()


def test_faults_name_the_order_they_are_for() -> None:
    order = order_id("someone", "demo-7")
    confirm = orders.confirm.url_path(orders.OrderRef(order_ledger_id=str(order)))
    capture = payments.capture.path.split("{")[0]

    (failing,) = DemoOrder(7, Scenario.PERMANENT).faults("someone")
    (lost,) = DemoOrder(7, Scenario.ANSWER_LOST).faults("someone")

    assert (failing.participant, failing.body["path"]) == ("orders", confirm)
    assert lost.body["path"].startswith(capture)
    assert not list(DemoOrder(7, Scenario.PLAIN).faults("someone"))


def test_the_summary_sets_what_was_seen_beside_what_was_expected() -> None:
    ends = [
        End(DemoOrder(1, Scenario.PLAIN), "COMPLETED", ""),
        End(DemoOrder(2, Scenario.PLAIN), "FAILED", "why"),
        End(DemoOrder(3, Scenario.DECLINED), "DECLINED", ""),
    ]

    assert summarise(ends) == [
        ("nothing goes wrong", 2, "COMPLETED", "1 COMPLETED, 1 FAILED"),
        ("payment method is declined", 1, "DECLINED", "1 DECLINED"),
    ]
