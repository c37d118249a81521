"""Keeps the ledger small: removes orders that finished long ago, in small batches beside the hot path."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import Final

import structlog

from sql import retention, retrying
from sql.connect import OUTAGE, Pool

INTERVAL_S: Final = 600.0
"""Between two looks for orders that have become old enough; one cheap query when there are none."""
BATCH: Final = 200
"""A batch is one transaction: so few rows are locked, and so little is lost when it is interrupted."""
PAUSE_S: Final = 0.2
"""Between two batches, so that the hot path has the server most of the time."""

log = structlog.get_logger(__name__)


class Retention:
    """Removes finished orders, now and then; several replicas may do so at once.

    Args:
        pool: Connections to the ledger.
        days: How long a finished order is kept.
    """

    def __init__(self, pool: Pool, *, days: float) -> None:
        self._pool = pool
        self._days = days

    async def run(self) -> None:
        """Remove what is old enough until cancelled."""
        while True:
            # Not all replicas of a deployment at the same time.
            await asyncio.sleep(INTERVAL_S * random.uniform(0.5, 1.0))
            try:
                await self.run_once()
            except OUTAGE as error:
                log.warning("retention_failed", error=str(error).splitlines()[0])

    async def run_once(self) -> int:
        """Remove everything that is old enough: orders, and which of them runs of retries had.

        Returns:
            How many orders.
        """
        removed = await self._all_of(retention.purge_orders)
        await self._all_of(retrying.forget_retried)
        if removed:
            log.info("orders_purged", orders=removed, older_than_days=self._days)
        return removed

    async def _all_of(self, remove: Callable[..., Awaitable[int]]) -> int:
        removed = 0
        while True:
            async with self._pool.connection() as conn:
                batch = await remove(conn, older_than_days=self._days, orders_max=BATCH)
            removed += batch
            if batch < BATCH:
                return removed
            await asyncio.sleep(PAUSE_S)
