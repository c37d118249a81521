"""Histories of orders whose sagas have every kind of step, for `histories.py`."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any
from uuid import UUID

from pydantic import BaseModel

from orchestrator.operating import cancel
from orchestrator.saga import Retry, Saga, Signal, StepKind, Timer
from orchestrator.signalling import signal
from sql.models import Status
from tests.integration.orchestrator.past import Held, Past
from tests.integration.orchestrator.shop import Basket, Replica, open_replica, place, row_of, status, step, until

OUTAGE = [status(500)] * 5
PATIENCE_S = 20.0


class Approval(BaseModel):
    """What somebody says of an order."""

    by: str


KINDS = Saga(
    name="history",
    version=1,
    input=Basket,
    steps=(
        step("look", kind=StepKind.READ_ONLY, compensation=None),
        step("left", group="both"),
        step("right", group="both"),
        step("maybe", when=lambda ctx: ctx.results["look"]["order_id"] != ctx.order_id),
        step("tell", compensation=None, optional=True),
        Signal("approval", payload=Approval, timeout_s=3600),
        Timer("rest", wait_s=0.05),
        step("pay", kind=StepKind.PIVOT, compensation=None),
        step("ship", kind=StepKind.RETRIABLE, compensation=None, retry=Retry(0.01, 1.0, 2, 1.0)),
    ),
)
HURRIED = Saga(
    name="history",
    version=2,
    input=Basket,
    steps=(
        step("first"),
        step("slow", deadline_s=0.3, retry=Retry(60.0, 1.0, 5)),
        Signal("approval", payload=Approval, timeout_s=0.1),
    ),
    undo_failure="stop",
)


async def _ends(past: Past, saga: Saga[Any], wanted: Status, *, approve: bool = True) -> UUID:
    async with open_replica(past.pool, past.url, past.shop, saga) as replica:
        order = await place(replica, "history")
        if approve:
            await _approve(past, replica, order)
        await until(past.pool, order, wanted, timeout_s=PATIENCE_S)
    return order


async def _approve(past: Past, replica: Replica, order: UUID) -> None:
    await _waits(past, order)
    async with past.pool.connection() as conn:
        await signal(conn, replica.definitions, order, "approval", {"by": "ann"}, actor="ann")
    replica.worker.wake()


async def _waits(past: Past, order: UUID) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while "approval" not in (await row_of(past.pool, order)).progress.get("steps", {}):
            await asyncio.sleep(0.01)


async def every_kind_completed(past: Past) -> UUID:
    past.shop.behaviours = {"/right": [status(500)], "/tell": [status(422)]}
    return await _ends(past, KINDS, Status.COMPLETED)


async def group_rejected(past: Past) -> UUID:
    past.shop.behaviours = {"/left": [status(422)], "/right": [status(500)]}
    return await _ends(past, KINDS, Status.FAILED, approve=False)


async def group_taken_over(past: Past) -> UUID:
    held = Held()
    past.shop.behaviours = {"/left": [held.answer]}
    async with open_replica(past.pool, past.url, past.shop, KINDS, lease_s=3.0) as replica:
        order = await place(replica, "history")
        await held.is_reached()
        replica.worker._active[order][1].cancel()
        held.let_go.set()
        await _approve(past, replica, order)
        await until(past.pool, order, Status.COMPLETED, timeout_s=PATIENCE_S)
    return order


async def optional_out_of_attempts(past: Past) -> UUID:
    past.shop.behaviours = {"/tell": list(OUTAGE)}
    return await _ends(past, KINDS, Status.COMPLETED)


async def pivot_rejected(past: Past) -> UUID:
    past.shop.behaviours = {"/pay": [status(402)]}
    return await _ends(past, KINDS, Status.FAILED)


async def pivot_unclear(past: Past) -> UUID:
    past.shop.behaviours = {"/pay": list(OUTAGE)}
    return await _ends(past, KINDS, Status.STUCK)


async def stuck_past_its_pivot_and_retried(past: Past) -> UUID:
    past.shop.behaviours = {"/ship": [status(422)]}
    async with open_replica(past.pool, past.url, past.shop, KINDS) as replica:
        order = await place(replica, "history")
        await _approve(past, replica, order)
        await until(past.pool, order, Status.STUCK, timeout_s=PATIENCE_S)
        await past.retried(replica, order)
        replica.worker.wake()
        await until(past.pool, order, Status.COMPLETED, timeout_s=PATIENCE_S)
    return order


async def signalled_before_it_waited(past: Past) -> UUID:
    held = Held()
    past.shop.behaviours = {"/look": [held.answer]}
    async with open_replica(past.pool, past.url, past.shop, KINDS) as replica:
        order = await place(replica, "history")
        await held.is_reached()
        async with past.pool.connection() as conn:
            await signal(conn, replica.definitions, order, "approval", {"by": "ann"}, actor="ann")
        held.let_go.set()
        await until(past.pool, order, Status.COMPLETED, timeout_s=PATIENCE_S)
    return order


async def cancelled_in_a_wait(past: Past) -> UUID:
    async with open_replica(past.pool, past.url, past.shop, KINDS) as replica:
        order = await place(replica, "history")
        await _waits(past, order)
        async with past.pool.connection() as conn:
            await cancel(conn, replica.definitions, order, actor="ann", reason="too slow")
        replica.worker.wake()
        await until(past.pool, order, Status.CANCELLED, timeout_s=PATIENCE_S)
    return order


async def signal_too_late(past: Past) -> UUID:
    return await _ends(past, HURRIED, Status.FAILED, approve=False)


async def step_too_slow(past: Past) -> UUID:
    past.shop.behaviours = {"/slow": list(OUTAGE)}
    return await _ends(past, HURRIED, Status.FAILED, approve=False)


async def undoing_stopped(past: Past) -> UUID:
    past.shop.behaviours = {"/undo-slow": [status(422)]}
    return await _ends(past, HURRIED, Status.STUCK, approve=False)


KINDS_HISTORIES: dict[str, Callable[[Past], Awaitable[UUID]]] = {
    make.__name__: make
    for make in (
        every_kind_completed,
        group_rejected,
        group_taken_over,
        optional_out_of_attempts,
        pivot_rejected,
        pivot_unclear,
        stuck_past_its_pivot_and_retried,
        signalled_before_it_waited,
        cancelled_in_a_wait,
        signal_too_late,
        step_too_slow,
        undoing_stopped,
    )
}
