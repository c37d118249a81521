"""What the inventory service promises."""

import asyncio
import random
from typing import Any

import pytest

from tests.integration.participants.service import Participant, waiting_for_a_lock

RESERVE = {"order_id": "o1", "lines": [{"sku": "mug", "quantity": 2}, {"sku": "lamp", "quantity": 1}]}

STOCK_IS_CONSERVED = """
select sku from stock
left join (select sku, sum(quantity) as moved from stock_movement group by sku) movement using (sku)
left join (select sku, sum(quantity) as held from reservation_line join reservation using (order_id)
           where status = 'held' group by sku) line using (sku)
where on_hand <> coalesce(moved, 0) or reserved <> coalesce(held, 0)
"""


@pytest.fixture(autouse=True)
async def stocked(inventory: Participant) -> None:
    for sku in ("mug", "lamp"):
        product = {"sku": sku, "name": sku.title(), "initial_stock": 10}
        assert (await inventory.post("/inventory/products", product)).status == 201


async def available(inventory: Participant, sku: str) -> int:
    return int((await inventory.get(f"/inventory/products/{sku}/availability")).json["available"])


async def test_stock_is_held_and_given_back(inventory: Participant) -> None:
    held = await inventory.post("/inventory/reservations", RESERVE)
    assert await available(inventory, "mug") == 8
    assert await inventory.balance("o1") == {"reserved": 3}
    released = await inventory.delete("/inventory/reservations/o1")

    assert (held.status, held.json) == (201, {"order_id": "o1", "status": "held"})
    assert (released.status, released.json) == (200, {"order_id": "o1", "status": "released"})
    assert await available(inventory, "mug") == 10
    assert await inventory.kinds() == ["stock_reserved", "stock_released"]
    assert await inventory.balance() == {}


async def test_lines_of_one_product_are_added_up(inventory: Participant) -> None:
    lines = [{"sku": "mug", "quantity": 6}, {"sku": "mug", "quantity": 5}]

    refused = await inventory.post("/inventory/reservations", {"order_id": "o1", "lines": lines})

    assert refused.status == 422
    assert refused.json["lines"] == [{"sku": "mug", "requested": 11, "available": 10, "reason": "insufficient-stock"}]


async def test_all_lines_are_held_or_none(inventory: Participant) -> None:
    lines = [
        {"sku": "mug", "quantity": 1},
        {"sku": "lamp", "quantity": 11},
        {"sku": "moon", "quantity": 1},
    ]

    refused = await inventory.post("/inventory/reservations", {"order_id": "o1", "lines": lines}, key="k")
    served = await inventory.post("/inventory/reservations", RESERVE, key="k")

    assert (refused.status, refused.problem) == (422, "out-of-stock")
    assert refused.json["lines"] == [
        {"sku": "lamp", "requested": 11, "available": 10, "reason": "insufficient-stock"},
        {"sku": "moon", "requested": 1, "available": 0, "reason": "unknown-sku"},
    ]
    assert served.status == 201, "a refusal leaves no fence behind"
    assert await inventory.kinds() == ["stock_reserved"]


async def test_a_repeat_gives_the_stored_answer_byte_for_byte(inventory: Participant) -> None:
    first = await inventory.post("/inventory/reservations", RESERVE, key="k")
    again = await inventory.post("/inventory/reservations", RESERVE, key="k")
    released = await inventory.delete("/inventory/reservations/o1", key="r")
    released_again = await inventory.delete("/inventory/reservations/o1", key="r")

    assert again.replayed
    assert (again.status, again.body) == (first.status, first.body)
    assert released_again.replayed
    assert (released_again.status, released_again.body) == (released.status, released.body)
    assert len(await inventory.effects()) == 2


async def test_twenty_duplicates_at_once_hold_once(inventory: Participant) -> None:
    answers = await asyncio.gather(*(inventory.post("/inventory/reservations", RESERVE, key="k") for _ in range(20)))

    assert {(answer.status, answer.body) for answer in answers} == {(201, answers[0].body)}
    assert await inventory.balance() == {"reserved": 3}


async def test_other_lines_under_the_same_key_are_refused(inventory: Participant) -> None:
    await inventory.post("/inventory/reservations", RESERVE, key="k")

    other = await inventory.post(
        "/inventory/reservations", {"order_id": "o1", "lines": [{"sku": "mug", "quantity": 1}]}, key="k"
    )

    assert (other.status, other.problem) == (422, "key-reused")


async def test_release_first_refuses_the_late_reservation(inventory: Participant) -> None:
    released = await inventory.delete("/inventory/reservations/o1")
    late = await inventory.post("/inventory/reservations", RESERVE)

    assert released.status == 200
    assert (late.status, late.problem) == (409, "fenced")
    assert await inventory.effects() == []
    assert await available(inventory, "mug") == 10


async def test_a_release_waits_for_the_reservation_in_flight(inventory: Participant) -> None:
    async with await inventory.connect() as blocker:
        await blocker.execute("select from stock for update")
        reserve = asyncio.create_task(inventory.post("/inventory/reservations", RESERVE))
        await waiting_for_a_lock(inventory)
        release = asyncio.create_task(inventory.delete("/inventory/reservations/o1"))
        await waiting_for_a_lock(inventory, 2)
        assert not release.done()

    assert (await reserve).status == 201
    assert (await release).status == 200
    assert await inventory.kinds() == ["stock_reserved", "stock_released"]
    assert await inventory.rows(STOCK_IS_CONSERVED) == []


