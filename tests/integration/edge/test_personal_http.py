"""What a request says of a person: kept apart, compared and not hashed, in no answer, and erasable while its key is kept."""

import psycopg
import pytest

from sql import erasure
from tests.integration.edge.service import Edge, StartEdge

CANARY = "Canary Ann"
ADDRESS = {"name": CANARY, "lines": ["Canary Row 7"], "city": "Leeds", "country": "GB"}


@pytest.fixture
async def edge(start_edge: StartEdge, payments_url: str) -> Edge:
    return await start_edge(payments_url=payments_url)


async def finish_and_erase(edge: Edge) -> None:
    async with await psycopg.AsyncConnection.connect(edge.ledger_url, autocommit=True) as conn:
        await conn.execute("update order_ledger set status = 'COMPLETED', finished_at = now(), lease_owner = null")
        ids = [row["order_ledger_id"] for row in await edge.orders()]
        assert await erasure.erase_orders(conn, ids, actor="ann", reason="asked") == set(ids)


async def test_a_key_with_another_address_is_refused_and_after_erasing_it_is_a_repeat(edge: Edge) -> None:
    first = await edge.place(key="one", shipping_address=ADDRESS)
    moved = {**ADDRESS, "lines": ["Oak Row 8"]}

    other = await edge.place(key="one", shipping_address=moved)
    same = await edge.place(key="one", shipping_address=ADDRESS)
    none = await edge.place(key="one")

    assert (other.status, other.problem) == (422, "idempotency-key-reused")
    assert (none.status, none.problem) == (422, "idempotency-key-reused")
    assert (same.replayed, same.frozen) == (True, first.frozen)
    await finish_and_erase(edge)
    for address in (ADDRESS, moved):  # nobody knows any more what it was
        again = await edge.place(key="one", shipping_address=address)
        assert (again.replayed, again.frozen) == (True, first.frozen)
    assert (await edge.place(key="one", shipping_address=ADDRESS, currency="EUR")).problem == "idempotency-key-reused"
    assert (await edge.place(key="one")).problem == "idempotency-key-reused"


async def test_the_hash_of_a_request_tells_nobody_whether_a_guess_is_right(edge: Edge) -> None:
    for key, address in (("one", ADDRESS), ("two", {**ADDRESS, "name": "Somebody Else"})):
        await edge.place(key=key, shipping_address=address)

    one, two = await edge.orders()

    assert one["request_hash"] == two["request_hash"]


async def test_no_answer_shows_what_was_said_of_a_person(edge: Edge) -> None:
    placed = await edge.place(shipping_address=ADDRESS, payment_method="pm_canary")
    declined = await edge.place(shipping_address=ADDRESS, payment_method="pm_declined")
    wrong = await edge.place(shipping_address={**ADDRESS, "lines": [CANARY] * 9}, payment_method="x" * 200 + CANARY)
    paths = (f"/orders/{placed.id}", f"/orders/{placed.id}/journal", "/orders", "/events")
    shown = [placed, declined, wrong, *[await edge.get(path) for path in paths]]

    assert (declined.status, wrong.status) == (402, 422)
    assert not [reply.body for reply in shown if b"canary" in reply.body.lower()]
    (row, _) = await edge.orders()
    assert "anary" not in str(row)
