"""Every kind of step on a real ledger with a real participant over HTTP; each journal is replayed through the core."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from aiohttp import web
from msgspec import structs
from psycopg_pool import AsyncConnectionPool
from pydantic import BaseModel, ValidationError

from orchestrator.operating import cancel, retry
from orchestrator.preview import preview
from orchestrator.retrace import retrace
from orchestrator.saga import AnyStep, Retry, Saga, Signal, StepKind, Timer
from orchestrator.signalling import NoSuchSignal, NotAwaited, signal
from orchestrator.verdict import NotCancellable, Verdict
from orchestrator.work import Work
from sql import ledger
from sql.auditing import load_audit
from sql.models import SagaRow, Status
from tests.integration.orchestrator.past import Held, history_of
from tests.integration.orchestrator.shop import (
    Basket,
    Replica,
    Shop,
    new_order,
    open_replica,
    place,
    row_of,
    status,
    step,
    until,
)

Pool = AsyncConnectionPool[Any]
INVARIANTS = [q for q in load_audit() if q.kind == "invariant" and q.database == "ledger"]
BARE: dict[str, Any] = {"compensation": None}


class Approval(BaseModel):
    """What the test's signal carries."""

    by: str


APPROVAL: Signal[Basket] = Signal("approval", payload=Approval, timeout_s=3600)


def saga(*steps: AnyStep[Basket], **options: Any) -> Saga[Basket]:
    return Saga(name="errand", version=1, input=Basket, steps=steps, **options)


def pivot(name: str, **options: Any) -> AnyStep[Basket]:
    return step(name, **BARE, kind=StepKind.PIVOT, **options)


def retriable(name: str, **options: Any) -> AnyStep[Basket]:
    return step(name, **BARE, kind=StepKind.RETRIABLE, **options)


async def ends(pool: Pool, order: UUID, wanted: Status) -> SagaRow:
    """Wait for this status, and see that the core decides the same once more and no auditor finds anything."""
    row = await until(pool, order, wanted, timeout_s=20)
    assert retrace(await history_of(pool, order)) == ()
    async with pool.connection() as conn:
        found = {query.name for query in INVARIANTS if await (await conn.execute(query.text)).fetchall()}
    assert found == set()
    return row


async def waits(pool: Pool, order: UUID, name: str) -> SagaRow:
    async with asyncio.timeout(10):
        while (row := await row_of(pool, order)).progress.get("steps", {}).get(name, {}).get("state") != "running":
            await asyncio.sleep(0.01)
    return row


async def signalled(replica: Replica, order: UUID, payload: Any, name: str = "approval") -> Verdict:
    async with replica.pool.connection() as conn:
        verdict = await signal(conn, replica.definitions, order, name, payload, actor="ann")
    replica.worker.wake()
    return verdict


def state_of(row: SagaRow, name: str) -> str:
    return str(row.progress["steps"][name]["state"])


# --- groups -----------------------------------------------------------------------------------------------------------

BOTH = (step("left", group="both"), step("right", group="both"), step("last"))


async def test_steps_of_a_group_are_called_at_once(pool: Pool, ledger_url: str, shop: Shop) -> None:
    met = asyncio.Barrier(2)

    async def together(request: web.Request) -> web.StreamResponse:
        # Answered only when the other is there as well.
        await met.wait()
        return web.json_response({"order_id": (await request.json())["order_id"]})

    shop.behaviours = {"/left": [together], "/right": [together]}
    async with open_replica(pool, ledger_url, shop, saga(*BOTH)) as replica:
        row = await ends(pool, await place(replica), Status.COMPLETED)

    assert (sorted(shop.paths()[:2]), shop.paths()[2:]) == (["/left", "/right"], ["/last"])
    assert set(row.results) == {"left", "right", "last"}


async def test_one_that_is_rejected_undoes_the_others_of_its_group(pool: Pool, ledger_url: str, shop: Shop) -> None:
    shop.behaviours = {"/left": [status(422)]}
    async with open_replica(pool, ledger_url, shop, saga(step("first"), *BOTH)) as replica:
        row = await ends(pool, await place(replica), Status.FAILED)

    assert shop.paths()[3:] == ["/undo-right", "/undo-first"]
    assert row.last_error == "left was rejected: shop answered 422: scripted 422"


