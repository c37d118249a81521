"""Figures of this project alone, each a measurement with a name: what the peers have no counterpart of."""

import asyncio
import contextlib
import os
import signal
import statistics
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, Final

import psycopg

from bench import measure
from bench.job import STEPS, Place
from bench.measure import Drain
from bench.ours import FOUR_STEPS, OURS, copy_rows, settings_of
from bench.processes import memory_mb
from bench.server import Server
from bench.stack import percentile, place, running_stack
from bench.stub import Stub, running_stub
from orchestrator.definitions import Definitions
from sql import ledger
from sql.connect import Session

DELAY_MS: Final = 20
AT_ONCE: Final = 16
"""Sagas of one worker where two are compared with one."""
CLAIM: Final = 100
LISTENERS: Final = 4
TURNS: Final = 3
"""In a round, with NOTIFY and without: short turns one after the other, so that both meet the same weather."""
IDLE_SETTLE_S: Final = 12.0
"""Until a worker has started and each idle session has told what it did."""


@dataclass(frozen=True, slots=True)
class Sizes:
    """How much of everything; a quick run only shows that it all works.

    Attributes:
        rounds: Of everything that is compared.
        share: Of the sagas that a contestant drains in a round.
        singles: Single sagas a contestant and round.
        floor_sagas: Of pgbench with one saga a transaction; ten times as many with 100 at once.
        finished: Rows of the full ledger.
        due: Rows of the long queue.
        waiting: Rows that wait while a worker's memory is looked at.
        idle_s: Seconds of idleness.
        posts: Orders with NOTIFY on or off.
        clients: At once, through edge and participants.
        latency: Orders one after the other through edge and participants.
        orders: In the ledger that an operator's page asks.
        asked: Requests of each kind by that page.
    """

    rounds: int = 3
    share: float = 1.0
    singles: int = 100
    floor_sagas: int = 8_000
    finished: int = 10_000_000
    due: int = 100_000
    waiting: int = 100_000
    idle_s: float = 60.0
    posts: int = 1_000
    clients: int = 100
    latency: int = 200
    orders: int = 1_000_000
    asked: int = 40


QUICK: Final = Sizes(
    rounds=1, share=0.1, singles=20, floor_sagas=2_000, finished=50_000, due=10_000, waiting=10_000, idle_s=10.0, posts=200,
    clients=50, latency=30, orders=20_000, asked=5,
)  # fmt: skip


def two_workers(server: Server, sizes: Sizes) -> dict[str, Any]:
    """Two workers against one, the stub answering after 20 ms, with the same concurrency each.

    Whether waiting adds up is asked, not how many cores there are: so few sagas at once that two workers, the stub and the
    server do not use up two cores.
    """
    at_once = {"SAGA_CONCURRENCY": str(AT_ONCE), "SAGA_PARTICIPANT_CONCURRENCY": str(AT_ONCE)}
    ours = replace(OURS, environment=at_once)
    sagas = max(int(1_000 * sizes.share), 200)
    one: list[Drain] = []
    two: list[Drain] = []
    with running_stub(DELAY_MS) as stub:
        for _ in range(sizes.rounds):
            one.append(measure.drain(ours, server, stub, sagas))
            two.append(measure.drain(ours, server, stub, sagas, workers=2))
    return {
        "at_once": AT_ONCE,
        "ratio": _paired(two, one, "sagas_s"),
        "cpu_ratio": _paired(two, one, "worker_cpu_s"),
        "one_sagas_s": statistics.median(drain.sagas_s for drain in one),
        "two_sagas_s": statistics.median(drain.sagas_s for drain in two),
    }


