"""A retry of many orders: each is retried once, whoever goes on with it and however it is broken off; and it stops in time."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any
from uuid import UUID

import psycopg
import pytest
from psycopg_pool import AsyncConnectionPool

from orchestrator import operating
from orchestrator.definitions import Definitions
from orchestrator.operations import bulk
from orchestrator.operations.bulk import Wanted
from orchestrator.operations.bulk_pace import Terms
from orchestrator.operations.runs import NoRun, find, stands, still_of
from orchestrator.retention import Retention
from sql import acts, retention, retrying
from sql.connect import open_pool
from sql.models import Status
from sql.retrying import Run
from tests.integration.orchestrator.shop import Replica, Shop, open_replica, place, row_of, status, until

Pool = AsyncConnectionPool[Any]
STUCK = Wanted(Status.STUCK, None, None, None)
FAILED = Wanted(Status.FAILED, None, None, None)
TERMS = Terms(canary=0, rate=0, stop_at_failures=0.2, wait_s=20)
WHO = {"actor": "ann", "reason": "mended"}


@asynccontextmanager
async def person(url: str) -> AsyncIterator[psycopg.AsyncConnection[Any]]:
    """A connection as a command has it."""
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as conn:
        yield conn


@pytest.fixture
async def conn(ledger_url: str) -> AsyncIterator[psycopg.AsyncConnection[Any]]:
    async with person(ledger_url) as opened:
        yield opened


@asynccontextmanager
async def replica_of(pool: Pool, url: str, shop: Shop) -> AsyncIterator[Replica]:
    """A replica that tries each call once."""
    async with open_replica(pool, url, shop, retry_attempts=1) as replica:
        yield replica


async def stuck(replica: Replica, shop: Shop, count: int) -> list[UUID]:
    """Have orders STUCK, the oldest first: what failed could not be undone."""
    orders = []
    for _ in range(count):
        shop.behaviours["/second"] = [status(422)]
        shop.behaviours["/undo-first"] = [status(500)]
        orders.append(await place(replica))
        await until(replica.pool, orders[-1], Status.STUCK)
    return orders


async def go_on(conn: Any, definitions: Definitions, run: Run, terms: Terms = TERMS, *, actor: str = "ann") -> Run:
    return await bulk.go_on(conn, definitions, run, terms, actor=actor, told=lambda _: None)


async def acts_on(pool: Pool, orders: list[UUID]) -> list[tuple[Any, ...]]:
    """What operators did with each of these orders: who and why, in the order of the orders."""
    async with pool.connection() as conn:
        cursor = await conn.execute(
            "select actor, reason from unnest(%s) with ordinality as o (id, n) join ledger_journal j on order_ledger_id = id"
            " where kind = 'operator' order by n, seq",
            (orders,),
        )
        return await cursor.fetchall()


async def test_the_set_is_chosen_once_and_every_order_of_it_ends(pool: Pool, conn: Any, ledger_url: str, shop: Shop) -> None:
    async with replica_of(pool, ledger_url, shop) as replica:
        orders = await stuck(replica, shop, 3)
        run = await bulk.begin(conn, STUCK, TERMS, **WHO)
        (later,) = await stuck(replica, shop, 1)

        ended = await go_on(conn, replica.definitions, run, replace(TERMS, canary=1))

        assert (await row_of(pool, later)).status is Status.STUCK
    assert (ended.orders, ended.retried, ended.ended, ended.went_wrong) == (3, 3, {"FAILED": 3}, 0)
    assert await acts_on(pool, [*orders, later]) == [("ann", "mended")] * 3
    kept = await retrying.list_set(conn, run.run_id)
    assert [(o["order_ledger_id"], o["status"], o["goes_on_as"], o["ended_as"]) for o in kept] == [
        (order, "STUCK", order, "FAILED") for order in orders
    ]
    (act,) = await acts.list_acts(conn, str(run.run_id), limit=5)
    assert (act["act"], act["actor"], act["reason"], act["details"]["orders"]) == ("retry_run", "ann", "mended", 3)


async def test_two_at_once_after_one_that_was_killed_retry_each_order_once(
    pool: Pool, conn: Any, ledger_url: str, shop: Shop
) -> None:
    async with replica_of(pool, ledger_url, shop) as replica:
        orders = await stuck(replica, shop, 12)
        run = await bulk.begin(conn, STUCK, TERMS, **WHO)
        begun = asyncio.Event()

        def told(now: Run) -> None:
            if now.retried:
                begun.set()

        async with person(ledger_url) as first:
            killed = asyncio.create_task(
                bulk.go_on(first, replica.definitions, run, replace(TERMS, rate=10), actor="ann", told=told)
            )
            await asyncio.wait_for(begun.wait(), 20)
            killed.cancel()
            await asyncio.gather(killed, return_exceptions=True)
        left = (await find(conn, run.run_id)).outstanding
        async with person(ledger_url) as second:
            both = await asyncio.gather(
                go_on(conn, replica.definitions, run, actor="bob"), go_on(second, replica.definitions, run, actor="cat")
            )

    assert 0 < left < 12
    assert [(each.outstanding, each.retried, each.refused, each.ended) for each in both] == [(0, 12, 0, {"FAILED": 12})] * 2
    assert [why for _, why in await acts_on(pool, orders)] == ["mended"] * 12


async def test_a_retry_that_can_not_be_noted_was_not_done(pool: Pool, conn: Any, ledger_url: str, shop: Shop) -> None:
    async with replica_of(pool, ledger_url, shop) as replica:
        (order,) = await stuck(replica, shop, 1)
    run = await bulk.begin(conn, STUCK, TERMS, **WHO)
    await conn.execute("alter table retry_run_order add constraint nothing check (tried_at is null)")

    with pytest.raises(psycopg.errors.CheckViolation, match="nothing"):
        await go_on(conn, replica.definitions, run)

    assert (await find(conn, run.run_id)).outstanding == 1
    assert (await row_of(pool, order)).status is Status.STUCK
    assert await acts_on(pool, [order]) == []


async def test_a_canary_that_goes_wrong_spares_the_others_until_the_cause_is_mended(
    pool: Pool, conn: Any, ledger_url: str, shop: Shop
) -> None:
    careful = replace(TERMS, canary=2)
    async with replica_of(pool, ledger_url, shop) as replica:
        orders = await stuck(replica, shop, 5)
        run = await bulk.begin(conn, STUCK, careful, **WHO)
        shop.behaviours["/undo-first"] = [status(500)] * 2

        stopped = await go_on(conn, replica.definitions, run, careful)
        again = await go_on(conn, replica.definitions, stopped, careful, actor="bob")

    assert (stopped.ended, stopped.outstanding, stopped.went_wrong) == ({"STUCK": 2}, 3, 2)
    assert stopped.stopped_why == "of the first 2, 2 went wrong"
    assert (again.outstanding, again.ended, again.stopped_at) == (0, {"STUCK": 2, "FAILED": 3}, None)
    assert [actor for actor, _ in await acts_on(pool, orders)] == ["ann"] * 2 + ["bob"] * 3


async def test_who_goes_on_with_a_run_stops_when_another_stops_it(pool: Pool, conn: Any, ledger_url: str, shop: Shop) -> None:
    async with replica_of(pool, ledger_url, shop) as replica:
        await stuck(replica, shop, 3)
        run = await bulk.begin(conn, STUCK, TERMS, **WHO)
        async with person(ledger_url) as other:
            going_on = asyncio.create_task(go_on(other, replica.definitions, run, replace(TERMS, rate=0.5)))
            async with asyncio.timeout(20):
                while not (await find(conn, run.run_id)).retried:
                    await asyncio.sleep(0.01)
            await retrying.stop_run(conn, run.run_id, "enough")
            stopped = await asyncio.wait_for(going_on, 20)

    assert (stopped.stopped_why, stopped.outstanding > 0) == ("enough", True)


async def test_failed_orders_are_placed_anew_once_each(pool: Pool, conn: Any, ledger_url: str, shop: Shop) -> None:
    async with replica_of(pool, ledger_url, shop) as replica:
        shop.behaviours["/second"] = [status(422)] * 2
        failed = [await place(replica) for _ in range(2)]
        for order in failed:
            await until(pool, order, Status.FAILED)
        run = await bulk.begin(conn, FAILED, TERMS, **WHO)
        by_hand = await operating.retry(conn, replica.definitions, failed[0], **WHO)
        await until(pool, by_hand.order_ledger_id, Status.COMPLETED)

        ended = await go_on(conn, replica.definitions, run)

        with pytest.raises(NoRun, match="no order is FAILED as it is asked for"):
            await bulk.begin(conn, FAILED, TERMS, **WHO)
    assert (ended.retried, ended.refused, ended.ended) == (1, 1, {"COMPLETED": 1})
    first, second = await retrying.list_set(conn, run.run_id)
    assert first["refused"] == f"it was placed anew before, as order {by_hand.order_ledger_id}, which is COMPLETED"
    assert second["goes_on_as"] not in (None, *failed)


async def test_what_is_no_longer_stuck_is_refused_with_the_reason(pool: Pool, conn: Any, ledger_url: str, shop: Shop) -> None:
    async with replica_of(pool, ledger_url, shop) as replica:
        (order,) = await stuck(replica, shop, 1)
        run = await bulk.begin(conn, STUCK, TERMS, **WHO)
        await operating.retry(conn, replica.definitions, order, actor="bob", reason="was quicker")
        await until(pool, order, Status.FAILED)

        ended = await go_on(conn, replica.definitions, run)

    assert (ended.outstanding, ended.retried, ended.refused) == (0, 0, 1)
    assert (await retrying.list_set(conn, run.run_id))[0]["refused"] == "it was STUCK, and is FAILED", "it is not placed anew"


async def test_an_operators_rights_are_enough(pool: Pool, ledger_url: str, shop: Shop) -> None:
    async with replica_of(pool, ledger_url, shop) as replica, person(ledger_url) as operator:
        await stuck(replica, shop, 1)
        shop.behaviours["/second"] = [status(422)]
        await until(pool, await place(replica), Status.FAILED)
        await operator.execute("set role sagaledger_operator")
        for wanted, ends in ((FAILED, "COMPLETED"), (STUCK, "FAILED")):
            await bulk.preview(operator, replica.definitions, wanted, TERMS, **WHO)
            run = await bulk.begin(operator, wanted, TERMS, **WHO)
            assert (await go_on(operator, replica.definitions, run)).ended == {ends: 1}
        await retrying.note_ended(operator)
        assert len(await retrying.list_runs(operator, limit=5)) == 2


async def test_a_preview_says_what_it_would_be_and_changes_nothing(pool: Pool, conn: Any, ledger_url: str, shop: Shop) -> None:
    async with replica_of(pool, ledger_url, shop) as replica:
        orders = await stuck(replica, shop, 4)

    found = await bulk.preview(conn, replica.definitions, STUCK, TERMS, **WHO)
    none = replace(STUCK, error_like="another error")
    said = found.reasons[0]["error"].upper()
    narrow = await bulk.preview(conn, replica.definitions, replace(STUCK, error_like=said, limit=2), TERMS, **WHO)

    assert (found.orders, [order for order, _ in found.first]) == (4, orders[:3])
    assert [each.calls for _, each in found.first if not isinstance(each, str)] == [("first: POST /undo-first at shop",)] * 3
    assert sum(reason["orders"] for reason in found.reasons) == 4
    assert (narrow.orders, narrow.earlier) == (2, {})
    with pytest.raises(NoRun):
        await bulk.preview(conn, replica.definitions, none, TERMS, **WHO)
    assert await acts_on(pool, orders) == []
    assert await retrying.list_runs(conn, limit=10) == []


async def test_who_begins_again_is_told_of_the_run_that_still_has_these_orders(
    pool: Pool, conn: Any, ledger_url: str, shop: Shop
) -> None:
    async with replica_of(pool, ledger_url, shop) as replica:
        await stuck(replica, shop, 2)
        run = await bulk.begin(conn, STUCK, TERMS, **WHO)

        before = await bulk.preview(conn, replica.definitions, replace(STUCK, limit=1), TERMS, **WHO)
        again = await bulk.begin(conn, STUCK, TERMS, **WHO)
        left = await retrying.list_left_elsewhere(conn, again.run_id)
        await go_on(conn, replica.definitions, run)

        assert (before.earlier, left) == ({run.run_id: 1}, {run.run_id: 2})
        assert still_of(left) == [f"run {run.run_id} still has 2 of these to retry: `saga ledger retry --resume {run.run_id}`"]
        assert await retrying.list_left_elsewhere(conn, again.run_id) == {}
        assert stands(await find(conn, run.run_id)).endswith("0 on their way; 2 ended as wanted, 0 wrong: 2 FAILED")


async def test_orders_follow_one_another_at_the_pace_that_is_asked_for(
    pool: Pool, conn: Any, ledger_url: str, shop: Shop
) -> None:
    async with replica_of(pool, ledger_url, shop) as replica:
        await stuck(replica, shop, 4)
        run = await bulk.begin(conn, STUCK, TERMS, **WHO)
        await go_on(conn, replica.definitions, run, replace(TERMS, rate=5))

    tried = [each["tried_at"] for each in await retrying.list_set(conn, run.run_id)]
    assert (tried[-1] - tried[0]).total_seconds() > 0.5


async def test_retention_forgets_which_orders_were_in_a_run_and_keeps_the_run(
    pool: Pool, conn: Any, ledger_url: str, shop: Shop
) -> None:
    async with replica_of(pool, ledger_url, shop) as replica:
        await stuck(replica, shop, 3)
    run = await bulk.begin(conn, STUCK, TERMS, **WHO)

    async with open_pool(ledger_url, name="replica", connections_max=1, role="sagaledger_orchestrator") as replicas:
        assert await retrying.forget_retried(conn, older_than_days=0, orders_max=1) == 1
        await Retention(replicas, days=1.0).run_once()
        assert len(await retrying.list_set(conn, run.run_id)) == 2
        await Retention(replicas, days=0.0).run_once()
    assert await retrying.list_set(conn, run.run_id) == []
    assert (await find(conn, run.run_id)).reason == "mended"
    with pytest.raises(psycopg.errors.InsufficientPrivilege, match="append-only"):
        await conn.execute("delete from retry_run")
    with pytest.raises(psycopg.errors.InsufficientPrivilege, match="append-only"):
        await conn.execute("update retry_run set actor = 'nobody'")
    assert await retention.purge_orders(conn, older_than_days=0, orders_max=10) == 0
