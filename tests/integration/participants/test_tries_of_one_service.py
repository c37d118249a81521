"""What is of stock alone, or of money alone, where both are tried."""

import asyncio

from tests.integration.participants.service import StartParticipant
from tests.integration.participants.tries import AMOUNT, MONEY, STOCK, violations

LONG_S, SHORT_S = 900.0, 0.05


async def test_a_release_gives_back_a_try(start: StartParticipant) -> None:
    inventory = await start("inventory", reservation_s=LONG_S)
    await STOCK.stock(inventory)
    for id_ in ("tried", "confirmed"):
        await STOCK.do(inventory, "try", id_)
    await STOCK.do(inventory, "confirm", "confirmed")

    for id_ in ("tried", "confirmed"):
        assert (await inventory.delete(f"/inventory/reservations/{id_}")).status == 200

    assert await inventory.balance() == {}
    assert (await STOCK.do(inventory, "confirm", "tried")).problem == "reservation-released"


async def test_an_order_has_one_reservation_plain_or_tried(start: StartParticipant) -> None:
    inventory = await start("inventory", reservation_s=LONG_S)
    await STOCK.stock(inventory)
    await inventory.post("/inventory/reservations", STOCK.body("plain"))
    await STOCK.do(inventory, "try", "tried")

    tried = await STOCK.do(inventory, "try", "plain")
    plain = await inventory.post("/inventory/reservations", STOCK.body("tried"))
    confirmed = await STOCK.do(inventory, "confirm", "plain")

    assert (tried.status, tried.problem) == (422, "subject-reused")
    assert (plain.status, plain.problem) == (422, "subject-reused")
    assert (confirmed.status, confirmed.problem) == (409, "not-tried")


async def test_goods_that_an_order_holds_already_are_tried_without_holding_them_twice(start: StartParticipant) -> None:
    inventory = await start("inventory", reservation_s=LONG_S)
    await inventory.post("/inventory/products", {"sku": "last", "name": "Last", "initial_stock": 1})
    line = [{"sku": "last", "quantity": 1}]
    await inventory.post("/inventory/reservations", {"order_id": "unpaid", "lines": line})
    before = await inventory.balance()

    for attempt in ("declined", "paid"):
        tried = await inventory.post("/inventory/stock/try", {"order_id": attempt, "lines": line, "held_for": "unpaid"})
        assert tried.status == 201
        assert (await STOCK.do(inventory, "cancel" if attempt == "declined" else "confirm", attempt)).status == 200
    assert await inventory.balance() == before, "it is as it was, confirmed or not"
    reversed_ = await STOCK.do(inventory, "cancel", "paid")

    assert reversed_.status == 200
    assert await inventory.kinds() == ["stock_reserved"]
    assert await violations(inventory, "inventory") == set()


async def test_goods_that_are_no_longer_held_can_not_be_confirmed(start: StartParticipant) -> None:
    inventory = await start("inventory", reservation_s=LONG_S)
    await STOCK.stock(inventory)
    await inventory.post("/inventory/reservations", STOCK.body("unpaid"))
    await inventory.post("/inventory/stock/try", {**STOCK.body("a"), "held_for": "unpaid"})
    await inventory.delete("/inventory/reservations/unpaid")

    refused = await STOCK.do(inventory, "confirm", "a")
    unheld = await inventory.post("/inventory/stock/try", {**STOCK.body("b"), "held_for": "unpaid"})

    assert (refused.status, refused.problem) == (409, "reservation-released")
    assert (unheld.status, unheld.problem) == (422, "not-held")
    assert await inventory.balance() == {}


async def test_goods_are_held_already_only_if_they_are_the_same(start: StartParticipant) -> None:
    inventory = await start("inventory", reservation_s=LONG_S)
    await STOCK.stock(inventory)
    await inventory.post("/inventory/reservations", STOCK.body("unpaid"))

    body = {"order_id": "a", "lines": [{"sku": "mug", "quantity": 9}], "held_for": "unpaid"}
    other = await inventory.post("/inventory/stock/try", body)

    assert (other.status, other.problem) == (422, "other-goods-held")


async def test_a_try_of_goods_that_another_holds_expires_and_leaves_them(start: StartParticipant) -> None:
    inventory = await start("inventory", reservation_s=SHORT_S)
    await STOCK.stock(inventory)
    await inventory.post("/inventory/reservations", STOCK.body("unpaid"))
    await inventory.post("/inventory/stock/try", {**STOCK.body("a"), "held_for": "unpaid"})

    async with asyncio.timeout(30):
        while (await inventory.rows("select status from reservation where order_id = 'a'"))[0]["status"] != "expired":
            await asyncio.sleep(0.01)

    assert await inventory.balance() == {"reserved": AMOUNT}
    assert (await STOCK.do(inventory, "confirm", "a")).problem == "expired"


async def test_tried_money_is_confirmed_not_captured(start: StartParticipant) -> None:
    payments = await start("payments", reservation_s=LONG_S)
    await MONEY.do(payments, "try", "a")
    capture = {"authorization_id": "a", "order_id": "a", "amount_minor": AMOUNT}

    refused = await payments.post("/payments/capture/a", capture)
    confirmed = await MONEY.do(payments, "confirm", "a")
    refunded = await payments.post("/payments/refund/a")

    assert (refused.status, refused.problem) == (409, "authorization-tried")
    assert (confirmed.status, refunded.json["status"]) == (200, "refunded")
    assert await payments.balance() == {}


async def test_a_void_lets_go_of_tried_money_and_a_cancel_finds_nothing_more(start: StartParticipant) -> None:
    payments = await start("payments", reservation_s=LONG_S)
    await MONEY.do(payments, "try", "a")

    voided = await payments.post("/payments/void/a")
    refused = await MONEY.do(payments, "confirm", "a")
    cancelled = await MONEY.do(payments, "cancel", "a")

    assert (voided.status, voided.json["status"]) == (200, "voided")
    assert (refused.status, refused.problem) == (409, "reservation-voided")
    assert (cancelled.status, cancelled.json) == (200, {"reservation_id": "a", "status": "voided"})
    assert await payments.kinds() == ["authorized", "voided"]


async def test_a_confirm_names_the_order_of_its_try(start: StartParticipant) -> None:
    payments = await start("payments", reservation_s=LONG_S)
    await MONEY.do(payments, "try", "a")

    for verb in ("confirm", "cancel"):
        refused = await payments.post(f"/payments/{verb}/a", {"order_id": "other"})
        assert (refused.status, refused.problem) == (422, "invalid")


async def test_a_declined_try_leaves_no_trace(start: StartParticipant) -> None:
    payments = await start("payments")

    declined = await payments.post("/payments/try", {**MONEY.body("a"), "payment_method": "pm_declined"})

    assert (declined.status, declined.problem) == (402, "payment-declined")
    assert await payments.rows("select * from fence") == []
