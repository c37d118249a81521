"""Edges on a real ledger, with the real payments service or a scripted one."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import pytest
import pytest_asyncio
from aiohttp import ClientSession, DummyCookieJar, web
from aiohttp.test_utils import TestServer

from edge_api.main import serve
from orchestrator.settings import load_settings
from participants.app import create_app
from participants.settings import load_settings as load_participant_settings
from tests.integration.edge.service import Edge, Proxy, Scripted, StartEdge


@pytest.fixture
async def start_edge(ledger_url: str) -> AsyncIterator[StartEdge]:
    """Start an edge; settings by keyword."""
    async with _edges(ledger_url) as started:
        yield started


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def start_shared_edge(new_shared_database: Callable[[str], str]) -> AsyncIterator[StartEdge]:
    """Start an edge for all tests of a module, which run in one loop: where each of many cases leaves it as it was."""
    async with _edges(new_shared_database("ledger")) as started:
        yield started


@asynccontextmanager
async def _edges(ledger_url: str) -> AsyncIterator[StartEdge]:
    async with AsyncExitStack() as stack:
        session = await stack.enter_async_context(ClientSession(cookie_jar=DummyCookieJar()))

        async def started(**settings: Any) -> Edge:
            given = {"database_url": ledger_url, "port": 0, "admin_port": 0, "shutdown_s": 2.0, **settings}
            stop, urls = asyncio.Event(), asyncio.get_running_loop().create_future()
            serving = asyncio.create_task(
                serve(load_settings(**given), announce=lambda *found: urls.set_result(found), stop=stop)
            )

            async def stopped() -> None:
                stop.set()
                await serving

            await asyncio.wait({serving, urls}, return_when=asyncio.FIRST_COMPLETED)
            if serving.done():
                serving.result()
            stack.push_async_callback(stopped)
            url, admin_url = await urls
            return Edge(url, admin_url, ledger_url, session)

        yield started


@pytest.fixture
async def payments_url(participant_database: Callable[[str], str]) -> AsyncIterator[str]:
    """Address of the real payments service, on a database of its own."""
    settings = load_participant_settings(payments_database_url=participant_database("payments"), faults=True)
    async with TestServer(create_app("payments", settings)) as server:
        yield str(server.make_url("")).rstrip("/")


@pytest.fixture
async def payments() -> AsyncIterator[Scripted]:
    """A payments service that does what it is told."""
    async with _scripted_payments() as scripted:
        yield scripted


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared_payments() -> AsyncIterator[Scripted]:
    """The same for all tests of a module."""
    async with _scripted_payments() as scripted:
        yield scripted


@asynccontextmanager
async def _scripted_payments() -> AsyncIterator[Scripted]:
    scripted = Scripted()
    app = web.Application()
    app.router.add_post("/payments/authorize", scripted.handle)
    async with TestServer(app) as server:
        scripted.url = str(server.make_url("")).rstrip("/")
        yield scripted


@pytest.fixture
async def proxy(ledger_url: str) -> AsyncIterator[Proxy]:
    """A proxy in front of the ledger."""
    async with Proxy(ledger_url).serving() as serving:
        yield serving
