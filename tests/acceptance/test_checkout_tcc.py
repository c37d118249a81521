"""`checkout_tcc` with every process real: stock and money are both taken, or neither, whoever is lost, late or dead."""

from typing import Any

import psycopg
import pytest
from psycopg import sql

from tests.acceptance.stack_shop import QUANTITY, SKU, STOCK, TOTAL_MINOR, Shop, attempts, eventually, succeeded

pytestmark = pytest.mark.acceptance

TRIED = succeeded("try_stock", "try_payment")
CONFIRMED = succeeded("confirm_stock", "confirm_payment")
CANCELLED = succeeded("undo try_payment", "undo try_stock")
STANDS = {"inventory.reserved": QUANTITY, "payments.captured": TOTAL_MINOR}


async def check_out(shop: Shop, key: str, **changes: Any) -> str:
    """Place an order that is tried and confirmed; its id."""
    return await shop.place(key, saga="checkout_tcc", **changes)


async def kinds(shop: Shop, order: str) -> dict[str, list[str]]:
    """Return what each participant did for an order, in order."""
    found: dict[str, list[str]] = {}
    for effect in await shop.effects(order):
        found.setdefault(effect.participant, []).append(effect.kind)
    return found


async def let_expire(shop: Shop, order: str, participant: str) -> None:
    """Have the time of what a participant holds for an order be over."""
    table = {"inventory": "reservation", "payments": "payment"}[participant]
    async with await psycopg.AsyncConnection.connect(shop.stack.databases[participant], autocommit=True) as conn:
        ended = await conn.execute(
            sql.SQL("update {} set expires_at = clock_timestamp() where order_id = %s").format(sql.Identifier(table)),
            (order,),
        )
        assert ended.rowcount == 1


async def measured(shop: Shop, name: str, **labels: str) -> float:
    return sum([await shop.metric(replica, name, **labels) for replica in shop.stack.replicas])


async def test_stock_and_money_are_tried_at_once_and_then_taken(shop: Shop) -> None:
    await shop.delay("inventory", 300, "/inventory/stock/try")
    await shop.delay("payments", 300, "/payments/try")
    available = await shop.available()

    order = await check_out(shop, "checkout")

    shown = await shop.ends(order)
    assert (shown["status"], shown["saga"]) == ("COMPLETED", "checkout_tcc")
    assert attempts(await shop.journal(order)) == TRIED + CONFIRMED
    journal = await shop.journal(order)
    assert [entry["kind"] for entry in journal][:5] == ["intent", "intent", "status", "outcome", "outcome"], "both at once"
    assert await shop.stands(order) == STANDS
    assert await shop.available() == available - QUANTITY
    assert await shop.events(order) == [
        "OrderReceived",
        "StockReserved",
        "PaymentAuthorized",
        "PaymentCaptured",
        "OrderCompleted",
    ]


async def test_a_declined_payment_gives_the_stock_back(shop: Shop) -> None:
    available = await shop.available()

    order = await check_out(shop, "checkout-declined", payment_method="pm_declined")

    assert (await shop.ends(order))["status"] == "FAILED"
    assert attempts(await shop.journal(order)) == ["try_stock succeeded", "try_payment rejected", "undo try_stock succeeded"]
    assert await kinds(shop, order) == {"inventory": ["stock_tried", "stock_released"]}
    assert await shop.available() == available
    assert await shop.events(order) == [
        "OrderReceived",
        "StockReserved",
        "PaymentDeclined",
        "OrderCompensating",
        "StockReleased",
        "OrderFailed",
    ]


async def test_what_is_out_of_stock_is_not_paid(shop: Shop) -> None:
    order = await check_out(shop, "checkout-none-left", items=[{"sku": SKU, "quantity": STOCK + 1, "unit_price_minor": 1}])

    assert (await shop.ends(order))["status"] == "FAILED"
    assert attempts(await shop.journal(order)) == ["try_stock rejected", "try_payment succeeded", "undo try_payment succeeded"]
    assert await kinds(shop, order) == {"payments": ["authorized", "voided"]}


@pytest.mark.parametrize("mode", ["drop_after", "error_after", "garbage", "error"])
@pytest.mark.parametrize(
    ("participant", "path", "step"),
    [
        ("inventory", "/inventory/stock/try", "try_stock"),
        ("payments", "/payments/try", "try_payment"),
        ("inventory", "/inventory/stock/confirm", "confirm_stock"),
        ("payments", "/payments/confirm", "confirm_payment"),
    ],
)
async def test_an_answer_that_is_lost_is_asked_for_again(shop: Shop, participant: str, path: str, step: str, mode: str) -> None:
    await shop.fail(participant, mode, path)

    order = await check_out(shop, f"lost-{mode}-{step}")

    assert (await shop.ends(order))["status"] == "COMPLETED"
    seen = attempts(await shop.journal(order))
    assert seen.count(f"{step} unknown") == 1
    assert sorted(seen) == sorted([*TRIED, *CONFIRMED, f"{step} unknown"])
    assert await shop.stands(order) == STANDS


async def test_a_try_that_is_not_answered_in_time_cancels_both(shop: Shop) -> None:
    timeouts = await measured(shop, "saga_tcc_timeouts_total")
    await shop.delay("payments", 3_000, "/payments/try", count=5)

    order = await check_out(shop, "tried-too-late")

    assert (await shop.ends(order, 30))["status"] == "FAILED"
    assert attempts(await shop.journal(order)) == [
        "try_stock succeeded",
        *["try_payment unknown"] * 5,
        *CANCELLED,
    ]
    assert await shop.stands(order) == {}
    assert await measured(shop, "saga_tcc_timeouts_total") == timeouts + 1


