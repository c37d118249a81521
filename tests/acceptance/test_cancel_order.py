"""Orders that are cancelled wherever they stand, with every process real: undone on their way, taken back once completed."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg
import pytest

from tests.acceptance.commands import saga
from tests.acceptance.stack_shop import STANDS, Answer, Shop, attempts, eventually, succeeded
from tests.acceptance.test_deliver_order import TOLD, deliver

pytestmark = pytest.mark.acceptance

STEPS = ["refund_payment", "release_inventory", "send_cancellation_notice", "mark_cancelled"]
WITH_SHIPMENT = ["check_cancellable", "cancel_shipment", *STEPS]
NOTICE = {"notifications.notifications": 1}


async def complete(shop: Shop, key: str, **changes: Any) -> str:
    """Place an order that completes; its id."""
    order = await shop.place(key, **changes)
    assert (await shop.ends(order))["status"] == "COMPLETED"
    return order


async def send(shop: Shop, key: str) -> str:
    """Place an order that is to be delivered and completes; its id."""
    order = await deliver(shop, key)
    assert (await shop.ends(order))["status"] == "COMPLETED"
    return order


async def hand_over(shop: Shop, order: str) -> None:
    """Have the carrier fetch an order's goods."""
    shipment = (await shop.get(order))["results"]["schedule_shipping"]["shipment_id"]
    url = f"{shop.stack.participants['shipping']}/shipments/{shipment}/ship"
    answer = await shop.call("POST", url, {}, **{"Idempotency-Key": f"ship-{order}"})
    assert (answer.status, answer.json["status"]) == (200, "shipped"), answer


def run_of(answer: Answer) -> str:
    """Return the id of the saga that takes an order back, from the answer to a cancel."""
    assert answer.status == 202, answer
    path = str(answer.json["links"]["cancellation"])
    assert answer.headers["Location"] == path
    return path.rsplit("/", 1)[1]


def after_one_unknown(step: str) -> list[str]:
    """Return the attempts where all steps succeed, one of them the second time."""
    return [line for name in STEPS for line in ([f"{name} unknown"] if name == step else []) + succeeded(name)]


@asynccontextmanager
async def watched(shop: Shop, order: str, run: str) -> AsyncIterator[set[tuple[str, str]]]:
    """Look again and again at an order and the saga that takes it back, both of one moment; gives the pairs that were seen."""
    seen: set[tuple[str, str]] = set()
    both = """select c.status, p.status from order_ledger c join order_ledger p on p.order_ledger_id = c.parent_id
        where c.order_ledger_id = %s and p.order_ledger_id = %s"""

    async def look() -> None:
        async with await psycopg.AsyncConnection.connect(shop.stack.databases["ledger"], autocommit=True) as conn:
            while True:
                row = await (await conn.execute(both, (UUID(run), UUID(order)))).fetchone()
                assert row is not None
                seen.add((row[0], row[1]))
                await asyncio.sleep(0.001)

    looking = asyncio.create_task(look())
    try:
        yield seen
    finally:
        looking.cancel()
        await asyncio.gather(looking, return_exceptions=True)


async def test_a_draft_is_cancelled_before_anything_is_done(shop: Shop) -> None:
    await shop.delay("payments", 1_000, "/payments/authorize")
    order = await shop.place("draft")
    assert (await shop.row(order))["status"] == "RECEIVED"

    assert (await shop.cancel(order)).status == 202

    assert (await shop.ends(order))["status"] == "CANCELLED"
    assert await shop.stands(order) == {}
    assert await shop.children(order) == []


async def test_a_running_order_turns_round_itself(shop: Shop) -> None:
    await shop.delay("payments", 500, "/payments/capture")
    order = await shop.place("running")
    await shop.on_its_way(order, "capture_payment")

    answer = await shop.cancel(order)

    assert (answer.status, answer.json["links"]) == (202, {"self": f"/orders/{order}"})
    assert (await shop.ends(order))["status"] == "CANCELLED"
    assert await shop.stands(order) == {}
    assert await shop.children(order) == []


