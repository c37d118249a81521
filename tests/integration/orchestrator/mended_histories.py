"""Histories of orders that an operator held, had go on without a step, or ended by a word."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any
from uuid import UUID

from orchestrator import mending
from orchestrator.definitions import Definitions
from orchestrator.operating import cancel
from sql.models import Status
from tests.integration.orchestrator.past import HISTORY, Held, Past
from tests.integration.orchestrator.shop import place, row_of, settings_for, status, until

WHY: Any = {"actor": "ann", "reason": "mended by hand"}
LATER = status(503, **{"Retry-After": "60"})
"""Has the order wait for longer than any test."""


async def waits(past: Past, path: str) -> UUID:
    """Leave an order that waits for the next attempt of a step; no replica runs."""
    past.shop.behaviours[path] = [LATER]
    async with past.replica() as replica:
        order = await place(replica, "history")
        async with asyncio.timeout(10):
            while (await row_of(past.pool, order)).retry_count == 0:
                await asyncio.sleep(0.01)
    return order


async def goes_on(past: Past, order: UUID, *wanted: Status) -> UUID:
    async with past.replica():
        await until(past.pool, order, *wanted)
    return order


async def act(past: Past, verb: Callable[..., Awaitable[Any]], order: UUID, **options: Any) -> Any:
    definitions = Definitions([HISTORY], settings_for(past.url))
    async with past.pool.connection() as conn:
        return await verb(conn, definitions, order, **{**WHY, **options})


async def paused(past: Past) -> UUID:
    """The call that is on its way is answered, and no other is made."""
    held = Held()
    past.shop.behaviours["/hold"] = [held.answer]
    async with past.replica() as replica:
        order = await place(replica, "history")
        await held.is_reached()
        async with past.pool.connection() as conn:
            await mending.pause(conn, replica.definitions, order, **WHY)
        held.let_go.set()
        async with asyncio.timeout(10):
            while "hold" not in (await row_of(past.pool, order)).results:
                await asyncio.sleep(0.01)
    return order


async def resumed(past: Past) -> UUID:
    order = await paused(past)
    await act(past, mending.resume, order)
    return await goes_on(past, order, Status.COMPLETED)


async def resumed_while_waiting(past: Past) -> UUID:
    order = await waits(past, "/create")
    await act(past, mending.pause, order)
    await act(past, mending.resume, order)
    return await goes_on(past, order, Status.COMPLETED)


async def cancelled_on_hold(past: Past) -> UUID:
    order = await waits(past, "/hold")
    await act(past, mending.pause, order)
    await act(past, cancel, order)
    await act(past, mending.resume, order)
    return await goes_on(past, order, Status.CANCELLED)


async def gone_on_without(past: Past) -> UUID:
    order = await waits(past, "/hold")
    await act(past, mending.skip_step, order, step="hold")
    return await goes_on(past, order, Status.COMPLETED)


async def left_standing(past: Past) -> UUID:
    past.shop.behaviours["/undo-create"] = [status(409)]
    order = await past.scripted(Status.STUCK, hold=[status(422)])
    await act(past, mending.skip_step, order)
    return order


async def completed_by_hand(past: Past) -> UUID:
    past.shop.behaviours["/undo-create"] = [status(409)]
    order = await past.scripted(Status.STUCK, hold=[status(422)])
    await act(past, mending.resolve, order, ending=Status.COMPLETED)
    return order


async def failed_by_hand(past: Past) -> UUID:
    order = await waits(past, "/confirm")
    await act(past, mending.pause, order)
    await act(past, mending.resolve, order, ending=Status.FAILED)
    return order


MENDED_HISTORIES: dict[str, Callable[[Past], Awaitable[UUID]]] = {
    make.__name__: make
    for make in (
        paused,
        resumed,
        resumed_while_waiting,
        cancelled_on_hold,
        gone_on_without,
        left_standing,
        completed_by_hand,
        failed_by_hand,
    )
}
