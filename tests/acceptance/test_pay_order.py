"""Orders that are placed first and paid later, with every process real: paid whole or left as they were, never paid twice."""

import asyncio
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.commands import saga
from tests.acceptance.stack_shop import QUANTITY, TOTAL_MINOR, Answer, Shop, attempts, eventually, succeeded
from tests.acceptance.test_checkout_tcc import CONFIRMED, TRIED, let_expire

pytestmark = pytest.mark.acceptance

UNPAID = {"orders.created": 1, "orders.confirmed": 1, "inventory.reserved": QUANTITY}
PAID = {**UNPAID, "payments.captured": TOTAL_MINOR}
TOLD = {"notifications.notifications": 1}
"""What is left of a cancelled order: its customer was told."""


async def place_unpaid(shop: Shop, key: str) -> str:
    """Place an order without payment that completes; its id."""
    order = await shop.place(key, saga="place_unpaid_order")
    assert (await shop.ends(order))["status"] == "COMPLETED"
    return order


async def pay(shop: Shop, order: str, key: str, *, edge: int = 0, client: str = "shop", **body: Any) -> Answer:
    url = f"{shop.stack.edge_urls[edge]}/orders/{order}/pay"
    return await shop.call("POST", url, body, client=client, **{"Idempotency-Key": key})


async def ends_paying(shop: Shop, order: str, key: str, **body: Any) -> dict[str, Any]:
    """Pay for an order; how the payment is shown when it has ended."""
    answer = await pay(shop, order, key, **body)
    assert answer.status == 202, answer
    return await shop.ends(answer.order, 30)


async def test_an_order_is_placed_without_payment_and_paid_later(shop: Shop) -> None:
    available = await shop.available()
    order = await place_unpaid(shop, "unpaid")
    assert attempts(await shop.journal(order)) == succeeded("create_order", "reserve_inventory", "confirm_order")
    assert await shop.stands(order) == UNPAID
    before = await shop.row(order)

    answer = await pay(shop, order, "unpaid-pay", payment_method="pm_card", metadata={"till": 3})

    assert (answer.status, answer.json["saga"], answer.json["status"]) == (202, "pay_order", "PENDING")
    assert answer.json["links"]["parent"] == f"/orders/{order}"
    paid = await shop.ends(answer.order)
    assert (paid["status"], paid["parent_id"], paid["metadata"]) == ("COMPLETED", order, {"till": 3})
    assert (paid["total_minor"], paid["currency"], paid["customer_id"]) == (TOTAL_MINOR, "GBP", "17850")
    assert attempts(await shop.journal(answer.order)) == TRIED + CONFIRMED
    assert await shop.events(answer.order) == ["OrderReceived", "PaymentAuthorized", "OrderPaid", "OrderCompleted"]
    assert await shop.stands(order) == PAID
    assert await shop.stands(answer.order) == {}, "what is paid is booked on the order"
    assert await shop.available() == available - QUANTITY, "the goods are held once"
    shown = await shop.get(order)
    assert shown["links"]["payment"] == f"/orders/{answer.order}"
    assert shown["children"] == [{"order_ledger_id": answer.order, "saga": "pay_order", "status": "COMPLETED"}]
    assert await shop.row(order) == before, "the order itself is left alone"


async def test_what_is_paid_with_is_in_neither_row_nor_journal_nor_event(shop: Shop) -> None:
    order = await place_unpaid(shop, "unpaid-private")

    paid = await ends_paying(shop, order, "unpaid-private-pay", payment_method="pm_secret_token")

    told = str(await shop.row(paid["order_ledger_id"])) + str(await shop.journal(paid["order_ledger_id"])) + str(paid)
    assert "pm_secret_token" not in told


async def test_a_declined_payment_leaves_the_order_and_another_card_pays_it(shop: Shop) -> None:
    order = await place_unpaid(shop, "unpaid-declined")
    before, available = await shop.row(order), await shop.available()

    declined = await ends_paying(shop, order, "first-card", payment_method="pm_declined")

    assert declined["status"] == "FAILED"
    assert attempts(await shop.journal(declined["order_ledger_id"])) == [
        "try_stock succeeded",
        "try_payment rejected",
        "undo try_stock succeeded",
    ]
    assert await shop.stands(order) == UNPAID
    assert (await shop.row(order), await shop.available()) == (before, available)
    assert "payment" not in (await shop.get(order))["links"]
    assert await shop.events(declined["order_ledger_id"]) == [
        "OrderReceived",
        "PaymentDeclined",
        "OrderCompensating",
        "OrderFailed",
    ]

    assert (await ends_paying(shop, order, "second-card"))["status"] == "COMPLETED"
    assert await shop.stands(order) == PAID