def full_ledger(server: Server, stub: Stub, sizes: Sizes) -> dict[str, Any]:
    """Claim and step cost with many finished rows against none: server CPU and sagas a second, in pairs."""
    sagas = int(OURS.sagas * sizes.share)
    full = measure.prepared(OURS, server, "bench_full")
    began_s = time.monotonic()
    OURS.enqueue(full[0], 1)
    with psycopg.connect(full[0], autocommit=True) as conn:
        with indexed_afterwards(conn):
            copy_rows(conn, sizes.finished, done=True)
        conn.execute("vacuum analyze")
        filled_at = conn.execute("select clock_timestamp()").fetchone()
    built_s = time.monotonic() - began_s

    def finished_since(conn: psycopg.Connection[Any]) -> int:
        # Who looks for the end must not read what fills the ledger: that takes longer than the sagas.
        row = conn.execute("select count(*) from order_ledger where finished_at > %s", filled_at).fetchone()
        assert row is not None
        return int(row[0])

    ours = replace(OURS, finished=finished_since)
    with_rows: list[Drain] = []
    without: list[Drain] = []
    for _ in range(sizes.rounds):
        with_rows.append(measure.drain(ours, server, stub, sagas, database=full))
        without.append(measure.drain(ours, server, stub, sagas))
    server.drop_database(full[1])
    return {
        "finished": sizes.finished,
        "built_s": built_s,
        "time_ratio": 1 / _paired(with_rows, without, "sagas_s"),
        "server_cpu_ratio": _paired(with_rows, without, "server_cpu_s") if server.cpu_s() is not None else None,
        "wal_ratio": _paired(with_rows, without, "wal_bytes"),
    }


@contextlib.contextmanager
def indexed_afterwards(conn: psycopg.Connection[Any]) -> Iterator[None]:
    """Have rows come without what is kept up for each, secondary indexes and foreign keys; they are made when all are there."""
    conn.execute("set synchronous_commit = off")
    conn.execute("set maintenance_work_mem = '512MB'")
    constraints = conn.execute(
        "select format('alter table order_ledger drop constraint %I', conname),"
        " format('alter table order_ledger add constraint %I %s', conname, pg_get_constraintdef(oid))"
        " from pg_constraint where conrelid = 'order_ledger'::regclass and contype in ('u', 'f')"
    ).fetchall()
    for drop, _ in constraints:
        conn.execute(drop)
    indexes = conn.execute(
        "select format('drop index %s', indexrelid::regclass), pg_get_indexdef(indexrelid) from pg_index"
        " where indrelid = 'order_ledger'::regclass and not indisprimary"
    ).fetchall()
    for drop, _ in indexes:
        conn.execute(drop)
    yield
    for _, make in indexes + constraints:
        conn.execute(make)


