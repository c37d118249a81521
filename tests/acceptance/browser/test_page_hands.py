"""The operators' page in use: who is let in, what stays when it is loaded anew, what can be done without a mouse."""

import pytest
from playwright.async_api import Browser, expect

from tests.acceptance.browser.room import REFUSED, TOKEN, Room, open_room
from tests.acceptance.browser.scene import stuck_order
from tests.acceptance.stack import CLIENTS, Process, Stack
from tests.acceptance.stack_shop import Shop

pytestmark = [pytest.mark.acceptance, pytest.mark.asyncio(loop_scope="session")]


async def test_the_token_is_asked_for_kept_in_its_tab_and_gone_when_signed_out(browser: Browser, edge: Process) -> None:
    async with open_room(browser, edge.admin_url) as room:
        page = room.page
        token, button = page.get_by_label("Admin token"), page.get_by_role("button", name="Sign in")
        await room.open()
        for wrong, said in (("wrong", "not a valid token"), (CLIENTS["shop"], "does not have the scope admin")):
            await token.fill(wrong)
            await button.click()
            await expect(page.get_by_role("alert").filter(has_text=said)).to_be_visible()
        await expect(page.get_by_text("Oldest unfinished")).to_have_count(0)

        await token.fill(TOKEN)
        await button.click()
        await expect(page.get_by_text("Oldest unfinished")).to_be_visible()
        kept = await page.evaluate("() => [Object.values({...sessionStorage}), localStorage.length, document.cookie]")
        assert kept == [[TOKEN], 0, ""]
        assert TOKEN not in page.url + await page.content()

        await page.get_by_role("button", name="Sign out").click()
        await expect(token).to_be_visible()
        await expect(page.get_by_text("Oldest unfinished")).to_have_count(0)
        assert await page.evaluate("() => sessionStorage.length") == 0
        room.forgive(REFUSED)


async def test_a_listener_that_is_open_asks_for_nothing(browser: Browser, stack: Stack) -> None:
    async with open_room(browser, stack.admin_urls[0]) as room:
        await room.open()

        await expect(room.page.get_by_text("Oldest unfinished")).to_be_visible()
        await expect(room.page.get_by_label("Admin token")).to_be_hidden()


async def test_a_view_is_its_address_after_a_reload_and_on_the_way_back(room: Room) -> None:
    page = room.page
    await room.show("#/orders?status=FAILED")
    await page.get_by_role("link", name="Breakers").click()
    await expect(page.locator("main h1")).to_have_text("Breakers")
    await page.reload()
    await expect(page.locator("main h1")).to_have_text("Breakers")
    await expect(page.get_by_role("link", name="Breakers")).to_have_attribute("aria-current", "page")
    await page.go_back()
    await expect(page.locator("main h1")).to_have_text("Orders")
    assert page.url.endswith("#/orders?status=FAILED")


async def test_the_link_of_what_is_shown_shows_it_again(room: Room) -> None:
    await room.show("#/breakers")
    await room.page.evaluate("() => document.querySelector('main .view').classList.add('shown-before')")
    await room.page.get_by_role("link", name="Breakers").click()
    await expect(room.page.locator("main .view")).to_have_count(1)
    await expect(room.page.locator(".shown-before")).to_have_count(0)
    await room.is_shown()


async def test_the_scheme_that_was_chosen_holds_after_a_reload(room: Room) -> None:
    page = room.page
    ground = "() => getComputedStyle(document.body).backgroundColor"
    light = await page.evaluate(ground)
    await page.get_by_label("Theme").select_option("dark")
    dark = await page.evaluate(ground)
    await page.reload()
    await room.is_shown()

    assert light != dark
    assert await page.evaluate(ground) == dark


async def test_an_order_is_found_looked_at_and_asked_about_without_a_mouse(browser: Browser, edge: Process, shop: Shop) -> None:
    order = await stuck_order(shop, "by-keyboard")
    async with open_room(browser, edge.admin_url) as room:
        page, focused = room.page, room.page.locator(":focus")
        await room.open()
        await expect(page.get_by_label("Admin token")).to_be_focused()
        await page.keyboard.type(TOKEN)
        await page.keyboard.press("Enter")
        await room.is_shown()
        room.forgive(REFUSED)

        await room.tab_to(page.get_by_role("link", name="Stuck", exact=True))
        await page.keyboard.press("Enter")
        await expect(page.locator("main h1")).to_be_focused()
        await expect(page.locator("main h1")).to_have_text("Stuck")
        await room.tab_to(page.locator(f"main a[href='#/orders/{order}']").first)
        await page.keyboard.press("Enter")
        await expect(page.locator("main h1")).to_be_focused()
        await room.tab_to(page.get_by_role("button", name="Retry", exact=True))
        await page.keyboard.press("Enter")
        await expect(page.get_by_role("dialog")).to_be_visible()
        assert await focused.evaluate("(element) => element.closest('dialog') !== null"), "the focus is in the dialog"
        await page.keyboard.type("looked into it")
        await page.keyboard.press("Tab")
        await page.keyboard.type("ann")
        await page.keyboard.press("Enter")
        await expect(page.get_by_role("button", name="Retry now")).to_be_focused()
        await page.keyboard.press("Escape")

        await expect(page.get_by_role("dialog")).to_have_count(0)
        await expect(page.get_by_role("button", name="Retry", exact=True)).to_be_focused()
    assert (await shop.get(order))["status"] == "STUCK"
    url = f"{shop.stack.admin_urls[0]}/admin/orders/{order}/retry"
    assert (await shop.call("POST", url, {"actor": "ann", "reason": "mended"})).status == 200
    await shop.ends(order)


async def test_the_skip_link_is_the_first_thing_and_leads_to_the_content(room: Room) -> None:
    await room.page.reload()
    await room.is_shown()
    await room.page.keyboard.press("Tab")
    await expect(room.page.get_by_role("link", name="Skip to the content")).to_be_focused()
    await expect(room.page.get_by_role("link", name="Skip to the content")).to_be_in_viewport()
    await room.page.keyboard.press("Enter")
    await expect(room.page.locator("main")).to_be_focused()
