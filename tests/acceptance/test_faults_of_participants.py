"""Participants that fail, hang, lose answers or get requests late: the order ends right and nothing is done twice."""

import asyncio
import time

import pytest

from tests.acceptance.stack import EDGE_TIMEOUT_S, RETRY_FACTOR, RETRY_FIRST_S
from tests.acceptance.stack_gate import open_gate
from tests.acceptance.stack_shop import ACTIONS, STANDS, Shop, attempts, succeeded

pytestmark = pytest.mark.acceptance


async def test_a_step_that_fails_twice_is_tried_again_after_the_waits_of_its_policy(shop: Shop) -> None:
    await shop.fail("inventory", "error", "/inventory/reservations", 2)

    order = await shop.place("transient")

    shown = await shop.ends(order)
    assert shown["status"] == "COMPLETED"
    assert {step["name"]: step["attempts"] for step in shown["steps"]}["reserve_inventory"] == 3
    journal = await shop.journal(order)
    assert attempts(journal) == [
        *succeeded("authorize_payment", "create_order"),
        *["reserve_inventory unknown"] * 2,
        *succeeded(*ACTIONS[2:]),
    ]
    tried = {(e["kind"], e["attempt"]): e["at"] for e in journal if e["step"] == "reserve_inventory"}
    for attempt in (1, 2):
        waited = tried["intent", attempt + 1] - tried["outcome", attempt]
        assert waited.total_seconds() >= RETRY_FIRST_S * RETRY_FACTOR ** (attempt - 1)
    assert await shop.stands(order) == STANDS


@pytest.mark.parametrize("mode", ["error_after", "drop_after", "garbage"])
async def test_a_capture_whose_answer_is_lost_takes_the_money_once(shop: Shop, mode: str) -> None:
    await shop.fail("payments", mode, "/payments/capture")

    order = await shop.place(mode)

    assert (await shop.ends(order))["status"] == "COMPLETED"
    assert attempts(await shop.journal(order)) == [
        *succeeded(*ACTIONS[:3]),
        "capture_payment unknown",
        *succeeded(*ACTIONS[3:]),
    ]
    assert await shop.stands(order) == STANDS


async def test_slow_payments_keep_no_client_waiting_and_are_asked_again_by_an_orchestrator(shop: Shop) -> None:
    await shop.delay("payments", 700, "/payments/authorize")
    began_s = time.monotonic()

    answer = await shop.post("slow")

    assert time.monotonic() - began_s < EDGE_TIMEOUT_S + 1.5
    assert (answer.status, answer.json["status"]) == (202, "RECEIVED")
    assert (await shop.ends(answer.order))["status"] == "COMPLETED"
    journal = await shop.journal(answer.order)
    assert attempts(journal) == ["authorize_payment unknown", *succeeded(*ACTIONS)]
    first, second = (entry["replica"] for entry in journal if (entry["kind"], entry["step"]) == ("outcome", ACTIONS[0]))
    assert first.startswith("edge")
    assert shop.stack.replica_of(second)
    assert await shop.stands(answer.order) == STANDS


async def test_a_payment_that_is_declined_late_ends_the_order_and_changes_no_answer(shop: Shop) -> None:
    await shop.delay("payments", 700, "/payments/authorize")

    answer = await shop.post("slow-declined", payment_method="pm_declined")

    assert (answer.status, answer.json["status"]) == (202, "RECEIVED")
    assert (await shop.ends(answer.order))["status"] == "DECLINED"
    again = await shop.post("slow-declined", payment_method="pm_declined")
    assert (again.status, again.body) == (202, answer.body)
    assert attempts(await shop.journal(answer.order))[:2] == ["authorize_payment unknown", "authorize_payment rejected"]
    assert await shop.effects(answer.order) == []


async def test_an_action_that_arrives_after_its_undo_is_refused_and_holds_nothing(shop: Shop) -> None:
    available = await shop.available()
    inventory = shop.stack.participants["inventory"]
    async with open_gate(inventory, "POST", "/inventory/reservations") as gate:
        with shop.stack.only_replica(SAGA_INVENTORY_URL=gate.url):
            order = await shop.place("overtaken")
            assert (await shop.ends(order))["status"] == "FAILED"
        gate.let_go()
        async with asyncio.timeout(10):
            assert await gate.late == 409
    assert attempts(await shop.journal(order)) == [
        *succeeded("authorize_payment", "create_order"),
        *["reserve_inventory unknown"] * 5,
        *succeeded("undo reserve_inventory", "undo create_order", "undo authorize_payment"),
    ]
    assert await shop.stands(order) == {}
    assert await shop.available() == available
