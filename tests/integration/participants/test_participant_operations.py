"""Whether an operation was done can be asked by its key, without doing anything."""

import asyncio
import re
from typing import Any

import psycopg
import pytest

from participants.contracts import Endpoint, OperationRef, inventory, notifications, orders, payments, probe_of, shipping
from participants.idempotency import FIND_OPERATION
from tests.integration.participants.service import Participant, Reply, StartParticipant, waiting_for_a_lock

O = "22222222-2222-8222-8222-222222222222"  # noqa: E741
REF = {"authorization_id": "a", "order_id": O}
AUTHORIZE = {**REF, "amount_minor": 1500, "currency": "GBP", "payment_method": "pm_card"}
RESERVE = {"order_id": O, "lines": [{"sku": "mug", "quantity": 2}]}
ORDER = {
    "order_ledger_id": O,
    "customer_id": "17850",
    "currency": "GBP",
    "total_minor": 5,
    "lines": [{"sku": "mug", "quantity": 1, "unit_price_minor": 5}],
}
MUG = {"sku": "mug", "name": "Mug", "initial_stock": 10}


async def ask(participant: Participant, key: str) -> Reply:
    probe = probe_of(payments.authorize)
    return await participant.get(probe.url_path(OperationRef(operation_key=key)))


@pytest.mark.parametrize(
    ("operation", "body"),
    [
        (orders.put_customer, {"customer_id": "c"}),
        (orders.create, ORDER),
        (inventory.add_product, MUG),
        (payments.authorize, AUTHORIZE),
        (shipping.schedule, {"shipment_id": "s", "order_id": O}),
        (notifications.send, {"notification_id": "n", "order_id": O, "customer_id": "c", "template": "t"}),
    ],
    ids=lambda value: f"{value.participant}-{value.path}" if isinstance(value, Endpoint) else "",
)
async def test_what_was_done_is_told_with_its_stored_answer(
    start: StartParticipant, operation: Endpoint[Any, Any], body: dict[str, object]
) -> None:
    participant = await start(operation.participant)
    key = f"{O}:step:action"

    before = await ask(participant, key)
    done = await participant.call(operation.method, operation.path, body, key=key)
    after = await ask(participant, key)

    assert (before.status, before.problem) == (404, "operation-not-found")
    assert done.status == 201
    assert (after.status, after.body) == (200, done.body)
    probe_of(operation).response.model_validate_json(after.body)


async def test_a_compensation_is_told_too(payments: Participant) -> None:
    await payments.post("/payments/authorize", AUTHORIZE, key=f"{O}:pay:action")
    voided = await payments.post("/payments/void/a", REF, key=f"{O}:pay:compensation")

    assert (await ask(payments, f"{O}:pay:compensation")).body == voided.body
    assert (await ask(payments, f"{O}:pay:action")).json["status"] == "authorized", "it was done, though undone since"


async def test_asking_does_nothing(payments: Participant) -> None:
    await ask(payments, f"{O}:pay:action")

    assert await payments.rows("select * from fence") == []
    assert (await payments.post("/payments/authorize", AUTHORIZE, key=f"{O}:pay:action")).status == 201


async def test_what_is_in_flight_was_not_done_yet(inventory: Participant) -> None:
    await inventory.post("/inventory/products", MUG)
    async with await inventory.connect() as blocker:
        await blocker.execute("select from stock for update")
        reserve = asyncio.create_task(inventory.post("/inventory/reservations", RESERVE, key="k"))
        await waiting_for_a_lock(inventory)
        asked = await ask(inventory, "k")

    assert (asked.status, asked.problem) == (404, "operation-not-found")
    assert (await reserve).status == 201
    assert (await ask(inventory, "k")).status == 200


async def test_what_was_refused_was_not_done(inventory: Participant) -> None:
    assert (await inventory.post("/inventory/reservations", RESERVE, key="k")).status == 422

    assert (await ask(inventory, "k")).status == 404


async def test_what_was_undone_first_is_told_to_be_refused_for_ever(inventory: Participant) -> None:
    await inventory.delete(f"/inventory/reservations/{O}", key=f"{O}:reserve:compensation")

    asked = await ask(inventory, f"{O}:reserve:action")
    other = await ask(inventory, f"{O}:other:action")

    assert (asked.status, asked.problem) == (409, "fenced")
    assert (other.status, other.problem) == (404, "operation-not-found")


async def test_a_tombstone_beside_what_was_done_does_not_hide_it(orders: Participant) -> None:
    created = await orders.post("/orders", ORDER, key=f"{O}:create:action")
    await orders.put(f"/orders/{O}/cancel", key=f"{O}:create:compensation")  # leaves a tombstone on the confirmation

    assert (await ask(orders, f"{O}:create:action")).body == created.body


async def test_a_key_that_names_several_things_names_none(payments: Participant) -> None:
    for number in range(2):
        await payments.post(f"/payments/void/a{number}", key="k")

    assert (await ask(payments, "k")).status == 404


@pytest.mark.parametrize("key", ["a/b", "100%", "%2F", "?q=1#x", "a,b;c", "x" * 255])
async def test_a_key_with_the_signs_of_a_path_can_be_asked_for(shipping: Participant, key: str) -> None:
    done = await shipping.post("/shipments", {"shipment_id": "s", "order_id": O}, key=key)

    assert (await ask(shipping, key)).body == done.body


async def test_the_question_reads_no_whole_table(payments: Participant) -> None:
    async with await payments.connect() as connection:
        await connection.execute("set enable_seqscan = off")
        cursor = await connection.execute("explain " + FIND_OPERATION, {"key": "k", "undo_key": "u"})
        plan = str(await cursor.fetchall())

    assert "Seq Scan" not in plan
    assert {"fence_action_key", "fence_undo_key"} <= set(re.findall(r"fence_\w+", plan))


@pytest.mark.parametrize("name", ["orders", "inventory", "payments", "shipping", "notifications"])
async def test_no_fence_is_ever_removed(start: StartParticipant, name: str) -> None:
    participant = await start(name)

    for removal in ("delete from fence", "truncate fence"):
        with pytest.raises(psycopg.errors.RestrictViolation, match="rows of table fence are never removed"):
            await participant.rows(removal)
