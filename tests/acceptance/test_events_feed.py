"""The feed by real processes: what orchestrators and edges write together, consumers read in order, from whatever edge."""

import asyncio
from typing import Any

import pytest

from orchestrator.events import CATALOGUE, read_event
from tests.acceptance.stack_shop import Json, Shop

pytestmark = pytest.mark.acceptance
ORDERS = 12


async def read(shop: Shop, edge: int, client: str = "shop", **query: Any) -> Json:
    asked = "&".join(f"{name}={value}" for name, value in query.items())
    answer = await shop.call("GET", f"{shop.stack.edge_urls[edge]}/events?{asked}", client=client)
    assert answer.status == 200, answer
    return answer.json


async def end(shop: Shop, client: str = "shop") -> str:
    page = await read(shop, 0, client, limit=1000)
    while page["has_more"]:
        page = await read(shop, 0, client, after=page["next_cursor"], limit=1000)
    return str(page["next_cursor"])


async def follow(shop: Shop, cursor: str, orders: list[str]) -> list[Json]:
    """Read by turns from both edges until these orders are completed; what was told of them."""
    seen: list[Json] = []
    turn = 0
    async with asyncio.timeout(30):
        while sum(event["type"] == "OrderCompleted" for event in seen) < len(orders):
            page = await read(shop, turn % 2, after=cursor, wait=5, limit=7)
            seen += [event for event in page["events"] if event["order_ledger_id"] in orders]
            cursor = page["next_cursor"]
            turn += 1
    return seen


async def test_a_consumer_reads_an_orders_story_in_order(shop: Shop) -> None:
    start = await end(shop)
    following = asyncio.create_task(follow(shop, start, [shop.id_of("feed-one")]))

    await shop.place("feed-one")
    seen = await following

    assert [event["type"] for event in seen] == [
        "OrderReceived",
        "PaymentAuthorized",
        "OrderCreated",
        "StockReserved",
        "PaymentCaptured",
        "OrderConfirmed",
        "OrderCompleted",
    ]
    for event in seen:
        assert type(read_event(event)) is CATALOGUE[event["type"]]


async def test_consumers_of_many_orders_at_once_miss_nothing_and_see_the_same(shop: Shop) -> None:
    start, theirs = await end(shop), await end(shop, "rival")
    keys = [f"feed-many-{number}" for number in range(ORDERS)]
    orders = [shop.id_of(key) for key in keys]
    following = [asyncio.create_task(follow(shop, start, orders)) for _ in range(3)]

    assert await asyncio.gather(*(shop.place(key) for key in keys)) == orders
    first, *others = await asyncio.gather(*following)

    ids = [event["id"] for event in first]
    assert len(set(ids)) == len(ids)
    for other in others:
        assert other == first
    for order in orders:
        story = [event for event in first if event["order_ledger_id"] == order]
        assert [event["seq"] for event in story] == sorted(event["seq"] for event in story)
        assert (story[0]["type"], story[-1]["type"]) == ("OrderReceived", "OrderCompleted")
        assert len(story) == 7
    seen = (await read(shop, 0, "rival", after=theirs, limit=1000))["events"]
    assert not {event["order_ledger_id"] for event in seen} & set(orders)
