"""DBOS: an async workflow with a step for each call, from a queue; for single ones, `start_workflow_async`."""

import asyncio
import threading
import time
from contextlib import AsyncExitStack
from typing import Any, Final
from uuid import uuid4

import psycopg
import uvloop
from dbos import DBOS, DBOSClient, DBOSConfig

from bench.contestant import Contestant
from bench.job import STEPS, Place
from bench.peers.calling import Calls, open_calls

QUEUE: Final = "sagas"
WORKER_CONCURRENCY: Final = 100
POLL_S: Final = 0.1
CONNECTIONS: Final = 20
VERSION: Final = "bench"

_kept_open = AsyncExitStack()
_opening: dict[str, asyncio.Future[Calls]] = {}


@DBOS.step()
async def call(step: str, saga_id: str) -> dict[str, Any]:
    """Make one call; the session belongs to the loop that workflows run on, so the first one opens it."""
    return await (await _opened()).post(step, saga_id)


@DBOS.workflow()
async def saga(saga_id: str) -> None:
    """Make the four calls."""
    for step in STEPS:
        await call(step, saga_id)


async def _opened() -> Calls:
    # Nothing is awaited before the future stands, so that one session is opened however many calls come first.
    if "calls" not in _opening:
        _opening["calls"] = asyncio.ensure_future(_kept_open.enter_async_context(open_calls(Place.given())))
    return await asyncio.shield(_opening["calls"])


def _launch(url: str) -> None:
    config: DBOSConfig = {
        "name": "bench",
        "system_database_url": url,
        "sys_db_pool_size": CONNECTIONS,
        "application_version": VERSION,
        "log_level": "ERROR",
    }
    DBOS(config=config)
    DBOS.launch()
    DBOS.register_queue(QUEUE, worker_concurrency=WORKER_CONCURRENCY, polling_interval_sec=POLL_S)


def prepare(url: str) -> None:
    """Have it migrate its system database."""
    _launch(url)
    DBOS.destroy()


def enqueue(url: str, count: int) -> None:
    """Enqueue workflows, all in one transaction."""
    import sqlalchemy

    client = DBOSClient(system_database_url=url)
    engine = sqlalchemy.create_engine(url.replace("postgresql://", "postgresql+psycopg://", 1))
    with engine.begin() as conn:
        for _ in range(count):
            client.enqueue_in_transaction(
                conn, {"queue_name": QUEUE, "workflow_name": saga.__qualname__, "app_version": VERSION}, str(uuid4())
            )
    engine.dispose()
    client.destroy()


def finished(conn: psycopg.Connection[Any]) -> int:
    """Count workflows that succeeded."""
    row = conn.execute("select count(*) from dbos.workflow_status where status = 'SUCCESS'").fetchone()
    assert row is not None
    return int(row[0])


async def _singles(count: int) -> list[float]:
    times_ms = []
    for _ in range(count):
        began_s = time.perf_counter()
        handle = await DBOS.start_workflow_async(saga, str(uuid4()))
        await handle.get_result()
        times_ms.append((time.perf_counter() - began_s) * 1000)
        await asyncio.sleep(0.02)
    return times_ms


DBOS_PEER: Final = Contestant(
    name="DBOS",
    module="bench.peers.dbos_peer",
    packages=("dbos",),
    tuning=f"async workflow with async steps, a queue with `worker_concurrency={WORKER_CONCURRENCY}` and"
    f" `polling_interval_sec={POLL_S}`, a pool of {CONNECTIONS}, workflows enqueued in one transaction; single ones by"
    " `start_workflow_async`",
    prepare=prepare,
    enqueue=enqueue,
    finished=finished,
    sagas=600,
)


def work() -> None:
    """Work until the process is ended."""
    _launch(Place.given().database_url)
    threading.Event().wait()


def singles(count: int) -> list[float]:
    """Start workflows one after the other in this process; returns milliseconds."""
    _launch(Place.given().database_url)
    times_ms = uvloop.run(_singles(count))
    DBOS.destroy()
    return times_ms
