"""The operators' page while its connection is away, and afterwards."""

import asyncio
from typing import Any

import aiohttp
import pytest
from playwright.async_api import Browser, expect

from tests.acceptance.browser.room import AWAY, TOKEN, open_room
from tests.acceptance.browser.scene import slowly
from tests.acceptance.stack import Process, Stack
from tests.acceptance.stack_shop import Shop

LIMIT_S = 20.0
pytestmark = [pytest.mark.acceptance, pytest.mark.asyncio(loop_scope="session")]


async def test_while_nothing_comes_nothing_is_called_live_and_a_view_opened_then_comes_by_itself(
    browser: Browser, edge: Process, shop: Shop
) -> None:
    await shop.ends(await shop.place("before-nothing-comes"))
    async with open_room(browser, edge.admin_url) as room:
        await room.enter("#/overview")
        page = room.page
        live, stale = page.locator("#live"), page.locator("#stale")
        await expect(live).to_have_text("live")
        with edge.frozen():
            await expect(stale).to_contain_text("Ledger: stale since")
            await expect(stale).to_contain_text("Changes: stale since")
            await expect(live).to_have_text("stale")
            await page.get_by_role("link", name="Definitions").click()
            await expect(page.get_by_role("table", name="Sagas")).to_contain_text("Loading")
        await expect(page.get_by_role("table", name="Sagas")).to_contain_text("place_order")
        await expect(stale).to_be_empty()
        await expect(live).to_have_text("live")

        await page.context.set_offline(True)
        await page.get_by_role("link", name="Breakers").click()
        await expect(stale).to_contain_text("Breakers: not known yet (this edge can't be reached)")
        await page.context.set_offline(False)
        await expect(page.get_by_role("row", name="payments")).to_be_visible()
        await expect(live).to_have_text("live")
        room.forgive(f"{AWAY}|ERR_INTERNET_DISCONNECTED")


async def test_while_the_connection_is_away_it_says_so_and_then_nothing_is_missed(
    browser: Browser, edge: Process, stack: Stack, shop: Shop
) -> None:
    async with open_room(browser, edge.admin_url) as room:
        await room.enter("#/orders")
        page = room.page
        await expect(page.locator("#live")).to_have_text("live")
        await slowly(shop)
        ends_meanwhile = await shop.place("ends-while-away")
        await page.get_by_role("button", name="new order").click()
        await expect(room.row(ends_meanwhile)).to_contain_text("RUNNING")
        await room.mark()

        edge.kill()
        await expect(page.locator("#stale")).to_contain_text("stale since")
        assert await room.accessible("stale") == []
        placed_meanwhile = await shop.place("placed-while-away")
        await shop.ends(placed_meanwhile)
        await shop.ends(ends_meanwhile)
        again = stack.add_edge(like=edge, SAGA_ADMIN_TOKEN=TOKEN)
        await expect(page.locator("#stale")).to_be_empty()
        await expect(room.row(ends_meanwhile)).to_contain_text("COMPLETED")
        await page.get_by_role("button", name="new order").click()
        await expect(room.row(placed_meanwhile)).to_contain_text("COMPLETED")

        assert await room.is_marked()
        ended = {message["order_ledger_id"] for message in room.told if message["status"] == "COMPLETED"}
        assert ended >= {ends_meanwhile, placed_meanwhile}
        assert room.told[1:] == await told_elsewhere(stack, after=room.told[0]["seq"], until=room.told[-1]["seq"])
        room.forgive(AWAY)
        again.stop()


async def told_elsewhere(stack: Stack, *, after: int, until: int) -> list[dict[str, Any]]:
    """Return what another edge tells of the same time, to somebody whose connection was never away."""
    told: list[dict[str, Any]] = []
    async with (
        asyncio.timeout(LIMIT_S),
        aiohttp.ClientSession() as session,
        session.ws_connect(f"{stack.admin_urls[0]}/stream?after={after}") as socket,
    ):
        while not told or told[-1]["seq"] < until:
            told.append(await socket.receive_json())
    return told
