"""`deliver_order` with every process real: done whole or undone whole, and nobody's order is undone for a message."""

from typing import Any

import pytest

from tests.acceptance.stack_shop import ACTIONS, SKU, STANDS, STOCK, Shop, attempts, succeeded

pytestmark = pytest.mark.acceptance

ADDRESS = {"name": "Ada", "lines": ["1 High St"], "city": "London", "postal_code": "N1", "country": "GB"}
STEPS = [ACTIONS[0], "validate_customer", *ACTIONS[1:], "schedule_shipping", "send_notification"]
SHIPPED = {**STANDS, "shipping.shipments": 1}
TOLD = {**SHIPPED, "notifications.notifications": 1}
UNDONE = ["schedule_shipping", "capture_payment", "reserve_inventory", "create_order", "authorize_payment"]


def undone(*steps: str) -> list[str]:
    return succeeded(*(f"undo {step}" for step in steps))


async def add_customer(shop: Shop, customer_id: str, *, active: bool = True) -> None:
    answer = await shop.call(
        "POST",
        f"{shop.stack.participants['orders']}/customers",
        {"customer_id": customer_id, "active": active},
        **{"Idempotency-Key": f"customer-{customer_id}-{active}"},
    )
    assert answer.status == 201, answer


async def deliver(shop: Shop, key: str, customer_id: str = "delivered-to", **changes: Any) -> str:
    """Place an order to be delivered; its id."""
    await add_customer(shop, "delivered-to")
    return await shop.place(key, saga="deliver_order", customer_id=customer_id, shipping_address=ADDRESS, **changes)


async def messages(shop: Shop, order: str) -> list[dict[str, Any]]:
    url = f"{shop.stack.participants['notifications']}/notifications?order_id={order}"
    found: list[dict[str, Any]] = (await shop.call("GET", url)).json["notifications"]
    return found


async def test_an_order_is_placed_shipped_and_told(shop: Shop) -> None:
    order = await deliver(shop, "delivered")

    shown = await shop.ends(order)
    assert (shown["status"], shown["saga"]) == ("COMPLETED", "deliver_order")
    assert [(step["name"], step["state"]) for step in shown["steps"]] == [(step, "succeeded") for step in STEPS]
    assert attempts(await shop.journal(order)) == succeeded(*STEPS)
    assert await shop.stands(order) == TOLD
    (message,) = await messages(shop, order)
    tracking = shown["results"]["schedule_shipping"]["tracking"]
    assert tracking.startswith("SL")
    assert (message["customer_id"], message["template"], message["reference"]) == (
        "delivered-to",
        "shipment_scheduled",
        tracking,
    )
    assert await shop.events(order) == [
        "OrderReceived",
        "PaymentAuthorized",
        "OrderCreated",
        "StockReserved",
        "PaymentCaptured",
        "OrderConfirmed",
        "ShipmentScheduled",
        "OrderCompleted",
    ]


async def test_where_the_order_goes_is_neither_in_its_row_nor_in_its_journal(shop: Shop) -> None:
    order = await deliver(shop, "private")
    await shop.ends(order)

    assert "High St" not in str(await shop.row(order)) + str(await shop.journal(order))


async def test_an_order_that_goes_nowhere_is_refused_before_anything_is_recorded(shop: Shop) -> None:
    answer = await shop.post("nowhere", saga="deliver_order", customer_id="delivered-to", shipping_address=None)

    assert answer.status == 422
    assert [error["pointer"] for error in answer.json["errors"]] == ["#/shipping_address"]
    with_address = await shop.post("nowhere", saga="deliver_order", customer_id="delivered-to", shipping_address=ADDRESS)
    assert with_address.status == 202, "the key had not been used"


