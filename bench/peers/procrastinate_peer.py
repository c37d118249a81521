"""Procrastinate: one job a saga, with a checkpoint of its own for each step."""

import asyncio
import contextlib
from collections.abc import Callable, Iterator
from typing import Any, Final
from uuid import uuid4

import psycopg
import uvloop
from procrastinate import App, PsycopgConnector
from psycopg.types.json import Jsonb
from psycopg_pool import AsyncConnectionPool

from bench.contestant import Contestant
from bench.job import STEPS, Place
from bench.peers import checkpoints
from bench.peers.calling import Calls, open_calls

CONCURRENCY: Final = 100
CONNECTIONS: Final = 20
BATCH: Final = 1000


def _app(url: str, connections: int = CONNECTIONS) -> App:
    return App(connector=PsycopgConnector(conninfo=url, min_size=1, max_size=connections))


def prepare(url: str) -> None:
    """Apply its schema, and make the checkpoints' table."""

    async def apply() -> None:
        async with _app(url, 2).open_async() as app:
            await app.schema_manager.apply_schema_async()

    asyncio.run(apply())
    with psycopg.connect(url, autocommit=True) as conn:
        conn.execute(checkpoints.CREATE)


def enqueue(url: str, count: int) -> None:
    """Defer jobs, many in a statement."""

    async def defer() -> None:
        async with _app(url, 2).open_async() as app:
            saga = app.configure_task("saga")
            for first in range(0, count, BATCH):
                await saga.batch_defer_async(*({"saga_id": str(uuid4())} for _ in range(min(BATCH, count - first))))

    asyncio.run(defer())


def finished(conn: psycopg.Connection[Any]) -> int:
    """Count jobs that succeeded."""
    row = conn.execute("select count(*) from procrastinate_jobs where status = 'succeeded'").fetchone()
    assert row is not None
    return int(row[0])


@contextlib.contextmanager
def submitting(url: str) -> Iterator[Callable[[], None]]:
    """Defer one job at a time."""
    with asyncio.Runner() as runner:
        app = _app(url, 1)

        async def open_app() -> None:
            await app.open_async()

        async def submit() -> None:
            await app.configure_task("saga").defer_async(saga_id=str(uuid4()))

        runner.run(open_app())
        try:
            yield lambda: runner.run(submit())
        finally:
            runner.run(app.close_async())


async def _work(place: Place) -> None:
    app = _app(place.database_url)
    pool: AsyncConnectionPool[Any] = AsyncConnectionPool(
        place.database_url, min_size=1, max_size=CONNECTIONS, open=False, kwargs={"autocommit": True}
    )
    async with open_calls(place) as calls, pool, app.open_async():

        @app.task(name="saga")
        async def saga(saga_id: str) -> None:
            await run_saga(pool, calls, saga_id)

        await app.run_worker_async(concurrency=CONCURRENCY, install_signal_handlers=False)


async def run_saga(pool: AsyncConnectionPool[Any], calls: Calls, saga_id: str) -> None:
    """Make every call that has no checkpoint yet."""
    async with pool.connection() as conn:
        done = {row[0] for row in await (await conn.execute(checkpoints.READ, (saga_id,))).fetchall()}
    for step in STEPS:
        if step not in done:
            answer = await calls.post(step, saga_id)
            async with pool.connection() as conn:
                await conn.execute(checkpoints.WRITE, (saga_id, step, Jsonb(answer)))


PROCRASTINATE: Final = Contestant(
    name="Procrastinate",
    module="bench.peers.procrastinate_peer",
    packages=("procrastinate",),
    tuning=f"async task, `concurrency={CONCURRENCY}`, a pool of {CONNECTIONS} connections for it and one for the checkpoints,"
    " LISTEN on, uvloop; jobs deferred in batches",
    prepare=prepare,
    enqueue=enqueue,
    finished=finished,
    sagas=1500,
    submitting=submitting,
)


def work() -> None:
    """Work until the process is ended."""
    uvloop.run(_work(Place.given()))
