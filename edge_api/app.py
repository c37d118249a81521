"""The two applications of an edge, one for clients and one for operators, over the same parts."""

import asyncio
from dataclasses import dataclass
from functools import partial
from typing import Final

import aiohttp
from aiohttp import web

from edge_api import (
    access,
    breakers,
    cancelling,
    configuring,
    dashboard,
    defining,
    doors,
    feed,
    finding,
    inspecting,
    keys,
    monitoring,
    openapi,
    operating,
    paying,
    placing,
    reading,
    signalling,
    stream,
    webhooks,
)
from edge_api.admission import BACKLOG, Backlog, limit_rate
from edge_api.changes import CHANGES, Changes
from edge_api.clients import KeyRing
from edge_api.feed import FEED, Feed
from edge_api.heads import check_heads, served_hosts
from edge_api.listening import note_requests
from edge_api.middlewares import answer_problems, identify_request, limit_reads
from edge_api.monitoring import METRICS, PROBES, READY, EdgeMetrics
from edge_api.requests import BODY_BYTES_MAX
from edge_api.starting import EDGE_NAME, FINISHES, WAKER
from edge_api.stream import STREAMS, Streams
from edge_api.waking import Finishes, Waker
from orchestrator.definitions import Definitions
from orchestrator.fleet import Fleet
from orchestrator.participant import Caller
from orchestrator.settings import Settings
from orchestrator.tracing import Tracer
from sql.connect import Pool

CLIENT_ROUTES: Final = (
    placing.ROUTES,
    reading.ROUTES,
    cancelling.ROUTES,
    paying.ROUTES,
    signalling.ROUTES,
    feed.ROUTES,
    stream.CLIENT_ROUTES,
    monitoring.CLIENT_ROUTES,
)
"""What the clients' listener serves, beside the description of it."""
ADMIN_ROUTES: Final = (
    monitoring.ADMIN_ROUTES,
    stream.ADMIN_ROUTES,
    monitoring.CLIENT_ROUTES,
    configuring.ROUTES,
    webhooks.ROUTES,
    breakers.ROUTES,
    operating.ROUTES,
    finding.ROUTES,
    inspecting.ROUTES,
    defining.ROUTES,
    dashboard.ROUTES,
)
"""What the admin listener serves."""


@dataclass(frozen=True, slots=True)
class Parts:
    """What handlers work with.

    Attributes:
        name: Of this edge, as leases and the journal show it.
        settings: As given.
        ring: Who has which key.
        pool: Autocommit connections to the ledger.
        definitions: Registered sagas.
        caller: For the authorization of payments.
        fleet: Where participants are, and whether they may be called.
        probes: For asking participants for their health.
        waker: Wakes orchestrators.
        finishes: Lets requests wait for orders to finish.
        feed: Reads the feed of events, and lets requests wait for them.
        changes: Looks for what changes, for all who follow it.
        metrics: What is counted.
        backlog: Whether too much work waits for more.
        tracer: Tells traces.
        ready: Set while orders are taken.
    """

    name: str
    settings: Settings
    ring: KeyRing
    pool: Pool
    definitions: Definitions
    caller: Caller
    fleet: Fleet
    probes: aiohttp.ClientSession
    waker: Waker
    finishes: Finishes
    feed: Feed
    changes: Changes
    metrics: EdgeMetrics
    backlog: Backlog
    tracer: Tracer
    ready: asyncio.Event


def clients_app(parts: Parts) -> web.Application:
    """Return the application of the clients' listener.

    Raises:
        LookupError: It is not said of a route what it answers, or who may use it.
    """
    settings = parts.settings
    app = web.Application(
        middlewares=[
            note_requests,
            identify_request,
            answer_problems,
            check_heads(served_hosts(settings.allowed_hosts, settings.host, guarded=False)),
            doors.clients_door(settings, parts.ring),
            limit_rate(settings.rate_per_s, settings.rate_burst),
            limit_reads,
        ],
        client_max_size=BODY_BYTES_MAX,
    )
    _put(parts, app, sees_all_clients=False)
    for routes in CLIENT_ROUTES:
        app.add_routes(routes)
    openapi.add_to(app, partial(doors.wants_key, settings, parts.ring))
    access.check_client_routes(app)
    return app


def admin_app(parts: Parts) -> web.Application:
    """Return the application of the admin listener."""
    settings = parts.settings
    app = web.Application(
        middlewares=[
            note_requests,
            identify_request,
            answer_problems,
            check_heads(served_hosts(settings.allowed_hosts, settings.admin_host, guarded=True)),
            doors.admin_door(settings, parts.ring),
            limit_reads,
        ],
        client_max_size=BODY_BYTES_MAX,
    )
    _put(parts, app, sees_all_clients=True)
    for routes in ADMIN_ROUTES:
        app.add_routes(routes)
    return app


def _put(parts: Parts, app: web.Application, *, sees_all_clients: bool) -> None:
    app[EDGE_NAME] = parts.name
    app[keys.SETTINGS] = parts.settings
    app[keys.POOL] = parts.pool
    app[keys.SEES_ALL_CLIENTS] = sees_all_clients
    app[keys.DEFINITIONS] = parts.definitions
    app[keys.CALLER] = parts.caller
    app[keys.FLEET] = parts.fleet
    app[PROBES] = parts.probes
    app[WAKER] = parts.waker
    app[keys.TRACER] = parts.tracer
    app[FINISHES] = parts.finishes
    app[FEED] = parts.feed
    app[CHANGES] = parts.changes
    app[STREAMS] = Streams()
    for route in (*stream.CLIENT_ROUTES, *stream.ADMIN_ROUTES):
        parts.metrics.streams_open.labels(route.path)  # shown before there is one
    app[METRICS] = parts.metrics
    app[BACKLOG] = parts.backlog
    app[READY] = parts.ready
