"""One contestant, one question: how fast it drains a backlog, how long a single saga takes, and what that costs."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import psycopg

from bench.contestant import Contestant
from bench.job import STEPS, Place
from bench.processes import cpu_s, memory_mb
from bench.server import Server
from bench.stub import Stub

START_S: Final = 60.0
"""Until a worker's first POST."""
LOOK_S: Final = 0.02
STOP_S: Final = 20.0


class Failed(Exception):
    """A contestant did not do the job."""


@dataclass(frozen=True, slots=True)
class Drain:
    """A backlog drained by one worker process or more; what it cost is of one saga, or of a thousand where it says so.

    Attributes:
        sagas: How many were waiting.
        sagas_s: Sagas a second, from the first POST until the last one is complete.
        worker_cpu_s, server_cpu_s: CPU seconds of 1,000 sagas.
        transactions, fsyncs, wal_bytes, statements: Counted by the server; None where it does not count.
        memory_mb: Most memory of one worker.
        posts: Four, or more where something was repeated.
    """

    sagas: int
    sagas_s: float
    worker_cpu_s: float
    server_cpu_s: float | None
    transactions: float
    fsyncs: float
    wal_bytes: float
    statements: float | None
    memory_mb: float
    posts: float


@contextlib.contextmanager
def running_workers(contestant: Contestant, place: Place, count: int = 1) -> Iterator[list[subprocess.Popen[bytes]]]:
    """Run worker processes of a contestant; they are told to stop, and killed when they don't."""
    environment = {**os.environ, **place.environment(), **contestant.environment}
    command = [sys.executable, "-m", "bench.work", contestant.module]
    workers = [subprocess.Popen(command, env=environment) for _ in range(count)]
    try:
        yield workers
    finally:
        for worker in workers:
            worker.send_signal(signal.SIGTERM)
        for worker in workers:
            try:
                worker.wait(timeout=STOP_S)
            except subprocess.TimeoutExpired:
                worker.kill()
                worker.wait()


def drain(
    contestant: Contestant, server: Server, stub: Stub, sagas: int, *, workers: int = 1, database: tuple[str, str] | None = None
) -> Drain:
    """Have a backlog drained.

    Args:
        contestant: Who does it.
        server: Has its database.
        stub: Takes the POSTs.
        sagas: How many wait.
        workers: Processes.
        database: URL and name of one that is prepared; None for an empty one.

    Raises:
        Failed: The worker ended, or did not begin.
    """
    url, name = database or prepared(contestant, server)
    with psycopg.connect(url, autocommit=True) as conn:
        sagas_before = contestant.finished(conn)
    contestant.enqueue(url, sagas)
    stub.reset()
    before = server.counts(name)
    with running_workers(contestant, Place(url, stub.url), workers) as running:
        cpu_before, server_cpu_before = _begun(running, server, stub)
        began_s = stub.first_s
        with psycopg.connect(url, autocommit=True) as conn:
            looks = _await_finished(contestant, conn, stub, running, sagas, sagas_before)
            elapsed_s = time.monotonic() - began_s
        cpu = sum(cpu_s(worker.pid) for worker in running) - cpu_before
        server_cpu = _minus(server.cpu_s(), server_cpu_before)
        memory = max(memory_mb(worker.pid, peak=True) for worker in running)
        posts = stub.posts
    after = server.counts(name)
    return Drain(
        sagas=sagas,
        sagas_s=sagas / elapsed_s,
        worker_cpu_s=cpu / sagas * 1000,
        server_cpu_s=None if server_cpu is None else server_cpu / sagas * 1000,
        transactions=(after.transactions - before.transactions - looks) / sagas,
        fsyncs=(after.fsyncs - before.fsyncs) / sagas,
        wal_bytes=(after.wal_bytes - before.wal_bytes) / sagas,
        statements=None if after.statements is None else (after.statements - (before.statements or 0) - looks) / sagas,
        memory_mb=memory,
        posts=posts / sagas,
    )