async def test_only_what_was_unclear_of_a_group_is_repeated(pool: Pool, ledger_url: str, shop: Shop) -> None:
    shop.behaviours = {"/right": [status(500), status(503)]}
    async with open_replica(pool, ledger_url, shop, saga(*BOTH)) as replica:
        await ends(pool, await place(replica), Status.COMPLETED)

    assert sorted(shop.paths()) == ["/last", "/left", "/right", "/right", "/right"]


async def test_a_group_is_taken_over_whole(pool: Pool, ledger_url: str, shop: Shop) -> None:
    held = Held()
    shop.behaviours = {"/left": [held.answer]}
    async with open_replica(pool, ledger_url, shop, saga(*BOTH), lease_s=3.0) as replica:
        order = await place(replica)
        await held.is_reached()
        # As if its process had died: nothing of the round is written.
        replica.worker._active[order][1].cancel()
        held.let_go.set()
        row = await ends(pool, order, Status.COMPLETED)

    assert sorted(shop.paths()) == ["/last", "/left", "/left", "/right", "/right"]
    assert len({key for path, key in shop.calls if path == "/left"}) == 1
    assert row.lapses == 0


async def test_a_cancel_waits_for_every_call_of_a_group(pool: Pool, ledger_url: str, shop: Shop) -> None:
    held = Held()
    shop.behaviours = {"/left": [held.answer], "/right": [status(422)]}
    async with open_replica(pool, ledger_url, shop, saga(*BOTH), step_timeout_s=1.4) as replica:
        order = await place(replica)
        await held.is_reached()
        async with pool.connection() as conn:
            await cancel(conn, replica.definitions, order, actor="ann", reason="changed my mind")
        held.let_go.set()
        await until(pool, order, Status.FAILED, Status.CANCELLED)
        await ends(pool, order, (await row_of(pool, order)).status)

    assert shop.paths()[2:] == ["/undo-left"]


# --- pivots -----------------------------------------------------------------------------------------------------------

ONWARD = (step("first"), pivot("pay"), retriable("ship", retry=Retry(first_s=0.01, factor=1.0, attempts_max=2, wait_max_s=1.0)))


@pytest.mark.parametrize("refusals", [[status(422)], [status(500), status(500)]])
async def test_after_a_pivot_the_order_is_stuck_and_goes_on(pool: Pool, ledger_url: str, shop: Shop, refusals: Any) -> None:
    shop.behaviours = {"/ship": list(refusals)}
    async with open_replica(pool, ledger_url, shop, saga(*ONWARD)) as replica:
        order = await place(replica)
        row = await ends(pool, order, Status.STUCK)
        assert row.last_error is not None
        assert row.last_error.endswith("it only goes forward")
        async with pool.connection() as conn:
            await retry(conn, replica.definitions, order, actor="ann", reason="mended")
        replica.worker.wake()
        await ends(pool, order, Status.COMPLETED)

    assert not [path for path in shop.paths() if path.startswith("/undo")]


async def test_a_pivot_of_which_nothing_is_known_is_never_undone(pool: Pool, ledger_url: str, shop: Shop) -> None:
    shop.behaviours = {"/pay": [status(500)] * 5}
    async with open_replica(pool, ledger_url, shop, saga(*ONWARD)) as replica:
        row = await ends(pool, await place(replica), Status.STUCK)

    assert row.last_error is not None
    assert row.last_error.startswith("pay is out of attempts")
    assert not [path for path in shop.paths() if path.startswith("/undo")]


async def test_a_pivot_that_is_rejected_turns_the_order_round(pool: Pool, ledger_url: str, shop: Shop) -> None:
    shop.behaviours = {"/pay": [status(402)]}
    async with open_replica(pool, ledger_url, shop, saga(*ONWARD)) as replica:
        await ends(pool, await place(replica), Status.FAILED)

    assert shop.paths() == ["/first", "/pay", "/undo-first"]


