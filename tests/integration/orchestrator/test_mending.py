"""Holding an order, going on, leaving a step out and saying how it ends: on a real ledger, wherever the order stands."""

import asyncio
import contextlib
import random
from collections.abc import Awaitable, Callable
from typing import Any
from uuid import UUID

import pytest
from psycopg_pool import AsyncConnectionPool

from orchestrator import mending
from orchestrator.definitions import Definitions
from orchestrator.operating import cancel, retry
from orchestrator.outcome import Succeeded
from orchestrator.retrace import retrace
from orchestrator.saga import Saga, Signal
from orchestrator.signalling import signal
from orchestrator.verdict import Busy, NotAllowed, Verdict
from participants.contracts import Wire
from sql import auditing, ledger, reading
from sql.connect import open_pool
from sql.histories import page_histories
from sql.models import TERMINAL, Status
from tests.integration.orchestrator.mended_histories import LATER, WHY, act, waits
from tests.integration.orchestrator.past import HISTORY, Held, Past, history_of
from tests.integration.orchestrator.shop import (
    Basket,
    Shop,
    Thing,
    new_order,
    open_replica,
    place,
    row_of,
    settings_for,
    status,
    step,
    until,
)

Pool = AsyncConnectionPool[Any]
Verb = Callable[..., Awaitable[Verdict]]
VERBS: dict[str, tuple[Verb, dict[str, Any]]] = {
    "pause": (mending.pause, {}),
    "resume": (mending.resume, {}),
    "skip": (mending.skip_step, {}),
    "completed": (mending.resolve, {"ending": Status.COMPLETED}),
    "failed": (mending.resolve, {"ending": Status.FAILED}),
}


@pytest.fixture
def past(pool: Pool, ledger_url: str, shop: Shop) -> Past:
    return Past(pool, ledger_url, shop)


async def received(past: Past) -> UUID:
    definitions = Definitions([HISTORY], settings_for(past.url))
    async with past.pool.connection() as conn:
        await definitions.register(conn)
        order = new_order(definitions, "history")
        assert await ledger.insert_order(conn, order)
    return order.order_ledger_id


async def pending(past: Past) -> UUID:
    async with past.replica() as replica:
        pass
    return await past.at_edge(replica, Succeeded({}))


async def running(past: Past) -> UUID:
    return await waits(past, "/create")


async def compensating(past: Past) -> UUID:
    past.shop.behaviours["/hold"] = [status(422)]
    return await waits(past, "/undo-create")


async def stuck(past: Past) -> UUID:
    past.shop.behaviours["/undo-create"] = [status(409)]
    return await past.scripted(Status.STUCK, hold=[status(422)])


async def completed(past: Past) -> UUID:
    return await past.scripted(Status.COMPLETED)


async def failed(past: Past) -> UUID:
    return await past.scripted(Status.FAILED, hold=[status(422)])


async def declined(past: Past) -> UUID:
    return await past.scripted(Status.DECLINED, pay=[status(402)])


async def cancelled(past: Past) -> UUID:
    order = await received(past)
    await act(past, cancel, order)
    return order


async def on_hold(past: Past) -> UUID:
    order = await waits(past, "/create")
    await act(past, mending.pause, order)
    return order


ANSWERS = {
    received: "pause=RECEIVED resume=again skip=PENDING completed=refused failed=refused",
    pending: "pause=PENDING resume=again skip=PENDING completed=refused failed=refused",
    running: "pause=RUNNING resume=again skip=RUNNING completed=refused failed=refused",
    compensating: "pause=COMPENSATING resume=again skip=COMPENSATING completed=refused failed=refused",
    stuck: "pause=refused resume=refused skip=FAILED completed=COMPLETED failed=FAILED",
    on_hold: "pause=again resume=RUNNING skip=RUNNING completed=COMPLETED failed=FAILED",
    completed: "pause=refused resume=refused skip=refused completed=again failed=refused",
    failed: "pause=refused resume=refused skip=refused completed=refused failed=again",
    declined: "pause=refused resume=refused skip=refused completed=refused failed=refused",
    cancelled: "pause=refused resume=refused skip=refused completed=refused failed=refused",
}
"""What each verb comes to, by where an order stands that no replica holds."""