def singles(contestant: Contestant, server: Server, stub: Stub, count: int, *, warmup: int = 10) -> list[float]:
    """Time single sagas on an idle system, one after the other: milliseconds from its start to its durable end, of each.

    The end is seen from outside: once the stub has the fourth POST, the contestant's own table is asked until it says so.
    """
    url, _ = prepared(contestant, server)
    stub.reset()
    if contestant.submitting is None:
        return _own_singles(contestant, Place(url, stub.url), count, warmup)
    times_ms = []
    with (
        contestant.submitting(url) as submit,
        running_workers(contestant, Place(url, stub.url)) as running,
        psycopg.connect(url, autocommit=True) as conn,
    ):
        for done in range(1, warmup + count + 1):
            began_s = time.perf_counter()
            submit()
            _await_one(contestant, conn, stub, running, done)
            times_ms.append((time.perf_counter() - began_s) * 1000)
            # Long enough for whoever polls to go to sleep again, and never in step with it.
            time.sleep(0.02 + 0.03 * ((done * 7919) % 100) / 100)
    return times_ms[warmup:]


def prepared(contestant: Contestant, server: Server, name: str | None = None) -> tuple[str, str]:
    """Make an empty database with a contestant's schema; returns its URL and name."""
    name = name or "bench_" + contestant.name.lower()
    url = server.empty_database(name)
    contestant.prepare(url)
    return url, name


def _own_singles(contestant: Contestant, place: Place, count: int, warmup: int) -> list[float]:
    command = [sys.executable, "-m", "bench.work", contestant.module, str(count + warmup)]
    environment = {**os.environ, **place.environment(), **contestant.environment}
    told = subprocess.run(command, env=environment, stdout=subprocess.PIPE, check=True, timeout=300)
    times: list[float] = json.loads(told.stdout.splitlines()[-1])
    return times[warmup:]


def _begun(running: list[subprocess.Popen[bytes]], server: Server, stub: Stub) -> tuple[float, float | None]:
    """Wait for the first POST; returns the CPU seconds of workers and server until then, which is their start."""
    deadline_s = time.monotonic() + START_S
    while not stub.posts:
        _check_alive(running, deadline_s, "did not begin")
        time.sleep(0.001)
    return sum(cpu_s(worker.pid) for worker in running), server.cpu_s()


def await_posts(running: list[subprocess.Popen[bytes]], stub: Stub, posts: int) -> None:
    """Wait until the stub has answered so many POSTs."""
    deadline_s = time.monotonic() + START_S + posts / 40
    while stub.posts < posts:
        _check_alive(running, deadline_s, f"stopped at {stub.posts} of {posts} POSTs")
        time.sleep(0.002)


def _await_finished(
    contestant: Contestant,
    conn: psycopg.Connection[Any],
    stub: Stub,
    running: list[subprocess.Popen[bytes]],
    sagas: int,
    sagas_before: int,
) -> int:
    """Wait for the end of all sagas; returns how many looks at the database it took."""
    looks, deadline_s = 0, time.monotonic() + START_S
    await_posts(running, stub, sagas * len(STEPS))
    while True:
        looks += 1
        if contestant.finished(conn) >= sagas_before + sagas:
            return looks
        _check_alive(running, deadline_s, "did not complete every saga")
        time.sleep(LOOK_S)


def _await_one(
    contestant: Contestant, conn: psycopg.Connection[Any], stub: Stub, running: list[subprocess.Popen[bytes]], done: int
) -> None:
    deadline_s = time.monotonic() + START_S
    while stub.posts < done * len(STEPS) or contestant.finished(conn) < done:
        _check_alive(running, deadline_s, f"did not finish saga {done}")
        time.sleep(0.0002)


def _check_alive(running: list[subprocess.Popen[bytes]], deadline_s: float, what: str) -> None:
    if any(worker.poll() is not None for worker in running):
        raise Failed(f"a worker ended; it {what}")
    if time.monotonic() > deadline_s:
        raise Failed(f"a worker {what}")


def _minus(after: float | None, before: float | None) -> float | None:
    return None if after is None or before is None else after - before
