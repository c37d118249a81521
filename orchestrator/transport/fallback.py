"""The transport over aiohttp's client."""

import asyncio
import ssl
from collections.abc import Mapping

import aiohttp

from orchestrator.transport.exchange import BODY_BYTES_MAX, CONNECT_TIMEOUT_S, KEEPALIVE_S, Reply, TransportError


class Aiohttp:
    """Sends requests over a session.

    Args:
        session: As `open_session` makes it.
    """

    def __init__(self, session: aiohttp.ClientSession) -> None:
        self._session = session

    async def exchange(self, method: str, url: str, headers: Mapping[str, str], body: bytes | None, timeout_s: float) -> Reply:
        """Send one request; see `Transport`."""
        async with asyncio.timeout(timeout_s):
            return await self._exchange(method, url, headers, body)

    async def _exchange(self, method: str, url: str, headers: Mapping[str, str], body: bytes | None) -> Reply:
        try:
            async with self._session.request(method, url, headers=headers, data=body, allow_redirects=False) as response:
                answer = bytearray()
                async for chunk in response.content.iter_chunked(16 * 1024):
                    answer += chunk
                    if len(answer) > BODY_BYTES_MAX:
                        response.close()
                        return Reply(response.status, response.raw_headers, None)
                return Reply(response.status, response.raw_headers, bytes(answer))
        except (aiohttp.ClientError, OSError) as error:
            raise TransportError(f"{type(error).__name__}: {error}") from error


def open_session(connections_max: int) -> aiohttp.ClientSession:
    """Return a session with every safety setting; must be made inside the running loop, and closed.

    Args:
        connections_max: Most connections to one address.
    """
    session = aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(
            limit=0,
            limit_per_host=connections_max,
            keepalive_timeout=KEEPALIVE_S,
            ttl_dns_cache=10,
            ssl=ssl.create_default_context(),
        ),
        timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_TIMEOUT_S),
        headers={"Accept": "application/json", "Accept-Encoding": "identity", "User-Agent": "sagaledger"},
        cookie_jar=aiohttp.DummyCookieJar(),
        trust_env=False,
        auto_decompress=False,
    )
    # aiohttp repeats PUT and DELETE by itself when a kept-alive connection dies; whether to repeat is for the core.
    session._retry_connection = False
    return session
