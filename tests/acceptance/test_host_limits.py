"""A host without file descriptors, without memory, without replicas: a process waits or ends, no order is lost."""

import asyncio
import os
import resource
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import pytest

from tests.acceptance.stack import Process, Stack
from tests.acceptance.stack_shop import STANDS, Shop, eventually

pytestmark = pytest.mark.acceptance
OBSERVED_S = 2.0
LINES_MAX = 20  # in that time, of a process that can open nothing: a few loops, each trying about once a second
CPU_SHARE_MAX = 0.5
TICKS = os.sysconf("SC_CLK_TCK")


@contextmanager
def limited(process: Process, what: int, limit: int) -> Iterator[None]:
    """Have a running process get no more than this."""
    before = resource.prlimit(process.pid, what)
    resource.prlimit(process.pid, what, (limit, before[1]))
    try:
        yield
    finally:
        if process.alive:
            resource.prlimit(process.pid, what, before)


def descriptors(process: Process) -> int:
    return max(int(name) for name in os.listdir(f"/proc/{process.pid}/fd")) + 1


def cpu_s(process: Process) -> float:
    fields = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def pages(process: Process) -> int:
    return int(Path(f"/proc/{process.pid}/statm").read_text().split()[0])


def lines(process: Process) -> int:
    return process.part.log.read_bytes().count(b"\n")


async def assert_quiet(process: Process) -> None:
    """Watch a process for a while: it may neither spin nor flood its log."""
    began_s, cpu_before_s, lines_before = time.monotonic(), cpu_s(process), lines(process)
    while time.monotonic() - began_s < OBSERVED_S:
        assert process.alive
        await asyncio.sleep(0.05)
    assert cpu_s(process) - cpu_before_s < CPU_SHARE_MAX * (time.monotonic() - began_s)
    assert lines(process) - lines_before <= LINES_MAX, process.part.last_words()


async def test_an_edge_without_file_descriptors_is_quiet_and_recovers(stack: Stack, shop: Shop) -> None:
    edge = stack.edges[0]
    at = urlsplit(edge.url)
    with ExitStack() as connections, limited(edge, resource.RLIMIT_NOFILE, descriptors(edge) + 8):
        for _ in range(100):
            waiting = connections.enter_context(socket.socket())
            waiting.settimeout(5)
            waiting.connect((at.hostname, at.port))
        await assert_quiet(edge)
    await eventually(lambda: _placed(shop, "descriptors-edge"))


async def test_a_replica_without_file_descriptors_is_quiet_and_recovers(stack: Stack, shop: Shop, server_url: str) -> None:
    with stack.only_replica() as replica:
        with limited(replica, resource.RLIMIT_NOFILE, 3):
            order = await shop.place("descriptors-replica")
            with psycopg.connect(stack.databases["ledger"], autocommit=True) as conn:
                conn.execute(
                    "select pg_terminate_backend(pid) from pg_stat_activity"
                    " where datname = current_database() and application_name ~ '^saga (orchestrator|listener)'"
                )
            await assert_quiet(replica)
        assert (await shop.ends(order, 30))["status"] == "COMPLETED"
    assert await shop.stands(order) == STANDS


async def test_a_replica_that_gets_no_more_memory_loses_no_order(stack: Stack, shop: Shop) -> None:
    # Large orders, of a product that there is none of: whoever works on them, nothing stands in the end.
    items = [{"sku": "none", "quantity": 1, "unit_price_minor": 1, "description": "x" * 400}] * 2_000
    starved = stack.replicas[0]
    with limited(starved, resource.RLIMIT_AS, pages(starved) * os.sysconf("SC_PAGE_SIZE")):
        orders = [await shop.place(f"memory-{number}", items=items) for number in range(10)]
        for order in orders:
            assert (await shop.ends(order, 30))["status"] == "FAILED"
        assert not starved.alive or "MemoryError" in starved.part.log.read_text()
    for order in orders:
        assert await shop.stands(order) == {}


async def test_orders_are_taken_while_no_replica_runs_and_all_are_served_afterwards(stack: Stack, shop: Shop) -> None:
    for replica in stack.replicas:
        replica.kill()

    orders = [await shop.place(f"limited-{number}") for number in range(30)]
    stack.restore()

    for order in orders:
        assert (await shop.ends(order, 30))["status"] == "COMPLETED"
        assert await shop.stands(order) == STANDS


async def _placed(shop: Shop, key: str) -> None:
    assert (await shop.post(key)).status == 202
