"""Starting a saga: one request, one order, one answer, however often it is repeated and whoever dies in between.

::

    body, key ─▶ ledger row RECEIVED, with the intent to authorize and a short lease of this edge      (one statement)
              ─▶ the payment's authorization over HTTP, with a short time limit                        (where the saga has it)
              ─▶ outcome, status, event and the frozen answer                                          (one statement)
              ─▶ NOTIFY, then the answer

When the edge dies anywhere in between, its lease runs out and an orchestrator repeats the same operation. When payments
don't answer in time, or are known to be away, the order stays RECEIVED, the client gets its 202, and an orchestrator goes on.
"""

import random
import time
from collections.abc import Awaitable, Callable
from datetime import datetime
from functools import partial
from typing import Any, Final, Protocol, TypeVar
from uuid import UUID

import orjson
import psycopg
import structlog
from aiohttp import web
from msgspec.structs import replace

from edge_api import keys
from edge_api.acceptance import Answer, accepted, answer_for, in_progress, outcome_unknown
from edge_api.admission import BACKLOG, overloaded
from edge_api.idempotency import fingerprint
from edge_api.limits import in_time
from edge_api.middlewares import unavailable
from edge_api.monitoring import METRICS
from edge_api.problems import Problem, ProblemType
from edge_api.reading import representation
from edge_api.rows import visible_rows
from edge_api.schemas import StartRequest, input_of
from edge_api.waking import Finishes, Waker
from orchestrator.definitions import Unfit
from orchestrator.identity import order_id
from orchestrator.logs import hide
from orchestrator.opening import Opening, Request, open_order
from orchestrator.progress import Answered, Progress
from orchestrator.saga import Saga
from orchestrator.tracing import ended
from orchestrator.work import Work
from participants.contracts import personal_of
from sql import ledger, reading
from sql.models import TERMINAL, Json, NewOrder
from sql.tracing import Span

LEASE_MARGIN_S: Final = 3.0
"""The edge's lease outlasts its call to payments by this, time enough to write the outcome."""
LEDGER_TIMEOUT_S: Final = 2.2
"""Of one statement, with the wait for a connection: a little more than the pool's own limit, which says more."""
CONFIGURED_MAX: Final = 5
"""A saga that is configured anew as often while one order is inserted is busy: the client may repeat."""
DISABLED_RETRY_S: Final = 60
"""Somebody has to switch it on first."""

EDGE_NAME: Final = web.AppKey("edge_name", str)
WAKER: Final = web.AppKey("waker", Waker)
FINISHES: Final = web.AppKey("finishes", Finishes)

log = structlog.get_logger(__name__)
T = TypeVar("T")


class Insert(Protocol):
    """As `ledger.insert_order`."""

    async def __call__(self, conn: ledger.Connection, order: NewOrder) -> datetime | None:
        """Insert a row; None when nothing was written."""


async def start(request: web.Request, saga: Saga[Any], asked: StartRequest, route: str, key: str, wait_s: int) -> web.Response:
    """Record an order that runs a saga, and answer as the key's rules say.

    Args:
        request: The request.
        saga: What is to run; `asked` need not hold its input, then nothing is recorded.
        asked: What was sent.
        route: Method and path; a key that was used with another is refused.
        key: The client's key.
        wait_s: Seconds that the client prefers to wait for the end; 0 for none.

    Raises:
        Problem: It was not recorded, or nobody knows whether it was.
    """
    client_id = request[keys.CLIENT_ID]
    ask = Request(
        order_ledger_id=order_id(client_id, key),
        client_id=client_id,
        client_request_id=key,
        request_hash=fingerprint(route, asked.canonical()),
        input=input_of(asked, saga.input),
        metadata=asked.metadata,
        correlation_id=request[keys.CORRELATION_ID],
        traceparent=request[keys.TRACEPARENT],
    )
    return await begin(request, saga, ask, wait_s)


async def begin(
    request: web.Request, saga: Saga[Any], ask: Request, wait_s: int, insert: Insert = ledger.insert_order
) -> web.Response:
    """Record an order that was asked for, and answer as the key's rules say.

    Args:
        request: The request.
        saga: What is to run.
        ask: Who asked for what.
        wait_s: Seconds that the client prefers to wait for the end; 0 for none.
        insert: Inserts the order, in one transaction; what it raises is raised here, with nothing recorded.

    Raises:
        Problem: It was not recorded, or nobody knows whether it was.
    """
    structlog.contextvars.bind_contextvars(order_ledger_id=str(ask.order_ledger_id))
    answer = await _place(request, ask, saga, insert)
    log.info("order_answered", status=answer.status, replayed=answer.replayed)
    if wait_s and answer.status == 202 and await request.app[FINISHES].wait(ask.order_ledger_id, wait_s):
        return await _finished(request, ask.order_ledger_id, wait_s)
    return answer.response()


