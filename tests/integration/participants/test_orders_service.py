"""What the orders service promises."""

import asyncio
import random

import pytest

from tests.integration.participants.service import Participant, waiting_for_a_lock

ORDER = "33333333-3333-8333-8333-333333333333"
REF = {"order_ledger_id": ORDER}
CREATE = {
    **REF,
    "customer_id": "17850",
    "currency": "GBP",
    "total_minor": 1830,
    "lines": [
        {"sku": "85123A", "quantity": 6, "unit_price_minor": 255},
        {"sku": "71053", "quantity": 1, "unit_price_minor": 300},
    ],
}


async def test_an_order_is_created_confirmed_and_cancelled(orders: Participant) -> None:
    created = await orders.post("/orders", CREATE)
    confirmed = await orders.put(f"/orders/{ORDER}/confirm", REF)
    assert await orders.balance(ORDER) == {"created": 1, "confirmed": 1}
    cancelled = await orders.put(f"/orders/{ORDER}/cancel", REF)

    assert (created.status, created.json) == (201, {**REF, "status": "created"})
    assert (confirmed.status, confirmed.json) == (200, {**REF, "status": "confirmed"})
    assert (cancelled.status, cancelled.json) == (200, {**REF, "status": "cancelled"})
    assert await orders.kinds() == ["order_created", "order_confirmed", "order_cancelled"]
    assert await orders.balance() == {}


async def test_an_order_is_read_back(orders: Participant) -> None:
    await orders.post("/orders", CREATE)

    found = await orders.get(f"/orders/{ORDER}")
    unknown = await orders.get("/orders/other")

    assert (found.status, found.json) == (200, {**CREATE, "status": "created"})
    assert (unknown.status, unknown.problem) == (404, "unknown-order")


async def test_an_order_is_created_once_under_any_key(orders: Participant) -> None:
    answers = await asyncio.gather(*(orders.post("/orders", CREATE, key=f"k{n % 2}") for n in range(20)))

    assert {(answer.status, answer.body) for answer in answers} == {(201, answers[0].body)}
    assert sum(not answer.replayed for answer in answers) == 1
    assert await orders.kinds() == ["order_created"]


async def test_cancel_first_refuses_the_late_order_and_its_confirmation(orders: Participant) -> None:
    cancelled = await orders.put(f"/orders/{ORDER}/cancel", REF)
    late = await orders.post("/orders", CREATE)
    confirmed = await orders.put(f"/orders/{ORDER}/confirm", REF)

    assert (cancelled.status, cancelled.json["status"]) == (200, "cancelled")
    assert (late.status, late.problem) == (409, "fenced")
    assert (confirmed.status, confirmed.problem) == (409, "fenced")
    assert await orders.effects() == []


async def test_cancelling_refuses_the_late_confirmation(orders: Participant) -> None:
    await orders.post("/orders", CREATE)
    await orders.put(f"/orders/{ORDER}/cancel", REF)

    late = await orders.put(f"/orders/{ORDER}/confirm", REF)

    assert late.status == 409
    assert await orders.balance() == {}


async def test_confirming_an_unknown_order_is_refused_without_trace(orders: Participant) -> None:
    refused = await orders.put(f"/orders/{ORDER}/confirm", REF, key="c")
    await orders.post("/orders", CREATE)
    confirmed = await orders.put(f"/orders/{ORDER}/confirm", REF, key="c")

    assert (refused.status, refused.problem) == (422, "unknown-order")
    assert confirmed.status == 200


async def test_a_confirmation_needs_no_body(orders: Participant) -> None:
    await orders.post("/orders", CREATE)

    assert (await orders.put(f"/orders/{ORDER}/confirm")).status == 200


async def test_twenty_cancellations_at_once_cancel_once(orders: Participant) -> None:
    await orders.post("/orders", CREATE)

    answers = await asyncio.gather(*(orders.put(f"/orders/{ORDER}/cancel", REF, key="k") for _ in range(20)))

    assert {(answer.status, answer.body) for answer in answers} == {(200, answers[0].body)}
    assert await orders.kinds() == ["order_created", "order_cancelled"]


async def test_a_cancellation_waits_for_the_confirmation_in_flight_and_reverses_it(orders: Participant) -> None:
    await orders.post("/orders", CREATE)
    async with await orders.connect() as blocker:
        await blocker.execute("select from shop_order for update")
        confirm = asyncio.create_task(orders.put(f"/orders/{ORDER}/confirm", REF))
        await waiting_for_a_lock(orders)
        cancel = asyncio.create_task(orders.put(f"/orders/{ORDER}/cancel", REF))
        await waiting_for_a_lock(orders, 2)

    assert (await confirm).json["status"] == "confirmed"
    assert (await cancel).json["status"] == "cancelled"
    assert await orders.kinds() == ["order_created", "order_confirmed", "order_cancelled"]
    assert await orders.balance() == {}


async def test_orders_confirmed_and_cancelled_in_any_order_leave_nothing(orders: Participant) -> None:
    chance = random.Random(11)

    async def race(number: int) -> None:
        ref = {"order_ledger_id": f"o{number}"}

        async def later(method: str, path: str, body: dict[str, object]) -> None:
            await asyncio.sleep(chance.random() * 0.02)
            answer = await orders.call(method, path, body, key=f"{path}-{number}")
            assert answer.status in (200, 201, 409, 422), answer.body

        create = later("POST", "/orders", {**CREATE, **ref})
        confirm = later("PUT", f"/orders/o{number}/confirm", dict(ref))
        cancel = later("PUT", f"/orders/o{number}/cancel", dict(ref))
        await asyncio.gather(create, confirm, cancel)

    for batch in range(0, 200, 20):
        await asyncio.gather(*(race(number) for number in range(batch, batch + 20)))

    assert await orders.balance() == {}
    assert await orders.rows("select * from shop_order where status <> 'cancelled'") == []


@pytest.mark.parametrize(
    ("change", "pointer"),
    [
        ({"total_minor": 1}, "/total_minor"),
        ({"currency": "pounds"}, "/currency"),
        ({"total_minor": "1830"}, "/total_minor"),
        ({"lines": [{"sku": "a", "quantity": 0, "unit_price_minor": 1}]}, "/lines/0/quantity"),
        ({"surprise": 1}, "/surprise"),
    ],
)
async def test_a_wrong_member_is_pointed_to(orders: Participant, change: dict[str, object], pointer: str) -> None:
    refused = await orders.post("/orders", {**CREATE, **change})

    assert (refused.status, refused.problem) == (422, "invalid")
    assert refused.json["errors"][0]["pointer"] == pointer
    assert await orders.effects() == []


async def test_a_customer_is_kept_and_replaced(orders: Participant) -> None:
    first = await orders.post("/customers", {"customer_id": "17850"}, key="k")
    again = await orders.post("/customers", {"customer_id": "17850"}, key="k")
    await orders.post("/customers", {"customer_id": "17850", "name": "Ada", "active": False})
    found = await orders.get("/customers/17850")
    unknown = await orders.get("/customers/1")

    assert (first.status, first.json) == (201, {"customer_id": "17850", "name": None, "active": True})
    assert again.replayed
    assert again.body == first.body
    assert found.json == {"customer_id": "17850", "name": "Ada", "active": False}
    assert (unknown.status, unknown.problem) == (404, "unknown-customer")
