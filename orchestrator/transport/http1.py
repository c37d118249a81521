"""The transport of our own: one request and one answer at a time on a kept-alive HTTP/1.1 connection.

It exists because the HTTP client is what a replica spends most of its time in once commits are shared
(`docs/performance.md`). It does what a call to a participant needs and nothing else. Parsing is httptools', TLS asyncio's.
"""

import asyncio
import re
import ssl
import time
from collections import deque
from collections.abc import Mapping
from typing import Final
from urllib.parse import urlsplit

from orchestrator.addresses import Reach
from orchestrator.transport.connection import Connection
from orchestrator.transport.dialing import resolve
from orchestrator.transport.exchange import (
    CONNECT_TIMEOUT_S,
    KEEPALIVE_S,
    Reply,
    TransportError,
)

_ALWAYS: Final = "Accept: application/json\r\nAccept-Encoding: identity\r\nUser-Agent: sagaledger\r\n"
_LINES: Final = re.compile(r"(?:[!#$%&'*+.^_`|~0-9A-Za-z-]+: [\t\x20-\x7e\x80-\xff]*\r\n)*")
_HOST: Final = re.compile(r"[\x21-\x7e]+")
_TARGET: Final = re.compile(r"/[\x21-\x7e]*")


class Http1:
    """Sends requests over connections that it keeps.

    Args:
        connections_max: Most connections to one origin; more calls at once wait for one.
        reach: Which addresses may be called.
    """

    def __init__(self, *, connections_max: int, reach: Reach) -> None:
        self._connections_max = connections_max
        self._reach = reach
        self._origins: dict[str, _Origin] = {}

    async def exchange(self, method: str, url: str, headers: Mapping[str, str], body: bytes | None, timeout_s: float) -> Reply:
        """Send one request; see `Transport`."""
        split = url.find("/", url.find("://") + 3)
        base, target = (url, "/") if split < 0 else (url[:split], url[split:])
        origin = self._origins.get(base) or self._origin(base)
        request = _written(method, target, origin.host, headers, body)
        connection = origin.lend_at_once()
        if connection is None:
            # What has to wait for a place or a connection; a connection that is there keeps the time itself.
            loop = asyncio.get_running_loop()
            until_s = loop.time() + timeout_s
            async with asyncio.timeout_at(until_s):
                connection = await origin.lend()
            timeout_s = max(until_s - loop.time(), 0.0)
        try:
            return await connection.ask(request, timeout_s)
        finally:
            origin.take_back(connection)

    async def close(self) -> None:
        """Close the connections that are kept."""
        for origin in self._origins.values():
            origin.close()
        # A transport closes in a later turn of the loop.
        await asyncio.sleep(0)

    def _origin(self, base: str) -> "_Origin":
        return self._origins.setdefault(base, _Origin(base, self._connections_max, self._reach))


class _Origin:
    """Who is called, and the connections to it."""

    def __init__(self, base: str, connections_max: int, reach: Reach) -> None:
        parts = urlsplit(base)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.username is not None:
            raise ValueError("only http and https addresses without a user can be called")
        if parts.path or parts.query or parts.fragment or not _HOST.fullmatch(parts.netloc):
            raise ValueError("the address has characters that must be quoted")
        self.host = parts.netloc
        self._address = (parts.hostname, parts.port or (443 if parts.scheme == "https" else 80))
        self._is_tls = parts.scheme == "https"
        self._tls: ssl.SSLContext | None = None
        self._reach = reach
        self._free = connections_max
        self._line: deque[asyncio.Future[None]] = deque()
        self._idle: deque[Connection] = deque()

    def lend_at_once(self) -> Connection | None:
        """Return a connection that is kept; None when there is none, or no place for one more call."""
        connection = self._kept() if self._free else None
        if connection is not None:
            self._free -= 1
        return connection

    async def lend(self) -> Connection:
        """Return a connection, once there is a place for one more call."""
        await self._take_place()
        try:
            return self._kept() or await self._connect()
        except BaseException:
            self._give_place()
            raise

    def take_back(self, connection: Connection) -> None:
        """Take back a connection that was lent."""
        if connection.is_reusable:
            self._idle.append(connection)
        self._give_place()

    def close(self) -> None:
        """Close the connections that are kept."""
        while self._idle:
            self._idle.pop().close()

    def _kept(self) -> Connection | None:
        # The newest first, so that those nobody needs grow old; then none that is left is young enough either.
        while self._idle:
            connection = self._idle.pop()
            if connection.is_reusable and time.monotonic() - connection.used_at_s < KEEPALIVE_S:
                return connection
            connection.close()
        return None

    async def _connect(self) -> Connection:
        if self._is_tls:
            self._tls = self._tls or ssl.create_default_context()
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_S):
                return await self._dial()
        except TimeoutError:
            raise TransportError(f"no connection within {CONNECT_TIMEOUT_S:g} s") from None
        except OSError as error:
            raise TransportError(f"no connection: {type(error).__name__}: {error}") from error

    async def _dial(self) -> Connection:
        host, port = self._address
        loop = asyncio.get_running_loop()
        addresses = await resolve(host, port, self._reach)
        named = host if self._is_tls else None  # whose certificate it must be
        while True:
            address = addresses.pop(0)
            try:
                _, connection = await loop.create_connection(
                    lambda: Connection(loop), address, port, ssl=self._tls, server_hostname=named
                )
            except OSError:
                if not addresses:
                    raise
            else:
                return connection

    async def _take_place(self) -> None:
        if self._free:
            self._free -= 1
            return
        place: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._line.append(place)
        try:
            await place
        except asyncio.CancelledError:
            if place.done() and not place.cancelled():
                self._give_place()
            raise

    def _give_place(self) -> None:
        while self._line:
            place = self._line.popleft()
            if not place.done():
                place.set_result(None)
                return
        self._free += 1


def _written(method: str, target: str, host: str, headers: Mapping[str, str], body: bytes | None) -> bytes:
    lines = "".join([f"{name}: {value}\r\n" for name, value in headers.items()])
    # A value with a line break would read as one header more.
    if not _LINES.fullmatch(lines) or lines.count("\n") != len(headers):
        raise ValueError("a header can't be sent")
    if not _TARGET.fullmatch(target):
        raise ValueError("the address has characters that must be quoted")
    length = ""
    if body is not None:
        length = f"Content-Length: {len(body)}\r\n"
    elif method in ("POST", "PUT"):
        length = "Content-Length: 0\r\n"
    return f"{method} {target} HTTP/1.1\r\nHost: {host}\r\n{_ALWAYS}{lines}{length}\r\n".encode("latin-1") + (body or b"")
