"""One key, one order, one answer: however many ask at once, at whichever edge, and whoever dies in between."""

import asyncio
from collections import Counter

import aiohttp
import pytest

from tests.acceptance.stack_shop import ACTIONS, STANDS, Shop, attempts, eventually, succeeded

pytestmark = pytest.mark.acceptance


async def test_fifty_requests_with_one_key_at_two_edges_place_one_order(shop: Shop) -> None:
    await shop.delay("payments", 150, "/payments/authorize")

    answers = await asyncio.gather(*(shop.post("fifty", edge=number % 2) for number in range(50)))

    statuses = Counter(answer.status for answer in answers)
    assert set(statuses) <= {202, 409}, statuses
    assert statuses[202] >= 1
    assert {answer.order for answer in answers} == {shop.id_of("fifty")}
    assert all(answer.headers["Retry-After"] for answer in answers if answer.status == 409)
    await shop.ends(shop.id_of("fifty"))
    first = next(answer.body for answer in answers if answer.status == 202)
    repeats = await asyncio.gather(*(shop.post("fifty", edge=number % 2) for number in range(10)))
    assert {(again.status, again.body, again.headers["Idempotency-Replayed"]) for again in repeats} == {(202, first, "true")}
    assert attempts(await shop.journal(shop.id_of("fifty"))) == succeeded(*ACTIONS)
    assert await shop.stands(shop.id_of("fifty")) == STANDS


async def test_a_key_with_another_body_is_refused_and_changes_nothing(shop: Shop) -> None:
    order = await shop.place("one-body")
    await shop.ends(order)
    before = await shop.journal(order)

    answer = await shop.post("one-body", edge=1, currency="EUR")

    assert answer.status == 422
    assert await shop.journal(order) == before
    assert (await shop.get(order))["currency"] == "GBP"


async def test_a_key_of_another_client_is_another_order(shop: Shop) -> None:
    mine, theirs = await asyncio.gather(shop.post("common"), shop.post("common", client="rival"))

    assert (mine.status, theirs.status) == (202, 202)
    assert (mine.order, theirs.order) == (shop.id_of("common"), shop.id_of("common", "rival"))
    assert mine.order != theirs.order
    await shop.ends(mine.order)
    for order in (mine.order, theirs.order):
        await eventually(lambda order=order: _stands(shop, order))


async def test_an_order_whose_edge_was_killed_is_finished_and_its_key_finds_it(shop: Shop) -> None:
    order = shop.id_of("edge-killed")
    await shop.delay("payments", 600, "/payments/authorize")
    asking = asyncio.create_task(shop.post("edge-killed", edge=1))
    await shop.on_its_way(order, "authorize_payment")

    shop.stack.edges[1].kill()

    with pytest.raises(aiohttp.ClientError):
        await asking
    assert (await shop.post("edge-killed")).status == 409, "the dead edge's lease holds, its call may be on its way"
    assert (await shop.ends(order))["status"] == "COMPLETED"
    again = await shop.post("edge-killed")
    assert (again.status, again.order) == (202, order)
    assert (await shop.post("edge-killed")).body == again.body
    journal = await shop.journal(order)
    assert attempts(journal) == ["authorize_payment unknown", *succeeded(*ACTIONS)]
    assert [entry["step"] for entry in journal if entry["kind"] == "takeover"] == ["authorize_payment"]
    assert await shop.stands(order) == STANDS


async def _stands(shop: Shop, order: str) -> None:
    assert await shop.stands(order) == STANDS
