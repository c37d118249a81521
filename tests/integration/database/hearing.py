"""A listener that runs by itself, and what is seen of it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from orchestrator.listener import Listener
from orchestrator.metrics import Metrics
from sql.connect import open_pool
from tests.integration.database.conftest import LEDGER
from tests.servers import Server


@dataclass
class Ear:
    """A listener that runs, and how often it woke somebody."""

    metrics: Metrics = field(default_factory=Metrics)
    woken: int = 0

    def wake(self) -> None:
        self.woken += 1

    async def hears(self) -> bool:
        return self.shown("saga_listener_connected") == 1

    async def is_deaf(self) -> bool:
        return not await self.hears()

    def shown(self, metric: str) -> float | None:
        return self.metrics.registry.get_sample_value(metric)


@asynccontextmanager
async def listening(server: Server, url: str = "") -> AsyncIterator[Ear]:
    """Run a listener of a server's ledger; at another address than the ledger's where one is given."""
    ear = Ear()
    async with open_pool(server.url(LEDGER), name="tests", connections_max=2) as pool:
        running = asyncio.create_task(Listener(url or server.url(LEDGER), pool, ear.wake, ear.metrics).run())
        try:
            yield ear
        finally:
            running.cancel()
            with suppress(asyncio.CancelledError):
                await running


async def counted(logs: list[Any], count: int) -> bool:
    return len(logs) >= count
