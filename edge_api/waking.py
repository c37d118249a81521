"""Two small loops that many requests share: waking the orchestrators, and waiting for orders to finish."""

import asyncio
from collections import defaultdict
from typing import Final
from uuid import UUID

import psycopg
import structlog
from psycopg_pool import PoolTimeout

from sql import ledger
from sql.connect import ALL_CLIENTS, Pool

WAKE_INTERVAL_S: Final = 0.01
"""Between two notifications, at least. The first after a rest is sent at once; behind it one is as good as many, and each
costs a commit, and the server a signal to every session that listens."""
WAIT_POLL_S: Final = 0.05
"""Seconds between two looks for finished orders, while somebody waits."""

log = structlog.get_logger(__name__)


class Waker:
    """Tells orchestrators that there is work: after commit, one NOTIFY for all requests that came within an interval.

    Best effort: a notification that is lost costs at most the orchestrators' poll interval.

    Args:
        pool: Autocommit connections to the ledger.
        enabled: Whether anything is sent.
    """

    def __init__(self, pool: Pool, *, enabled: bool) -> None:
        self._pool = pool
        self._enabled = enabled
        self._asked = asyncio.Event()

    def wake(self) -> None:
        """Have a notification sent soon; does not wait for it."""
        self._asked.set()

    async def run(self) -> None:
        """Send what is asked for, until cancelled."""
        while self._enabled:
            await self._asked.wait()
            self._asked.clear()
            try:
                async with self._pool.connection() as conn:
                    await ledger.wake_orchestrators(conn)
            except (psycopg.Error, PoolTimeout) as error:
                log.warning("notify_failed", error=type(error).__name__)
            await asyncio.sleep(WAKE_INTERVAL_S)


class Finishes:
    """Lets requests wait for orders to finish, with one query for all of them.

    Args:
        pool: Autocommit connections to the ledger.
    """

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._waiting: defaultdict[UUID, set[asyncio.Future[bool]]] = defaultdict(set)
        self._closed = False
        self._anybody = asyncio.Event()

    async def wait(self, order_ledger_id: UUID, timeout_s: float) -> bool:
        """Wait for an order to finish; tell whether it did in time."""
        if self._closed:
            return False
        future: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._waiting[order_ledger_id].add(future)
        self._anybody.set()
        try:
            async with asyncio.timeout(timeout_s):
                return await future
        except TimeoutError:
            return False
        finally:
            self._waiting[order_ledger_id].discard(future)
            if not self._waiting[order_ledger_id]:
                del self._waiting[order_ledger_id]

    def close(self) -> None:
        """Have nobody wait any longer, so that a process that stops answers what it can."""
        self._closed = True
        self._settle(set(self._waiting), finished=False)

    async def run(self) -> None:
        """Look for finished orders while somebody waits, until cancelled."""
        while True:
            await self._anybody.wait()
            if not self._waiting:
                self._anybody.clear()
                continue
            try:
                async with self._pool.acting_for(ALL_CLIENTS) as conn:
                    finished = await ledger.list_finished(conn, list(self._waiting))
            except (psycopg.Error, PoolTimeout) as error:
                log.warning("wait_failed", error=type(error).__name__)
                finished = set()
            self._settle(finished, finished=True)
            await asyncio.sleep(WAIT_POLL_S)

    def _settle(self, order_ledger_ids: set[UUID], *, finished: bool) -> None:
        for order_ledger_id in order_ledger_ids:
            for future in self._waiting.get(order_ledger_id, set()):
                if not future.done():
                    future.set_result(finished)