@pytest.mark.parametrize(("customer_id", "reason"), [("nobody", "no such customer"), ("gone", "not active")])
async def test_a_customer_who_may_not_order_is_refused_and_the_money_let_go(shop: Shop, customer_id: str, reason: str) -> None:
    await add_customer(shop, "gone", active=False)

    order = await deliver(shop, f"refused-{customer_id}", customer_id)

    shown = await shop.ends(order)
    assert shown["status"] == "FAILED"
    assert [(step["name"], step["state"]) for step in shown["steps"][:3]] == [
        ("authorize_payment", "compensated"),
        ("validate_customer", "rejected"),
        ("create_order", "pending"),
    ]
    assert reason in shown["steps"][1]["error"]
    assert attempts(await shop.journal(order)) == [
        "authorize_payment succeeded",
        "validate_customer rejected",
        *undone("authorize_payment"),
    ]
    assert await shop.stands(order) == {}
    assert await shop.events(order) == [
        "OrderReceived",
        "PaymentAuthorized",
        "CustomerRefused",
        "OrderCompensating",
        "PaymentVoided",
        "OrderFailed",
    ]


async def test_a_declined_payment_asks_nobody_else(shop: Shop) -> None:
    answer = await shop.post("declined-delivery", saga="deliver_order", shipping_address=ADDRESS, payment_method="pm_declined")

    assert answer.status == 402
    assert attempts(await shop.journal(answer.order)) == ["authorize_payment rejected"]
    assert await shop.effects(answer.order) == []


async def test_a_delivery_that_is_out_of_stock_ships_nothing(shop: Shop) -> None:
    order = await deliver(shop, "none-left", items=[{"sku": SKU, "quantity": STOCK + 1, "unit_price_minor": 1}])

    assert (await shop.ends(order))["status"] == "FAILED"
    assert attempts(await shop.journal(order)) == [
        *succeeded(*STEPS[:3]),
        "reserve_inventory rejected",
        *undone("create_order", "authorize_payment"),
    ]
    assert await shop.stands(order) == {}


async def test_a_shipment_that_is_refused_undoes_the_order_in_reverse(shop: Shop) -> None:
    available = await shop.available()
    await shop.fail("shipping", "reject", "/shipments")

    order = await deliver(shop, "no-carrier")

    assert (await shop.ends(order))["status"] == "FAILED"
    assert attempts(await shop.journal(order)) == [*succeeded(*STEPS[:6]), "schedule_shipping rejected", *undone(*UNDONE[1:])]
    assert await shop.stands(order) == {}
    assert await shop.available() == available
    assert await messages(shop, order) == []


async def test_a_shipment_in_doubt_is_called_off_with_all_else(shop: Shop) -> None:
    await shop.fail("shipping", "error_after", "/shipments", 5)

    order = await deliver(shop, "carrier-in-doubt")

    assert (await shop.ends(order))["status"] == "FAILED"
    assert attempts(await shop.journal(order)) == [
        *succeeded(*STEPS[:6]),
        *["schedule_shipping unknown"] * 5,
        *undone(*UNDONE),
    ]
    assert [e.kind for e in await shop.effects(order) if e.participant == "shipping"] == [
        "shipment_scheduled",
        "shipment_cancelled",
    ]
    assert await shop.stands(order) == {}
    assert "ShipmentCancelled" in await shop.events(order)


@pytest.mark.parametrize("mode", ["error_after", "drop_after", "garbage"])
async def test_a_shipment_whose_answer_is_lost_is_ordered_once(shop: Shop, mode: str) -> None:
    await shop.fail("shipping", mode, "/shipments")

    order = await deliver(shop, f"carrier-{mode}")

    assert (await shop.ends(order))["status"] == "COMPLETED"
    assert attempts(await shop.journal(order)) == [
        *succeeded(*STEPS[:6]),
        "schedule_shipping unknown",
        *succeeded(*STEPS[6:]),
    ]
    assert await shop.stands(order) == TOLD


async def test_a_customer_about_whom_nothing_can_be_learned_is_asked_for_again_and_then_refused(shop: Shop) -> None:
    await add_customer(shop, "unclear")
    await shop.fail("orders", "error", "/customers/unclear", 2)
    late = await deliver(shop, "learned-late", "unclear")
    assert (await shop.ends(late))["status"] == "COMPLETED"
    await shop.fail("orders", "garbage", "/customers/unclear", 5)
    never = await deliver(shop, "never-learned", "unclear")

    assert (await shop.ends(never))["status"] == "FAILED"
    assert attempts(await shop.journal(late)) == [
        "authorize_payment succeeded",
        *["validate_customer unknown"] * 2,
        *succeeded(*STEPS[1:]),
    ]
    assert attempts(await shop.journal(never)) == [
        "authorize_payment succeeded",
        *["validate_customer unknown"] * 5,
        *undone("authorize_payment"),
    ]
    assert (await shop.stands(late), await shop.stands(never)) == (TOLD, {})


