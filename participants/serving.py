"""A listener whose headers have a deadline and whose every answer is ours, also what aiohttp answers before any middleware."""

import asyncio
from typing import Final, cast

import structlog
from aiohttp import web
from aiohttp.typedefs import Handler

from participants.problems import Problem
from participants.telemetry import HEADERS

HEADER_TIMEOUT_S: Final = 10.0
"""Seconds for the header of a request, from its first byte; for the first one from the connection on."""
KEEPALIVE_S: Final = 75.0
"""An idle connection is closed after this: longer than callers keep theirs, or they would send into a closed one."""
LINGERING_S: Final = 2.0
"""Seconds for what is left of a body that nobody wants any more: it lets a caller read why, instead of being cut off."""
WRITE_TIMEOUT_S: Final = 30.0
"""Seconds for what a caller did not take at once of its answers; then it is cut off, for a close would wait for it as well."""

_log = structlog.get_logger("participants")


async def listen(runner: web.AppRunner, host: str, port: int) -> asyncio.Server:
    """Serve an application; stopping the runner ends its connections, the server is closed by the caller.

    Args:
        runner: Set up.
        host: Address to bind to.
        port: Port; 0 for any free one.

    Raises:
        OSError: The port is in use, or the address is not this machine's.
    """
    manager, loop = runner.server, asyncio.get_running_loop()
    assert manager is not None

    def served() -> asyncio.Protocol:
        return _Served(
            manager,
            loop=loop,
            access_log=None,  # type: ignore[arg-type]  # as aiohttp's own runner has it
            keepalive_timeout=KEEPALIVE_S,
            lingering_time=LINGERING_S,
            auto_decompress=False,
        )

    return await loop.create_server(served, host, port, backlog=1024)


@web.middleware
async def note_requests(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Let the connection know that a header has come, and when its request has been answered."""
    connection = request.protocol
    if not isinstance(connection, _Served):
        return await handler(request)
    connection.request_came()
    try:
        return await handler(request)
    finally:
        connection.request_ended()


class _Served(web.RequestHandler):
    """A connection, as aiohttp serves it, with limits on the time that a header takes and that an answer waits to be read."""

    _deadline: asyncio.TimerHandle | None = None
    _unread: asyncio.TimerHandle | None = None
    _in_hand = False

    def request_came(self) -> None:
        """Give body and answer the time that they need."""
        self._in_hand = True
        self._disarm()

    def request_ended(self) -> None:
        """Begin a new deadline with the next byte."""
        self._in_hand = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See `asyncio.Protocol`."""
        super().connection_made(transport)
        # So that `pause_writing` comes with the first byte that the caller leaves unread, however short the answer is.
        cast(asyncio.Transport, transport).set_write_buffer_limits(high=0)
        self._arm()

    def data_received(self, data: bytes) -> None:
        """See `asyncio.Protocol`."""
        if self._deadline is None and not self._in_hand:
            self._arm()
        super().data_received(data)

    def connection_lost(self, exc: BaseException | None) -> None:
        """See `asyncio.Protocol`."""
        self._disarm()
        self._note_read()
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        """See `asyncio.Protocol`."""
        assert self.transport is not None
        self._unread = asyncio.get_running_loop().call_later(WRITE_TIMEOUT_S, self.transport.abort)
        super().pause_writing()

    def resume_writing(self) -> None:
        """See `asyncio.Protocol`."""
        self._note_read()
        super().resume_writing()

    def _arm(self) -> None:
        self._deadline = asyncio.get_running_loop().call_later(HEADER_TIMEOUT_S, self.force_close)

    def _disarm(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _note_read(self) -> None:
        if self._unread is not None:
            self._unread.cancel()
            self._unread = None

    def handle_error(
        self, request: web.BaseRequest, status: int = 500, exc: BaseException | None = None, message: str | None = None
    ) -> web.StreamResponse:
        """Answer what is no HTTP without repeating it, and without a line of log, which whoever can connect could make."""
        if status >= 500:
            _log.error("request_failed_outside", exc_info=exc)
            return _alone(Problem(500, "internal-error", "The service failed."))
        return _alone(Problem(400, "malformed-request", "The request is not valid HTTP."))

    async def finish_response(
        self, request: web.BaseRequest, resp: web.StreamResponse, start_time: float | None
    ) -> tuple[web.StreamResponse, bool]:
        """Answer an expectation that can't be met, which is refused before the middlewares."""
        if isinstance(resp, web.HTTPException):
            resp = _alone(Problem(417, "expectation-failed", "Only `Expect: 100-continue` can be met."))
        return await super().finish_response(request, resp, start_time)


def _alone(problem: Problem) -> web.Response:
    """Return the answer to a request that the middlewares never saw."""
    response = problem.response()
    response.headers.update(HEADERS)
    response.force_close()
    return response
