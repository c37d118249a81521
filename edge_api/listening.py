"""Listeners whose connections have deadlines.

aiohttp closes a connection on which no request came for a while, and takes just as long over a header that drips. Here a
protocol of our own stands between the transport and aiohttp's, so that a header has a deadline of its own while idle
connections of clients and proxies may stay open longer.
"""

import asyncio
import socket
from dataclasses import dataclass
from typing import Final, cast

from aiohttp import web
from aiohttp.typedefs import Handler

from edge_api.errors import EdgeError

HEADER_TIMEOUT_S: Final = 10.0
"""Seconds for the header of a request, from its first byte; for the first one from the connection on."""
KEEPALIVE_S: Final = 75.0
"""Idle connections are closed after this: longer than proxies keep theirs, or they would send into a closed one."""


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


async def listen(app: web.Application, host: str, port: int, *, setting: str, stop_s: float) -> Listening:
    """Serve an application.

    Args:
        app: With `note_requests` among its middlewares, the first of them.
        host: Address to bind to.
        port: Port; 0 for any free one.
        setting: What an operator changes to have another port, for the error.
        stop_s: Seconds for requests in hand to be finished when it is stopped.

    Raises:
        EdgeError: The port is in use, or the address is not this machine's.
    """
    runner = web.AppRunner(app, access_log=None, handle_signals=False, keepalive_timeout=KEEPALIVE_S, shutdown_timeout=stop_s)
    await runner.setup()
    served = runner.server
    assert served is not None
    try:
        loop = asyncio.get_running_loop()
        server = await loop.create_server(lambda: Connection(served()), host, port, backlog=1024)
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
        served: aiohttp's side of it.
    """

    def __init__(self, served: asyncio.Protocol) -> None:
        self._served = served
        self._transport: asyncio.Transport | None = None
        self._deadline: asyncio.TimerHandle | None = None
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
        self._arm()
        self._served.connection_made(transport)

    def data_received(self, data: bytes) -> None:
        """See `asyncio.Protocol`."""
        if not self._in_hand and self._deadline is None:
            self._arm()
        self._served.data_received(data)

    def eof_received(self) -> bool | None:
        """See `asyncio.Protocol`."""
        return self._served.eof_received()

    def connection_lost(self, exc: Exception | None) -> None:
        """See `asyncio.Protocol`."""
        self._disarm()
        self._served.connection_lost(exc)

    def pause_writing(self) -> None:
        """See `asyncio.Protocol`."""
        self._served.pause_writing()

    def resume_writing(self) -> None:
        """See `asyncio.Protocol`."""
        self._served.resume_writing()

    def _arm(self) -> None:
        assert self._transport is not None
        self._deadline = asyncio.get_running_loop().call_later(HEADER_TIMEOUT_S, self._transport.close)

    def _disarm(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