async def test_a_paid_order_is_taken_back_by_a_saga_of_its_own(shop: Shop) -> None:
    available = await shop.available()
    order = await complete(shop, "paid")

    answer = await shop.cancel(order)

    run = run_of(answer)
    assert run == shop.id_of(f"cancel:{order}")
    assert answer.json == {
        "order_ledger_id": order,
        "status": "COMPLETED",
        "links": {"self": f"/orders/{order}", "cancellation": f"/orders/{run}"},
    }
    shown = await shop.ends(run)
    assert (shown["status"], shown["saga"], shown["parent_id"]) == ("COMPLETED", "cancel_order", order)
    assert attempts(await shop.journal(run)) == succeeded(*STEPS)
    assert [step["name"] for step in shown["steps"] if step["state"] == "skipped"] == [
        "check_cancellable",
        "cancel_shipment",
        "void_payment",
    ]
    parent = await shop.get(order)
    assert parent["status"] == "CANCELLED"
    assert {step["state"] for step in parent["steps"]} == {"succeeded"}, "what was done stays recorded"
    operator, status = (await shop.journal(order))[-2:]
    assert (operator["kind"], operator["outcome"], operator["actor"]) == ("operator", "cancel", "client shop")
    assert operator["reason"] == "changed my mind"
    assert (status["kind"], status["outcome"], status["reason"]) == ("status", "CANCELLED", f"taken back by cancel_order {run}")
    assert (await shop.events(order))[-2:] == ["OrderCompleted", "OrderCancelled"]
    assert await shop.events(run) == ["OrderReceived", "PaymentRefunded", "StockReleased", "OrderCompleted"]
    assert await shop.stands(order) == NOTICE
    assert await shop.available() == available


async def test_an_order_that_is_cancelled_already_is_left_alone(shop: Shop) -> None:
    order = await complete(shop, "cancelled-already")
    await shop.ends(run_of(await shop.cancel(order)))
    before = await shop.journal(order)

    again = await shop.cancel(order)

    assert (again.status, again.json["status"]) == (200, "CANCELLED")
    assert await shop.journal(order) == before
    assert len(await shop.children(order)) == 1


async def test_a_shipment_that_has_not_left_is_called_off_first(shop: Shop) -> None:
    order = await send(shop, "not-yet-left")

    run = run_of(await shop.cancel(order))

    assert (await shop.ends(run))["status"] == "COMPLETED"
    assert attempts(await shop.journal(run)) == succeeded(*WITH_SHIPMENT)
    assert (await shop.get(order))["status"] == "CANCELLED"
    assert await shop.stands(order) == {"notifications.notifications": 2}
    messages = f"{shop.stack.participants['notifications']}/notifications?order_id={order}"
    assert [m["template"] for m in (await shop.call("GET", messages)).json["notifications"]] == [
        "shipment_scheduled",
        "order_cancelled",
    ]


async def test_a_shipped_order_stands_whatever_is_asked(shop: Shop, tmp_path: Path) -> None:
    order = await send(shop, "shipped")
    await hand_over(shop, order)

    run = run_of(await shop.cancel(order))

    shown = await shop.ends(run)
    assert (shown["status"], attempts(await shop.journal(run))) == ("FAILED", ["check_cancellable rejected"])
    assert (await shop.get(order))["status"] == "COMPLETED"
    assert await shop.stands(order) == TOLD
    again = await shop.cancel(order)
    assert again.status == 409
    assert "the goods have left" in again.json["detail"]
    assert len(await shop.children(order)) == 1
    # An operator may have reason to think that they came back, and has the shipping service asked once more.
    asked = ["ledger", "cancel", order, "--reason", "the parcel came back", "--actor", "ann"]
    told = saga(*asked, cwd=tmp_path, SAGA_DATABASE_URL=shop.stack.databases["ledger"])
    assert told.returncode == 0, told.stderr
    assert (await shop.ends(shop.id_of(f"retry:1:cancel:{order}")))["status"] == "FAILED"


