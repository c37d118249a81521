"""What replicas tell of orders: each span once, with its parent, by whoever had the order; and no order waits for it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import psycopg
import pytest
from aiohttp import web
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from psycopg_pool import AsyncConnectionPool

from orchestrator import operating
from orchestrator.spans import saga_span_id
from orchestrator.tracing import Tracer
from sql.models import Status
from sql.otel import OtelTraces
from sql.tasks import end_task
from tests.integration.orchestrator.absence import eventually
from tests.integration.orchestrator.shop import ERRAND, Shop, open_replica, place, status, until

CLIENT, TRACE = "00f067aa0ba902b7", "4bf92f3577b34da6a3ce929d0e0e4736"
WANTED, UNWANTED = f"00-{TRACE}-{CLIENT}-01", f"00-{TRACE}-{CLIENT}-00"


class Told:
    """What was told so far."""

    def __init__(self) -> None:
        self.exporter = InMemorySpanExporter()

    @property
    def spans(self) -> dict[str, ReadableSpan]:
        found = {span_id(span): span for span in self.exporter.get_finished_spans()}
        assert len(found) == len(self.exporter.get_finished_spans()), "a span was told twice"
        return found

    @property
    def names(self) -> list[str]:
        return sorted(span.name for span in self.spans.values())

    def parents(self) -> dict[str, str]:
        """Return under which span each stands."""
        named = {own: span.name for own, span in self.spans.items()}
        parents = [(span.name, span.parent) for span in self.spans.values()]
        return {name: named.get(f"{parent.span_id:016x}", "?") if parent else "" for name, parent in parents}


def span_id(span: ReadableSpan) -> str:
    assert span.context is not None
    return f"{span.context.span_id:016x}"


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> Told:
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "10")
    return Told()


@asynccontextmanager
async def tracing(told: Told, pool: Any) -> AsyncIterator[Tracer]:
    traces = OtelTraces(told.exporter, "sagaledger-orchestrator", "replica")
    tracer = Tracer(traces, pool.connection)
    running = asyncio.create_task(tracer.run())
    try:
        yield tracer
    finally:
        await end_task(running)
        await tracer.close()


def steps(*names: str) -> list[str]:
    """Return the spans of steps and of their one call each."""
    return [each for name in names for each in (name, f"POST /{name.replace('undo ', 'undo-')}")]


async def test_each_part_of_an_order_is_told_once_though_it_was_stuck_and_was_taken_up_again(
    pool: AsyncConnectionPool[Any], ledger_url: str, shop: Shop, told: Told
) -> None:
    shop.behaviours = {"/third": [status(422)], "/undo-first": [status(422)]}
    async with tracing(told, pool) as tracer, open_replica(pool, ledger_url, shop, tracer=tracer) as replica:
        order = await place(replica, traceparent=WANTED)
        await until(pool, order, Status.STUCK)
        first = sorted(steps("first", "second", "third", "undo second", "undo first"))
        await eventually(lambda: told.names == first)
        async with pool.connection() as conn:
            await operating.retry(conn, replica.definitions, order, actor="ann", reason="mended")
        replica.worker.wake()
        await until(pool, order, Status.FAILED)
        await eventually(lambda: told.names == sorted([*first, *steps("undo first"), "errand"]))

    (saga,) = (span for span in told.spans.values() if span.name == "errand")
    assert (span_id(saga), saga.parent and f"{saga.parent.span_id:016x}") == (saga_span_id(order), CLIENT)
    assert told.parents() == {
        "errand": "?",
        **dict.fromkeys(("first", "second", "third", "undo second", "undo first"), "errand"),
        **{
            f"POST /{name.replace('undo ', 'undo-')}": name
            for name in ("first", "second", "third", "undo second", "undo first")
        },
    }


async def test_a_call_that_was_on_its_way_when_its_owner_stopped_is_told_by_the_next_owner(
    pool: AsyncConnectionPool[Any], ledger_url: str, shop: Shop, told: Told
) -> None:
    called, heard = asyncio.Event(), []

    async def hang(request: web.Request) -> web.StreamResponse:
        heard.append(request.headers["traceparent"])
        called.set()
        await asyncio.Event().wait()
        raise AssertionError

    shop.behaviours = {"/second": [hang]}
    async with tracing(told, pool) as tracer:
        async with open_replica(pool, ledger_url, shop, step_timeout_s=20.0, lease_s=60.0, tracer=tracer) as dying:
            order = await place(dying, traceparent=WANTED)
            await called.wait()
            await dying.worker.stop(0.1)
        async with open_replica(pool, ledger_url, shop, tracer=tracer):
            await until(pool, order, Status.COMPLETED)
            calls = [*steps("first", "second", "third"), "second taken over", "errand"]
            await eventually(lambda: told.names == sorted(calls))

    (lost,) = (own for own, span in told.spans.items() if span.name == "second taken over")
    assert heard == [f"00-{TRACE}-{lost}-01"]
    assert told.parents()["second taken over"] == "second"


async def test_replicas_with_and_without_traces_work_side_by_side(
    pool: AsyncConnectionPool[Any], ledger_url: str, shop: Shop, told: Told
) -> None:
    headers = []

    async def note(request: web.Request) -> web.StreamResponse:
        headers.append(request.headers.get("traceparent"))
        return web.json_response({"order_id": (await request.json())["order_id"]})

    shop.behaviours = {"/first": [note, note, note]}
    async with open_replica(pool, ledger_url, shop) as without:
        for traceparent in (WANTED, None):
            await until(pool, await place(without, traceparent=traceparent), Status.COMPLETED)
    async with tracing(told, pool) as tracer, open_replica(pool, ledger_url, shop, tracer=tracer) as replica:
        await until(pool, await place(replica, traceparent=UNWANTED), Status.COMPLETED)

    assert headers == [WANTED, None, UNWANTED]
    assert told.names == []


async def test_orders_that_can_not_be_read_are_counted_and_the_next_are_told(
    pool: AsyncConnectionPool[Any], ledger_url: str, shop: Shop, told: Told
) -> None:
    class Refusing:
        refuses = True

        @asynccontextmanager
        async def connection(self) -> AsyncIterator[Any]:
            if self.refuses:
                self.refuses = False
                raise psycopg.errors.InsufficientPrivilege("permission denied for table ledger_journal")
            async with pool.connection() as conn:
                yield conn

    async with tracing(told, Refusing()) as tracer, open_replica(pool, ledger_url, shop, tracer=tracer) as replica:
        await until(pool, await place(replica, traceparent=WANTED), Status.COMPLETED)
        calls = sorted(f"POST /{step.name}" for step in ERRAND.steps)
        await eventually(lambda: told.names == calls)
        await until(pool, await place(replica, traceparent=WANTED), Status.COMPLETED)
        await eventually(lambda: told.names == sorted([*calls, *calls, "errand", *(step.name for step in ERRAND.steps)]))
        assert tracer.traces is not None
        (spans,) = tracer.traces.collect()
        assert {sample.labels["outcome"]: sample.value for sample in spans.samples}["dropped"] == 1


async def test_the_ledger_may_be_away_when_an_order_is_to_be_told(
    pool: AsyncConnectionPool[Any], ledger_url: str, shop: Shop, told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("orchestrator.tracing.AGAIN_S", 0.01)
    away = [True]

    class Going:
        @asynccontextmanager
        async def connection(self) -> AsyncIterator[Any]:
            if away[0]:
                raise psycopg.OperationalError("the server has gone")
            async with pool.connection() as conn:
                yield conn

    async with tracing(told, Going()) as tracer, open_replica(pool, ledger_url, shop, tracer=tracer) as replica:
        order = await place(replica, traceparent=WANTED)
        await until(pool, order, Status.COMPLETED)
        calls = sorted(f"POST /{step.name}" for step in ERRAND.steps)
        await eventually(lambda: told.names == calls)
        away[0] = False
        await eventually(lambda: told.names == sorted([*calls, "errand", *(step.name for step in ERRAND.steps)]))