async def test_nobody_cancels_what_may_have_passed_its_pivot(pool: Pool, ledger_url: str, shop: Shop) -> None:
    held = Held()
    shop.behaviours = {"/pay": [held.answer]}
    async with open_replica(pool, ledger_url, shop, saga(*ONWARD)) as replica:
        order = await place(replica)
        await held.is_reached()
        async with pool.connection() as conn:
            with pytest.raises(NotCancellable, match="only goes forward"):
                await cancel(conn, replica.definitions, order, actor="ann", reason="changed my mind")
        held.let_go.set()
        await ends(pool, order, Status.COMPLETED)


# --- optional and conditional -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("refusals", [[status(422)], [status(500)] * 5])
async def test_an_optional_step_is_left_out_when_it_fails(pool: Pool, ledger_url: str, shop: Shop, refusals: Any) -> None:
    shop.behaviours = {"/tell": list(refusals)}
    async with open_replica(pool, ledger_url, shop, saga(step("tell", **BARE, optional=True), step("last"))) as replica:
        row = await ends(pool, await place(replica), Status.COMPLETED)

    assert (state_of(row, "tell"), state_of(row, "last")) == ("skipped", "succeeded")


async def test_what_an_optional_step_may_have_done_is_undone_with_the_rest(pool: Pool, ledger_url: str, shop: Shop) -> None:
    shop.behaviours = {"/tell": [status(500)] * 5, "/last": [status(422)]}
    async with open_replica(pool, ledger_url, shop, saga(step("tell", optional=True), step("last"))) as replica:
        await ends(pool, await place(replica), Status.FAILED)

    assert shop.paths()[-1] == "/undo-tell"


@pytest.mark.parametrize(("holds", "paths"), [(True, ["/first", "/maybe", "/last"]), (False, ["/first", "/last"])])
async def test_a_condition_is_asked_when_its_turn_has_come(
    pool: Pool, ledger_url: str, shop: Shop, holds: bool, paths: list[str]
) -> None:
    maybe = step("maybe", when=lambda ctx: (ctx.results["first"]["order_id"] == ctx.order_id) is holds)
    async with open_replica(pool, ledger_url, shop, saga(step("first"), maybe, step("last"))) as replica:
        row = await ends(pool, await place(replica), Status.COMPLETED)

    assert shop.paths() == paths
    assert state_of(row, "maybe") == ("succeeded" if holds else "skipped")


async def test_a_condition_that_fails_in_code_puts_the_order_aside_and_loses_nothing(
    pool: Pool, ledger_url: str, shop: Shop
) -> None:
    broken = step("maybe", when=lambda ctx: ctx.results["nothing"])
    async with open_replica(pool, ledger_url, shop, saga(step("first"), broken), lapses_max=1) as replica:
        row = await ends(pool, await place(replica), Status.STUCK)

    assert shop.paths() == ["/first"]
    assert state_of(row, "first") == "succeeded"


# --- waits ------------------------------------------------------------------------------------------------------------


async def test_a_signal_is_waited_for_without_a_lease(pool: Pool, ledger_url: str, shop: Shop) -> None:
    async with open_replica(pool, ledger_url, shop, saga(step("first"), APPROVAL, step("last"))) as replica:
        order = await place(replica)
        row = await waits(pool, order, "approval")
        assert (row.lease_owner, row.status) == (None, Status.RUNNING)
        assert (await signalled(replica, order, {"by": "the boss"})).done
        assert not (await signalled(replica, order, {"by": "the boss"})).done
        with pytest.raises(NotAwaited):
            await signalled(replica, order, {"by": "somebody else"})
        row = await ends(pool, order, Status.COMPLETED)

    assert row.results["approval"] == {"by": "the boss"}
    assert shop.paths() == ["/first", "/last"]