async def test_there_is_nothing_to_pay_for_an_order_of_another_saga_or_one_that_is_not_placed_or_is_paid(shop: Shop) -> None:
    other = await shop.place("pays-itself")
    await shop.ends(other)
    refused = await pay(shop, other, "pays-itself-pay")
    assert (refused.status, refused.order) == (409, other)

    await shop.delay("orders", 500, "/orders")
    running = await shop.place("not-yet", saga="place_unpaid_order")
    assert (await pay(shop, running, "not-yet-pay")).status == 409
    await shop.ends(running)

    failed = await shop.place(
        "never", saga="place_unpaid_order", items=[{"sku": "nothing", "quantity": 1, "unit_price_minor": 1}]
    )
    assert (await shop.ends(failed))["status"] == "FAILED"
    assert (await pay(shop, failed, "never-pay")).status == 409

    first = await pay(shop, running, "once")
    assert (await shop.ends(first.order))["status"] == "COMPLETED"
    assert (await pay(shop, running, "twice")).status == 409
    again = await pay(shop, running, "once")
    assert (again.status, again.body, again.headers["Idempotency-Replayed"]) == (202, first.body, "true")
    assert (await pay(shop, running, "once", payment_method="pm_other")).status == 422
    assert (await pay(shop, running, "not-mine", client="rival")).status == 404
    assert len((await shop.get(running))["children"]) == 1


async def test_of_many_who_pay_at_once_one_does(shop: Shop) -> None:
    order = await place_unpaid(shop, "crowd")

    answers = await asyncio.gather(*(pay(shop, order, f"crowd-{n}", edge=n % 2) for n in range(20)))

    assert sorted({answer.status for answer in answers}) == [202, 409]
    (begun,) = [answer for answer in answers if answer.status == 202]
    assert (await shop.ends(begun.order))["status"] == "COMPLETED"
    assert await shop.stands(order) == PAID


async def test_one_key_is_one_payment_however_often_it_is_sent(shop: Shop) -> None:
    order = await place_unpaid(shop, "repeated")

    answers = await asyncio.gather(*(pay(shop, order, "repeated-pay", edge=n % 2) for n in range(10)))

    assert {answer.status for answer in answers} <= {202, 409}
    assert len({answer.body for answer in answers if answer.status == 202}) == 1
    (child,) = (await shop.get(order))["children"]
    assert (await shop.ends(child["order_ledger_id"]))["status"] == "COMPLETED"
    assert await shop.stands(order) == PAID


@pytest.mark.parametrize("mode", ["drop_after", "error"])
@pytest.mark.parametrize(
    ("participant", "path", "step"),
    [
        ("inventory", "/inventory/stock/try", "try_stock"),
        ("payments", "/payments/try", "try_payment"),
        ("inventory", "/inventory/stock/confirm", "confirm_stock"),
        ("payments", "/payments/confirm", "confirm_payment"),
    ],
)
async def test_an_answer_that_is_lost_pays_once(shop: Shop, participant: str, path: str, step: str, mode: str) -> None:
    order = await place_unpaid(shop, f"unpaid-lost-{mode}-{step}")
    await shop.fail(participant, mode, path)

    paid = await ends_paying(shop, order, f"pay-lost-{mode}-{step}")

    assert paid["status"] == "COMPLETED"
    assert attempts(await shop.journal(paid["order_ledger_id"])).count(f"{step} unknown") == 1
    assert await shop.stands(order) == PAID


async def test_a_payment_that_is_not_answered_in_time_leaves_the_order(shop: Shop) -> None:
    order = await place_unpaid(shop, "unpaid-late")
    await shop.delay("payments", 3_000, "/payments/try", count=5)

    late = await ends_paying(shop, order, "pay-late")

    assert late["status"] == "FAILED"
    assert await shop.stands(order) == UNPAID


@pytest.mark.parametrize("step", ["try_payment", "confirm_payment"])
async def test_a_replica_that_dies_while_it_takes_the_money_leaves_it_to_another(shop: Shop, step: str) -> None:
    order = await place_unpaid(shop, f"unpaid-killed-{step}")
    await shop.delay("payments", 1_000, {"try_payment": "/payments/try", "confirm_payment": "/payments/confirm"}[step])
    answer = await pay(shop, order, f"pay-killed-{step}")

    (await shop.holder(answer.order, step)).kill()

    assert (await shop.ends(answer.order, 30))["status"] == "COMPLETED"
    assert await shop.stands(order) == PAID


async def test_a_replica_that_dies_while_it_gives_up_leaves_it_to_another(shop: Shop) -> None:
    order = await place_unpaid(shop, "unpaid-killed-cancel")
    await shop.delay("inventory", 1_000, "/inventory/stock/cancel")
    answer = await pay(shop, order, "pay-killed-cancel", payment_method="pm_declined")

    (await shop.holder(answer.order, "try_stock")).kill()

    assert (await shop.ends(answer.order, 30))["status"] == "FAILED"
    assert await shop.stands(order) == UNPAID


