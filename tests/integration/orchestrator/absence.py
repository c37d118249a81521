"""A participant that goes away and comes back, and what the fleet knows of it."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from aiohttp import web
from psycopg_pool import AsyncConnectionPool

from orchestrator.breaker import change, circuit_of
from orchestrator.circuit import Circuit, State, held, reset
from orchestrator.retrace import retrace
from sql import fleet
from sql.histories import page_histories
from tests.integration.orchestrator.shop import Replica, Shop, open_replica, row_of

Pool = AsyncConnectionPool[Any]
OPEN = Circuit(State.OPEN, "xxxxx")
QUICK = {"breaker_window": 10, "breaker_open_s": 0.1, "retry_first_s": 0.1}
PATIENT = {"step_timeout_s": 20.0, "lease_s": 60.0}
"""For calls that last as long as a test wants them to."""


@asynccontextmanager
async def open_fleet(pool: Pool, url: str, shop: Shop, count: int = 2, **options: Any) -> AsyncIterator[list[Replica]]:
    async with AsyncExitStack() as stack:
        replicas = [open_replica(pool, url, shop, **{**QUICK, **options}) for _ in range(count)]
        yield [await stack.enter_async_context(replica) for replica in replicas]


async def eventually(holds: Callable[[], Any], timeout_s: float = 30.0) -> None:
    """Wait for what holds at last; it may be a coroutine function."""
    async with asyncio.timeout(timeout_s):
        while True:
            found = holds()
            if await found if asyncio.iscoroutine(found) else found:
                return
            await asyncio.sleep(0.01)


async def breaker(pool: Pool) -> Circuit:
    """The breaker of the shop, as the ledger has it."""
    async with pool.connection() as conn:
        rows = {row["participant"]: circuit_of(row) for row in await fleet.list_fleet(conn)}
    return rows["shop"]


async def is_in(pool: Pool, state: State) -> bool:
    return (await breaker(pool)).state is state


async def put(pool: Pool, circuit: Circuit, *replicas: Replica) -> None:
    """Have the breaker of the shop stand so, and the replicas know."""
    async with pool.connection() as conn:
        await change(conn, "shop", lambda _: circuit)
    await asyncio.gather(*(replica.fleet.look() for replica in replicas))


HELD = held(Circuit(), "ops", "maintenance")
CLOSED = reset("ops", "done")


async def replays(pool: Pool) -> bool:
    """Whether the core, given what every order's journal says was observed, decides what the ledger says."""
    async with pool.connection() as conn:
        histories = await page_histories(conn, limit=100)
    return bool(histories) and not [difference for history in histories for difference in retrace(history)]


async def is_parked(pool: Pool, order: UUID) -> bool:
    row = await row_of(pool, order)
    reasons = ("shop is away", "calls to shop are held")
    return row.lease_owner is None and row.last_error is not None and row.last_error.startswith(reasons)


@dataclass
class Absence:
    """What a path of the shop does: 503 while the shop is away, 200 when it is back; or nothing at all until then.

    Attributes:
        back: Set when it is back.
        calls: Calls so far.
        on_their_way: Calls that have no answer yet.
    """

    silent: bool = False
    back: asyncio.Event = field(default_factory=asyncio.Event)
    calls: int = 0
    on_their_way: int = 0

    async def behave(self, request: web.Request) -> web.StreamResponse:
        self.calls += 1
        self.on_their_way += 1
        if self.silent:
            await self.back.wait()
        self.on_their_way -= 1
        if not self.back.is_set():
            return web.json_response({"detail": "away"}, status=503)
        return web.json_response({"order_id": (await request.json())["order_id"]})


class Always(list[Any]):
    """A script of one behaviour that never ends."""

    def pop(self, index: Any = 0) -> Any:
        return self[0]


def away(shop: Shop, path: str, *, silent: bool = False) -> Absence:
    """Have the shop be away at a path."""
    absence = Absence(silent)
    shop.behaviours[path] = Always([absence.behave])
    return absence
