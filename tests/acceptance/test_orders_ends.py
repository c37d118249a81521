"""How an order ends when every process is well: wholly done or wholly undone, and the journal tells how."""

import pytest

from tests.acceptance.stack_shop import ACTIONS, SKU, STANDS, STOCK, Shop, attempts, eventually, succeeded

pytestmark = pytest.mark.acceptance


async def test_an_order_is_completed(shop: Shop) -> None:
    answer = await shop.post("happy")

    assert answer.status == 202
    assert answer.headers["Location"] == f"/orders/{answer.order}"
    assert answer.json["status"] == "PENDING"
    shown = await shop.ends(answer.order)
    assert shown["status"] == "COMPLETED"
    assert [(step["name"], step["state"], step["attempts"]) for step in shown["steps"]] == [
        (step, "succeeded", 1) for step in ACTIONS
    ]
    assert (await shop.get(answer.order, "/journal"))["entries"][0]["kind"] == "intent"
    assert attempts(await shop.journal(answer.order)) == succeeded(*ACTIONS)
    assert await shop.stands(answer.order) == STANDS
    assert [(e.participant, e.kind) for e in await shop.effects(answer.order)] == [
        ("orders", "order_created"),
        ("orders", "order_confirmed"),
        ("inventory", "stock_reserved"),
        ("payments", "authorized"),
        ("payments", "captured"),
    ]


async def test_events_tell_of_an_order_in_the_order_in_which_it_happened(shop: Shop) -> None:
    order = await shop.place("events")
    await shop.ends(order)

    assert await shop.events(order) == [
        "OrderReceived",
        "PaymentAuthorized",
        "OrderCreated",
        "StockReserved",
        "PaymentCaptured",
        "OrderConfirmed",
        "OrderCompleted",
    ]


async def test_a_declined_payment_is_answered_402_and_leaves_nothing(shop: Shop) -> None:
    answer = await shop.post("declined", payment_method="pm_declined")

    assert answer.status == 402
    assert answer.headers["Content-Type"].startswith("application/problem+json")
    assert answer.order == shop.id_of("declined")
    assert (await shop.get(answer.order))["status"] == "DECLINED"
    assert attempts(await shop.journal(answer.order)) == ["authorize_payment rejected"]
    assert await shop.effects(answer.order) == []


async def test_an_order_that_is_out_of_stock_is_undone_in_reverse(shop: Shop) -> None:
    available = await shop.available()

    order = await shop.place("out-of-stock", items=[{"sku": SKU, "quantity": STOCK + 1, "unit_price_minor": 1}])

    shown = await shop.ends(order)
    assert shown["status"] == "FAILED"
    assert {step["name"]: step["state"] for step in shown["steps"]} == {
        "authorize_payment": "compensated",
        "create_order": "compensated",
        "reserve_inventory": "rejected",
        "capture_payment": "pending",
        "confirm_order": "pending",
    }
    assert attempts(await shop.journal(order)) == [
        *succeeded("authorize_payment", "create_order"),
        "reserve_inventory rejected",
        *succeeded("undo create_order", "undo authorize_payment"),
    ]
    assert await shop.stands(order) == {}
    assert await shop.available() == available


@pytest.mark.parametrize(("mode", "count", "tries"), [("reject", 1, ["rejected"]), ("error", 5, ["unknown"] * 5)])
async def test_a_failure_for_good_at_the_last_step_undoes_all_in_reverse(
    shop: Shop, mode: str, count: int, tries: list[str]
) -> None:
    key = f"for-good-{mode}"
    await shop.fail("orders", mode, f"/orders/{shop.id_of(key)}/confirm", count)

    order = await shop.place(key)

    assert (await shop.ends(order))["status"] == "FAILED"
    undone = ["capture_payment", "reserve_inventory", "create_order", "authorize_payment"]
    assert attempts(await shop.journal(order)) == [
        *succeeded(*ACTIONS[:-1]),
        *(f"confirm_order {outcome}" for outcome in tries),
        *(f"undo {step} succeeded" for step in undone),
    ]
    assert await shop.stands(order) == {}
    assert [e.kind for e in await shop.effects(order) if e.participant == "payments"] == ["authorized", "captured", "refunded"]


async def test_an_order_is_cancelled_while_a_call_is_on_its_way(shop: Shop) -> None:
    await shop.delay("payments", 400, "/payments/capture")
    order = await shop.place("cancelled")
    await shop.on_its_way(order, "capture_payment")

    answer = await shop.cancel(order)

    assert answer.status == 202
    assert (await shop.ends(order))["status"] == "CANCELLED"
    undone = ["capture_payment", "reserve_inventory", "create_order", "authorize_payment"]
    # What the call on its way came to counts: the money was taken, and is given back.
    assert attempts(await shop.journal(order)) == [*succeeded(*ACTIONS[:-1]), *(f"undo {step} succeeded" for step in undone)]
    assert [e.kind for e in await shop.effects(order) if e.participant == "payments"] == ["authorized", "captured", "refunded"]
    assert await shop.stands(order) == {}
    assert (await shop.cancel(order)).status == 200


async def test_a_failed_order_cannot_be_cancelled(shop: Shop) -> None:
    await shop.fail("inventory", "reject", "/inventory/reservations")
    order = await shop.place("too-late")
    assert (await shop.ends(order))["status"] == "FAILED"
    before = await shop.journal(order)

    assert (await shop.cancel(order)).status == 409

    assert await shop.journal(order) == before
    assert await shop.children(order) == []


async def test_what_is_waited_for_is_shown(shop: Shop) -> None:
    await shop.fail("inventory", "error", "/inventory/reservations", 4)
    order = await shop.place("waits")

    async def waiting() -> None:
        shown = await shop.get(order)
        assert shown["retry_count"] >= 1
        assert shown["next_retry_at"] is not None
        assert shown["status"] == "RUNNING"
        assert "500" in shown["last_error"]

    await eventually(waiting)
    shown = await shop.ends(order)
    assert (shown["status"], shown["next_retry_at"]) == ("COMPLETED", None)
