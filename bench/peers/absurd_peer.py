"""Absurd: a task with a step for each call."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterator
from typing import Any, Final
from uuid import uuid4

import psycopg
import uvloop
from absurd_sdk import AsyncAbsurd, AsyncTaskContext
from absurdctl import BUNDLED_SCHEMA_SQL
from psycopg.types.json import Jsonb

from bench.contestant import Contestant
from bench.job import STEPS, Place
from bench.peers.calling import Calls, open_calls

CLIENTS: Final = 8
"""Each has one connection, on which its statements wait for each other."""
CONCURRENCY: Final = 16
POLL_S: Final = 0.01


def prepare(url: str) -> None:
    """Apply its schema and create the queue."""
    with psycopg.connect(url, autocommit=True) as conn:
        conn.execute(BUNDLED_SCHEMA_SQL.encode())
        conn.execute("select absurd.create_queue('default')")


def enqueue(url: str, count: int) -> None:
    """Spawn tasks by its own function, all in one transaction."""
    with psycopg.connect(url) as conn:
        conn.cursor().executemany(
            "select absurd.spawn_task('default', 'saga', %s)", [(Jsonb({"saga_id": str(uuid4())}),) for _ in range(count)]
        )


def finished(conn: psycopg.Connection[Any]) -> int:
    """Count tasks that are completed."""
    row = conn.execute("select count(*) from absurd.t_default where state = 'completed'").fetchone()
    assert row is not None
    return int(row[0])


@contextlib.contextmanager
def submitting(url: str) -> Iterator[Callable[[], None]]:
    """Spawn one task at a time."""
    with asyncio.Runner() as runner:
        app = AsyncAbsurd(url)

        async def submit() -> None:
            await app.spawn("saga", {"saga_id": str(uuid4())}, queue="default")

        try:
            yield lambda: runner.run(submit())
        finally:
            runner.run(app.close())


async def _work(place: Place) -> None:
    async with open_calls(place) as calls:
        await asyncio.gather(*(_client(place, calls, number) for number in range(CLIENTS)))


async def _client(place: Place, calls: Calls, number: int) -> None:
    app = AsyncAbsurd(place.database_url)

    @app.register_task("saga")
    async def saga(params: Any, ctx: AsyncTaskContext) -> Any:
        for step in STEPS:
            await ctx.step(step, _call(calls, step, params["saga_id"]))
        return {}

    # Not all at the same instant.
    await asyncio.sleep(POLL_S * number / CLIENTS)
    await app.start_worker(worker_id=f"bench-{number}", concurrency=CONCURRENCY, poll_interval=POLL_S)


def _call(calls: Calls, step: str, saga_id: str) -> Callable[[], Awaitable[Any]]:
    async def call() -> Any:
        return await calls.post(step, saga_id)

    return call


ABSURD: Final = Contestant(
    name="absurd",
    module="bench.peers.absurd_peer",
    packages=("absurd-sdk",),
    tuning=f"async worker, {CLIENTS} clients in the process (each has one connection), `concurrency={CONCURRENCY}` each,"
    f" `poll_interval={POLL_S}`, uvloop; tasks spawned in one transaction",
    prepare=prepare,
    enqueue=enqueue,
    finished=finished,
    sagas=1500,
    submitting=submitting,
)


def work() -> None:
    """Work until the process is ended."""
    uvloop.run(_work(Place.given()))
