"""One kept-alive HTTP/1.1 connection: a request, its answer, then the next. Parsing is httptools'."""

import asyncio
import time
from typing import Final, cast

import httptools

from orchestrator.transport.exchange import BODY_BYTES_MAX, HEAD_BYTES_MAX, HEADERS_MAX, Reply, TransportError

FED_BYTES_MAX: Final = HEAD_BYTES_MAX + 8 * BODY_BYTES_MAX
"""Of a whole answer: a body in the smallest chunks has seven bytes for one of its own."""


class Connection(asyncio.Protocol):
    """A connection; `httptools` calls the `on_…` methods while it parses."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.used_at_s = time.monotonic()
        self._loop = loop
        self._transport: asyncio.Transport | None = None
        self._parser = httptools.HttpResponseParser(self)
        self._waiter: asyncio.Future[Reply] | None = None
        self._begin()

    def _begin(self) -> None:
        self._fields: list[tuple[bytes, bytes]] = []
        self._body = bytearray()
        self._fed_bytes = 0
        self._head_ended = False
        self._complete = False

    # --- one exchange -------------------------------------------------------------------------------------------------

    @property
    def is_reusable(self) -> bool:
        """Whether another request may be sent on it: the answer ended where it said, and both sides keep it open."""
        return self._transport is not None and not self._transport.is_closing()

    async def ask(self, request: bytes, timeout_s: float) -> Reply:
        """Send a request and wait for its answer."""
        transport = self._transport
        if transport is None:
            raise TransportError("the connection was closed at once")
        self._begin()
        waiter: asyncio.Future[Reply] = self._loop.create_future()
        self._waiter = waiter
        timer = self._loop.call_later(timeout_s, _expire, waiter)
        transport.write(request)
        try:
            return await waiter
        except BaseException:
            # What still comes on it belongs to a request that nobody waits for.
            transport.abort()
            raise
        finally:
            timer.cancel()
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
        is_delimited = any(name.lower() in (b"content-length", b"transfer-encoding") for name, _ in self._fields)
        if self._head_ended and not is_delimited:
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
        self._waiter.set_result(Reply(self._parser.get_status_code(), self._fields, None if oversized else bytes(self._body)))
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
        self._fields.append((name, value))
        if len(self._fields) > HEADERS_MAX:
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
            self._fields = []
            return
        self._complete = True
        self._answer()


def _expire(waiter: asyncio.Future[Reply]) -> None:
    if not waiter.done():
        waiter.set_exception(TimeoutError())
