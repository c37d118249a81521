"""sagaz: a saga in the process that starts it, its state saved once a step; it has no queue, so none is counted against it."""

import asyncio
import logging
import time
from typing import Any, Final
from uuid import uuid4

import psycopg
import uvloop
from sagaz.core.saga import Saga, SagaContext
from sagaz.core.storage.backends.postgresql import PostgreSQLSagaStorage
from sagaz.core.types import SagaStatus, SagaStepStatus

from bench.contestant import Contestant
from bench.job import STEPS, Place
from bench.peers.calling import Calls, open_calls

logging.getLogger().setLevel(logging.WARNING)  # it sets up logging of every step when it is imported

CONCURRENCY: Final = 100
CONNECTIONS: Final = 20
NAME: Final = "four_steps"


class FourSteps(Saga):
    """The job."""


def prepare(url: str) -> None:
    """Have it make its tables."""

    async def connect() -> None:
        async with PostgreSQLSagaStorage(url, pool_min_size=1, pool_max_size=1) as storage:
            await storage.list_sagas(limit=1)

    asyncio.run(connect())


def enqueue(url: str, count: int) -> None:
    """Write pending sagas, in one statement."""
    with psycopg.connect(url, autocommit=True) as conn:
        conn.execute(
            "insert into sagas (saga_id, saga_name, status, context, metadata)"
            " select gen_random_uuid()::text, %s, %s, '{}', '{}' from generate_series(1, %s)",
            (NAME, SagaStatus.PENDING.value, count),
        )


def finished(conn: psycopg.Connection[Any]) -> int:
    """Count sagas that are completed."""
    row = conn.execute("select count(*) from sagas where status = %s", (SagaStatus.COMPLETED.value,)).fetchone()
    assert row is not None
    return int(row[0])


async def run_saga(storage: PostgreSQLSagaStorage, calls: Calls, saga_id: str) -> None:
    """Run one saga; its state is saved after each step, and with the last as completed."""
    saga = FourSteps(NAME)
    saga.saga_id = saga_id
    answers: dict[str, Any] = {}

    def action(step: str) -> Any:
        async def act(_: SagaContext) -> Any:
            answers[step] = await calls.post(step, saga_id)
            done = len(answers) == len(STEPS)
            await storage.save_saga_state(
                saga_id,
                NAME,
                SagaStatus.COMPLETED if done else SagaStatus.EXECUTING,
                [{"name": n, "status": SagaStepStatus.COMPLETED.value, "result": answer} for n, answer in answers.items()],
                {},
            )
            return answers[step]

        return act

    for step in STEPS:
        await saga.add_step(step, action(step), compensation=_undo)
    await saga.execute()


async def _undo(_: SagaContext) -> None:
    return None


async def _work(place: Place) -> None:
    async with open_calls(place) as calls, PostgreSQLSagaStorage(place.database_url, pool_max_size=CONNECTIONS) as storage:
        with psycopg.connect(place.database_url, autocommit=True) as conn:
            rows = conn.execute("select saga_id from sagas where status = %s", (SagaStatus.PENDING.value,)).fetchall()
        waiting = iter(str(row[0]) for row in rows)

        async def one_after_the_other() -> None:
            for saga_id in waiting:
                await run_saga(storage, calls, saga_id)

        await asyncio.gather(*(one_after_the_other() for _ in range(CONCURRENCY)))
        await asyncio.Event().wait()


async def _singles(place: Place, count: int) -> list[float]:
    times_ms = []
    async with open_calls(place) as calls, PostgreSQLSagaStorage(place.database_url, pool_max_size=CONNECTIONS) as storage:
        for _ in range(count):
            began_s, saga_id = time.perf_counter(), str(uuid4())
            await storage.save_saga_state(saga_id, NAME, SagaStatus.PENDING, [], {})
            await run_saga(storage, calls, saga_id)
            times_ms.append((time.perf_counter() - began_s) * 1000)
            await asyncio.sleep(0.02)
    return times_ms


SAGAZ: Final = Contestant(
    name="sagaz",
    module="bench.peers.sagaz_peer",
    packages=("sagaz", "asyncpg"),
    tuning=f"imperative saga, PostgreSQL storage with {CONNECTIONS} connections, {CONCURRENCY} sagas at once, uvloop; it has no"
    " queue: the worker is handed the list of what waits, and single sagas start in its own process",
    prepare=prepare,
    enqueue=enqueue,
    finished=finished,
    sagas=2000,
)


def work() -> None:
    """Work until the process is ended."""
    uvloop.run(_work(Place.given()))


def singles(count: int) -> list[float]:
    """Run sagas one after the other in this process; returns milliseconds."""
    return uvloop.run(_singles(Place.given(), count))
