"""The transport over aiohttp's client."""

import asyncio
import socket
import ssl
from collections.abc import Mapping

import aiohttp

from orchestrator.addresses import PARTICIPANTS, Reach
from orchestrator.transport.exchange import (
    BODY_BYTES_MAX,
    CONNECT_TIMEOUT_S,
    KEEPALIVE_S,
    Forbidden,
    Reply,
    TransportError,
)


class _NotDialled(OSError):
    """An address that must not be called; in the form in which the connector takes that a connection can't be had."""


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
        except aiohttp.ClientConnectorError as error:
            why = error.os_error
            if isinstance(why, _NotDialled):
                raise Forbidden(str(why)) from error
            raise TransportError(f"no connection: {type(why).__name__}: {why}") from error
        except (aiohttp.ClientError, OSError) as error:
            raise TransportError(f"{type(error).__name__}: {error}") from error


def open_session(
    connections_max: int, reach: Reach = PARTICIPANTS, headers: Mapping[str, str] | None = None
) -> aiohttp.ClientSession:
    """Return a session with every safety setting; must be made inside the running loop, and closed.

    Args:
        connections_max: Most connections to one address.
        reach: Which addresses may be called.
        headers: Sent with every request, beside those that every session sends; None for no more.
    """

    def dialled(found: aiohttp.AddrInfoType) -> socket.socket:
        """Make the socket for an address that is about to be dialled: after this nobody looks up anything."""
        family, kind, protocol, _, place = found
        if why := reach.refusal(str(place[0])):
            raise _NotDialled(f"{place[0]} must not be called: it {why}")
        return socket.socket(family, kind, protocol)

    session = aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(
            limit=0,
            limit_per_host=connections_max,
            keepalive_timeout=KEEPALIVE_S,
            ttl_dns_cache=10,
            ssl=ssl.create_default_context(),
            socket_factory=dialled,
        ),
        timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_TIMEOUT_S),
        headers={"Accept": "application/json", "Accept-Encoding": "identity", "User-Agent": "sagaledger", **(headers or {})},
        cookie_jar=aiohttp.DummyCookieJar(),
        trust_env=False,
        auto_decompress=False,
    )
    # aiohttp repeats PUT and DELETE by itself when a kept-alive connection dies; whether to repeat is for the core.
    session._retry_connection = False
    return session