async def test_money_that_was_taken_too_late_for_the_goods_is_given_back(shop: Shop) -> None:
    order = await place_unpaid(shop, "unpaid-expired")
    await shop.fail("inventory", "error", "/inventory/stock/confirm")
    answer = await pay(shop, order, "pay-expired")

    async def is_taken() -> None:
        assert await shop.stands(order) == PAID

    await eventually(is_taken)
    await let_expire(shop, answer.order, "inventory")

    assert (await shop.ends(answer.order))["status"] == "FAILED"
    assert await shop.stands(order) == UNPAID
    money = [effect.kind for effect in await shop.effects(order) if effect.participant == "payments"]
    assert money == ["authorized", "captured", "refunded"]
    assert (await shop.events(answer.order))[-3:] == ["OrderCompensating", "PaymentRefunded", "OrderFailed"]
    assert (await ends_paying(shop, order, "pay-expired-again"))["status"] == "COMPLETED"
    assert await shop.stands(order) == PAID


async def test_a_failed_payment_is_begun_anew_on_its_order_and_by_no_retry(shop: Shop, tmp_path: Path) -> None:
    order = await place_unpaid(shop, "unpaid-retry")
    failed = await ends_paying(shop, order, "pay-retry", payment_method="pm_declined")

    retried = saga(
        *("ledger", "retry", failed["order_ledger_id"], "--reason", "the card is good now"),
        cwd=tmp_path,
        SAGA_DATABASE_URL=shop.stack.databases["ledger"],
    )

    assert retried.returncode == 1
    assert f"begun anew on order {order}" in retried.stderr


async def test_an_order_that_was_paid_later_gets_its_money_back_when_it_is_cancelled(shop: Shop) -> None:
    order = await place_unpaid(shop, "paid-and-cancelled")
    paid = await ends_paying(shop, order, "paid-and-cancelled-pay")

    run = await is_cancelled(shop, order, await shop.cancel(order))

    assert await shop.stands(order) == TOLD
    money = [effect.kind for effect in await shop.effects(order) if effect.participant == "payments"]
    assert money == ["authorized", "captured", "refunded"]
    assert "PaymentRefunded" in await shop.events(run)
    assert (await shop.get(paid["order_ledger_id"]))["status"] == "COMPLETED", "that it was paid stays true"
    assert (await pay(shop, order, "paid-again")).status == 409


async def test_an_order_that_was_never_paid_has_nothing_to_give_back(shop: Shop) -> None:
    order = await place_unpaid(shop, "unpaid-and-cancelled")

    await is_cancelled(shop, order, await shop.cancel(order))

    assert await shop.stands(order) == TOLD
    assert [effect for effect in await shop.effects(order) if effect.participant == "payments"] == []
    assert (await pay(shop, order, "too-late-to-pay")).status == 409


async def test_nobody_cancels_what_is_being_paid_or_pays_what_is_being_cancelled(shop: Shop) -> None:
    order = await place_unpaid(shop, "one-at-a-time")
    await shop.delay("payments", 500, "/payments/try")
    paying = await pay(shop, order, "one-at-a-time-pay", payment_method="pm_declined")
    assert (await shop.cancel(order)).status == 409
    await shop.ends(paying.order)

    await shop.delay("inventory", 500, "/inventory/reservations")
    cancelling = await shop.cancel(order)
    assert (await pay(shop, order, "meanwhile")).status == 409

    await is_cancelled(shop, order, cancelling)
    assert await shop.stands(order) == TOLD


async def test_an_order_that_is_paid_and_cancelled_at_once_is_one_of_the_two(shop: Shop) -> None:
    orders = await asyncio.gather(*(place_unpaid(shop, f"at-once-{n}") for n in range(10)))

    answers = await asyncio.gather(
        *(pay(shop, order, f"at-once-pay-{n}", edge=n % 2) for n, order in enumerate(orders)),
        *(shop.cancel(order) for order in orders),
    )

    assert {answer.status for answer in answers} <= {202, 409}
    for order in orders:
        children = (await shop.get(order))["children"]
        ended = [await shop.ends(child["order_ledger_id"], 30) for child in children]
        assert {run["status"] for run in ended} == {"COMPLETED"}
        # Both where the payment had ended before the cancel came: then its money was given back.
        assert all(before["finished_at"] <= after["created_at"] for before, after in pairwise(ended)), "one at a time"
        cancelled = (await shop.get(order))["status"] == "CANCELLED"
        assert cancelled == (ended[-1]["saga"] == "cancel_order")
        assert await shop.stands(order) == (TOLD if cancelled else PAID)


async def is_cancelled(shop: Shop, order: str, answer: Answer) -> str:
    """Check that a cancel was begun, and wait for its end; the id of the saga that takes the order back."""
    assert answer.status == 202, answer
    run = str(answer.json["links"]["cancellation"]).rpartition("/")[2]
    assert (await shop.ends(run, 30))["status"] == "COMPLETED"
    assert (await shop.get(order))["status"] == "CANCELLED"
    return run