async def test_goods_that_leave_while_the_order_is_being_cancelled_stay_sold(shop: Shop) -> None:
    order = await send(shop, "leaves-meanwhile")
    await shop.delay("shipping", 0, "/shipments")  # for the check
    await shop.delay("shipping", 800, "/shipments")
    run = run_of(await shop.cancel(order))
    await shop.on_its_way(run, "cancel_shipment")
    await hand_over(shop, order)

    assert (await shop.ends(run))["status"] == "FAILED"

    assert attempts(await shop.journal(run)) == ["check_cancellable succeeded", "cancel_shipment rejected"]
    assert (await shop.get(order))["status"] == "COMPLETED"
    assert await shop.stands(order) == TOLD


async def test_a_cancellation_that_nobody_could_decide_on_is_tried_anew_when_it_is_asked_for_again(shop: Shop) -> None:
    order = await send(shop, "undecided")
    await shop.fail("shipping", "error", "/shipments", 5)
    first = run_of(await shop.cancel(order))
    assert (await shop.ends(first))["status"] == "FAILED"
    assert attempts(await shop.journal(first)) == ["check_cancellable unknown"] * 5

    second = run_of(await shop.cancel(order))

    assert second == shop.id_of(f"retry:1:cancel:{order}")
    assert (await shop.ends(second))["status"] == "COMPLETED"
    assert (await shop.get(order))["status"] == "CANCELLED"


@pytest.mark.parametrize("mode", ["error_after", "drop_after", "garbage"])
@pytest.mark.parametrize(
    ("participant", "path", "step"),
    [
        ("payments", "/payments/refund", "refund_payment"),
        ("inventory", "/inventory/reservations", "release_inventory"),
        ("orders", "/cancel", "mark_cancelled"),
    ],
)
async def test_what_was_taken_back_while_its_answer_was_lost_is_taken_back_once(
    shop: Shop, participant: str, path: str, step: str, mode: str
) -> None:
    order = await complete(shop, f"lost-{step}-{mode}")
    await shop.fail(participant, mode, path)

    run = run_of(await shop.cancel(order))

    assert (await shop.ends(run))["status"] == "COMPLETED"
    assert attempts(await shop.journal(run)) == after_one_unknown(step)
    assert (await shop.get(order))["status"] == "CANCELLED"
    assert await shop.stands(order) == NOTICE


async def test_a_participant_that_answers_too_late_is_taken_at_its_first_word(shop: Shop) -> None:
    order = await complete(shop, "slow-refund")
    await shop.delay("payments", 1_600, "/payments/refund")

    run = run_of(await shop.cancel(order))

    assert (await shop.ends(run))["status"] == "COMPLETED"
    assert attempts(await shop.journal(run)) == ["refund_payment unknown", *succeeded(*STEPS)]
    assert await shop.stands(order) == NOTICE


async def test_a_shipment_that_is_called_off_too_slowly_is_called_off_once(shop: Shop) -> None:
    order = await send(shop, "slow-to-call-off")
    await shop.delay("shipping", 0, "/shipments")  # for the check
    await shop.delay("shipping", 1_600, "/shipments")

    run = run_of(await shop.cancel(order))

    assert (await shop.ends(run))["status"] == "COMPLETED"
    assert attempts(await shop.journal(run))[:3] == [
        "check_cancellable succeeded",
        "cancel_shipment unknown",
        "cancel_shipment succeeded",
    ]
    assert [e.kind for e in await shop.effects(order) if e.participant == "shipping"] == [
        "shipment_scheduled",
        "shipment_cancelled",
    ]


async def test_a_customer_who_can_not_be_told_gets_the_money_back_all_the_same(shop: Shop) -> None:
    order = await complete(shop, "untold")
    await shop.fail("notifications", "reject", "/notifications")

    run = run_of(await shop.cancel(order))

    shown = await shop.ends(run)
    assert shown["status"] == "COMPLETED"
    assert {step["name"]: step["state"] for step in shown["steps"]}["send_cancellation_notice"] == "skipped"
    assert await shop.stands(order) == {}


