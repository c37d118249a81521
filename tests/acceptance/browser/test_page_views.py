"""Every view of the operators' page, with something to show: for everybody's eyes and hands, without a word of what is personal."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import Browser, expect

from tests.acceptance.browser.room import DESK, PHONE, REFUSED, Room, open_room
from tests.acceptance.browser.scene import Scene, furnished
from tests.acceptance.canaries import PERSON, SECRET
from tests.acceptance.stack import Process, Stack
from tests.acceptance.stack_shop import open_shop

pytestmark = [pytest.mark.acceptance, pytest.mark.asyncio(loop_scope="session")]
WAYS: dict[str, dict[str, Any]] = {
    "light": {"color_scheme": "light", "viewport": DESK},
    "dark": {"color_scheme": "dark", "viewport": DESK},
    "phone": {"color_scheme": "dark", "viewport": PHONE, "has_touch": True, "is_mobile": True},
}


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def scene(stack: Stack) -> AsyncIterator[Scene]:
    stack.restore()
    async with open_shop(stack) as shop, furnished(shop) as made:
        yield made


def addresses(scene: Scene) -> dict[str, str]:
    """Every view, by what its picture is called."""
    return {
        "overview": "#/overview",
        "order": f"#/orders/{scene.undone}",
        "order-stuck": f"#/orders/{scene.stuck}",
        "order-held": f"#/orders/{scene.held}",
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
                await dialog.get_by_role("button", name="Preview").click()
                await room.is_shown()
            wrong += await wrong_with(room, f"{name}-{button.lower().replace(' ', '-')}-{way}")
            await room.page.keyboard.press("Escape")
            await expect(dialog).to_have_count(0)
    assert not wrong, "\n".join(wrong)


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
