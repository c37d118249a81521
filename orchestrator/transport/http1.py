"""The transport of our own: one request and one answer at a time on a kept-alive HTTP/1.1 connection.

It exists because the HTTP client is what a replica spends most of its time in once commits are shared
(`docs/performance.md`). It does what a call to a participant needs and nothing else. Parsing is httptools', TLS asyncio's.
"""

import asyncio
import re
import ssl
import time
from collections import defaultdict, deque
from collections.abc import Mapping
from functools import lru_cache
from typing import Final, cast
from urllib.parse import urlsplit

import httptools

from orchestrator.transport.exchange import (
    BODY_BYTES_MAX,
    CONNECT_TIMEOUT_S,
    HEAD_BYTES_MAX,
    HEADERS_MAX,
    KEEPALIVE_S,
    Reply,
    TransportError,
)

_ALWAYS: Final = "Accept: application/json\r\nAccept-Encoding: identity\r\nUser-Agent: sagaledger\r\n"
_TOKEN: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_VALUE: Final = re.compile(r"[\t\x20-\x7e\x80-\xff]*")
_TARGET: Final = re.compile(r"/[\x21-\x7e]*")
FED_BYTES_MAX: Final = HEAD_BYTES_MAX + 8 * BODY_BYTES_MAX
"""Of a whole answer: a body in the smallest chunks has seven bytes for one of its own."""

Origin = tuple[str, str, int]
"""Scheme, host and port."""


class Http1:
    """Sends requests over connections that it keeps.

    Args:
        connections_max: Most connections to one origin; more calls at once wait for one.
    """

    def __init__(self, *, connections_max: int) -> None:
        self._slots: defaultdict[Origin, asyncio.Semaphore] = defaultdict(lambda: asyncio.Semaphore(connections_max))
        self._idle: defaultdict[Origin, deque[_Connection]] = defaultdict(deque)
        self._tls: ssl.SSLContext | None = None

    async def exchange(self, method: str, url: str, headers: Mapping[str, str], body: bytes | None) -> Reply:
        """Send one request; see `Transport`."""
        origin, host, target = _split(url)
        request = _written(method, target, host, headers, body)
        async with self._slots[origin]:
            connection = self._kept(origin) or await self._connect(origin)
            reply = await connection.ask(request)
            if connection.is_reusable:
                self._idle[origin].append(connection)
            return reply

    async def close(self) -> None:
        """Close the connections that are kept."""
        for idle in self._idle.values():
            for connection in idle:
                connection.close()
        self._idle.clear()
        # A transport closes in a later turn of the loop.
        await asyncio.sleep(0)

    def _kept(self, origin: Origin) -> "_Connection | None":
        idle = self._idle[origin]
        # The newest first, so that those nobody needs grow old; then none that is left is young enough either.
        while idle:
            connection = idle.pop()
            if connection.is_reusable and time.monotonic() - connection.used_at_s < KEEPALIVE_S:
                return connection
            connection.close()
        return None

    async def _connect(self, origin: Origin) -> "_Connection":
        scheme, host, port = origin
        tls = None
        if scheme == "https":
            self._tls = tls = self._tls or ssl.create_default_context()
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_S):
                _, connection = await loop.create_connection(_Connection, host, port, ssl=tls)
        except TimeoutError:
            raise TransportError(f"no connection within {CONNECT_TIMEOUT_S:g} s") from None
        except OSError as error:
            raise TransportError(f"no connection: {type(error).__name__}: {error}") from error
        return connection


