"""Streams by real processes: what orchestrators and edges write together is followed live, from edge to edge, without a gap."""

import asyncio
import json
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest

from tests.acceptance.stack import CLIENTS
from tests.acceptance.stack_shop import Json, Shop

pytestmark = pytest.mark.acceptance
ORDERS = 10


@asynccontextmanager
async def following(url: str, path: str) -> Any:
    """Open a stream as a client of the shop does, which is an operator where nobody is asked."""
    headers = {"Authorization": f"Bearer {CLIENTS['shop']}"}
    async with (
        aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=60)) as session,
        session.ws_connect(url + path, headers=headers) as socket,
    ):
        yield socket


async def take_until(socket: Any, orders: set[str], seen: list[Json], most: int | None = None) -> None:
    """Read until all these orders have finished, as the stream tells it, or so many changes have come."""
    async with asyncio.timeout(60):
        while (most is None or len(seen) < most) and {
            m["order_ledger_id"] for m in seen if m["status"] == "COMPLETED"
        } != orders:
            message = json.loads(await socket.receive_str())
            if message["order_ledger_id"] in orders:
                seen.append(message)


def steps(messages: list[Json]) -> list[tuple[str, str]]:
    return [(message["step"], message["state"]) for message in messages if message["step"]]


async def test_an_order_is_followed_from_its_first_entry_to_its_end(shop: Shop) -> None:
    await shop.fail("inventory", "error", "/inventory/reservations")
    order = await shop.place("followed-one")

    seen: list[Json] = []
    async with following(shop.stack.edge_urls[1], f"/orders/{order}/stream") as socket:
        async with asyncio.timeout(30):
            async for message in socket:
                seen.append(json.loads(message.data))
        assert socket.close_code == 1000

    entries = await shop.journal(order)
    assert [message["seq"] for message in seen] == [entry["seq"] for entry in entries]
    assert [message["status"] for message in seen if not message["step"]] == ["PENDING", "RUNNING", "COMPLETED"]
    reserved = [state for step, state in steps(seen) if step == "reserve_inventory"]
    assert reserved == ["running", "unknown", "running", "succeeded"]
    shown = await shop.get(order)
    assert dict(steps(seen)) == {step["name"]: step["state"] for step in shown["steps"]}
    assert seen[-1]["status"] == shown["status"] == "COMPLETED"


async def test_all_orders_are_followed_through_the_death_of_an_edge_and_everybody_sees_the_same(shop: Shop) -> None:
    first, second = shop.stack.edges
    keys = [f"followed-many-{number}" for number in range(ORDERS)]
    orders = {shop.id_of(key) for key in keys}
    moved: list[Json] = []
    stayed: list[Json] = []

    async def place() -> None:
        for key in keys:
            await shop.place(key, edge=1)

    async with following(second.admin_url, "/stream") as staying:
        placing = asyncio.create_task(place())
        watching = asyncio.create_task(take_until(staying, orders, stayed))
        async with following(first.admin_url, "/stream") as leaving:
            await take_until(leaving, orders, moved, most=25)
            first.kill()
        async with following(second.admin_url, f"/stream?after={moved[-1]['seq']}") as resumed:
            await take_until(resumed, orders, moved)
        await asyncio.gather(placing, watching)

    assert moved == stayed[-len(moved) :]
    for order in orders:
        own = [message for message in stayed if message["order_ledger_id"] == order]
        assert len(own) == len(await shop.journal(order))
        assert own[-1]["status"] == "COMPLETED"
