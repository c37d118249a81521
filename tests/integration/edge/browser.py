"""A real browser, where this machine has one, driven by its own debugging protocol."""

import asyncio
import contextlib
import itertools
import os
import re
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from aiohttp import ClientSession, ClientWebSocketResponse

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
START_S = 60.0
ANSWER_S = 30.0
_COMPLAINTS = ("Log.entryAdded", "Runtime.exceptionThrown", "Page.javascriptDialogOpening")


class Page:
    """One page; `complaints` is what the browser said against it: violations of its policy, errors of its script, dialogs."""

    def __init__(self, socket: ClientWebSocketResponse) -> None:
        self._socket = socket
        self._numbers = itertools.count(1)
        self.complaints: list[dict[str, Any]] = []

    async def do(self, method: str, **parameters: Any) -> Any:
        number = next(self._numbers)
        await self._socket.send_json({"id": number, "method": method, "params": parameters})
        async with asyncio.timeout(ANSWER_S):
            while True:
                told = await self._socket.receive_json()
                if told.get("method") in _COMPLAINTS:
                    self.complaints.append(told)
                if told.get("id") == number:
                    assert "error" not in told, told
                    return told["result"]

    async def value(self, expression: str) -> Any:
        """Return what an expression in the page comes to."""
        found = await self.do("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in found, found
        return found["result"].get("value")

    async def until(self, expression: str) -> None:
        """Return when an expression holds."""
        async with asyncio.timeout(ANSWER_S):
            while not await self.value(expression):
                await asyncio.sleep(0.05)


@asynccontextmanager
async def open_page(url: str, folder: Path) -> AsyncIterator[Page]:
    """Open a page in a browser of its own.

    Args:
        url: Of the page.
        folder: For what the browser writes.
    """
    assert CHROMIUM is not None
    arguments = ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--remote-debugging-port=0")
    process = await asyncio.create_subprocess_exec(
        CHROMIUM, *arguments, f"--user-data-dir={folder}", "about:blank",
        stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE, start_new_session=True,
    )  # fmt: skip
    try:
        assert process.stderr is not None
        async with asyncio.timeout(START_S):
            while not (found := re.search(rb"ws://([^/]+)/", await process.stderr.readline())):
                assert process.returncode is None
        draining = asyncio.create_task(process.stderr.read())
        async with ClientSession() as session, session.get(f"http://{found[1].decode()}/json/list") as answer:
            target = next(each for each in await answer.json() if each["type"] == "page")
            async with session.ws_connect(target["webSocketDebuggerUrl"], max_msg_size=0) as socket:
                page = Page(socket)
                for domain in ("Page", "Runtime", "Log"):
                    await page.do(f"{domain}.enable")
                await page.do("Page.navigate", url=url)
                yield page
        draining.cancel()
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, 9)
        await process.wait()
