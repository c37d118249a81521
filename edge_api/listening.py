"""Listeners whose connections have deadlines and are counted.

aiohttp closes a connection on which no request came for a while, and takes just as long over a header that drips. Here a
protocol of our own stands between the transport and aiohttp's, so that a header has a deadline of its own while idle
connections of clients and proxies may stay open longer. What aiohttp answers by itself, past the middlewares, is a problem too.
"""

import asyncio
import socket
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, cast
from uuid import uuid4

import structlog
from aiohttp import hdrs, web
from aiohttp.typedefs import Handler

from edge_api.connections import REFUSALS_MAX, Connections, address_of
from edge_api.errors import EdgeError
from edge_api.problems import CONTENT_TYPE, Problem, ProblemType

HEADER_TIMEOUT_S: Final = 10.0
"""Seconds for the header of a request, from its first byte; for the first one from the connection on."""
KEEPALIVE_S: Final = 75.0
"""Idle connections are closed after this: longer than proxies keep theirs, or they would send into a closed one."""
LINGERING_S: Final = 2.0
"""Seconds for what is left of a body that nobody wants any more: it lets a client read why, instead of being cut off."""
REFUSAL_S: Final = 2.0
"""Seconds that a connection without room gets to ask, and to be told."""
WRITE_TIMEOUT_S: Final = 30.0
"""Seconds for what a client did not take at once of its answers; then it is cut off, for a close would wait for it as well."""
SERVER: Final = "sagaledger"

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Listening:
    """An application that is served.

    Attributes:
        url: Its base URL.
    """

    url: str
    _server: asyncio.Server
    _runner: web.AppRunner

    async def stop(self) -> None:
        """Take no more requests and finish those in hand, within the time that was given for it."""
        self._server.close()
        await self._runner.cleanup()


async def listen(
    app: web.Application, host: str, port: int, *, setting: str, stop_s: float, connections: Connections
) -> Listening:
    """Serve an application.

    Args:
        app: With `note_requests` among its middlewares, the first of them.
        host: Address to bind to.
        port: Port; 0 for any free one.
        setting: What an operator changes to have another port, for the error.
        stop_s: Seconds for requests in hand to be finished when it is stopped.
        connections: How many there may be, for this listener alone.

    Raises:
        EdgeError: The port is in use, or the address is not this machine's.
    """
    runner = web.AppRunner(app, access_log=None, handle_signals=False, shutdown_timeout=stop_s)
    await runner.setup()
    manager = runner.server
    assert manager is not None
    loop = asyncio.get_running_loop()

    def served() -> asyncio.Protocol:
        return _Served(
            manager,
            loop=loop,
            access_log=None,  # type: ignore[arg-type]  # as aiohttp's own runner has it
            keepalive_timeout=KEEPALIVE_S,
            lingering_time=LINGERING_S,
            auto_decompress=False,
        )

    try:
        server = await loop.create_server(lambda: Connection(served, connections), host, port, backlog=1024)
    except OSError as error:
        await runner.cleanup()
        reason = error.strerror or str(error)
        raise EdgeError(f"the edge can't listen on {host}:{port}, set {setting} to another port: {reason}") from None
    bound = server.sockets[0]
    name, number = bound.getsockname()[:2]
    url = f"http://[{name}]:{number}" if bound.family == socket.AF_INET6 else f"http://{name}:{number}"
    return Listening(url, server, runner)


