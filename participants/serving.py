"""A listener whose every answer is one of ours: what aiohttp answers by itself, before any middleware, is a problem too."""

import asyncio
from typing import Final

import structlog
from aiohttp import web

from participants.problems import Problem
from participants.telemetry import HEADERS

KEEPALIVE_S: Final = 75.0
"""An idle connection is closed after this, and one whose header does not come: longer than callers keep theirs."""
LINGERING_S: Final = 2.0
"""Seconds for what is left of a body that nobody wants any more: it lets a caller read why, instead of being cut off."""

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


class _Served(web.RequestHandler):
    """A connection, as aiohttp serves it."""

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