def claims(server: Server, sizes: Sizes) -> dict[str, Any]:
    """Milliseconds of one claim of 100 rows while very many are due."""
    url, _ = measure.prepared(OURS, server)
    OURS.enqueue(url, sizes.due)
    with psycopg.connect(url, autocommit=True) as conn:
        # What so many rows have left to be done is done before, not beside: it would be its cost, and no claim's.
        conn.execute("vacuum analyze")
        conn.execute("checkpoint")
    definitions = Definitions([FOUR_STEPS], settings_of(Place(url, "http://127.0.0.1")))

    async def claim_all() -> list[float]:
        times_ms = []
        async with await Session.connect(url) as conn:
            for _ in range(min(sizes.due // CLAIM // 2, 300)):
                began_s = time.perf_counter()
                found = await ledger.claim_due(
                    conn, owner="bench", lease_s=600.0, limit=CLAIM, fingerprints=definitions.fingerprints
                )
                times_ms.append((time.perf_counter() - began_s) * 1000)
                assert len(found.claims) == CLAIM
        return times_ms

    times_ms = asyncio.run(claim_all())
    return {"due": sizes.due, "rows": CLAIM, "p50_ms": percentile(times_ms, 50), "p99_ms": percentile(times_ms, 99)}


def waiting_memory(server: Server, sizes: Sizes) -> dict[str, Any]:
    """Memory of a worker at work while very many sagas wait."""
    url, _ = measure.prepared(OURS, server)
    OURS.enqueue(url, sizes.waiting)
    with running_stub(DELAY_MS) as slow, measure.running_workers(OURS, Place(url, slow.url)) as running:
        measure.await_posts(running, slow, min(sizes.waiting, 500) * len(STEPS))
        return {"waiting": sizes.waiting, "memory_mb": memory_mb(running[0].pid, peak=True)}


def idle(server: Server, stub: Stub, sizes: Sizes) -> dict[str, Any]:
    """What a replica with nothing to do asks of the server: transactions a minute, and rows written.

    A probe of the listener counts twice: the server delivers a notification in a transaction of its own.
    """
    url, name = measure.prepared(OURS, server)
    written = "select sum(n_tup_ins + n_tup_upd + n_tup_del)::bigint from pg_stat_user_tables"
    with (
        measure.running_workers(OURS, Place(url, stub.url)),
        psycopg.connect(url, autocommit=True) as conn,
        _without_vacuum(conn),
    ):
        time.sleep(IDLE_SETTLE_S)
        rows_before, before = conn.execute(written).fetchone(), server.counts(name, settled=False)
        time.sleep(sizes.idle_s)
        rows_after, after = conn.execute(written).fetchone(), server.counts(name, settled=False)
    assert rows_before is not None
    assert rows_after is not None
    # One was this measurement's own look at the rows.
    queries = (after.transactions - before.transactions - 1) / sizes.idle_s * 60
    return {"seconds": sizes.idle_s, "queries_a_minute": queries, "rows_written": int(rows_after[0]) - int(rows_before[0])}


@contextlib.contextmanager
def _without_vacuum(conn: psycopg.Connection[Any]) -> Iterator[None]:
    """Have the server not vacuum by itself: its transactions would be counted as the replica's."""
    try:
        conn.execute("alter system set autovacuum = off")
    except psycopg.errors.InsufficientPrivilege:
        yield  # a server that was given: then they are counted
        return
    try:
        conn.execute("select pg_reload_conf()")
        yield
    finally:
        conn.execute("alter system reset autovacuum")
        conn.execute("select pg_reload_conf()")


def notify(sizes: Sizes) -> dict[str, Any]:
    """Orders accepted a second with listeners connected, against NOTIFY switched off.

    The orchestrators are frozen meanwhile: woken, they would take the cores from the edge, and that is no cost of NOTIFY.
    """
    posts_s: dict[str, list[float]] = {"true": [], "false": []}
    with contextlib.ExitStack() as opened:
        stacks = {setting: opened.enter_context(running_stack(notify=setting)) for setting in posts_s}
        for stack in stacks.values():
            opened.enter_context(_frozen(stack["pids"]["orchestrators"]))
            opened.enter_context(_listeners(stack["database_url"]))
            asyncio.run(place(stack, clients=16, orders=max(sizes.posts // 10, 20), to_the_end=False))
        for _ in range(sizes.rounds * TURNS):
            for setting, stack in stacks.items():
                load = asyncio.run(place(stack, clients=16, orders=max(sizes.posts // TURNS, 20), to_the_end=False))
                posts_s[setting].append(load.posts_s)
    on, off = posts_s.values()
    ratio = statistics.median(a / b for a, b in zip(on, off, strict=True))
    return {"on_posts_s": statistics.median(on), "off_posts_s": statistics.median(off), "ratio": ratio}


@contextlib.contextmanager
def _frozen(pids: list[int]) -> Iterator[None]:
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)


@contextlib.contextmanager
def _listeners(url: str) -> Iterator[None]:
    """Keep sessions that listen, as replicas would."""
    with contextlib.ExitStack() as stack:
        for _ in range(LISTENERS):
            stack.enter_context(psycopg.connect(url, autocommit=True)).execute("listen order_events")
        yield


def many_clients(sizes: Sizes) -> dict[str, Any]:
    """Clients that all place an order at once, through edge and real participants: percentiles over all rounds."""
    with running_stack() as stack:
        asyncio.run(place(stack, clients=8, orders=40))
        loads = [asyncio.run(place(stack, clients=sizes.clients, orders=sizes.clients)) for _ in range(sizes.rounds)]
    completed_ms = [ms for load in loads for ms in load.completed_ms]
    return {
        "clients": sizes.clients,
        "post_p95_ms": percentile([ms for load in loads for ms in load.post_ms], 95),
        "completed_p95_ms": percentile(completed_ms, 95) if len(completed_ms) > 1 else None,
        "errors": sum(load.errors for load in loads),
    }


def _paired(over: list[Drain], under: list[Drain], figure: str) -> float:
    """Return the median of the ratios within each round."""
    return statistics.median(getattr(a, figure) / getattr(b, figure) for a, b in zip(over, under, strict=True))