async def _place(request: web.Request, ask: Request, saga: Saga[Any], insert: Insert) -> Answer:
    """Insert the order on what its saga is configured to be at this moment, and go on with it."""
    if not request.app[keys.SETTINGS].takes_orders:
        return await _known(request, ask, _disabled())
    if request.app[BACKLOG].full:
        return await _known(request, ask, overloaded())
    for _ in range(CONFIGURED_MAX):
        opening = await _opened(request, ask, saga)
        created_at = await _in_ledger(request, ask, partial(insert, order=opening.order))
        if created_at is not None:
            return await _placed(request, ask, opening, created_at)
        answer = await _in_ledger(request, ask, lambda conn: _repeat(conn, request, ask))
        if answer is not None:
            return answer
        await _in_ledger(request, ask, request.app[keys.DEFINITIONS].look)
    raise unavailable()


async def _known(request: web.Request, ask: Request, refusal: Problem) -> Answer:
    """Answer a repeat while nothing new is begun: it begins nothing."""
    answer = await _in_ledger(request, ask, lambda conn: _repeat(conn, request, ask))
    if answer is None:
        raise refusal
    return answer


def _disabled() -> Problem:
    return Problem(
        ProblemType.FEATURE_DISABLED,
        "Nothing new is begun now, and nothing was recorded; repeat the request later with the same Idempotency-Key.",
        headers={"Retry-After": str(DISABLED_RETRY_S)},
    )


async def _opened(request: web.Request, ask: Request, saga: Saga[Any]) -> Opening:
    definitions = request.app[keys.DEFINITIONS]
    try:
        chosen = definitions.chosen(saga.name, ask.order_ledger_id)
    except Unfit:
        await _in_ledger(request, ask, definitions.look)  # it may be configured anew by now
        chosen = definitions.chosen(saga.name, ask.order_ledger_id)
    if chosen.saga.input is not saga.input:  # another version is started since the request was read; a repeat is read for it
        raise unavailable()
    # While payments are away it makes no sense to ask them: an orchestrator does it when they are back.
    step = chosen.saga.edge_step
    owner = request.app[EDGE_NAME] if step and request.app[keys.FLEET].may_call(step.action.participant) else None
    opening = open_order(chosen.saga, ask, owner=owner, lease_s=_lease_s(request), config_seq=chosen.config_seq)
    hide(opening.order.personal)
    return opening


async def _placed(request: web.Request, ask: Request, opening: Opening, created_at: datetime) -> Answer:
    request.app[METRICS].started.labels(opening.order.saga).inc()
    if opening.call is None:
        first = accepted(opening.order.saga, opening.order.status, created_at, ask)
        answer = await _in_ledger(request, ask, lambda conn: _freeze(conn, ask.order_ledger_id, first))
    else:
        answer = await _authorize(request, ask, opening, created_at)
    request.app[WAKER].wake()
    return answer


async def _in_ledger(request: web.Request, ask: Request, act: Callable[[ledger.Connection], Awaitable[T]]) -> T:
    """Do something in the ledger.

    Raises:
        Problem: It was not done, or nobody knows whether it was; a repeat of the request finds out.
    """

    async def attempt() -> T:
        async with visible_rows(request) as conn:
            try:
                return await act(conn)
            except psycopg.errors.LockNotAvailable:
                raise in_progress(ask.order_ledger_id) from None
            except psycopg.OperationalError:
                raise (outcome_unknown(ask.order_ledger_id) if conn.closed else unavailable()) from None

    try:
        return await in_time(attempt(), LEDGER_TIMEOUT_S)
    except TimeoutError:
        raise outcome_unknown(ask.order_ledger_id) from None