async def test_twenty_releases_at_once_give_back_once(inventory: Participant) -> None:
    await inventory.post("/inventory/reservations", RESERVE)

    answers = await asyncio.gather(*(inventory.delete("/inventory/reservations/o1", key=f"r{n}") for n in range(20)))

    assert {answer.status for answer in answers} == {200}
    assert await inventory.kinds() == ["stock_reserved", "stock_released"]


async def test_the_last_unit_is_held_once(inventory: Participant) -> None:
    await inventory.post("/inventory/products", {"sku": "last", "name": "Last", "initial_stock": 1})

    answers = await asyncio.gather(
        *(
            inventory.post("/inventory/reservations", {"order_id": f"o{n}", "lines": [{"sku": "last", "quantity": 1}]})
            for n in range(50)
        )
    )

    assert sorted(answer.status for answer in answers) == [201] + [422] * 49
    assert await available(inventory, "last") == 0


async def test_products_in_opposite_order_do_not_deadlock(inventory: Participant) -> None:
    await inventory.post("/inventory/products/mug/stock", {"quantity": 1000})
    await inventory.post("/inventory/products/lamp/stock", {"quantity": 1000})
    there = [{"sku": "mug", "quantity": 1}, {"sku": "lamp", "quantity": 1}]

    async def hold_and_release(number: int) -> None:
        lines = there if number % 2 else there[::-1]
        held = await inventory.post("/inventory/reservations", {"order_id": f"o{number}", "lines": lines})
        released = await inventory.delete(f"/inventory/reservations/o{number}")
        assert (held.status, released.status) == (201, 200)

    await asyncio.gather(*(hold_and_release(number) for number in range(100)))

    assert await inventory.rows("select deadlocks from pg_stat_database where datname = current_database()") == [
        {"deadlocks": 0}
    ]
    assert await inventory.rows(STOCK_IS_CONSERVED) == []


async def test_reservations_and_releases_in_any_order_leak_nothing(inventory: Participant) -> None:
    chance = random.Random(3)

    async def race(number: int) -> None:
        quantity = chance.randint(1, 4)
        body = {"order_id": f"o{number}", "lines": [{"sku": "mug", "quantity": quantity}]}

        async def later(method: str, path: str, json: Any, key: str) -> None:
            await asyncio.sleep(chance.random() * 0.02)
            answer = await inventory.call(method, path, json, key=key)
            assert answer.status in (200, 201, 409, 422), answer.body

        reserves = [later("POST", "/inventory/reservations", body, f"a{number}") for _ in range(chance.randint(1, 3))]
        releases = [
            later("DELETE", f"/inventory/reservations/o{number}", None, f"u{number}") for _ in range(chance.randint(1, 2))
        ]
        await asyncio.gather(*reserves, *releases)

    for batch in range(0, 400, 20):
        await asyncio.gather(*(race(number) for number in range(batch, batch + 20)))

    assert await inventory.balance() == {}
    assert await available(inventory, "mug") == 10
    assert await inventory.rows(STOCK_IS_CONSERVED) == []


async def test_adding_a_product_again_changes_nothing(inventory: Participant) -> None:
    await inventory.post("/inventory/products/mug/stock", {"quantity": 5})

    again = await inventory.post("/inventory/products", {"sku": "mug", "name": "Mug", "initial_stock": 10})
    other = await inventory.post("/inventory/products", {"sku": "mug", "name": "Mug", "initial_stock": 11})

    assert again.json == {"sku": "mug", "on_hand": 15, "reserved": 0, "available": 15}
    assert (other.status, other.problem) == (409, "product-exists")


async def test_a_receipt_counts_once_a_key(inventory: Participant) -> None:
    answers = await asyncio.gather(
        *(inventory.post("/inventory/products/mug/stock", {"quantity": 5}, key="k") for _ in range(10))
    )
    unknown = await inventory.post("/inventory/products/moon/stock", {"quantity": 5})
    elsewhere = await inventory.post("/inventory/products/lamp/stock", {"quantity": 5}, key="k")

    assert {answer.body for answer in answers} == {answers[0].body}
    assert answers[0].json == {"sku": "mug", "on_hand": 15, "reserved": 0, "available": 15}
    assert (unknown.status, unknown.problem) == (404, "unknown-sku")
    assert (elsewhere.status, elsewhere.problem) == (422, "key-reused")
    assert await inventory.rows(STOCK_IS_CONSERVED) == []


async def test_availability_of_an_unknown_product_is_not_found(inventory: Participant) -> None:
    unknown = await inventory.get("/inventory/products/moon/availability")

    assert (unknown.status, unknown.problem) == (404, "unknown-sku")


@pytest.mark.parametrize("quantity", [2**62, 2**63, 2**70, 1.5, "2", True, None])
async def test_quantities_that_are_none_are_refused(inventory: Participant, quantity: Any) -> None:
    line = {"sku": "mug", "quantity": quantity}

    refused = await inventory.post("/inventory/reservations", {"order_id": "o1", "lines": [line, line]})

    assert refused.status == (400 if quantity == 2**70 else 422)  # no JSON of ours has numbers beyond 64 bits
    assert await available(inventory, "mug") == 10
