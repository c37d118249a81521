"""The operators' page in a real browser: opened, signed in to, looked at, and watched for what it must not do."""

import asyncio
import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlsplit

from axe_playwright_python.base import AXE_SCRIPT
from playwright.async_api import Browser, ConsoleMessage, Dialog, Locator, Page, Request, WebSocket, expect

from tests.acceptance.canaries import SECRET
from tests.acceptance.commands import ROOT

FOLDER = ROOT / "build" / "screenshots"
"""Where pictures of the pages are left."""
TOKEN = f"token-{SECRET}-1234"
RULES = {"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "best-practice"], "resultTypes": ["violations"]}
"""WCAG 2.1 A and AA, and what axe holds for good practice beside them."""
PHONE = {"width": 360, "height": 740}
DESK = {"width": 1280, "height": 900}
WAYS: dict[str, dict[str, Any]] = {
    "light": {"color_scheme": "light", "viewport": DESK},
    "phone": {"color_scheme": "dark", "viewport": PHONE, "has_touch": True, "is_mobile": True},
}
"""Ways to look at a page, as options of a context: both schemes, both widths."""
WAIT_MS = 20_000.0
"""Until something is on the page; the machine may be busy with other tests."""
QUIET_LOOKS = 10
TABS_MAX = 120
REFUSED = r"\b40[13]\b"
"""What a browser says of an answer that it was not let in."""
AWAY = r"ERR_CONNECTION|ERR_EMPTY_RESPONSE|WebSocket connection to"
"""What a browser says of a server that is away."""

expect.set_options(timeout=WAIT_MS)


class Room:
    """A page of the admin listener's, in a context of its own.

    Args:
        page: The page.
        url: Of the admin listener.

    Attributes:
        complaints: What the browser said against the page, and what the page did that it must not: errors, dialogs,
            violations of its policy, requests of other origins.
        told: What streams have told the page.
    """

    def __init__(self, page: Page, url: str) -> None:
        self.page = page
        self.url = url
        self.complaints: list[str] = []
        self.told: list[dict[str, Any]] = []
        self._host = urlsplit(url).netloc
        self._asking: set[Request] = set()
        page.on("console", self._heard)
        page.on("pageerror", lambda error: self.complaints.append(f"error: {error}"))
        page.on("dialog", self._asked)
        page.on("request", self._requested)
        page.on("websocket", self._connected)
        page.on("request", lambda request: self._asking.add(request))
        page.on("requestfinished", lambda request: self._asking.discard(request))
        page.on("requestfailed", lambda request: self._asking.discard(request))

    async def open(self, address: str = "") -> None:
        """Load the page anew at an address such as `#/orders`."""
        await self.page.goto("about:blank")
        await self.page.goto(f"{self.url}/{address}")

    async def enter(self, address: str = "") -> None:
        """Open the page in a tab in which somebody has signed in."""
        await self.page.add_init_script(f"if (location.host) sessionStorage.setItem('token', '{TOKEN}')")
        await self.open(address)
        await self.is_shown()

    async def show(self, address: str) -> None:
        """Show another view, as a link to it does, without loading the page anew."""
        await self.page.evaluate("(address) => { location.hash = address; }", address)
        await self.is_shown()

    async def is_shown(self) -> None:
        """Wait until a view is there with what it has to say: for a moment nothing is on its way."""
        await expect(self.page.locator("main h1")).to_be_visible()
        async with asyncio.timeout(WAIT_MS / 1000):
            quiet = 0
            while quiet < QUIET_LOOKS:
                await asyncio.sleep(0.02)
                quiet = 0 if self._asking else quiet + 1
        failed = await self.page.get_by_text("This can't be shown").all_inner_texts()
        assert not failed, failed

    def row(self, order: str) -> Locator:
        """Return the row of an order in a list."""
        return self.page.get_by_role("row").filter(has=self.page.locator(f"a[href='#/orders/{order}']"))

    async def tab_to(self, wanted: Locator) -> None:
        """Move the focus to something by the Tab key."""
        target = await wanted.element_handle(timeout=WAIT_MS)
        for _ in range(TABS_MAX):
            await self.page.keyboard.press("Tab")
            if await self.page.evaluate("(wanted) => document.activeElement === wanted", target):
                return
        raise AssertionError(f"{wanted} is not reached by the Tab key")

    def forgive(self, pattern: str) -> None:
        """Leave out complaints that a test has brought about itself."""
        self.complaints = [said for said in self.complaints if not re.search(pattern, said)]

    async def mark(self) -> None:
        """Leave a mark that is gone once the page is loaded anew."""
        await self.page.evaluate("() => { window.marked = true; }")

    async def is_marked(self) -> bool:
        return bool(await self.page.evaluate("() => window.marked === true"))

    async def watch(self) -> None:
        """See from now on what hostile texts of tests would do: call `ran()`."""
        await self.page.add_init_script("window.ran = () => console.error('a hostile text ran')")
        await self.page.reload()

    async def accessible(self, what: str, within: str = ":root") -> list[str]:
        """Return what axe finds wrong on the page as it is now, or in parts of it, one sentence each."""
        if not await self.page.evaluate("() => 'axe' in window"):
            await self.page.evaluate(AXE_SCRIPT)
        found = (await self.page.evaluate("([within, rules]) => axe.run(within, rules)", [within, RULES]))["violations"]
        return [f"{what}: {each['id']}: {each['help']}: {[node['html'][:200] for node in each['nodes']][:3]}" for each in found]

    async def wide(self) -> int:
        """Return by how many pixels the page is wider than the window: what a phone would have to scroll aside."""
        return int(
            await self.page.evaluate("() => document.documentElement.scrollWidth - document.documentElement.clientWidth")
        )

    async def picture(self, name: str) -> None:
        """Write what the window shows to the folder of pictures."""
        FOLDER.mkdir(parents=True, exist_ok=True)
        await self.page.screenshot(path=FOLDER / f"{name}.png", animations="disabled", caret="hide")

    def _heard(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self.complaints.append(f"{message.type}: {message.text}")

    async def _asked(self, dialog: Dialog) -> None:
        self.complaints.append(f"dialog: {dialog.message}")
        await dialog.dismiss()

    def _connected(self, socket: WebSocket) -> None:
        self._requested(socket)
        socket.on("framereceived", lambda text: self.told.append(json.loads(text)))

    def _requested(self, request: Request | WebSocket) -> None:
        address = urlsplit(request.url)
        if address.netloc != self._host and address.scheme != "about":
            self.complaints.append(f"asks {request.url}")


@asynccontextmanager
async def open_room(browser: Browser, url: str, **options: Any) -> AsyncIterator[Room]:
    """Open a page in a context of its own; at the end nothing may have been said against it.

    Args:
        browser: The browser.
        url: Of the listener.
        options: Of the context, such as `color_scheme`.
    """
    context = await browser.new_context(**{"viewport": DESK, "color_scheme": "light", "reduced_motion": "reduce", **options})
    context.set_default_timeout(WAIT_MS)
    try:
        room = Room(await context.new_page(), url)
        yield room
        assert not room.complaints, room.complaints
    finally:
        await context.close()