async def _authorize(request: web.Request, ask: Request, opening: Opening, created_at: datetime) -> Answer:
    """Try the saga's first step once, and write what came of it together with the answer."""
    work, call, settings = opening.work, opening.call, request.app[keys.SETTINGS]
    assert call is not None
    structlog.contextvars.bind_contextvars(step=call.step)
    began_s = time.monotonic()
    tracing = request.app[keys.TRACER].begin(work, call)
    outcome = await request.app[keys.CALLER].call(work.prepared(call), tracing, settings.edge_timeout_s)
    duration_s = time.monotonic() - began_s
    request.app[keys.FLEET].note(work.endpoint(call).participant, outcome)
    request.app[METRICS].steps.count(work.saga.name, call.step, call.direction, outcome, duration_s)
    answered = Answered(call.step, outcome, round(duration_s * 1000, 3))
    told = [ended(tracing.attempt, outcome)] if tracing.attempt is not None else []
    answer = await _in_ledger(request, ask, lambda conn: _write_outcome(conn, request, ask, work, answered, created_at, told))
    if time.monotonic() - began_s < _lease_s(request) / 2:
        return answer
    # The lease may have run out by now, and a repeat of the request may have frozen another answer.
    return await _in_ledger(request, ask, lambda conn: _freeze(conn, ask.order_ledger_id, answer))


async def _write_outcome(
    conn: ledger.Connection,
    request: web.Request,
    ask: Request,
    work: Work,
    answered: Answered,
    created_at: datetime,
    told: list[Span],
) -> Answer:
    """Write what came of the call together with the answer that is frozen, in one statement."""
    jitter = random.uniform(0.0, request.app[keys.SETTINGS].retry_jitter)
    while True:
        transition = work.transition(work.advance(answered, go_on=False), replica=request.app[EDGE_NAME], jitter=jitter)
        answer = answer_for(transition.status, work.saga.name, created_at, ask, request)
        frozen = replace(transition, response_status=answer.status, response_body=answer.body)
        if await ledger.write_transitions(conn, [frozen]):
            request.app[keys.TRACER].tell(told)
            if transition.status in TERMINAL:
                request.app[METRICS].finished.labels(work.saga.name, transition.status.value).inc()
                request.app[keys.TRACER].rests(ask.order_ledger_id, transition.status)
            return answer
        row = (await ledger.get_rows(conn, [ask.order_ledger_id]))[ask.order_ledger_id]
        if row.lease_epoch != work.row.lease_epoch or answered.step not in Progress.from_json(row.progress).on_its_way:
            # Somebody else went on with the order meanwhile: what stands in the ledger is the answer.
            return await _freeze(conn, row.order_ledger_id, answer_for(row.status, row.saga, created_at, ask, request))
        # A cancel came between, under this claim: decide again, knowing it and the outcome.
        work = work.on(row)


async def _repeat(conn: ledger.Connection, request: web.Request, ask: Request) -> Answer | None:
    """Answer a key that was used before; None for one that was not: then the saga was configured anew."""
    repeat = await ledger.find_repeat(conn, ask.order_ledger_id)
    if repeat is None:
        return None
    if repeat.request_hash != ask.request_hash or repeat.personal not in (None, _personal(ask)):
        raise Problem(
            ProblemType.KEY_REUSED,
            "This Idempotency-Key belongs to an earlier request with other content. Use a new key for a new order.",
            order_ledger_id=repeat.order_ledger_id,
        )
    if repeat.response_status is not None and repeat.response_body is not None:
        return Answer(repeat.order_ledger_id, repeat.response_status, repeat.response_body, replayed=True)
    if repeat.held:
        raise in_progress(repeat.order_ledger_id)
    # The first request died before it was answered: this one freezes the answer for all that follow.
    late = answer_for(repeat.status, repeat.saga, repeat.created_at, ask, request)
    return await _freeze(conn, repeat.order_ledger_id, late)


def _personal(ask: Request) -> Json:
    return personal_of(type(ask.input), ask.input.model_dump(mode="json"))


def _lease_s(request: web.Request) -> float:
    return request.app[keys.SETTINGS].edge_timeout_s + LEASE_MARGIN_S


async def _freeze(conn: ledger.Connection, order_ledger_id: UUID, answer: Answer) -> Answer:
    status, body = await ledger.freeze_answer(conn, order_ledger_id, answer.status, answer.body)
    return Answer(order_ledger_id, status, body, replayed=body != answer.body)


async def _finished(request: web.Request, order_ledger_id: UUID, wait_s: int) -> web.Response:
    async with visible_rows(request) as conn:
        row = await reading.get_order(conn, order_ledger_id, request[keys.CLIENT_ID])
    assert row is not None
    headers = {"Preference-Applied": f"wait={wait_s}", "Content-Location": f"/orders/{order_ledger_id}"}
    return web.Response(body=orjson.dumps(representation(row)), content_type="application/json", headers=headers)
