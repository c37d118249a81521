"""A participant served on a port of this process, on a database of its own."""

from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from aiohttp import ClientSession, DummyCookieJar
from aiohttp.test_utils import TestServer

from participants.app import create_app
from participants.settings import Name, load_settings
from tests.integration.participants.service import Participant, StartParticipant


@pytest.fixture
async def start(participant_database: Callable[[str], str]) -> AsyncIterator[StartParticipant]:
    """Start a participant by name; settings by keyword."""
    servers: list[TestServer] = []
    session = ClientSession(cookie_jar=DummyCookieJar())

    async def started(name: Name, *, database_url: str | None = None, **settings: Any) -> Participant:
        url = database_url or participant_database(name)
        settings = {"faults": True, f"{name}_database_url": url, **settings}
        server = TestServer(create_app(name, load_settings(**settings)))
        servers.append(server)
        await server.start_server()
        return Participant(str(server.make_url("")), url, session)

    yield started
    await session.close()
    for server in servers:
        await server.close()


@pytest.fixture
async def orders(start: StartParticipant) -> Participant:
    return await start("orders")


@pytest.fixture
async def inventory(start: StartParticipant) -> Participant:
    return await start("inventory")


@pytest.fixture
async def payments(start: StartParticipant) -> Participant:
    return await start("payments")


@pytest.fixture
async def shipping(start: StartParticipant) -> Participant:
    return await start("shipping")


@pytest.fixture
async def notifications(start: StartParticipant) -> Participant:
    return await start("notifications")
