"""What the wall between clients costs: requests to two edges on one ledger, taking turns.

One edge's user of the database is bound by the policies on clients' rows and names the client with each statement, the other's
bypasses them and names nobody. Two hundred requests here, then two hundred there, so that both meet the same weather; what is
counted is processor time, of the edge and of its sessions' server processes, which no wait can blur.
"""

import asyncio
import contextlib
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

import aiohttp
import psycopg
from psycopg import conninfo

from bench.job import ROOT
from bench.named import Sizes
from bench.server import Server
from sql import migrate

BATCH: Final = 200
TURNS: Final = 30
WARM_UP: Final = 3
CLIENTS: Final = 4
READY_S: Final = 60.0
_DATABASE: Final = "bench_wall"
_USERS: Final = {"bench_walled": "", "bench_unwalled": "bypassrls"}


@dataclass(slots=True)
class _Side:
    """One of the two: an edge, and what its batches took.

    Attributes:
        url: Its clients' listener.
        pid: Its process.
        user: Its user of the database.
        admin: Connection that sees the server's processes.
        cpu_us: Microseconds of a POST and of a GET, of the edge and of the server, by batch.
    """

    url: str
    pid: int
    user: str
    admin: psycopg.Connection[Any]
    cpu_us: dict[str, list[float]] = field(default_factory=dict)

    async def take_turn(self, session: aiohttp.ClientSession) -> None:
        """Place a batch of orders, then read each of them."""
        before = self._cpu_us()
        placed = await _each(BATCH, lambda _: self._place(session))
        between = self._cpu_us()
        await _each(BATCH, lambda number: self._read(session, placed[number]))
        self._count("post", before, between)
        self._count("get", between, self._cpu_us())

    async def _place(self, session: aiohttp.ClientSession) -> str:
        order = {
            "customer_id": "bench",
            "currency": "EUR",
            "items": [{"sku": "bench", "quantity": 1, "unit_price_minor": 100}],
            "saga": "place_unpaid_order",
        }
        async with session.post(f"{self.url}/orders", json=order, headers={"Idempotency-Key": str(uuid4())}) as answer:
            answer.raise_for_status()
            return str((await answer.json())["order_ledger_id"])

    async def _read(self, session: aiohttp.ClientSession, order: str) -> str:
        async with session.get(f"{self.url}/orders/{order}") as answer:
            answer.raise_for_status()
            return await answer.text()

    def _count(self, what: str, before: dict[int, float], after: dict[int, float]) -> None:
        spent = {pid: us - before.get(pid, 0.0) for pid, us in after.items()}
        self.cpu_us.setdefault(f"{what}_edge", []).append(spent.pop(self.pid) / BATCH)
        self.cpu_us.setdefault(f"{what}_server", []).append(sum(spent.values()) / BATCH)

    def _cpu_us(self) -> dict[int, float]:
        """Return the processor time of each process so far, which Linux counts by the nanosecond."""
        query = "select pid from pg_stat_activity where usename = %s"
        pids = [int(pid) for (pid,) in self.admin.execute(query, (self.user,)).fetchall()]
        found = {}
        for pid in (self.pid, *pids):
            with contextlib.suppress(FileNotFoundError):  # a session that has ended since
                found[pid] = int(Path(f"/proc/{pid}/schedstat").read_text(encoding="ascii").split()[0]) / 1000
        return found


def wall(server: Server, sizes: Sizes) -> dict[str, Any]:
    """Processor time of a POST that places an order and of a GET that reads it, and what of it is the wall's.

    Returns:
        `requests`: how many of each on each side; then, for `post` and `get`, of `edge` and `server`: microseconds with the
        wall, and by how many they are above those without, medians of the batches that took turns.

    Raises:
        OSError: The server does not run on this machine.
        RuntimeError: An edge did not start.
    """
    turns = max(int(TURNS * sizes.share), 3)
    url = server.empty_database(_DATABASE)
    migrate.apply(url, "ledger")
    with psycopg.connect(url, autocommit=True) as admin:
        for user, bypass in _USERS.items():
            admin.execute(f"create role {user} login {bypass}".encode())
            # It has the role's rights and can't take the role, which would bind it.
            admin.execute(f"grant sagaledger_edge to {user} with inherit true, set false".encode())
        with contextlib.ExitStack() as stack:
            sides = [stack.enter_context(_running_edge(url, user, admin)) for user in _USERS]
            asyncio.run(_taking_turns(sides, turns))
    server.drop_database(_DATABASE)
    walled, unwalled = sides
    found: dict[str, Any] = {"requests": turns * BATCH}
    for what, with_it in walled.cpu_us.items():
        found[f"{what}_us"] = statistics.median(with_it)
        found[f"{what}_more_us"] = statistics.median(a - b for a, b in zip(with_it, unwalled.cpu_us[what], strict=True))
    return found


@contextlib.contextmanager
def _running_edge(url: str, user: str, admin: psycopg.Connection[Any]) -> Iterator[_Side]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("SAGA_", "MOCK_"))}
    environment |= {"SAGA_DATABASE_URL": conninfo.make_conninfo(url, user=user), "SAGA_PORT": "0", "SAGA_ADMIN_PORT": "0"}
    environment |= {"SAGA_LOG_LEVEL": "info", "PYTHONPATH": str(ROOT), "SAGA_RATE_PER_S": "0"}
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen([sys.executable, "-m", "cli", "edge"], env=environment, stdout=log, stderr=log)
        try:
            yield _Side(_listening(process, log), process.pid, user, admin)
        finally:
            process.terminate()
            process.wait(30)


def _listening(process: subprocess.Popen[bytes], log: Any) -> str:
    """Wait until an edge has said where it listens."""
    deadline_s = time.monotonic() + READY_S
    while process.poll() is None and time.monotonic() < deadline_s:
        log.seek(0)
        for word in log.read().decode().replace('"', " ").replace("=", " ").split():
            if word.startswith("http://"):
                return str(word)
        time.sleep(0.05)
    raise RuntimeError("an edge did not start")


async def _taking_turns(sides: list[_Side], turns: int) -> None:
    async with aiohttp.ClientSession() as session:
        for turn in range(turns + WARM_UP):
            for side in sides if turn % 2 else reversed(sides):
                await side.take_turn(session)
            if turn == WARM_UP - 1:
                for side in sides:
                    side.cpu_us.clear()


async def _each(count: int, act: Any) -> list[Any]:
    """Do something so many times, `CLIENTS` at once."""
    numbers, found = iter(range(count)), {}

    async def some() -> None:
        for number in numbers:
            found[number] = await act(number)

    await asyncio.gather(*(some() for _ in range(CLIENTS)))
    return [found[number] for number in range(count)]