async def test_a_signal_may_come_before_it_is_waited_for(pool: Pool, ledger_url: str, shop: Shop) -> None:
    held = Held()
    shop.behaviours = {"/first": [held.answer]}
    steps = (step("first"), APPROVAL, step("maybe", when=lambda ctx: ctx.results["approval"]["by"] == "nobody"), step("last"))
    async with open_replica(pool, ledger_url, shop, saga(*steps)) as replica:
        order = await place(replica)
        await held.is_reached()
        await signalled(replica, order, {"by": "the boss"})
        held.let_go.set()
        await ends(pool, order, Status.COMPLETED)

    assert shop.paths() == ["/first", "/last"]


async def test_a_signal_for_later_ends_no_wait_of_now(pool: Pool, ledger_url: str, shop: Shop) -> None:
    steps = (Signal[Basket]("before", payload=Approval, timeout_s=3600), APPROVAL)
    async with open_replica(pool, ledger_url, shop, saga(*steps)) as replica:
        order = await place(replica)
        await waits(pool, order, "before")
        due = "select due_at from order_ledger where order_ledger_id = %s"
        async with pool.connection() as conn:
            before = await (await conn.execute(due, (order,))).fetchone()
        await signalled(replica, order, {"by": "the boss"})
        async with pool.connection() as conn:
            assert await (await conn.execute(due, (order,))).fetchone() == before
        await signalled(replica, order, {"by": "ann"}, "before")
        await ends(pool, order, Status.COMPLETED)


async def test_what_is_no_answer_is_refused(pool: Pool, ledger_url: str, shop: Shop) -> None:
    async with open_replica(pool, ledger_url, shop, saga(step("first"), APPROVAL)) as replica:
        order = await place(replica)
        await waits(pool, order, "approval")
        with pytest.raises(ValidationError):
            await signalled(replica, order, {"from": "the boss"})
        for name in ("first", "nothing"):
            with pytest.raises(NoSuchSignal):
                await signalled(replica, order, {"by": "the boss"}, name)
        async with pool.connection() as conn:
            await cancel(conn, replica.definitions, order, actor="ann", reason="too slow")
        replica.worker.wake()
        await ends(pool, order, Status.CANCELLED)
        with pytest.raises(NotAwaited):
            await signalled(replica, order, {"by": "the boss"})

    assert shop.paths() == ["/first", "/undo-first"]


async def test_a_wait_in_which_an_order_was_put_aside_begins_once_more(pool: Pool, ledger_url: str, shop: Shop) -> None:
    async with open_replica(pool, ledger_url, shop, saga(step("first"), APPROVAL), lapses_max=1) as replica:
        order = await place(replica)
        await waits(pool, order, "approval")
        async with pool.connection() as conn:
            # As if its owner had died of it.
            await conn.execute(
                "update order_ledger set lapses = 1, lease_owner = 'ghost', lease_expires_at = now(), next_retry_at = null"
            )
        replica.worker.wake()
        await ends(pool, order, Status.STUCK)
        async with pool.connection() as conn:
            await retry(conn, replica.definitions, order, actor="ann", reason="mended")
        replica.worker.wake()
        await waits(pool, order, "approval")
        await signalled(replica, order, {"by": "the boss"})
        await ends(pool, order, Status.COMPLETED)


@pytest.mark.parametrize("limits", [{"timeout_s": 0.1}, {"deadline_s": 0.4}])
async def test_an_order_is_undone_when_no_answer_came_in_time(
    pool: Pool, ledger_url: str, shop: Shop, limits: dict[str, float]
) -> None:
    waited = replace(APPROVAL, timeout_s=limits.get("timeout_s", 3600.0))
    definition = saga(step("first"), waited, deadline_s=limits.get("deadline_s"))
    async with open_replica(pool, ledger_url, shop, definition) as replica:
        row = await ends(pool, await place(replica), Status.FAILED)

    in_time = {"timeout_s": "approval: no answer came in time", "deadline_s": "its deadline has passed"}
    assert row.last_error == in_time[next(iter(limits))]
    assert shop.paths() == ["/first", "/undo-first"]


