"""Every view of the operators' page, with something to show, and `/docs`: fit for everybody, and without anything personal."""

import os
import re
import time
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from playwright.async_api import Browser, expect

from tests.acceptance.browser.room import PHONE, REFUSED, WAYS, Room, open_room
from tests.acceptance.browser.scene import Scene, furnished
from tests.acceptance.canaries import PERSON, SECRET
from tests.acceptance.stack import Process, Stack
from tests.acceptance.stack_shop import Shop, eventually, open_shop

pytestmark = [pytest.mark.acceptance, pytest.mark.asyncio(loop_scope="session")]
WATCH_S = float(os.environ.get("SAGA_TEST_WATCH_S", "0"))
"""For how long the overview is watched at least; the README's picture of it is of a minute and a half."""


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def scene(stack: Stack) -> AsyncIterator[Scene]:
    stack.restore()
    async with open_shop(stack) as shop, furnished(shop) as made:
        yield made


def addresses(scene: Scene) -> dict[str, str]:
    """Every view, by what its picture is called."""
    return {
        "overview": "#/overview",
        "orders": "#/orders",
        "orders-filtered": "#/orders?status=STUCK",
        "order": f"#/orders/{scene.undone}",
        "order-stuck": f"#/orders/{scene.stuck}",
        "order-held": f"#/orders/{scene.held}",
        "stuck": "#/stuck",
        "dead-letters": "#/dead",
        "breakers": "#/breakers",
        "configuration": "#/configuration",
        "configuration-pending": "#/configuration/place_order",
        "definitions": "#/definitions",
        "definition": "#/definitions/deliver_order",
        "nowhere": "#/no-such-view",
    }


DIALOGS = (
    ("order-stuck", "Retry"),
    ("order-stuck", "Skip step"),
    ("order-stuck", "Resolve"),
    ("order-held", "Cancel"),
    ("dead-letters", "Replay all"),
    ("breakers", "Hold payments"),
    ("configuration-pending", "Set"),
    ("configuration-pending", "Apply"),
)
"""Views and the buttons that ask something."""


@pytest.mark.parametrize("way", WAYS)
async def test_every_view_can_be_used_by_everybody_and_shows_nothing_of_a_person(
    browser: Browser, edge: Process, scene: Scene, way: str
) -> None:
    """And asks nobody else, breaks no rule of its own policy, and says nothing to the console."""
    wrong: list[str] = []
    async with open_room(browser, edge.admin_url, **WAYS[way]) as room:
        await room.open()
        await expect(room.page.get_by_label("Admin token")).to_be_focused()
        wrong += await room.accessible("sign-in")
        room.forgive(REFUSED)
    async with open_room(browser, edge.admin_url, **WAYS[way]) as room:
        await room.enter()
        views = addresses(scene)
        for name, address in views.items():
            await room.show(address)
            wrong += await wrong_with(room, f"{name}-{way}")
        for name, button in DIALOGS:
            await room.show(views[name])
            await room.page.get_by_role("button", name=button, exact=True).click()
            dialog = room.page.get_by_role("dialog")
            await expect(dialog).to_be_visible()
            if await dialog.get_by_role("button", name="Preview").count():
                await dialog.get_by_label("Reason").fill("looked into it")
                await dialog.get_by_label("Actor").fill("ann")
                await dialog.get_by_role("button", name="Preview").click()
                await room.is_shown()
            wrong += await wrong_with(room, f"{name}-{button.lower().replace(' ', '-')}-{way}")
            await room.page.keyboard.press("Escape")
            await expect(dialog).to_have_count(0)
    assert not wrong, "\n".join(wrong)


@pytest.mark.usefixtures("scene")
async def test_the_overview_plots_what_happens_while_it_is_looked_at(room: Room, shop: Shop) -> None:
    await room.show("#/overview")
    await room.mark()
    rate = room.page.get_by_role("img", name=re.compile(r"^In: .* between .* and "))
    placed = 0
    began = time.monotonic()

    async def plotted() -> None:
        nonlocal placed
        placed += 1
        if placed % 9 == 0:
            await shop.fail("inventory", "reject", "/inventory/reservations")
        await shop.ends(await shop.place(f"watched-{placed}", customer_id=f"{17000 + placed}"))
        assert await rate.count() == 1
        assert time.monotonic() - began >= WATCH_S

    await eventually(plotted, WATCH_S + 30)
    assert await room.is_marked(), "the page was loaded anew"
    await expect(room.page.get_by_role("link", name="orders are STUCK")).to_be_visible()
    await room.picture("overview-watched")


async def wrong_with(room: Room, name: str) -> list[str]:
    """Take a picture of what is shown, and return what is wrong with it, one sentence each."""
    await room.picture(name)
    wrong = await room.accessible(name)
    wrong += [f"{name}: wider than the window by {wide} px"] if (wide := await room.wide()) > 0 else []
    shown = await room.page.content()
    wrong += [f"{name}: shows {mark}" for mark in (PERSON, SECRET) if mark in shown]
    wrong += [f"{name}: {said}" for said in room.complaints]
    room.complaints.clear()
    return wrong


async def test_the_documentation_can_be_read_by_everybody_and_asks_for_nothing_more(browser: Browser, edge: Process) -> None:
    async with open_room(browser, edge.url, **WAYS["light"]) as room:
        asked: list[str] = []
        room.page.on("request", lambda request: asked.append(request.url))
        await room.page.goto(f"{edge.url}/docs")
        await expect(room.page.locator("h1")).to_be_visible()
        wrong = await wrong_with(room, "docs-light")
        # It is long: what is folded and the other scheme are looked at in one part of it.
        await room.page.locator("details").evaluate_all("(all) => all.forEach((each) => { each.open = true; })")
        for scheme in ("light", "dark"):
            await room.page.emulate_media(color_scheme=scheme)
            wrong += await room.accessible(f"docs, unfolded, {scheme}", "article:first-of-type")
        await room.page.set_viewport_size(PHONE)
        assert not wrong, "\n".join(wrong)
        assert await room.wide() <= 0
        assert asked == [f"{edge.url}/docs"]


async def test_the_documentation_is_read_by_keyboard_and_its_contents_lead_to_what_they_name(
    browser: Browser, edge: Process
) -> None:
    async with open_room(browser, edge.url) as room:
        page, target = room.page, room.page.locator(":target")
        await page.goto(f"{edge.url}/docs")
        await page.keyboard.press("Tab")
        await expect(page.locator("a:focus")).to_contain_text("Skip")
        await page.keyboard.press("Enter")
        await expect(target).to_be_in_viewport()
        await page.goto(f"{edge.url}/docs")
        await room.tab_to(page.locator("a[href^='#']", has_text="/orders").first)
        await page.keyboard.press("Enter")
        await expect(target).to_be_in_viewport()
        summary = page.locator("article", has=target).locator("summary").first
        await room.tab_to(summary)
        await page.keyboard.press("Enter")
        assert await summary.evaluate("(element) => element.parentElement.open")
        links = "a[href^='#']"
        broken = "(links) => links.filter((link) => !document.getElementById(link.hash.slice(1))).map(String)"
        assert await page.locator(links).evaluate_all(broken) == []
