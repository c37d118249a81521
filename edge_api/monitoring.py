"""What operators and their tools ask of the edge: liveness and readiness, metrics, statistics, the participants' health."""

import asyncio
import time
from typing import Any, Final

import aiohttp
import psycopg
import structlog
from aiohttp import web
from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    generate_latest,
)
from psycopg_pool import PoolClosed, PoolTimeout

from edge_api import keys
from edge_api.limits import in_time
from edge_api.measuring import LedgerMetrics, Measured, measure
from edge_api.problems import Problem, ProblemType
from edge_api.reading import json_response
from edge_api.requests import parameters_of, whole_number
from edge_api.rows import visible_rows
from orchestrator.circuit import State
from orchestrator.metrics import StepMetrics, breaker_state, calls_refused
from sql import reading

LEDGER_TIMEOUT_S: Final = 1.0
"""Probes and scrapes give up after about this long themselves, and then nobody would get the answer."""
PARTICIPANT_TIMEOUT_S: Final = 2.0
_DURATION_BUCKETS_S: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
_LEDGER_AWAY: Final = (TimeoutError, psycopg.Error, PoolTimeout, PoolClosed)

log = structlog.get_logger(__name__)


class EdgeMetrics:
    """The counters of one edge, in a registry of their own; names and labels are part of the public surface.

    Attributes:
        registry: Everything below.
        request_duration: Seconds of a request, by route template, method and status.
        started: Orders recorded, by saga.
        breaker_state: How the breakers of participants stand.
        calls_refused: Calls that are wrong themselves.
        streams_open: WebSockets that are open, by route template.
        ledger: What the ledger holds, as of the last look.
    """

    def __init__(self) -> None:
        registry = self.registry = CollectorRegistry()
        self.request_duration = Histogram(
            "http_request_duration_seconds",
            "From the request's head to the answer",
            ["route", "method", "status"],
            buckets=_DURATION_BUCKETS_S,
            registry=registry,
        )
        self.started = Counter("saga_started_total", "Sagas that were recorded", ["saga"], registry=registry)
        self.finished = Counter("saga_finished_total", "Sagas that ended here", ["saga", "status"], registry=registry)
        self.steps = StepMetrics(registry)
        self.breaker_state = breaker_state(registry)
        self.calls_refused = calls_refused(registry)
        self.streams_open = Gauge("saga_streams_open", "WebSockets that are open", ["route"], registry=registry)
        self.ledger = LedgerMetrics(registry)
        ProcessCollector(registry=registry)


METRICS: Final = web.AppKey("metrics", EdgeMetrics)
READY: Final = web.AppKey("ready", asyncio.Event)
"""Set from the end of the start to the beginning of the stop."""
PROBES: Final = web.AppKey("probes", aiohttp.ClientSession)
"""For asking participants for their health."""


async def liveness(_request: web.Request) -> web.Response:
    """Answer `GET /healthz`: the process runs. It asks nobody, or a database that is away would restart every edge."""
    return json_response({"status": "ok"})


async def readiness(request: web.Request) -> web.Response:
    """Answer `GET /readyz`: requests can be answered; and whether new orders are taken, or are switched off."""
    if not request.app[READY].is_set():
        raise _not_ready("This process is starting or stopping.")
    try:
        await in_time(_ping(request), LEDGER_TIMEOUT_S)
    except _LEDGER_AWAY:
        raise _not_ready(f"The ledger does not answer within {LEDGER_TIMEOUT_S:g} s.") from None
    return json_response({"status": "ready", "takes_orders": request.app[keys.SETTINGS].takes_orders})


async def metrics(request: web.Request) -> web.Response:
    """Answer `GET /metrics`, with the ledger's numbers as they are now and without them while it is away."""
    shown = request.app[METRICS]
    try:
        shown.ledger.show(await in_time(_measure(request), LEDGER_TIMEOUT_S))
    except _LEDGER_AWAY as error:
        log.warning("metrics_without_ledger", error=type(error).__name__)
        shown.ledger.show(None)
    return web.Response(body=generate_latest(shown.registry), headers={"Content-Type": CONTENT_TYPE_LATEST})


async def statistics(request: web.Request) -> web.Response:
    """Answer `GET /statistics?window=SECONDS&sample=ORDERS`: how far is looked back, and into how many orders at most.

    See `sql.reading.statistics`.
    """
    asked = parameters_of(request.query, ["window", "sample"])
    window_s = whole_number("window", asked.get("window", f"{reading.WINDOW_S:.0f}"), int(reading.WINDOW_MAX_S))
    sample = whole_number("sample", asked.get("sample", f"{reading.SAMPLE}"), reading.SAMPLE)
    async with visible_rows(request) as conn:
        return json_response(await reading.statistics(conn, window_s=window_s, sample=sample))


async def participants_health(request: web.Request) -> web.Response:
    """Answer `GET /health/participants`: each asked at once; one that is down is a fact, not an error."""
    session, fleet = request.app[PROBES], request.app[keys.FLEET]
    urls = dict(fleet.addresses)
    headers = {"X-Correlation-ID": request[keys.CORRELATION_ID]}
    answers = await asyncio.gather(*(_probe(session, url, headers) for url in urls.values()))
    told = {name: {**said, "breaker": fleet.breaker_of(name)} for name, said in zip(urls, answers, strict=True)}
    healthy = all(said["status"] == "up" and said["breaker"] == State.CLOSED for said in told.values())
    return json_response({"healthy": healthy, "participants": told})


CLIENT_ROUTES: Final = [
    web.get("/healthz", liveness, allow_head=False),
    web.get("/readyz", readiness, allow_head=False),
]
ADMIN_ROUTES: Final = [
    web.get("/metrics", metrics, allow_head=False),
    web.get("/statistics", statistics, allow_head=False),
    web.get("/health/participants", participants_health, allow_head=False),
]


async def _ping(request: web.Request) -> None:
    async with visible_rows(request) as conn:
        await reading.ping(conn)


async def _measure(request: web.Request) -> Measured:
    async with visible_rows(request) as conn:
        return await measure(conn)


async def _probe(session: aiohttp.ClientSession, url: str, headers: dict[str, str]) -> dict[str, Any]:
    began_s = time.monotonic()
    error = None
    try:
        async with (
            asyncio.timeout(PARTICIPANT_TIMEOUT_S),
            session.get(f"{url}/healthz", headers=headers, allow_redirects=False) as response,
        ):
            if response.status != 200:
                error = f"it answered {response.status}"
    except TimeoutError:
        error = f"no answer within {PARTICIPANT_TIMEOUT_S:g} s"
    except (aiohttp.ClientError, OSError) as failure:
        error = f"{type(failure).__name__}: {failure}"
    latency_ms = round((time.monotonic() - began_s) * 1000, 3)
    found = {"status": "down" if error else "up", "url": url, "latency_ms": latency_ms}
    return {**found, "error": error} if error else found


def _not_ready(detail: str) -> Problem:
    return Problem(ProblemType.UNAVAILABLE, detail, headers={"Retry-After": "1"})