async def test_phases_are_timed(shop: Shop) -> None:
    before = {
        phase: await measured(shop, "saga_tcc_phase_duration_seconds_count", phase=phase)
        for phase in ("try", "confirm", "cancel")
    }

    await shop.ends(await check_out(shop, "timed"))
    await shop.ends(await check_out(shop, "timed-and-declined", payment_method="pm_declined"))

    for phase, more in (("try", 2), ("confirm", 1), ("cancel", 1)):
        assert await measured(shop, "saga_tcc_phase_duration_seconds_count", phase=phase) == before[phase] + more


@pytest.mark.parametrize(("confirmed", "expired"), [("payments", "inventory"), ("inventory", "payments")])
async def test_what_one_side_confirmed_is_reversed_when_the_time_of_the_other_is_over(
    shop: Shop, confirmed: str, expired: str
) -> None:
    available = await shop.available()
    path = {"inventory": "/inventory/stock/confirm", "payments": "/payments/confirm"}[expired]
    await shop.fail(expired, "error", path)
    order = await check_out(shop, f"expired-{expired}")
    await eventually(lambda: _has_effect(shop, order, confirmed, {"payments": "captured", "inventory": "stock_confirmed"}))

    await let_expire(shop, order, expired)

    shown = await shop.ends(order)
    assert shown["status"] == "FAILED"
    assert f"{expired} answered 410" in str([step["error"] for step in shown["steps"]])
    assert await shop.stands(order) == {}
    reversed_ = {
        "payments": ["authorized", "captured", "refunded"],
        "inventory": ["stock_tried", "stock_confirmed", "stock_released"],
    }
    assert (await kinds(shop, order))[confirmed] == reversed_[confirmed]
    assert await shop.available() == available
    told = await shop.events(order)
    assert ("PaymentRefunded" in told, "PaymentVoided" in told) == (confirmed == "payments", confirmed != "payments")


async def _has_effect(shop: Shop, order: str, participant: str, kind: dict[str, str]) -> None:
    assert kind[participant] in (await kinds(shop, order)).get(participant, [])


@pytest.mark.parametrize("step", ["try_payment", "confirm_payment"])
async def test_a_replica_that_dies_in_a_phase_leaves_it_to_another(shop: Shop, step: str) -> None:
    path = {"try_payment": "/payments/try", "confirm_payment": "/payments/confirm"}[step]
    await shop.delay("payments", 1_000, path)
    order = await check_out(shop, f"killed-in-{step}")

    (await shop.holder(order, step)).kill()

    assert (await shop.ends(order, 30))["status"] == "COMPLETED"
    seen = attempts(await shop.journal(order))
    assert f"{step} unknown" in seen
    assert await shop.stands(order) == STANDS
    assert await kinds(shop, order) == {
        "inventory": ["stock_tried", "stock_confirmed"],
        "payments": ["authorized", "captured"],
    }


async def test_a_replica_that_dies_in_a_cancel_leaves_it_to_another(shop: Shop) -> None:
    await shop.delay("inventory", 1_000, "/inventory/stock/cancel")
    order = await check_out(shop, "killed-in-cancel", payment_method="pm_declined")

    (await shop.holder(order, "try_stock")).kill()

    assert (await shop.ends(order, 30))["status"] == "FAILED"
    assert attempts(await shop.journal(order))[-2:] == ["undo try_stock unknown", "undo try_stock succeeded"]
    assert await kinds(shop, order) == {"inventory": ["stock_tried", "stock_released"]}


async def test_what_expired_while_nobody_worked_on_it_is_not_confirmed(shop: Shop) -> None:
    available = await shop.available()
    await shop.delay("payments", 1_000, "/payments/confirm")
    order = await check_out(shop, "expired-in-confirm")
    holder = await shop.holder(order, "confirm_payment")
    holder.kill()
    # Its call is still on its way; what the stock's confirm came to is in nobody's journal.
    await eventually(lambda: _has_effect(shop, order, "inventory", {"inventory": "stock_confirmed"}))

    await let_expire(shop, order, "payments")

    assert (await shop.ends(order, 30))["status"] == "FAILED"
    assert await shop.stands(order) == {}
    assert (await kinds(shop, order))["inventory"] == ["stock_tried", "stock_confirmed", "stock_released"]
    assert await shop.available() == available


async def test_a_checkout_is_cancelled_while_it_tries_and_not_once_it_may_be_confirmed(shop: Shop) -> None:
    await shop.delay("payments", 500, "/payments/try")
    tries = await check_out(shop, "cancelled-in-try")
    await shop.on_its_way(tries, "try_payment")
    assert (await shop.cancel(tries)).status == 202
    assert (await shop.ends(tries))["status"] == "CANCELLED"
    assert attempts(await shop.journal(tries)) == TRIED + CANCELLED
    assert await shop.stands(tries) == {}

    await shop.delay("payments", 500, "/payments/confirm")
    confirms = await check_out(shop, "cancelled-in-confirm")
    await shop.on_its_way(confirms, "confirm_payment")
    assert (await shop.cancel(confirms)).status == 409
    assert (await shop.ends(confirms))["status"] == "COMPLETED"
