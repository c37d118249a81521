"""Every kind of history that an order can have, each made by real replicas, a real ledger and a real participant.

Tests replay them; `tests/record_journals.py` keeps them as fixtures of a release.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any
from uuid import UUID

from aiohttp import web

from orchestrator.operating import cancel
from orchestrator.outcome import Rejected, Succeeded
from sql import ledger
from sql.models import Status
from tests.integration.orchestrator.kinds_histories import KINDS_HISTORIES
from tests.integration.orchestrator.mended_histories import MENDED_HISTORIES
from tests.integration.orchestrator.past import Held, Past
from tests.integration.orchestrator.shop import Behaviour, new_order, place, row_of, status, until

OUTAGE = [status(500)] * 5
EAGER = {"breaker_window": 2, "breaker_open_s": 0.05, "retry_attempts": 100}
"""The breaker opens at the second call that ends unclear, and never runs an order out of attempts."""


async def completed(past: Past) -> UUID:
    return await past.scripted(Status.COMPLETED)


async def declined(past: Past) -> UUID:
    return await past.scripted(Status.DECLINED, pay=[status(402)])


async def declined_at_the_edge(past: Past) -> UUID:
    async with past.replica() as replica:
        order = await past.at_edge(replica, Rejected("no money"))
        await until(past.pool, order, Status.DECLINED)
    return order


async def authorized_at_the_edge(past: Past) -> UUID:
    async with past.replica() as replica:
        order = await past.at_edge(replica, Succeeded({}))
        await until(past.pool, order, Status.COMPLETED)
    return order


async def edge_died(past: Past) -> UUID:
    async with past.replica() as replica:
        order = await past.at_edge(replica, None, lease_s=0.05)
        await until(past.pool, order, Status.COMPLETED)
    return order


async def out_of_stock(past: Past) -> UUID:
    return await past.scripted(Status.FAILED, hold=[status(422)])


async def retried(past: Past) -> UUID:
    return await past.scripted(Status.COMPLETED, create=[status(500), status(503)])


async def unknown_then_undone(past: Past) -> UUID:
    return await past.scripted(Status.FAILED, create=OUTAGE)


async def probed_and_done(past: Past) -> UUID:
    async def done(request: web.Request) -> web.StreamResponse:
        return web.json_response({"order_id": request.path.removeprefix("/operations/").partition(":")[0]})

    return await past.probed(Status.COMPLETED, done)


async def probed_and_refused(past: Past) -> UUID:
    return await past.probed(Status.FAILED, status(409))


async def probed_and_unclear(past: Past) -> UUID:
    return await past.probed(Status.FAILED, status(404))


async def unknown_then_rejected(past: Past) -> UUID:
    return await past.scripted(Status.FAILED, confirm=[status(500), status(409)])


async def undoing_retried(past: Past) -> UUID:
    return await past.scripted(Status.FAILED, hold=[status(422)], undo_create=[status(500), status(500)])


async def cancelled(past: Past) -> UUID:
    held = Held()
    past.shop.behaviours["/hold"] = [held.answer]
    async with past.replica() as replica:
        order = await place(replica, "history")
        await held.is_reached()
        async with past.pool.connection() as conn:
            await cancel(conn, replica.definitions, order, actor="ann", reason="changed my mind")
        held.let_go.set()
        await until(past.pool, order, Status.CANCELLED)
    return order


async def cancelled_while_waiting(past: Past) -> UUID:
    past.shop.behaviours["/create"] = [status(503, **{"Retry-After": "60"})]
    async with past.replica() as replica:
        order = await place(replica, "history")
        async with asyncio.timeout(10):
            while (await row_of(past.pool, order)).retry_count == 0:
                await asyncio.sleep(0.01)
        async with past.pool.connection() as conn:
            await cancel(conn, replica.definitions, order, actor="ann", reason="takes too long")
        await past.execute("update order_ledger set next_retry_at = null")
        replica.worker.wake()
        await until(past.pool, order, Status.CANCELLED)
    return order


async def stuck(past: Past) -> UUID:
    return await past.scripted(Status.STUCK, hold=[status(422)], undo_pay=OUTAGE)


async def stuck_and_retried(past: Past) -> UUID:
    order = await stuck(past)
    async with past.replica() as replica:
        await past.retried(replica, order)
        await until(past.pool, order, Status.FAILED)
    return order


async def placed_again(past: Past) -> UUID:
    order = await out_of_stock(past)
    async with past.replica() as replica:
        again = await past.retried(replica, order)
        await until(past.pool, again, Status.COMPLETED)
    return again


async def taken_over(past: Past) -> UUID:
    """A replica is gone before its call is answered; the next one repeats the call."""
    return await _lost(past, "/create", [], Status.COMPLETED)


async def taken_over_and_refused(past: Past) -> UUID:
    """The repeated call finds a tombstone."""
    return await _lost(past, "/hold", [status(409)], Status.FAILED)


async def taken_over_between_calls(past: Past) -> UUID:
    """A replica is gone before it has written anything."""
    async with past.replica() as replica:
        order = new_order(replica.definitions, "history")
    async with past.pool.connection() as conn:
        assert await ledger.insert_order(conn, order)
        claimed = await ledger.claim_due(
            conn, owner="gone", lease_s=0.01, limit=1, fingerprints=replica.definitions.fingerprints
        )
    assert len(claimed.claims) == 1
    async with past.replica():
        await until(past.pool, order.order_ledger_id, Status.COMPLETED)
    return order.order_ledger_id


async def taken_over_while_undoing(past: Past) -> UUID:
    past.shop.behaviours["/hold"] = [status(422)]
    return await _lost(past, "/undo-create", [], Status.FAILED)


async def given_up(past: Past) -> UUID:
    return await _lost(past, "/create", [], Status.STUCK, lapses_max=1)


async def given_up_and_retried(past: Past) -> UUID:
    order = await given_up(past)
    async with past.replica() as replica:
        await past.retried(replica, order)
        await until(past.pool, order, Status.COMPLETED)
    return order


async def _lost(past: Past, path: str, then: list[Behaviour], wanted: Status, **options: Any) -> UUID:
    held = Held()
    past.shop.behaviours[path] = [held.answer, *then]
    async with past.replica(step_timeout_s=30, lease_s=60) as late:
        order = await place(late, "history")
        await held.is_reached()
        await past.execute("update order_ledger set lease_expires_at = created_at where order_ledger_id = %s", order)
        async with past.replica(**options) as successor:
            successor.worker.wake()
            await until(past.pool, order, wanted)
        held.let_go.set()
    return order


async def parked(past: Past) -> UUID:
    """The participant is away; trials of whether it is back spend no attempt."""
    return await past.scripted(Status.COMPLETED, EAGER, hold=[status(500)] * 4)


async def not_parked(past: Past) -> UUID:
    """The step does not wait for its participant."""
    return await past.scripted(Status.FAILED, EAGER, create=[status(500)] * 4)


async def waited_too_long(past: Past) -> UUID:
    return await past.scripted(Status.FAILED, {**EAGER, "deadline_s": 0.3}, hold=[status(500)] * 50)


async def undoing_waited_too_long(past: Past) -> UUID:
    options = {**EAGER, "deadline_s": 0.2}
    return await past.scripted(Status.STUCK, options, hold=[status(422)], undo_create=[status(500)] * 50)


async def poisoned(past: Past) -> UUID:
    """The input is none any more: the code fails before it comes to anything."""
    async with past.replica(lapses_max=1) as replica:
        return await past.poisoned(replica, '{"what": 7}')


async def poisoned_at_a_later_step(past: Past) -> UUID:
    """A builder fails after other calls were answered, and the order goes on once it is mended."""
    return await _mended(past, '{"what": "broken"}')


async def _mended(past: Past, order_input: str) -> UUID:
    async with past.replica(lapses_max=1) as replica:
        order = await past.poisoned(replica, order_input)
        await past.execute("update order_ledger set input = '{}'")
        await past.retried(replica, order)
        await until(past.pool, order, Status.COMPLETED)
    return order


async def on_its_way(past: Past) -> UUID:
    """The newest entry is an intent: the call is being made, and then its replica is gone."""
    held = Held()
    past.shop.behaviours["/hold"] = [held.answer]
    async with past.replica(step_timeout_s=30, lease_s=60) as replica:
        order = await place(replica, "history")
        await held.is_reached()
        replica.worker._active[order][1].cancel()
        held.let_go.set()
    return order


HISTORIES: dict[str, Callable[[Past], Awaitable[UUID]]] = (
    {
        make.__name__: make
        for make in (
            completed,
            declined,
            declined_at_the_edge,
            authorized_at_the_edge,
            edge_died,
            out_of_stock,
            retried,
            unknown_then_undone,
            probed_and_done,
            probed_and_refused,
            probed_and_unclear,
            unknown_then_rejected,
            undoing_retried,
            cancelled,
            cancelled_while_waiting,
            stuck,
            stuck_and_retried,
            placed_again,
            taken_over,
            taken_over_and_refused,
            taken_over_between_calls,
            taken_over_while_undoing,
            given_up,
            given_up_and_retried,
            parked,
            not_parked,
            waited_too_long,
            undoing_waited_too_long,
            poisoned,
            poisoned_at_a_later_step,
            on_its_way,
        )
    }
    | KINDS_HISTORIES
    | MENDED_HISTORIES
)
