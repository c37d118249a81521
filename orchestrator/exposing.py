"""What an orchestrator shows of itself on a port of its own: that it runs, that it is ready, and its metrics.

The metrics want the admin token, as on an edge's admin listener; whether it runs is told to anybody who can reach the port.
"""

import asyncio
from contextlib import AsyncExitStack
from typing import Final

from aiohttp import hdrs, web
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from orchestrator.bearer import bearer_of, digest_of, same_token
from orchestrator.metrics import Metrics
from orchestrator.settings import Environment, Settings, SettingsError
from sql import reading
from sql.connect import OUTAGE, Pool

HEADERS: Final = {hdrs.SERVER: "sagaledger", hdrs.CACHE_CONTROL: "no-store", "X-Content-Type-Options": "nosniff"}
READY_TIMEOUT_S: Final = 2.2
"""Of the ledger's answer, with the wait for a connection: a little more than the pool's own limit."""


class PortUnusable(Exception):
    """The port is in use."""


def check_exposed(settings: Settings) -> None:
    """See that metrics are not shown to everybody by what was forgotten.

    Raises:
        SettingsError: Outside `dev` they are to be served, and there is no admin token.
    """
    if settings.environment is not Environment.DEV and settings.metrics_port is not None and settings.admin_token is None:
        raise SettingsError(
            f"SAGA_ENVIRONMENT is {settings.environment} and SAGA_ADMIN_TOKEN is not set: SAGA_METRICS_PORT needs one"
        )


async def expose(stack: AsyncExitStack, settings: Settings, metrics: Metrics, pool: Pool) -> None:
    """Serve `/healthz`, `/readyz` and `/metrics` until the stack is closed, if a port is set for it.

    Raises:
        PortUnusable: It is in use.
    """
    if settings.metrics_port is None:
        return
    token = digest_of(settings.admin_token.get_secret_value()) if settings.admin_token else None

    async def show_metrics(request: web.Request) -> web.Response:
        given = bearer_of(request.headers.getall(hdrs.AUTHORIZATION, []))
        if token is not None and (given is None or not same_token(given, token)):
            return web.json_response({"status": "send the admin token"}, status=401, headers={"WWW-Authenticate": "Bearer"})
        return web.Response(body=generate_latest(metrics.registry), headers={"Content-Type": CONTENT_TYPE_LATEST})

    async def health(_: web.Request) -> web.Response:
        return web.json_response({"status": "ok"})

    async def readiness(_: web.Request) -> web.Response:
        try:
            async with asyncio.timeout(READY_TIMEOUT_S), pool.connection() as conn:
                await reading.ping(conn)
        except (*OUTAGE, TimeoutError):
            return web.json_response({"status": "the ledger is away"}, status=503)
        return web.json_response({"status": "ready"})

    async def put_headers(_: web.Request, response: web.StreamResponse) -> None:
        response.headers.update(HEADERS)

    app = web.Application()
    app.on_response_prepare.append(put_headers)
    app.add_routes([web.get("/metrics", show_metrics), web.get("/healthz", health), web.get("/readyz", readiness)])
    server = web.AppRunner(app, access_log=None)
    await server.setup()
    stack.push_async_callback(server.cleanup)
    try:
        await web.TCPSite(server, settings.admin_host, settings.metrics_port).start()
    except OSError:
        raise PortUnusable(f"port {settings.metrics_port} is in use: set SAGA_METRICS_PORT to another") from None