@web.middleware
async def note_requests(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Let the connection know that its request has come, and when it has been answered."""
    connection = request.transport.get_protocol() if request.transport is not None else None
    if not isinstance(connection, Connection):
        return await handler(request)
    connection.request_came()
    try:
        return await handler(request)
    finally:
        connection.request_ended()


class Connection(asyncio.Protocol):
    """One connection: everything goes on to aiohttp, and it is closed when a header takes too long.

    Args:
        served: Makes aiohttp's side of it.
        connections: It and the others of its listener.
    """

    def __init__(self, served: Callable[[], asyncio.Protocol], connections: Connections) -> None:
        self._make = served
        self._connections = connections
        self._served: asyncio.Protocol | None = None
        self._address = ""
        self._transport: asyncio.Transport | None = None
        self._deadline: asyncio.TimerHandle | None = None
        self._unread: asyncio.TimerHandle | None = None
        self._in_hand = False

    def request_came(self) -> None:
        """Give the body, and the answer, the time that they need."""
        self._in_hand = True
        self._disarm()

    def request_ended(self) -> None:
        """Begin a new deadline with the next byte."""
        self._in_hand = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See `asyncio.Protocol`."""
        self._transport = cast(asyncio.Transport, transport)
        # So that `pause_writing` comes with the first byte that the client leaves unread, however short the answer is.
        self._transport.set_write_buffer_limits(high=0)
        self._address = address_of(transport.get_extra_info("peername"))
        if not self._connections.enter(self._address):
            self._refuse()
            return
        self._served = self._make()
        self._arm(HEADER_TIMEOUT_S)
        self._served.connection_made(transport)

    def data_received(self, data: bytes) -> None:
        """See `asyncio.Protocol`."""
        if self._served is None:
            self._tell_refusal()
            return
        if not self._in_hand and self._deadline is None:
            self._arm(HEADER_TIMEOUT_S)
        self._served.data_received(data)

    def eof_received(self) -> bool | None:
        """See `asyncio.Protocol`."""
        return self._served.eof_received() if self._served is not None else None

    def connection_lost(self, exc: Exception | None) -> None:
        """See `asyncio.Protocol`."""
        self._disarm()
        self._note_read()
        if self._served is None:
            self._connections.refusing -= 1
            return
        self._connections.leave(self._address)
        self._served.connection_lost(exc)

    def pause_writing(self) -> None:
        """See `asyncio.Protocol`."""
        assert self._transport is not None
        self._unread = asyncio.get_running_loop().call_later(WRITE_TIMEOUT_S, self._transport.abort)
        if self._served is not None:
            self._served.pause_writing()

    def resume_writing(self) -> None:
        """See `asyncio.Protocol`."""
        self._note_read()
        if self._served is not None:
            self._served.resume_writing()

    def _refuse(self) -> None:
        """Let it ask first, for a few at a time: an answer that comes before the question is often never read."""
        assert self._transport is not None
        if not self._connections.full:  # one line for a flood, until there is room again
            self._connections.full = True
            log.warning("connections_refused", open=len(self._connections))
        self._connections.refusing += 1
        if self._connections.refusing > REFUSALS_MAX:
            self._transport.abort()
        else:
            self._arm(REFUSAL_S)

    def _tell_refusal(self) -> None:
        assert self._transport is not None
        if not self._transport.is_closing():
            self._transport.write(_refusal())
            self._transport.close()

    def _arm(self, timeout_s: float) -> None:
        assert self._transport is not None
        self._deadline = asyncio.get_running_loop().call_later(timeout_s, self._transport.close)

    def _disarm(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _note_read(self) -> None:
        if self._unread is not None:
            self._unread.cancel()
            self._unread = None


class _Served(web.RequestHandler):
    """aiohttp's side of a connection, with problems for what it refuses by itself: what is no HTTP, and expectations."""

    def handle_error(
        self, request: web.BaseRequest, status: int = 500, exc: BaseException | None = None, message: str | None = None
    ) -> web.StreamResponse:
        """Answer what could not be read; whoever sends such things is told why by a type, and is no error of ours."""
        if status >= 500:
            log.error("request_failed_outside", exc_info=exc)
            return _outside(Problem(ProblemType.INTERNAL, "The request failed here."))
        log.debug("request_not_http", error=type(exc).__name__)
        return _outside(Problem(ProblemType.MALFORMED_REQUEST, "What was sent is not valid HTTP/1.1."))

    async def finish_response(
        self, request: web.BaseRequest, resp: web.StreamResponse, start_time: float | None
    ) -> tuple[web.StreamResponse, bool]:
        """Send an answer; what aiohttp raises before the middlewares see the request becomes a problem here."""
        if isinstance(resp, web.HTTPException):
            resp = _outside(Problem(ProblemType.EXPECTATION_FAILED, "Only `Expect: 100-continue` can be met."))
        return await super().finish_response(request, resp, start_time)


def _outside(problem: Problem) -> web.Response:
    """Return the answer to a request that the middlewares never saw, with the headers that every answer has."""
    request_id = str(uuid4())
    response = problem.response(f"urn:uuid:{request_id}")
    response.force_close()
    response.headers.update(_HEADERS)
    response.headers["X-Request-Id"] = request_id
    return response


_HEADERS: Final = {hdrs.CACHE_CONTROL: "no-store", "X-Content-Type-Options": "nosniff", hdrs.SERVER: SERVER}


def _refusal() -> bytes:
    problem = Problem(ProblemType.OVERLOADED, "There are too many connections now; try again.")
    request_id = str(uuid4())
    body = problem.body(f"urn:uuid:{request_id}")
    headers = {
        **_HEADERS,
        hdrs.CONTENT_TYPE: CONTENT_TYPE,
        hdrs.CONTENT_LENGTH: str(len(body)),
        hdrs.CONNECTION: "close",
        hdrs.RETRY_AFTER: "1",
        "X-Request-Id": request_id,
    }
    lines = [f"HTTP/1.1 {problem.status} Service Unavailable", *(f"{name}: {value}" for name, value in headers.items())]
    return "\r\n".join([*lines, "", ""]).encode() + body