async def test_a_refund_that_is_refused_leaves_the_order_as_it_was(shop: Shop) -> None:
    order = await complete(shop, "no-refund")
    await shop.fail("payments", "reject", "/payments/refund")

    run = run_of(await shop.cancel(order))

    assert (await shop.ends(run))["status"] == "FAILED"
    assert (await shop.get(order))["status"] == "COMPLETED"
    assert await shop.stands(order) == STANDS


async def test_what_can_not_go_on_after_something_was_taken_back_waits_for_an_operator(shop: Shop, tmp_path: Path) -> None:
    order = await send(shop, "half-way")
    await shop.fail("payments", "reject", "/payments/refund")
    run = run_of(await shop.cancel(order))

    async def stuck() -> None:
        assert (await shop.row(run))["status"] == "STUCK"

    await eventually(stuck)
    assert (await shop.get(order))["status"] == "COMPLETED"
    assert run_of(await shop.cancel(order)) == run, "asked for again it is the same one"

    asked = ["ledger", "retry", run, "--reason", "the bank is mended", "--actor", "ann"]
    told = saga(*asked, cwd=tmp_path, SAGA_DATABASE_URL=shop.stack.databases["ledger"])

    assert told.returncode == 0, told.stderr
    assert (await shop.ends(run))["status"] == "COMPLETED"
    assert (await shop.get(order))["status"] == "CANCELLED"
    assert await shop.stands(order) == {"notifications.notifications": 2}


@pytest.mark.parametrize(
    ("participant", "path", "step"),
    [
        ("payments", "/payments/refund", "refund_payment"),
        ("inventory", "/inventory/reservations", "release_inventory"),
        ("notifications", "/notifications", "send_cancellation_notice"),
        ("orders", "/cancel", "mark_cancelled"),
    ],
)
async def test_a_replica_that_dies_in_a_call_leaves_it_to_another(shop: Shop, participant: str, path: str, step: str) -> None:
    order = await complete(shop, f"killed-in-{step}")
    await shop.delay(participant, 1_000, path)
    run = run_of(await shop.cancel(order))
    replica = await shop.holder(run, step)

    async with watched(shop, order, run) as seen:
        replica.kill()
        assert (await shop.ends(run, 30))["status"] == "COMPLETED"
        await eventually(lambda: _has_ended(seen))

    assert attempts(await shop.journal(run)) == after_one_unknown(step)
    assert await shop.stands(order) == NOTICE
    assert seen <= {("RUNNING", "COMPLETED"), ("COMPLETED", "CANCELLED")}


async def test_ten_who_cancel_at_once_get_one_cancellation(shop: Shop) -> None:
    order = await complete(shop, "all-at-once")

    answers = await asyncio.gather(*(shop.cancel(order) for _ in range(10)))

    # Who asks when it is done already is told so.
    runs = {run_of(answer) for answer in answers if answer.status != 200}
    assert runs == {shop.id_of(f"cancel:{order}")}
    assert (await shop.ends(*runs))["status"] == "COMPLETED"
    assert len(await shop.children(order)) == 1
    assert await shop.stands(order) == NOTICE


async def test_the_two_ends_are_seen_together_or_not_at_all(shop: Shop) -> None:
    orders = [await complete(shop, f"together-{number}") for number in range(5)]
    for order in orders:
        run = run_of(await shop.cancel(order))
        async with watched(shop, order, run) as seen:
            await shop.ends(run)
            await eventually(lambda: _has_ended(seen))
        assert {pair for pair in seen if "COMPLETED" in pair[0] or "CANCELLED" in pair[1]} == {("COMPLETED", "CANCELLED")}


def _has_ended(seen: set[tuple[str, str]]) -> None:
    assert ("COMPLETED", "CANCELLED") in seen, seen


