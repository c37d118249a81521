"""What holds for every request: ids, headers, limits of reads, and errors as problems."""

import re
import time
from typing import Final
from uuid import uuid4

import structlog
from aiohttp import hdrs, web
from aiohttp.typedefs import Handler
from psycopg_pool import PoolClosed

from edge_api import keys
from edge_api.limits import in_time
from edge_api.monitoring import METRICS
from edge_api.problems import Problem, ProblemType, order_not_found
from edge_api.requests import order_id_of
from orchestrator.breaking import NoParticipant
from orchestrator.configuration import Unsafe
from orchestrator.configuring import NoSuchSaga, NotInThisState
from orchestrator.paying import NotPayable
from orchestrator.saga import DefinitionError
from orchestrator.signalling import NoSuchSignal, NotAwaited
from orchestrator.verdict import Busy, NotAllowed
from orchestrator.webhooks.subscribing import NameTaken, NoWebhook
from sql.connect import OUTAGE
from sql.ledger import OrderNotFound
from sql.tracing import Context, Role, begin, end_request, made_context, read_context

WAITING: Final = frozenset({"/events", "/stream", "/orders/{order_ledger_id}/stream", "/admin/orders/{order_ledger_id}/stream"})
"""Routes of reads that may wait for something to happen, and limit by themselves how long they wait for the ledger."""
SWITCHED: Final = 101
READ_TIMEOUT_S: Final = 5.5
"""A little more than the statement's own limit, which holds as long as the server can be reached."""
READS: Final = frozenset({hdrs.METH_GET, hdrs.METH_HEAD, hdrs.METH_OPTIONS})
"""Methods of requests that begin nothing: they have no span."""
REFUSALS: Final = {
    NoSuchSaga: ProblemType.NOT_FOUND,
    NoWebhook: ProblemType.NOT_FOUND,
    NoParticipant: ProblemType.NOT_FOUND,
    NotInThisState: ProblemType.CONFIGURATION_CONFLICT,
    NameTaken: ProblemType.NAME_TAKEN,
    NoSuchSignal: ProblemType.NOT_FOUND,
    NotAllowed: ProblemType.CONFLICT,
    NotAwaited: ProblemType.CONFLICT,
    NotPayable: ProblemType.CONFLICT,
    Busy: ProblemType.CONFLICT,
}
"""What is refused further in, to whoever asks, each with what is derived from it: each says itself, in a sentence, why nothing
was changed."""
_CORRELATION_ID: Final = re.compile(r"[\x21-\x7e]{1,128}")

log = structlog.get_logger(__name__)


