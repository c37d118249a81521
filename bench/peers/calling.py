"""How peers make the four calls: aiohttp's client, as their users would, tuned alike for all of them."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final

import aiohttp

from bench.job import Place, request_of

CONNECTIONS: Final = 100
"""To the stub: as many as sagas are at work at once."""


class Calls:
    """The calls of one worker process.

    Args:
        session: Kept open for all of them.
        url: Of the stub.
    """

    def __init__(self, session: aiohttp.ClientSession, url: str) -> None:
        self._session = session
        self._url = url

    async def post(self, step: str, saga_id: str) -> dict[str, Any]:
        """Make the call of one step."""
        async with self._session.post(f"{self._url}/{step}", json=request_of(saga_id)) as answer:
            answer.raise_for_status()
            told: dict[str, Any] = await answer.json()
            return told


@asynccontextmanager
async def open_calls(place: Place) -> AsyncIterator[Calls]:
    """Open a session with a kept-alive connection for every saga that is at work."""
    connector = aiohttp.TCPConnector(limit=CONNECTIONS, keepalive_timeout=60)
    async with aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar()) as session:
        yield Calls(session, place.stub_url)