@pytest.mark.parametrize("stand", ANSWERS, ids=lambda stand: stand.__name__)
async def test_what_a_verb_comes_to_where_an_order_stands(past: Past, stand: Callable[[Past], Awaitable[UUID]]) -> None:
    for answer in ANSWERS[stand].split():
        name, _, wanted = answer.partition("=")
        verb, options = VERBS[name]
        # What the verbs before have left is out of the way of the replicas.
        await past.execute("update order_ledger set next_retry_at = now() + interval '1 h'")
        order = await stand(past)
        before = await row_of(past.pool, order)

        told, shown = await _tried(past, verb, order, dry_run=True, **options), await row_of(past.pool, order)
        done = await _tried(past, verb, order, **options)

        assert shown == before, "a preview changes nothing"
        after = await row_of(past.pool, order)
        if wanted in ("refused", "again"):
            assert after == before, answer
            assert done == told if wanted == "again" else (told, done) == (None, None), answer
            continue
        assert told is not None
        assert done is not None
        assert (told.done, told.status, done.done, done.status, after.status) == (False, before.status, True, wanted, wanted), (
            answer
        )
        assert (told.calls, told.irreversible, told.paused) == (done.calls, done.irreversible, done.paused), answer
        assert retrace(await history_of(past.pool, order)) == (), answer
        assert await _held(past.pool, order) == (done.paused, done.paused), answer


async def _tried(past: Past, verb: Verb, order: UUID, **options: Any) -> Verdict | None:
    try:
        return await act(past, verb, order, **options)
    except NotAllowed:
        return None


async def _held(pool: Pool, order: UUID) -> tuple[bool, bool]:
    """Whether the ledger says that an order is on hold, and whether nobody would claim it though it has not ended."""
    async with pool.connection() as conn:
        cursor = await conn.execute(
            "select paused_at is not null, due_at is null and finished_at is null from order_ledger where order_ledger_id = %s",
            (order,),
        )
        (found,) = await cursor.fetchall()
    return found


async def test_the_answer_of_a_call_on_its_way_is_written_and_no_other_call_is_made(past: Past) -> None:
    held = Held()
    past.shop.behaviours["/create"] = [held.answer]
    async with past.replica() as replica:
        order = await place(replica, "history")
        await held.is_reached()
        paused = await act(past, mending.pause, order)
        with pytest.raises(NotAllowed, match=r"call of create .* is on its way"):
            await act(past, mending.skip_step, order)
        with pytest.raises(NotAllowed, match="is on its way"):
            await act(past, mending.resolve, order, ending=Status.FAILED)
        held.let_go.set()
        async with asyncio.timeout(10):
            while (row := await row_of(past.pool, order)).lease_owner is not None:
                await asyncio.sleep(0.01)
        replica.worker.wake()
        other = await place(replica, "history")
        await until(past.pool, other, Status.COMPLETED)
        calls = [path for path, key in past.shop.calls if key.startswith(str(order))]
        await act(past, mending.resume, order)
        replica.worker.wake()
        await until(past.pool, order, Status.COMPLETED)

    assert paused.irreversible == ("create is on its way: its answer is waited for, and counts",)
    assert (set(row.results), row.status, calls) == ({"pay", "create"}, Status.RUNNING, ["/pay", "/create"])


async def test_neither_a_deadline_nor_a_lapse_ends_what_is_on_hold_and_it_has_its_time_anew(past: Past) -> None:
    past.shop.behaviours["/create"] = [LATER]
    async with past.replica(deadline_s=30.0) as replica:
        order = await place(replica, "history")
        async with asyncio.timeout(10):
            while (await row_of(past.pool, order)).retry_count == 0:
                await asyncio.sleep(0.01)
        await act(past, mending.pause, order)
        await past.execute("update order_ledger set deadline_at = now() - interval '1 h', next_retry_at = null")
        replica.worker.wake()
        other = await place(replica, "history")
        await until(past.pool, other, Status.COMPLETED)
        assert (await row_of(past.pool, order)).status is Status.RUNNING
        await act(past, mending.resume, order)
        replica.worker.wake()
        await until(past.pool, order, Status.COMPLETED)


class Yes(Wire):
    """An answer from outside."""

    said: str


async def test_an_answer_from_outside_is_kept_while_an_order_is_on_hold(pool: Pool, ledger_url: str, shop: Shop) -> None:
    saga = Saga("errand", 1, Basket, (step("first"), Signal[Basket]("approval", payload=Yes, timeout_s=60.0), step("last")))
    async with open_replica(pool, ledger_url, shop, saga) as replica:
        order = await place(replica)
        async with asyncio.timeout(10):
            while (await row_of(pool, order)).step != "approval":
                await asyncio.sleep(0.01)
        async with pool.connection() as conn:
            await mending.pause(conn, replica.definitions, order, **WHY)
            await signal(conn, replica.definitions, order, "approval", {"said": "go"}, actor="bob")
            kept = await row_of(pool, order)
            resumed = await mending.resume(conn, replica.definitions, order, **WHY)
        replica.worker.wake()
        await until(pool, order, Status.COMPLETED)

    assert (kept.status, kept.results["approval"]) == (Status.RUNNING, {"said": "go"})
    assert (resumed.calls, shop.paths()) == (("last: POST /last at shop",), ["/first", "/last"])


