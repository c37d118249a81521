"""A ledger with orders in it, and a participant that answers as it is told: what tests of the orchestrator share."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID, uuid4

from aiohttp import web
from psycopg_pool import AsyncConnectionPool

from orchestrator.definitions import Definitions
from orchestrator.fleet import Fleet
from orchestrator.identity import order_id
from orchestrator.listener import Listener
from orchestrator.metrics import Metrics
from orchestrator.opening import Request, open_order
from orchestrator.participant import Caller
from orchestrator.runner import Runner
from orchestrator.saga import Retry, Saga, Step
from orchestrator.settings import Settings
from orchestrator.tracing import Tracer
from orchestrator.transport import open_transport
from orchestrator.worker import Worker
from orchestrator.writer import Writer
from participants.contracts import Answer, Endpoint, Wire
from sql import ledger
from sql.models import NewOrder, SagaRow, Status
from sql.registry import register_participants


class Basket(Wire):
    """Input of the test's saga."""

    what: str = "a thing"


class Thing(Wire):
    """Names what a step is about."""

    order_id: str


class Done(Answer):
    """The answer to every step."""

    order_id: str


def step(name: str, **options: Any) -> Step[Basket, Thing]:
    options.setdefault("request", lambda ctx: Thing(order_id=ctx.order_id))
    options.setdefault("compensation", Endpoint("shop", "POST", f"/undo-{name}", Thing, Done))
    options.setdefault("action", Endpoint("shop", "POST", f"/{name}", Thing, Done))
    return Step(name=name, **options)


ERRAND = Saga(name="errand", version=1, input=Basket, steps=(step("first"), step("second"), step("third")))

Behaviour = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass
class Shop:
    """A scripted participant over real HTTP.

    Attributes:
        behaviours: For each path, what to do with its next calls; when none is left, 200.
        calls: Paths and keys of all calls, in order.
    """

    behaviours: dict[str, list[Behaviour]] = field(default_factory=dict)
    calls: list[tuple[str, str]] = field(default_factory=list)
    url: str = ""

    def paths(self) -> list[str]:
        return [path for path, _ in self.calls]

    async def answer(self, request: web.Request) -> web.StreamResponse:
        # A probe carries no key: it names the operation in its path.
        self.calls.append((request.path, request.headers.get("Idempotency-Key", "")))
        scripted = self.behaviours.get(request.path)
        if scripted:
            return await scripted.pop(0)(request)
        return web.json_response({"order_id": (await request.json())["order_id"]})


def status(code: int, body: Any = None, **headers: str) -> Behaviour:
    async def behave(_: web.Request) -> web.StreamResponse:
        return web.json_response(body or {"detail": f"scripted {code}"}, status=code, headers=headers)

    return behave


@asynccontextmanager
async def open_shop() -> AsyncIterator[Shop]:
    shop = Shop()
    app = web.Application()
    app.router.add_route("*", "/{tail:.*}", shop.answer)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    shop.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield shop
    finally:
        await runner.cleanup()


@dataclass
class Replica:
    """One orchestrator in this process, on the real ledger."""

    pool: AsyncConnectionPool[Any]
    definitions: Definitions
    worker: Worker
    writer: Writer
    fleet: Fleet
    metrics: Metrics
    settings: Settings


def settings_for(url: str, **options: Any) -> Settings:
    scaled = {
        "lease_s": 3.0,
        "step_timeout_s": 1.0,
        "poll_interval_s": 0.2,
        "retry_first_s": 0.01,
        "retry_factor": 1.0,
        "retry_jitter": 0.0,
        "breaker_window": 1000,  # all steps are of one participant, which would be away for every test of its faults
    }
    return Settings(database_url=url, **{**scaled, **options})


@asynccontextmanager
async def open_replica(
    pool: AsyncConnectionPool[Any],
    url: str,
    shop: Shop,
    saga: Saga[Any] = ERRAND,
    *,
    listen: bool = False,
    tracer: Tracer | None = None,
    **options: Any,
) -> AsyncIterator[Replica]:
    settings, metrics, name = settings_for(url, **options), Metrics(), f"test-{uuid4().hex[:8]}"
    definitions = Definitions([saga], settings)
    async with pool.connection() as conn:
        await definitions.register(conn)
    await asyncio.to_thread(register_participants, url, {"shop": shop.url})
    fleet = Fleet(pool, settings, metrics.breaker_state)
    await fleet.look()
    async with open_transport(settings.http_client, connections_max=10) as transport:
        writer = Writer(pool)
        runner = Runner(
            replica=name,
            pool=pool,
            definitions=definitions,
            writer=writer,
            caller=Caller(transport, fleet.addresses),
            fleet=fleet,
            metrics=metrics,
            jitter=0.0,
            lease_s=settings.lease_s,
            lapses_max=settings.lapses_max,
            tracer=tracer,
        )
        worker = Worker(
            replica=name,
            pool=pool,
            definitions=definitions,
            runner=runner,
            fleet=fleet,
            settings=settings,
            metrics=metrics,
        )
        tasks = [asyncio.create_task(part) for part in (writer.run(), worker.run(), fleet.run(worker.has_work))]
        if listen:
            tasks.append(asyncio.create_task(Listener(url, pool, worker.wake, metrics).run()))
        try:
            yield Replica(pool, definitions, worker, writer, fleet, metrics, settings)
        finally:
            await worker.stop(2.0)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


def new_order(definitions: Definitions, name: str = "errand", **changes: Any) -> NewOrder:
    key = uuid4().hex
    request = Request(order_id("tests", key), "tests", key, b"hash", Basket(), {}, "correlation", **changes)
    return open_order(definitions.named(name), request).order


async def place(replica: Replica, name: str = "errand", **changes: Any) -> UUID:
    order = new_order(replica.definitions, name, **changes)
    async with replica.pool.connection() as conn:
        assert await ledger.insert_order(conn, order)
        await ledger.wake_orchestrators(conn)
    replica.worker.wake()
    return order.order_ledger_id


async def row_of(pool: AsyncConnectionPool[Any], order_ledger_id: UUID) -> SagaRow:
    async with pool.connection() as conn:
        return (await ledger.get_rows(conn, [order_ledger_id]))[order_ledger_id]


async def until(pool: AsyncConnectionPool[Any], order_ledger_id: UUID, *wanted: Status, timeout_s: float = 10.0) -> SagaRow:
    """Wait for one of these statuses."""
    async with asyncio.timeout(timeout_s):
        while (row := await row_of(pool, order_ledger_id)).status not in wanted:
            await asyncio.sleep(0.01)
    return row


RETRY = Retry(first_s=0.01, factor=1.0, attempts_max=5)
