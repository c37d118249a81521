"""One way to make all five services: a pool, the routes that a service declares, and what all have in common."""

import asyncio
from collections.abc import AsyncIterator
from types import MappingProxyType
from typing import Final

from aiohttp import web
from prometheus_client import CollectorRegistry

from participants import inventory, notifications, orders, payment_tries, payments, shipping, stock_tries
from participants.access import require_secret
from participants.calls import BODY_MAX_BYTES, FAULTS, POOL, Lookup, Route, add_route, read_body
from participants.contracts.operations import OperationRef
from participants.database import Connection, open_pool, ping
from participants.effects import EffectQuery, page_effects
from participants.erasure import erasure
from participants.expiry import Expire, expire_for_ever
from participants.faults import Delay, FailNext, Faults
from participants.idempotency import StoredAnswer, find_operation
from participants.problems import answer_problems
from participants.serving import note_requests
from participants.settings import Name, ParticipantSettings
from participants.telemetry import REGISTRY, get_metrics, observe_requests, set_headers
from sql.tasks import end_task
from sql.tracing import Traces

_ROUTES: Final = MappingProxyType[Name, tuple[Route, ...]](
    {
        "orders": orders.ROUTES,
        "inventory": inventory.ROUTES,
        "payments": payments.ROUTES,
        "shipping": shipping.ROUTES,
        "notifications": notifications.ROUTES,
    }
)

_EXPIRE: Final = MappingProxyType[Name, Expire](
    {"inventory": stock_tries.expire_stock, "payments": payment_tries.expire_payments}
)


def create_app(name: Name, settings: ParticipantSettings, traces: Traces | None = None) -> web.Application:
    """Make the application of a participant; its start opens the database.

    Args:
        name: Which of the five.
        settings: Where its database is, and whether it may be told to misbehave.
        traces: Where its part of traces goes; None where they are off.

    Raises:
        SettingError: No database is set, or no secret where there must be one.
    """
    secrets = settings.secrets_of(name)
    url = settings.database_url_of(name)
    lifetime_s = settings.reservation_s

    async def keep_pool(app: web.Application) -> AsyncIterator[None]:
        async with open_pool(url, name, settings.participant_pool_size) as pool:
            app[POOL] = pool
            yield

    async def keep_expiring(app: web.Application) -> AsyncIterator[None]:
        expiring = asyncio.create_task(expire_for_ever(app[POOL], _EXPIRE[name], lifetime_s))
        yield
        await end_task(expiring)

    registry = CollectorRegistry()
    guard = [require_secret(secrets)] if secrets else []
    middlewares = [note_requests, observe_requests(registry, traces), answer_problems, *guard]
    app = web.Application(middlewares=middlewares, client_max_size=BODY_MAX_BYTES)
    app[REGISTRY] = registry
    app[FAULTS] = Faults(settings.mock_latency_ms, settings.mock_failure_rate) if name == "payments" else Faults()
    app.on_response_prepare.append(set_headers)
    app.cleanup_ctx.append(keep_pool)
    if name in _EXPIRE:
        app.cleanup_ctx.append(keep_expiring)
    for route in routes_of(name, lifetime_s):
        add_route(app.router, route)
    add_route(app.router, Lookup("/operations/{operation_key}", OperationRef, _find_operation))
    add_route(app.router, Lookup("/effects", EffectQuery, page_effects))
    add_route(app.router, erasure(name))
    app.router.add_get("/healthz", _get_health)
    app.router.add_get("/metrics", get_metrics)
    if settings.faults:
        app.router.add_post("/test/fail-next", _fail_next)
        app.router.add_post("/test/delay", _delay)
        app.router.add_post("/test/reset", _reset)
    return app


def routes_of(name: Name, lifetime_s: float) -> tuple[Route, ...]:
    """Return the operations that a participant alone offers, for tries that last so many seconds."""
    match name:
        case "inventory":
            return _ROUTES[name] + stock_tries.routes(lifetime_s)
        case "payments":
            return _ROUTES[name] + payment_tries.routes(lifetime_s)
        case _:
            return _ROUTES[name]


async def _find_operation(connection: Connection, operation: OperationRef) -> StoredAnswer:
    """Tell whether the operation with a key was done; see `idempotency.find_operation`."""
    return await find_operation(connection, operation.operation_key)


async def _get_health(request: web.Request) -> web.Response:
    """Answer 200 while the database answers, else 503."""
    await ping(request.app[POOL])
    return web.json_response({"status": "ok"})


async def _fail_next(request: web.Request) -> web.Response:
    request.app[FAULTS].fail_next(await read_body(request, FailNext))
    return web.Response(status=204)


async def _delay(request: web.Request) -> web.Response:
    request.app[FAULTS].delay(await read_body(request, Delay))
    return web.Response(status=204)


async def _reset(request: web.Request) -> web.Response:
    request.app[FAULTS].reset()
    return web.Response(status=204)