class _Connection(asyncio.Protocol):
    """A connection; `httptools` calls the `on_…` methods while it parses."""

    def __init__(self) -> None:
        self.used_at_s = time.monotonic()
        self._transport: asyncio.Transport | None = None
        self._parser = httptools.HttpResponseParser(self)
        self._waiter: asyncio.Future[Reply] | None = None
        self._begin()

    def _begin(self) -> None:
        self._headers: dict[str, str] = {}
        self._body = bytearray()
        self._fed_bytes = 0
        self._head_ended = False
        self._complete = False

    # --- one exchange -------------------------------------------------------------------------------------------------

    @property
    def is_reusable(self) -> bool:
        """Whether another request may be sent on it: the answer ended where it said, and both sides keep it open."""
        return self._transport is not None and not self._transport.is_closing()

    async def ask(self, request: bytes) -> Reply:
        """Send a request and wait for its answer."""
        transport = self._transport
        if transport is None:
            raise TransportError("the connection was closed at once")
        self._begin()
        self._waiter = asyncio.get_running_loop().create_future()
        transport.write(request)
        try:
            return await self._waiter
        except BaseException:
            # What still comes on it belongs to a request that nobody waits for.
            transport.abort()
            raise
        finally:
            self._waiter = None
            self.used_at_s = time.monotonic()

    def close(self) -> None:
        """Close it."""
        if self._transport is not None:
            self._transport.close()

    # --- called by the event loop -------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """Parse what came."""
        if self._waiter is None or self._waiter.done():
            # Nobody asked: whatever it is, it must not be taken for the answer to the next request.
            self.close()
            return
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self._fail("another protocol was offered")
        except httptools.HttpParserError as error:
            if not self._waiter.done():
                self._fail(f"not HTTP: {error}")
        self._fed_bytes += len(data)
        if self._fed_bytes > (FED_BYTES_MAX if self._head_ended else HEAD_BYTES_MAX):
            self._fail("more bytes of headers than can be right")

    def eof_received(self) -> None:
        """End: the other side sends no more."""
        self._end("the connection was closed")

    def connection_lost(self, error: Exception | None) -> None:
        """End."""
        self._transport = None
        self._end(f"the connection was lost: {type(error).__name__}" if error else "the connection was closed")

    def _end(self, reason: str) -> None:
        if self._waiter is None or self._waiter.done():
            return
        delimited = "content-length" in self._headers or "transfer-encoding" in self._headers
        if self._head_ended and not delimited:
            self._answer()
        else:
            self._fail(f"{reason} {'amid the answer' if self._head_ended else 'without an answer'}")

    def _fail(self, reason: str) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_exception(TransportError(reason))
        if self._transport is not None:
            self._transport.abort()

    def _answer(self, *, oversized: bool = False) -> None:
        if self._waiter is None or self._waiter.done():
            return
        self._waiter.set_result(Reply(self._parser.get_status_code(), self._headers, None if oversized else bytes(self._body)))
        if (oversized or not self._complete or not self._parser.should_keep_alive()) and self._transport is not None:
            self._transport.abort() if oversized else self._transport.close()

    # --- called by the parser -----------------------------------------------------------------------------------------

    def on_message_begin(self) -> None:
        """Notice a second answer to one request."""
        if self._complete:
            self.close()

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header; what comes after a chunked body is none."""
        if self._head_ended:
            return
        self._headers[name.decode("latin-1").lower()] = value.decode("latin-1")
        if len(self._headers) > HEADERS_MAX:
            self._fail(f"more than {HEADERS_MAX} headers")

    def on_headers_complete(self) -> None:
        """End the head, unless it is an interim answer, after which the true one comes."""
        self._head_ended = self._parser.get_status_code() >= 200

    def on_body(self, data: bytes) -> None:
        """Take a part of the body."""
        if self._complete:
            return
        self._body += data
        if len(self._body) > BODY_BYTES_MAX:
            self._answer(oversized=True)

    def on_message_complete(self) -> None:
        """Give the answer to who waits."""
        if self._complete:
            return
        if not self._head_ended:
            self._headers = {}
            return
        self._complete = True
        self._answer()


@lru_cache(maxsize=4096)
def _split(url: str) -> tuple[Origin, str, str]:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.username is not None:
        raise ValueError("only http and https addresses without a user can be called")
    target = parts.path or "/"
    if parts.query:
        target += f"?{parts.query}"
    if not _TARGET.fullmatch(target) or not _VALUE.fullmatch(parts.netloc):
        raise ValueError("the address has characters that must be quoted")
    port = parts.port or (443 if parts.scheme == "https" else 80)
    return (parts.scheme, parts.hostname, port), parts.netloc, target


def _written(method: str, target: str, host: str, headers: Mapping[str, str], body: bytes | None) -> bytes:
    for name, value in headers.items():
        if not _TOKEN.fullmatch(name) or not _VALUE.fullmatch(value):
            raise ValueError(f"header {name!r} can't be sent")
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    length = f"Content-Length: {len(body)}\r\n" if body is not None else ""
    if body is None and method in ("POST", "PUT"):
        length = "Content-Length: 0\r\n"
    return f"{method} {target} HTTP/1.1\r\nHost: {host}\r\n{_ALWAYS}{lines}{length}\r\n".encode("latin-1") + (body or b"")