async def test_a_named_step_is_left_out_once_and_only_in_its_turn(past: Past) -> None:
    order = await waits(past, "/create")

    with pytest.raises(NotAllowed, match="no step nothing"):
        await act(past, mending.skip_step, order, step="nothing")
    with pytest.raises(NotAllowed, match="turn of create"):
        await act(past, mending.skip_step, order, step="hold")
    first = await act(past, mending.skip_step, order, step="create")
    again = await act(past, mending.skip_step, order, step="create")

    assert (first.done, again.done) == (True, False)
    assert first.irreversible == ("create is left out, though it may have been done",)


async def test_a_preview_says_which_call_can_not_be_made_out_without_the_step(pool: Pool, ledger_url: str, shop: Shop) -> None:
    first = step("first")
    saga = Saga(
        "errand", 1, Basket, (first, step("second", request=lambda ctx: Thing(order_id=ctx.results["first"]["order_id"])))
    )
    shop.behaviours["/first"] = [LATER]
    async with open_replica(pool, ledger_url, shop, saga, lapses_max=1) as replica:
        order = await place(replica)
        async with asyncio.timeout(10):
            while (await row_of(pool, order)).retry_count == 0:
                await asyncio.sleep(0.01)
        async with pool.connection() as conn:
            shown = await mending.skip_step(conn, replica.definitions, order, dry_run=True, **WHY)

    assert shown.calls == ("second: POST /second at shop, which can't be made out: first has no answer",)


@pytest.mark.parametrize("verb", ["pause", "failed", "skip"])
async def test_twenty_who_do_the_same_at_once_do_it_once(past: Past, ledger_url: str, verb: str) -> None:
    order = await (running if verb == "pause" else stuck)(past)
    definitions = Definitions([HISTORY], settings_for(ledger_url))
    act_, options = VERBS[verb]
    options = {"step": "create"} if verb == "skip" else options
    ready = asyncio.Barrier(20)

    async with open_pool(ledger_url, name="people", connections_max=20) as people:

        async def person() -> Verdict:
            async with people.connection() as conn:
                await ready.wait()
                return await act_(conn, definitions, order, **WHY, **options)

        told = await asyncio.gather(*(person() for _ in range(20)), return_exceptions=True)

    assert sum(isinstance(each, Verdict) and each.done for each in told) == 1
    assert {type(each) for each in told} <= {Verdict, Busy, NotAllowed}
    assert retrace(await history_of(past.pool, order)) == ()


async def test_verbs_that_meet_the_owners_writes_leave_every_order_whole(past: Past, ledger_url: str) -> None:
    """Operators hold, resume, cancel, skip and resolve whatever they like while two replicas work on it."""
    rng, definitions = random.Random(7), Definitions([HISTORY], settings_for(ledger_url))
    acts: list[tuple[Verb, dict[str, Any]]] = [
        *VERBS.values(),
        *[VERBS["resume"], VERBS["pause"]] * 2,
        (cancel, {}),
        (retry, {}),
    ]
    past.shop.behaviours["/hold"] = [status(422), status(500)] * 10
    past.shop.behaviours["/undo-create"] = [status(500)] * 10

    async def operator(orders: list[UUID], seed: int) -> None:
        choose = random.Random(seed)
        for _ in range(60):
            verb, options = choose.choice(acts)
            async with past.pool.connection() as conn:
                with contextlib.suppress(NotAllowed, Busy):
                    await verb(conn, definitions, choose.choice(orders), **WHY, **options)

    async with past.replica() as replica, past.replica() as other:
        orders = [await place(replica, "history") for _ in range(30)]
        await asyncio.gather(*(operator(orders, rng.randrange(99)) for _ in range(3)))
        for order in orders:
            if (await row_of(past.pool, order)).status not in TERMINAL:
                await _tried(past, mending.resume, order)
        for each in (replica, other):
            each.worker.wake()
        for order in orders:
            await until(past.pool, order, *TERMINAL, Status.STUCK, timeout_s=60)

    async with past.pool.connection() as conn:
        histories = await page_histories(conn, limit=100)
        found = {
            q.name: await auditing.run(conn, q, 5)
            for q in auditing.load_audit()
            if q.kind == "invariant" and q.database == "ledger"
        }
        told = await reading.statistics(conn)
    assert [(history.order_ledger_id, differences) for history in histories if (differences := retrace(history))] == []
    assert {name: rows for name, rows in found.items() if rows} == {}
    assert told["paused"] == 0
