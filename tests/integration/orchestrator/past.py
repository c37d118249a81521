"""What histories of orders are made with: replicas of one saga, an edge that may die, a call that is held."""

import asyncio
from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any
from uuid import UUID, uuid4

from aiohttp import web
from psycopg_pool import AsyncConnectionPool

from orchestrator.identity import order_id
from orchestrator.opening import Opening, Request, open_order
from orchestrator.operating import retry
from orchestrator.outcome import Outcome
from orchestrator.progress import Answered
from orchestrator.saga import Context, Saga
from participants.contracts import probe_of
from sql import ledger
from sql.histories import History, page_histories
from sql.models import Status
from tests.integration.orchestrator.shop import (
    Basket,
    Behaviour,
    Replica,
    Shop,
    Thing,
    new_order,
    open_replica,
    place,
    status,
    step,
    until,
)

Pool = AsyncConnectionPool[Any]
NONE: Mapping[str, Any] = MappingProxyType({})


def thing_of(ctx: Context[Basket]) -> Thing:
    """Build a request; never of what is broken."""
    if ctx.input.what == "broken":
        raise ValueError("nothing can be made of this")
    return Thing(order_id=ctx.order_id)


def undone_by(name: str, other: str) -> Any:
    return step(name, undone_by=other, compensation=None)


HOLD = step("hold", request=thing_of)
HISTORY = Saga(
    name="history",
    version=1,
    input=Basket,
    steps=(
        step("pay", at_edge=True, declines=True),
        step("create", when_open="fail"),
        replace(HOLD, probe=probe_of(HOLD.action)),
        undone_by("confirm", "create"),
    ),
)


@dataclass
class Past:
    """Where a history is made."""

    pool: Pool
    url: str
    shop: Shop

    def replica(self, **options: Any) -> AbstractAsyncContextManager[Replica]:
        return open_replica(self.pool, self.url, self.shop, HISTORY, **options)

    async def ends(self, replica: Replica, *wanted: Status) -> UUID:
        order = await place(replica, "history")
        await until(self.pool, order, *wanted)
        return order

    async def scripted(self, wanted: Status, options: Mapping[str, Any] = NONE, **behaviours: list[Behaviour]) -> UUID:
        self.shop.behaviours.update({f"/{name.replace('_', '-')}": list(scripted) for name, scripted in behaviours.items()})
        async with self.replica(**options) as replica:
            return await self.ends(replica, wanted)

    async def execute(self, statement: str, *parameters: Any) -> None:
        async with self.pool.connection() as conn:
            await conn.execute(statement, parameters)  # type: ignore[arg-type]

    async def probed(self, wanted: Status, *answers: Behaviour) -> UUID:
        """Have an order's step end Unknown to the last, and its participant answer the probe so."""
        self.shop.behaviours["/hold"] = [status(500)] * 5
        async with self.replica() as replica:
            order = new_order(replica.definitions, "history")
            self.shop.behaviours[f"/operations/{order.order_ledger_id}:hold:action"] = list(answers)
            async with self.pool.connection() as conn:
                assert await ledger.insert_order(conn, order)
            replica.worker.wake()
            await until(self.pool, order.order_ledger_id, wanted)
        return order.order_ledger_id

    async def retried(self, replica: Replica, order: UUID) -> UUID:
        async with self.pool.connection() as conn:
            return (await retry(conn, replica.definitions, order, actor="ann", reason="mended")).order_ledger_id

    async def poisoned(self, replica: Replica, order_input: str) -> UUID:
        order = new_order(replica.definitions, "history")
        # In one transaction: the replica must not see it sound.
        async with self.pool.connection() as conn, conn.transaction():
            await ledger.insert_order(conn, order)
            await conn.execute(
                "update order_ledger set input = %s where order_ledger_id = %s", (order_input, order.order_ledger_id)
            )
        replica.worker.wake()
        await until(self.pool, order.order_ledger_id, Status.STUCK)
        return order.order_ledger_id

    async def at_edge(self, replica: Replica, outcome: Outcome | None, lease_s: float = 60.0) -> UUID:
        """Have an order recorded by an edge, which writes the outcome of its call; None when it dies before."""
        opening = await self._recorded(replica, lease_s)
        if outcome is not None:
            answered = Answered("pay", outcome, 1.0)
            transition = opening.work.transition(opening.work.advance(answered, go_on=False), replica="edge")
            async with self.pool.connection() as conn:
                assert await ledger.write_transitions(conn, [transition])
            replica.worker.wake()
        return opening.order.order_ledger_id

    async def _recorded(self, replica: Replica, lease_s: float) -> Opening:
        key = uuid4().hex
        request = Request(order_id("tests", key), "tests", key, b"hash", Basket(), {}, "correlation")
        opening = open_order(replica.definitions.named("history"), request, owner="edge", lease_s=lease_s)
        async with self.pool.connection() as conn:
            assert await ledger.insert_order(conn, opening.order)
        return opening


@dataclass
class Held:
    """A call that is answered only when it is let go.

    Attributes:
        reached: Set once the call is there.
        let_go: To be set.
    """

    reached: asyncio.Event = field(default_factory=asyncio.Event)
    let_go: asyncio.Event = field(default_factory=asyncio.Event)

    async def answer(self, request: web.Request) -> web.StreamResponse:
        order = (await request.json())["order_id"]
        self.reached.set()
        await self.let_go.wait()
        return web.json_response({"order_id": order})

    async def is_reached(self) -> None:
        await asyncio.wait_for(self.reached.wait(), 10)


async def history_of(pool: Pool, order: UUID) -> History:
    async with pool.connection() as conn:
        (history,) = await page_histories(conn, order_ledger_id=order, limit=2)
    return history
