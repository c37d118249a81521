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


async def follow(shop: Shop, cursor: str, until: int) -> list[Json]:
    """Read until so many orders have ended, by turns from both edges."""
    seen: list[Json] = []
    turn = 0
    async with asyncio.timeout(30):
        while sum(event["type"] in ("OrderCompleted", "OrderFailed") for event in seen) < until:
            page = await read(shop, turn % 2, after=cursor, wait=5, limit=7)
            seen += page["events"]
            cursor = page["next_cursor"]
            turn += 1
    return seen


async def test_a_consumer_reads_an_orders_story_in_order(shop: Shop) -> None:
    start = await end(shop)
    following = asyncio.create_task(follow(shop, start, until=1))

    order = await shop.place("feed-one")
    seen = await following

    assert {event["order_ledger_id"] for event in seen} == {order}
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
    following = [asyncio.create_task(follow(shop, start, until=ORDERS)) for _ in range(3)]

    orders = await asyncio.gather(*(shop.place(f"feed-many-{number}") for number in range(ORDERS)))
    for order in orders:
        await shop.ends(order)
    first, *others = await asyncio.gather(*following)

    ids = [event["id"] for event in first]
    assert len(set(ids)) == len(ids)
    for other in others:
        # One may have been handed more of the last page than the other asked for.
        shorter = min(len(first), len(other))
        assert other[:shorter] == first[:shorter]
    for order in orders:
        story = [event for event in first if event["order_ledger_id"] == order]
        assert [event["seq"] for event in story] == sorted(event["seq"] for event in story)
        assert (story[0]["type"], story[-1]["type"]) == ("OrderReceived", "OrderCompleted")
        assert len(story) == 7
    assert (await read(shop, 0, "rival", after=theirs))["events"] == []
