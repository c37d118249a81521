"""The operators' page beside a stack at work: what happens is seen without loading it anew, and orders are mended from it."""

from collections.abc import Iterator

import pytest
from playwright.async_api import Locator, expect

from tests.acceptance.browser.room import Room
from tests.acceptance.browser.scene import slowly, stuck_order
from tests.acceptance.stack import Stack
from tests.acceptance.stack_shop import Shop, attempts, eventually, open_shop

pytestmark = [pytest.mark.acceptance, pytest.mark.asyncio(loop_scope="session")]
WHY = "looked into it"


async def previewed(room: Room, verb: str) -> Locator:
    """Return the dialog of a verb, filled in, whose preview was asked for."""
    await room.page.get_by_role("button", name=verb, exact=True).click()
    dialog = room.page.get_by_role("dialog")
    await dialog.get_by_label("Reason").fill(WHY)
    await dialog.get_by_label("Actor").fill("ann")
    await dialog.get_by_role("button", name="Preview").click()
    return dialog


async def act(room: Room, verb: str, does: str, *reads: str) -> None:
    """Preview a verb on the order that is shown, read what would follow, and do it."""
    dialog = await previewed(room, verb)
    for text in reads:
        await expect(dialog).to_contain_text(text)
    await expect(dialog.get_by_role("button", name=does)).to_be_enabled()
    await dialog.get_by_role("button", name=does).click()
    await expect(dialog).to_have_count(0)


async def test_an_order_that_is_placed_moves_to_completed_before_ones_eyes(room: Room, shop: Shop) -> None:
    page = room.page
    await room.show("#/orders")
    await room.mark()
    await slowly(shop)
    order = await shop.place("before-ones-eyes")
    await page.get_by_role("button", name="new order").click()
    await expect(room.row(order)).to_contain_text("RUNNING")
    await room.row(order).get_by_role("link").first.click()
    await expect(page.locator("main")).to_contain_text("COMPLETED")
    await page.go_back()
    await expect(room.row(order)).to_contain_text("COMPLETED")

    assert await room.is_marked(), "the page was loaded anew"
    assert (await shop.get(order))["status"] == "COMPLETED"


async def test_a_row_of_the_list_moves_as_its_order_does(room: Room, shop: Shop) -> None:
    await slowly(shop)
    order = await shop.place("row-moves")
    await room.show("#/orders")
    await room.mark()
    await expect(room.row(order)).to_contain_text("RUNNING")
    await expect(room.row(order)).to_contain_text("COMPLETED")
    assert await room.is_marked()


async def test_what_is_stuck_is_seen_its_retry_previewed_and_done_and_its_end_seen(room: Room, shop: Shop) -> None:
    page = room.page
    await room.show("#/stuck")
    await room.mark()
    order = await stuck_order(shop, "retried-from-the-page")
    await expect(room.row(order)).to_contain_text("could not be undone: create_order")
    await room.row(order).get_by_role("link").first.click()
    before = await shop.journal(order)

    dialog = await previewed(room, "Retry")
    await expect(dialog).to_contain_text(f"PUT /orders/{order}/cancel at orders")
    assert await shop.journal(order) == before, "a preview changes nothing"
    await dialog.get_by_role("button", name="Retry now").click()

    await expect(page.get_by_role("dialog")).to_have_count(0)
    await expect(page.locator("main")).to_contain_text("FAILED")
    await room.show("#/stuck")
    await expect(room.row(order)).to_have_count(0)
    assert await room.is_marked()
    assert (await shop.stands(order)) == {}
    acts = [entry for entry in await shop.journal(order) if entry["kind"] == "operator"]
    assert [(entry["outcome"], entry["reason"]) for entry in acts] == [("retry", WHY)]


async def test_a_verb_that_came_too_late_is_refused_in_a_sentence(room: Room, shop: Shop) -> None:
    order = await stuck_order(shop, "refused-on-the-page")
    await room.show(f"#/orders/{order}")
    dialog = await previewed(room, "Skip step")
    await expect(dialog).to_contain_text("stays")
    url = f"{shop.stack.admin_urls[0]}/admin/orders/{order}/retry"
    assert (await shop.call("POST", url, {"actor": "bob", "reason": "was quicker"})).status == 200
    await shop.ends(order)

    await dialog.get_by_role("button", name="Skip it now").click()
    await expect(dialog.get_by_role("alert")).to_contain_text("FAILED")
    room.forgive(r"\b409\b")