@web.middleware
async def identify_request(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Give the request its ids, and the answer the headers that every answer has."""
    given = request.headers.get("X-Correlation-ID", "")
    request[keys.CORRELATION_ID] = given if _CORRELATION_ID.fullmatch(given) else str(uuid4())
    request[keys.REQUEST_ID] = str(uuid4())
    _trace(request)
    # The requests of a connection share its context: each says anew what its lines are about.
    order = request.match_info.get("order_ledger_id")
    structlog.contextvars.bind_contextvars(correlation_id=request[keys.CORRELATION_ID], order_ledger_id=order, step=None)
    began_s = time.monotonic()
    response = await handler(request)
    add_headers(request, response)
    route = route_of(request)
    method = request.method if request.method in hdrs.METH_ALL else "other"
    # A stream that was opened is no request that took an hour; `saga_streams_open` counts it.
    if response.status != SWITCHED:
        request.app[METRICS].request_duration.labels(route, method, response.status).observe(time.monotonic() - began_s)
    if (traces := request.app[keys.TRACER].traces) is not None and keys.SPAN in request:
        if (about := structlog.contextvars.get_contextvars().get("order_ledger_id")) is not None:
            request[keys.SPAN].attributes["saga.order_ledger_id"] = about
        traces.tell([end_request(request[keys.SPAN], method, route, response.status)])
    return response


@web.middleware
async def answer_problems(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Turn whatever is raised into a problem that says nothing of the inside."""
    try:
        return await handler(request)
    except Problem as raised:
        problem = raised
    except web.HTTPException as error:
        problem = _http_problem(error)
    except tuple(REFUSALS) as error:
        kind = next(kind for refused, kind in REFUSALS.items() if isinstance(error, refused))
        order = order_id_of(request) if kind is ProblemType.CONFLICT else None
        problem = Problem(kind, f"{error}.", order_ledger_id=order)
    except OrderNotFound:
        problem = order_not_found()
    except Unsafe as error:
        errors = tuple(("#/configuration", reason) for reason in error.reasons)
        problem = Problem(ProblemType.INVALID, "The saga must not be configured so; see `errors`.", errors=errors)
    except DefinitionError as error:
        # Another edge may have the code that the order runs on, or that the saga is configured for, and this one soon.
        log.error("definition_not_here", error=str(error))
        problem = unavailable()
    except (*OUTAGE, PoolClosed) as error:
        log.warning("database_away", error=type(error).__name__)
        problem = unavailable()
    except Exception:
        log.exception("request_failed", route=route_of(request))
        problem = Problem(ProblemType.INTERNAL, "The request failed here; repeat it with the same Idempotency-Key.")
    return problem.response(f"urn:uuid:{request[keys.REQUEST_ID]}")


@web.middleware
async def limit_reads(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Give up a read that the ledger does not answer; it changes nothing, so nobody has to know how it ends."""

    async def read() -> web.StreamResponse:
        return await handler(request)

    if request.method != hdrs.METH_GET or route_of(request) in WAITING:
        return await handler(request)
    try:
        return await in_time(read(), READ_TIMEOUT_S)
    except TimeoutError:
        raise unavailable() from None


def unavailable() -> Problem:
    """Return the answer while the database is away."""
    return Problem(
        ProblemType.UNAVAILABLE,
        "The ledger can't be reached now; repeat the request with the same Idempotency-Key.",
        headers={"Retry-After": "1"},
    )


def add_headers(request: web.Request, response: web.StreamResponse) -> None:
    """Give an answer the headers that every answer has."""
    response.headers.setdefault(hdrs.CACHE_CONTROL, "no-store")
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers["X-Correlation-ID"] = request[keys.CORRELATION_ID]
    response.headers["X-Request-Id"] = request[keys.REQUEST_ID]
    response.headers["traceparent"] = request[keys.TRACEPARENT]
    response.headers[hdrs.SERVER] = "sagaledger"


def route_of(request: web.Request) -> str:
    """Return a request's route as its template: what clients write into a path is no label, and nothing for a log."""
    resource = request.match_info.route.resource
    return resource.canonical if resource is not None else "none"


def _http_problem(error: web.HTTPException) -> Problem:
    if isinstance(error, web.HTTPMethodNotAllowed):
        return Problem(
            ProblemType.METHOD_NOT_ALLOWED,
            "The method is not allowed here; see Allow.",
            headers={"Allow": error.headers.get("Allow", "")},
        )
    if isinstance(error, web.HTTPRequestEntityTooLarge):
        return Problem(ProblemType.TOO_LARGE, "The body may have at most 1 MiB.")
    if error.status == 404:
        return Problem(ProblemType.NOT_FOUND, "There is nothing at this path.")
    log.error("unmapped_http_error", status=error.status)
    return Problem(ProblemType.INTERNAL, "The request failed here.")


def _trace(request: web.Request) -> None:
    """Give a request the trace context (W3C Trace Context, level 1) that it came with, or a new one.

    One that may change something has a span in it, where traces are on and this one is wanted: what it begins is part of that.
    """
    given = read_context(request.headers.get("traceparent"))
    context, traces = given or made_context(), request.app[keys.TRACER].traces
    if traces is not None and request.method not in READS:
        if given is None and not traces.samples(context.trace_id):
            context = Context(context.trace_id, context.span_id, sampled=False)
        if context.sampled:
            request[keys.SPAN] = begin("request", Role.SERVER, context, {"url.scheme": request.scheme})
            context = request[keys.SPAN].context
    request[keys.TRACEPARENT] = context.traceparent
