"""What a participant tells of itself: log lines with a correlation id, and metrics."""

import logging
import re
import sys
import time
import uuid
from types import MappingProxyType
from typing import Final

import structlog
from aiohttp import hdrs, web
from aiohttp.typedefs import Handler, Middleware
from prometheus_client import CollectorRegistry, Histogram, ProcessCollector
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

from sql.telling import as_json, as_text, cut, form
from sql.tracing import Role, Span, Traces, begin, end_request, read_context

CORRELATION: Final = "X-Correlation-ID"
HEADERS: Final = MappingProxyType({"Server": "sagaledger", "X-Content-Type-Options": "nosniff", "Cache-Control": "no-store"})
"""Of every answer; which software made it, and of what version, is nobody's business."""
REGISTRY: Final = web.AppKey("registry", CollectorRegistry)

_CORRELATION_ID: Final = re.compile(r"[\x21-\x7e]{1,128}")
_OPERATION_KEY: Final = re.compile(r"([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}):([a-z0-9_]{1,63}):(?:action|compensation)")
_log = structlog.get_logger("participants")


def configure_logging(level: str, *, readable: bool = False) -> None:
    """Write one log line an event to stderr, those of libraries too.

    Args:
        level: Least severe level that is written: `debug`, `info`, `warning` or `error`.
        readable: Whether for a person on a terminal; else each line is a JSON object.
    """
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
    lines = logging.StreamHandler(sys.stderr)
    lines.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                form,
                cut,
                as_text if readable else as_json,
            ],
        )
    )
    logging.basicConfig(level=level.upper(), handlers=[lines], force=True)


def observe_requests(registry: CollectorRegistry, traces: Traces | None = None) -> Middleware:
    """Make the middleware that times requests, logs them, gives each a correlation id, and tells its part of a trace.

    Args:
        registry: Takes the metric `http_request_duration_seconds`, and that of spans.
        traces: Where spans go; None where traces are off.
    """
    ProcessCollector(registry=registry)
    if traces is not None:
        registry.register(traces)
    durations = Histogram(
        "http_request_duration_seconds", "Time to answer a request.", ("route", "method", "status"), registry=registry
    )

    @web.middleware
    async def observe(request: web.Request, handler: Handler) -> web.StreamResponse:
        given = request.headers.get(CORRELATION, "")
        correlation_id = given if _CORRELATION_ID.fullmatch(given) else str(uuid.uuid4())
        about = _about(request)
        span = _begun(request, about) if traces is not None else None
        started = time.perf_counter()
        with structlog.contextvars.bound_contextvars(correlation_id=correlation_id, **about):
            response = await handler(request)
            duration_s = time.perf_counter() - started
            resource = request.match_info.route.resource
            route = resource.canonical if resource else "unmatched"  # never the path: ids are no labels
            method = request.method if request.method in hdrs.METH_ALL else "OTHER"  # a caller may invent methods
            durations.labels(route, method, response.status).observe(duration_s)
            if traces is not None and span is not None:
                traces.tell([end_request(span, method, route, response.status)])
            _log.info(
                "request",
                method=request.method,
                route=route,
                status=response.status,
                duration_ms=round(duration_s * 1000, 3),
                traceparent=request.headers.get("traceparent"),
            )
        response.headers[CORRELATION] = correlation_id
        return response

    return observe


def _begun(request: web.Request, about: dict[str, str]) -> Span | None:
    """Return the span of a request that is part of a trace which is wanted; None for any other, such as a look at health."""
    context = read_context(request.headers.get("traceparent"))
    if context is None or not context.sampled:
        return None
    said = {f"saga.{name}": value for name, value in about.items()}
    return begin("request", Role.SERVER, context, {"url.scheme": request.scheme, **said})


def _about(request: web.Request) -> dict[str, str]:
    """Return which order and step a call is about, where its key says so in the ledger's form."""
    found = _OPERATION_KEY.fullmatch(request.headers.get("Idempotency-Key", ""))
    return {"order_ledger_id": found[1], "step": found[2]} if found else {}


async def get_metrics(request: web.Request) -> web.Response:
    """Answer `GET /metrics` in the Prometheus text format."""
    return web.Response(body=generate_latest(request.app[REGISTRY]), headers={"Content-Type": CONTENT_TYPE_LATEST})


async def set_headers(_request: web.Request, response: web.StreamResponse) -> None:
    """Send what every answer carries."""
    response.headers.update(HEADERS)