async def test_a_preview_is_dropped_when_somebody_else_was_quicker_and_nothing_is_placed_anew(room: Room, shop: Shop) -> None:
    order = await stuck_order(shop, "quicker-than-the-page")
    await undo_by_hand(shop, order)
    await room.show(f"#/orders/{order}")
    dialog = await previewed(room, "Retry")
    await expect(dialog).to_contain_text(f"PUT /orders/{order}/cancel at orders")
    does = dialog.get_by_role("button", name="Retry now")
    await expect(does).to_be_enabled()
    # What the page does not know yet is refused all the same; then it gets to know it.
    await room.page.route(f"**/admin/orders/{order}", lambda route: route.abort())
    url = f"{shop.stack.admin_urls[0]}/admin/orders/{order}"
    said = {"actor": "bob", "reason": "was quicker"}
    assert (await shop.call("POST", f"{url}/resolve", {**said, "as": "failed"})).status == 200
    before = await shop.journal(order)
    await does.click()
    await expect(dialog.get_by_role("alert")).to_contain_text("is FAILED now: look again")
    await expect(does).to_be_disabled()

    # Looked at anew it says what it does now; and as an open dialog learns of a change it drops what it showed.
    await dialog.get_by_role("button", name="Preview").click()
    await expect(dialog).to_contain_text("It goes on as an order of its own")
    await expect(does).to_be_enabled()
    await room.page.unroute(f"**/admin/orders/{order}")
    await expect(dialog.get_by_role("status")).to_have_text("The order has changed since: preview it again.")
    await expect(does).to_be_disabled()

    assert await shop.journal(order) == before
    assert (await shop.call("GET", url)).json["children"] == []

    await dialog.get_by_role("button", name="Preview").click()
    await does.click()
    await expect(room.page.locator("main")).to_contain_text("Placed anew as")
    await room.page.locator("#said").get_by_role("link").click()
    await expect(room.page.locator("main")).to_contain_text("COMPLETED")
    room.forgive(r"\b409\b|ERR_FAILED")


@pytest.fixture
def patient(stack: Stack) -> Iterator[None]:
    """Orders that wait long before they are tried again: there is time for an operator."""
    with stack.only(SAGA_RETRY_FIRST_S="60", SAGA_RESERVATION_S="3600"):
        yield


@pytest.mark.usefixtures("patient")
async def test_the_other_verbs_do_from_the_page_what_they_say(room: Room, stack: Stack) -> None:
    async with open_shop(stack) as shop:
        order = await waiting(shop, "held-from-the-page")
        await room.show(f"#/orders/{order}")
        await act(room, "Pause", "Pause now")
        await expect(room.page.locator("main")).to_contain_text("On hold since")
        await act(room, "Resume", "Resume now", f"PUT /orders/{order}/confirm at orders")
        await expect(room.page.locator("main")).to_contain_text("COMPLETED")

        order = await waiting(shop, "cancelled-from-the-page")
        await room.show(f"#/orders/{order}")
        await act(room, "Cancel", "Cancel it now", f"PUT /orders/{order}/cancel at orders")
        await expect(room.page.locator("main")).to_contain_text("CANCELLED")

        for verb, does, key in (
            ("Skip step", "Skip it now", "skipped-by-hand"),
            ("Resolve", "Resolve now", "resolved-by-hand"),
        ):
            order = await stuck_order(shop, key)
            await undo_by_hand(shop, order)
            await room.show(f"#/orders/{order}")
            await act(room, verb, does)
            await expect(room.page.locator("main")).to_contain_text("FAILED")
            assert (await shop.get(order))["status"] == "FAILED"


async def undo_by_hand(shop: Shop, order: str) -> None:
    url = f"{shop.stack.participants['orders']}/orders/{order}/cancel"
    assert (await shop.call("PUT", url, **{"Idempotency-Key": f"by-hand-{order}"})).status == 200


async def waiting(shop: Shop, key: str) -> str:
    """Have an order wait for its second attempt to take the money."""
    await shop.fail("payments", "error", "/payments/capture")
    order = await shop.place(key)

    async def look() -> None:
        assert attempts(await shop.journal(order))[-1] == "capture_payment unknown"
        assert (await shop.row(order))["lease_owner"] is None

    await eventually(look)
    return order
