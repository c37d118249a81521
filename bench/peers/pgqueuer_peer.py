"""PgQueuer: one job a saga, with a checkpoint of its own for each step."""

import asyncio
import contextlib
import json
from collections.abc import Callable, Iterator
from typing import Any, Final
from uuid import uuid4

import asyncpg
import psycopg
import uvloop
from pgqueuer import PgQueuer
from pgqueuer.models import Job
from pgqueuer.queries import Queries

from bench.contestant import Contestant
from bench.job import STEPS, Place
from bench.peers import checkpoints
from bench.peers.calling import Calls, open_calls

BATCH: Final = 100
CONCURRENCY: Final = 200
CONNECTIONS: Final = 20
ENQUEUED: Final = 1000
READ: Final = checkpoints.numbered(checkpoints.READ)
WRITE: Final = checkpoints.numbered(checkpoints.WRITE)


def prepare(url: str) -> None:
    """Install its schema, and make the checkpoints' table."""

    async def install() -> None:
        conn = await asyncpg.connect(url)
        await Queries.from_asyncpg_connection(conn).install()
        await conn.execute(checkpoints.CREATE)
        await conn.close()

    asyncio.run(install())


def enqueue(url: str, count: int) -> None:
    """Enqueue jobs, many in a statement."""

    async def enqueue_all() -> None:
        conn = await asyncpg.connect(url)
        queries = Queries.from_asyncpg_connection(conn)
        for first in range(0, count, ENQUEUED):
            size = min(ENQUEUED, count - first)
            await queries.enqueue(["saga"] * size, [uuid4().hex.encode() for _ in range(size)], [0] * size)
        await conn.close()

    asyncio.run(enqueue_all())


def finished(conn: psycopg.Connection[Any]) -> int:
    """Count jobs that its log says were successful."""
    row = conn.execute("select count(*) from pgqueuer_log where status = 'successful'").fetchone()
    assert row is not None
    return int(row[0])


@contextlib.contextmanager
def submitting(url: str) -> Iterator[Callable[[], None]]:
    """Enqueue one job at a time."""
    with asyncio.Runner() as runner:
        conn = runner.run(asyncpg.connect(url))
        queries = Queries.from_asyncpg_connection(conn)

        async def submit() -> None:
            await queries.enqueue("saga", uuid4().hex.encode())

        try:
            yield lambda: runner.run(submit())
        finally:
            runner.run(conn.close())


async def _work(place: Place) -> None:
    async with (
        open_calls(place) as calls,
        asyncpg.create_pool(place.database_url, min_size=2, max_size=CONNECTIONS) as pool,
        asyncpg.create_pool(place.database_url, min_size=2, max_size=CONNECTIONS) as own,
    ):
        worker = PgQueuer.from_asyncpg_pool(pool)

        @worker.entrypoint("saga")
        async def saga(job: Job) -> None:
            await run_saga(own, calls, (job.payload or b"").decode())

        await worker.run(batch_size=BATCH, max_concurrent_tasks=CONCURRENCY)


async def run_saga(pool: "asyncpg.Pool[Any]", calls: Calls, saga_id: str) -> None:
    """Make every call that has no checkpoint yet."""
    done = {row["step"] for row in await pool.fetch(READ, saga_id)}
    for step in STEPS:
        if step not in done:
            answer = await calls.post(step, saga_id)
            await pool.execute(WRITE, saga_id, step, json.dumps(answer))


PGQUEUER: Final = Contestant(
    name="PgQueuer",
    module="bench.peers.pgqueuer_peer",
    packages=("pgqueuer", "asyncpg"),
    tuning=f"asyncpg pools of {CONNECTIONS} for it and for the checkpoints, `batch_size={BATCH}`,"
    f" `max_concurrent_tasks={CONCURRENCY}`, uvloop; jobs enqueued in batches",
    prepare=prepare,
    enqueue=enqueue,
    finished=finished,
    sagas=3000,
    submitting=submitting,
)


def work() -> None:
    """Work until the process is ended."""
    uvloop.run(_work(Place.given()))