@pytest.mark.parametrize(
    "timer",
    [
        Timer[Basket]("rest", wait_s=0.2),
        Timer[Basket]("rest", until=lambda ctx: datetime.fromisoformat(ctx.input.what)),
    ],
)
async def test_a_timer_waits_until_its_time(pool: Pool, ledger_url: str, shop: Shop, timer: Timer[Basket]) -> None:
    at = datetime.now(UTC) + timedelta(seconds=0.4)
    async with open_replica(pool, ledger_url, shop, saga(step("first"), timer, step("last"))) as replica:
        order = new_order(replica.definitions)
        async with pool.connection() as conn:
            assert await ledger.insert_order(conn, structs.replace(order, input={"what": at.isoformat()}))
        replica.worker.wake()
        await ends(pool, order.order_ledger_id, Status.COMPLETED)

    history = await history_of(pool, order.order_ledger_id)
    entries = [recorded.entry for recorded in history.journal if recorded.entry.step == "rest"]
    assert [(entry.kind, entry.outcome) for entry in entries] == [("intent", None), ("outcome", "succeeded")]
    async with pool.connection() as conn:
        cursor = await conn.execute(
            "select extract(epoch from max(at) - min(at)) from ledger_journal where order_ledger_id = %s and step = 'rest'",
            (order.order_ledger_id,),
        )
        (waited_s,) = await cursor.fetchone()  # type: ignore[misc]
    assert waited_s > 0.1


# --- time limits and policies -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("optional", [False, True])
async def test_a_step_has_a_time_limit_of_its_own(pool: Pool, ledger_url: str, shop: Shop, optional: bool) -> None:
    shop.behaviours = {"/slow": [status(500)] * 5}
    slow = step("slow", deadline_s=0.3, optional=optional, retry=Retry(first_s=60.0, attempts_max=5))
    async with open_replica(pool, ledger_url, shop, saga(step("first"), slow, step("last"))) as replica:
        row = await ends(pool, await place(replica), Status.COMPLETED if optional else Status.FAILED)

    if optional:
        assert state_of(row, "slow") == "skipped"
        assert shop.paths() == ["/first", "/slow", "/last"]
    else:
        assert row.last_error == "slow did not end within 0.3 s"
        assert shop.paths() == ["/first", "/slow", "/undo-slow", "/undo-first"]


@pytest.mark.parametrize(
    ("policy", "undone", "told"),
    [
        ("continue", ["/undo-second", "/undo-first"], "could not be undone: second"),
        ("stop", ["/undo-second"], "could not be undone: second; not undone for that: first"),
    ],
)
async def test_an_undo_that_fails_for_good_continues_or_stops(
    pool: Pool, ledger_url: str, shop: Shop, policy: Any, undone: list[str], told: str
) -> None:
    shop.behaviours = {"/third": [status(422)], "/undo-second": [status(422)]}
    definition = saga(step("first"), step("second"), step("third"), undo_failure=policy)
    async with open_replica(pool, ledger_url, shop, definition) as replica:
        order = await place(replica)
        row = await ends(pool, order, Status.STUCK)
        assert (shop.paths()[3:], row.last_error) == (undone, told)
        async with pool.connection() as conn:
            await retry(conn, replica.definitions, order, actor="ann", reason="mended")
        replica.worker.wake()
        await ends(pool, order, Status.FAILED)

    assert shop.paths()[-1] == ("/undo-second" if policy == "continue" else "/undo-first")


async def test_a_preview_tells_of_groups_waits_and_conditions(pool: Pool, ledger_url: str, shop: Shop) -> None:
    steps = (*BOTH[:2], APPROVAL, Timer[Basket]("rest", wait_s=5.0), step("maybe", when=lambda ctx: False))
    async with open_replica(pool, ledger_url, shop, saga(*steps)) as replica:
        order = await place(replica)
        row = await waits(pool, order, "approval")
        work = Work.of(replica.definitions.named("errand"), row)

    assert preview(work, work.progress) == (
        "rest: waits 5 s",
        "maybe: POST /maybe at shop, if its condition holds",
    )