@pytest.mark.parametrize(
    ("placed_by", "steps"),
    [
        ("checkout_tcc", ["refund_payment", "release_inventory", "send_cancellation_notice"]),
        ("place_unpaid_order", ["release_inventory", "send_cancellation_notice", "mark_cancelled"]),
    ],
)
async def test_what_another_saga_has_done_is_taken_back_as_well(shop: Shop, placed_by: str, steps: list[str]) -> None:
    available = await shop.available()
    order = await complete(shop, f"by-{placed_by}", saga=placed_by)

    run = run_of(await shop.cancel(order))

    assert (await shop.ends(run))["status"] == "COMPLETED"
    assert attempts(await shop.journal(run)) == succeeded(*steps)
    assert (await shop.get(order))["status"] == "CANCELLED"
    assert await shop.stands(order) == NOTICE
    assert await shop.available() == available


async def pay(shop: Shop, order: str, key: str) -> Answer:
    url = f"{shop.stack.edge_urls[0]}/orders/{order}/pay"
    return await shop.call("POST", url, {}, **{"Idempotency-Key": key})


async def test_what_was_paid_later_is_given_back(shop: Shop) -> None:
    order = await complete(shop, "paid-later", saga="place_unpaid_order")
    payment = await pay(shop, order, "the-payment")
    assert (await shop.ends(payment.order))["status"] == "COMPLETED"
    assert await shop.stands(order) == STANDS

    run = run_of(await shop.cancel(order))

    assert (await shop.ends(run))["status"] == "COMPLETED"
    assert attempts(await shop.journal(run)) == succeeded(*STEPS)
    assert await shop.stands(order) == NOTICE
    assert (await pay(shop, order, "too-late")).status == 409


async def test_an_order_is_not_cancelled_while_it_is_being_paid_for(shop: Shop) -> None:
    order = await complete(shop, "paid-meanwhile", saga="place_unpaid_order")
    await shop.delay("payments", 600, "/payments/try")
    payment = await pay(shop, order, "the-slow-payment")

    refused = await shop.cancel(order)

    assert refused.status == 409
    assert f"pay_order {payment.order}" in refused.json["detail"]
    assert (await shop.ends(payment.order))["status"] == "COMPLETED"
    assert (await shop.ends(run_of(await shop.cancel(order))))["status"] == "COMPLETED"
    assert await shop.stands(order) == NOTICE


async def test_a_cancel_at_whatever_moment_leaves_nothing_standing(shop: Shop) -> None:
    async def cancelled_after(entries: int) -> tuple[str, int]:
        order = await shop.place(f"after-{entries}")

        async def look() -> None:
            assert len(await shop.journal(order)) >= entries

        await eventually(look)
        answer = await shop.cancel(order)
        assert answer.status in (200, 202), answer
        if "cancellation" in answer.json["links"]:
            await shop.ends(run_of(answer))

        async def end() -> None:
            assert (await shop.row(order))["status"] == "CANCELLED"

        await eventually(end)
        return order, len(await shop.children(order))

    # A whole order has some dozen entries: the last ones are cancelled when it has completed, or just before.
    ended = await asyncio.gather(*(cancelled_after(entries) for entries in range(1, 13)))

    for order, children in ended:
        assert await shop.stands(order) == (NOTICE if children else {}), order
    assert {children for _, children in ended} == {0, 1}


async def test_a_cancellation_is_not_cancelled(shop: Shop) -> None:
    order = await complete(shop, "cancelled-for-good")
    run = run_of(await shop.cancel(order))
    await shop.ends(run)

    assert (await shop.cancel(run)).status == 409


async def test_what_would_be_taken_back_is_shown_to_operators_first(shop: Shop, tmp_path: Path) -> None:
    order = await complete(shop, "shown-first")
    asked = ["ledger", "cancel", order, "--reason", "recalled", "--actor", "ann", "--dry-run", "--json"]

    shown = saga(*asked, cwd=tmp_path, SAGA_DATABASE_URL=shop.stack.databases["ledger"])

    assert shown.returncode == 0, shown.stderr
    verdict = json.loads(shown.stdout)
    assert [call.split(":")[0] for call in verdict["calls"]] == STEPS
    assert verdict["irreversible"]
    assert await shop.children(order) == []
    assert (await shop.get(order))["status"] == "COMPLETED"
