"""One browser for all tests of the pages; an edge of theirs beside the stack's, which wants a token as one in production does.

A browser can't be shared by tests that each have an event loop, so all of them run on that of the session.
"""

from collections.abc import AsyncIterator

import pytest_asyncio
from playwright.async_api import Browser, async_playwright

from tests.acceptance.browser.room import TOKEN, Room, open_room
from tests.acceptance.stack import Process, Stack
from tests.acceptance.stack_shop import Shop, open_shop
from tests.tools import tool


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def browser() -> AsyncIterator[Browser]:
    program = tool("chromium", "chromium-browser", "google-chrome")
    # No user of a test machine is to be protected from pages of ours, and root has no sandbox.
    arguments = ["--no-sandbox", "--disable-dev-shm-usage"]
    async with async_playwright() as playwright:
        opened = await playwright.chromium.launch(executable_path=program, args=arguments)
        yield opened
        await opened.close()


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def edge(stack: Stack) -> AsyncIterator[Process]:
    """An edge that only these tests ask; there is an order on the stack."""
    stack.restore()
    async with open_shop(stack) as shop:
        await shop.ends(await shop.place("there-before"))
    started = stack.add_edge(SAGA_ADMIN_TOKEN=TOKEN)
    yield started
    started.stop()


@pytest_asyncio.fixture(loop_scope="session")
async def shop(stack: Stack) -> AsyncIterator[Shop]:
    """A client of the stack, which is whole again."""
    stack.restore()
    async with open_shop(stack) as opened:
        yield opened


@pytest_asyncio.fixture(loop_scope="session")
async def room(browser: Browser, edge: Process) -> AsyncIterator[Room]:
    """The page, signed in to."""
    async with open_room(browser, edge.admin_url) as opened:
        await opened.enter()
        yield opened