@pytest.mark.parametrize("mode", ["reject", "error"])
async def test_a_message_that_can_not_be_sent_is_skipped(shop: Shop, mode: str) -> None:
    await shop.fail("notifications", mode, "/notifications", 1 if mode == "reject" else 5)

    order = await deliver(shop, f"untold-{mode}")

    shown = await shop.ends(order)
    assert shown["status"] == "COMPLETED"
    assert (shown["steps"][-1]["name"], shown["steps"][-1]["state"]) == ("send_notification", "skipped")
    assert shown["steps"][-1]["error"]
    tries = ["rejected"] if mode == "reject" else ["unknown"] * 5
    assert attempts(await shop.journal(order)) == [
        *succeeded(*STEPS[:-1]),
        *(f"send_notification {outcome}" for outcome in tries),
    ]
    assert await shop.stands(order) == SHIPPED


async def test_a_message_that_was_sent_while_its_answers_were_lost_is_sent_once(shop: Shop) -> None:
    await shop.fail("notifications", "error_after", "/notifications", 5)

    order = await deliver(shop, "told-in-doubt")

    shown = await shop.ends(order)
    assert (shown["status"], shown["steps"][-1]["state"]) == ("COMPLETED", "skipped")
    assert await shop.stands(order) == TOLD


async def test_a_participant_that_answers_too_late_is_taken_at_its_first_word(shop: Shop) -> None:
    await shop.delay("shipping", 1_600, "/shipments")
    order = await deliver(shop, "slow-carrier")

    assert (await shop.ends(order))["status"] == "COMPLETED"
    assert attempts(await shop.journal(order))[6] == "schedule_shipping unknown"
    assert [e.kind for e in await shop.effects(order) if e.participant == "shipping"] == ["shipment_scheduled"]
    assert await shop.stands(order) == TOLD


@pytest.mark.parametrize(
    ("participant", "path", "step"),
    [
        ("orders", "/customers/delivered-to", "validate_customer"),
        ("shipping", "/shipments", "schedule_shipping"),
        ("notifications", "/notifications", "send_notification"),
    ],
)
async def test_a_replica_that_dies_in_a_call_leaves_it_to_another(shop: Shop, participant: str, path: str, step: str) -> None:
    await shop.delay(participant, 1_000, path)
    order = await deliver(shop, f"killed-in-{step}")

    (await shop.holder(order, step)).kill()

    assert (await shop.ends(order, 30))["status"] == "COMPLETED"
    before, after = STEPS[: STEPS.index(step)], STEPS[STEPS.index(step) :]
    assert attempts(await shop.journal(order)) == [*succeeded(*before), f"{step} unknown", *succeeded(*after)]
    assert await shop.stands(order) == TOLD
    assert len(await messages(shop, order)) == 1


async def test_an_order_that_is_cancelled_while_its_goods_are_sent_for_is_called_off(shop: Shop) -> None:
    await shop.delay("shipping", 500, "/shipments")
    order = await deliver(shop, "cancelled-delivery")
    await shop.on_its_way(order, "schedule_shipping")

    assert (await shop.cancel(order)).status == 202

    assert (await shop.ends(order))["status"] == "CANCELLED"
    assert attempts(await shop.journal(order)) == [*succeeded(*STEPS[:7]), *undone(*UNDONE)]
    assert await shop.stands(order) == {}


async def test_a_message_that_is_out_when_its_order_is_cancelled_stays_sent(shop: Shop) -> None:
    await shop.delay("notifications", 500, "/notifications")
    order = await deliver(shop, "cancelled-after-the-message")
    await shop.on_its_way(order, "send_notification")

    assert (await shop.cancel(order)).status == 202

    assert (await shop.ends(order))["status"] == "CANCELLED"
    assert await shop.stands(order) == {"notifications.notifications": 1}
