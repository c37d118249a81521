"""One replica, or several, on a real ledger with a real participant over HTTP."""

import asyncio
from typing import Any
from uuid import UUID

import psycopg
import pytest
from aiohttp import web
from psycopg_pool import AsyncConnectionPool

from orchestrator.definitions import Definitions
from orchestrator.identity import order_id
from orchestrator.opening import Request, open_order
from orchestrator.operating import cancel, retry
from orchestrator.saga import DefinitionError, Saga
from orchestrator.verdict import NotCancellable, NotRetryable
from sql import ledger
from sql.models import Status
from tests.integration.orchestrator.shop import (
    ERRAND,
    Basket,
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


async def journal(pool: Pool, order_ledger_id: UUID) -> list[tuple[Any, ...]]:
    async with pool.connection() as conn:
        cursor = await conn.execute(
            "select kind, step, direction, round, attempt, outcome from ledger_journal where order_ledger_id = %s order by seq",
            (order_ledger_id,),
        )
        return await cursor.fetchall()


async def test_every_step_is_called_once_and_the_order_completes(pool: Pool, ledger_url: str, shop: Shop) -> None:
    async with open_replica(pool, ledger_url, shop) as replica:
        order = await place(replica)
        row = await until(pool, order, Status.COMPLETED)

    assert shop.paths() == ["/first", "/second", "/third"]
    assert shop.calls[0][1] == f"{order}:first:action"
    assert set(row.results) == {"first", "second", "third"}


async def test_a_rejection_undoes_what_was_done_in_reverse_order(pool: Pool, ledger_url: str, shop: Shop) -> None:
    shop.behaviours["/third"] = [status(422)]
    async with open_replica(pool, ledger_url, shop) as replica:
        order = await place(replica)
        row = await until(pool, order, Status.FAILED)

    assert shop.paths() == ["/first", "/second", "/third", "/undo-second", "/undo-first"]
    assert row.last_error == "third was rejected: shop answered 422: scripted 422"


async def test_a_retry_carries_the_same_operation_key(pool: Pool, ledger_url: str, shop: Shop) -> None:
    shop.behaviours["/second"] = [status(500), status(503)]
    async with open_replica(pool, ledger_url, shop) as replica:
        order = await place(replica)
        await until(pool, order, Status.COMPLETED)

    keys = {key for path, key in shop.calls if path == "/second"}
    assert keys == {f"{order}:second:action"}
    assert [entry[4] for entry in await journal(pool, order) if entry[:2] == ("intent", "second")] == [1, 2, 3]


async def test_a_step_out_of_attempts_is_undone_itself(pool: Pool, ledger_url: str, shop: Shop) -> None:
    shop.behaviours["/second"] = [status(500)] * 5
    async with open_replica(pool, ledger_url, shop) as replica:
        order = await place(replica)
        await until(pool, order, Status.FAILED)

    assert shop.paths() == ["/first", *["/second"] * 5, "/undo-second", "/undo-first"]


async def test_the_wait_is_on_the_row_while_it_lasts(pool: Pool, ledger_url: str, shop: Shop) -> None:
    shop.behaviours["/first"] = [status(503, **{"Retry-After": "60"})]
    async with open_replica(pool, ledger_url, shop) as replica:
        order = await place(replica)
        async with asyncio.timeout(5):
            while (await row_of(pool, order)).last_error is None:
                await asyncio.sleep(0.01)
        async with pool.connection() as conn:
            cursor = await conn.execute(
                "select next_retry_at - updated_at > interval '59 s', lease_owner, due_at = next_retry_at from order_ledger"
            )
            shown = await cursor.fetchone()

    assert shown == (True, None, True)


async def test_a_late_owner_writes_nothing_once_its_claim_is_lost(pool: Pool, ledger_url: str, shop: Shop) -> None:
    answered = asyncio.Event()

    async def slow(request: web.Request) -> web.StreamResponse:
        await answered.wait()
        return web.json_response({"order_id": (await request.json())["order_id"]})

    shop.behaviours["/first"] = [slow]
    async with open_replica(pool, ledger_url, shop, step_timeout_s=10, lease_s=60) as late:
        order = await place(late)
        async with asyncio.timeout(5):
            while not shop.calls:
                await asyncio.sleep(0.01)
        await expire_lease(pool, order)
        async with open_replica(pool, ledger_url, shop, step_timeout_s=10, lease_s=60) as successor:
            successor.worker.wake()
            await until(pool, order, Status.COMPLETED)
            before = await journal(pool, order)
            answered.set()
            async with asyncio.timeout(5):
                while not late.metrics.lease_lost._value.get():
                    await asyncio.sleep(0.01)

    assert await journal(pool, order) == before
    assert ("takeover", "first", "action", 1, 1, "unknown") in before


async def expire_lease(pool: Pool, order_ledger_id: UUID) -> None:
    async with pool.connection() as conn:
        await conn.execute(
            "update order_ledger set lease_expires_at = created_at where order_ledger_id = %s", (order_ledger_id,)
        )


async def test_two_replicas_share_a_backlog_and_call_every_step_once(pool: Pool, ledger_url: str, shop: Shop) -> None:
    async with open_replica(pool, ledger_url, shop) as one, open_replica(pool, ledger_url, shop):
        orders = [await place(one) for _ in range(60)]
        for order in orders:
            await until(pool, order, Status.COMPLETED, timeout_s=30)

    assert len(shop.calls) == len(set(shop.calls)) == 180


async def test_an_order_is_served_without_any_notification(pool: Pool, ledger_url: str, shop: Shop) -> None:
    async with open_replica(pool, ledger_url, shop) as replica:
        # It has looked, and found nothing more to do.
        await until(pool, await place(replica), Status.COMPLETED)
        order = new_order(replica.definitions)
        async with pool.connection() as conn:
            await ledger.insert_order(conn, order)

        await until(pool, order.order_ledger_id, Status.COMPLETED)


async def test_a_notification_wakes_a_replica_long_before_its_poll(pool: Pool, ledger_url: str, shop: Shop) -> None:
    async with open_replica(pool, ledger_url, shop, listen=True, poll_interval_s=60) as replica:
        async with asyncio.timeout(10):
            while not replica.metrics.listener_connected._value.get():
                await asyncio.sleep(0.01)
        order = new_order(replica.definitions)
        async with pool.connection() as conn:
            await ledger.insert_order(conn, order)
            await ledger.wake_orchestrators(conn)

        await until(pool, order.order_ledger_id, Status.COMPLETED)


async def terminate_listeners(pool: Pool) -> None:
    async with pool.connection() as conn:
        await conn.execute(
            "select pg_terminate_backend(pid) from pg_stat_activity"
            " where application_name like 'saga listener%' and datname = current_database()"
        )


async def test_a_listener_that_was_terminated_listens_again(pool: Pool, ledger_url: str, shop: Shop) -> None:
    async with open_replica(pool, ledger_url, shop, listen=True, poll_interval_s=60) as replica:
        connected = replica.metrics.listener_connected._value
        async with asyncio.timeout(10):
            while not connected.get():
                await asyncio.sleep(0.01)
        await terminate_listeners(pool)
        order = new_order(replica.definitions)
        async with pool.connection() as conn:
            await ledger.insert_order(conn, order)

        # Nobody notifies: the look after the new LISTEN finds it.
        await until(pool, order.order_ledger_id, Status.COMPLETED)


async def test_a_listener_that_was_terminated_is_woken_again(pool: Pool, ledger_url: str, shop: Shop) -> None:
    async with open_replica(pool, ledger_url, shop, listen=True, poll_interval_s=60) as replica:
        connected = replica.metrics.listener_connected._value
        for wanted in (1, 0, 1):
            async with asyncio.timeout(10):
                while connected.get() != wanted:
                    if wanted == 0:
                        await terminate_listeners(pool)
                    await asyncio.sleep(0.01)
        order = new_order(replica.definitions)
        async with pool.connection() as conn:
            await ledger.insert_order(conn, order)
            await ledger.wake_orchestrators(conn)

        await until(pool, order.order_ledger_id, Status.COMPLETED)


async def test_a_stopped_replica_gives_back_what_it_holds(pool: Pool, ledger_url: str, shop: Shop) -> None:
    reached, go_on = asyncio.Event(), asyncio.Event()

    async def slow(request: web.Request) -> web.StreamResponse:
        reached.set()
        await go_on.wait()
        return web.json_response({"order_id": (await request.json())["order_id"]})

    shop.behaviours["/first"] = [slow]
    async with open_replica(pool, ledger_url, shop) as replica:
        order = await place(replica)
        await asyncio.wait_for(reached.wait(), 5)
        stopping = asyncio.create_task(replica.worker.stop(5.0))
        asyncio.get_running_loop().call_soon(go_on.set)
        await stopping
        row = await row_of(pool, order)

    assert (row.lease_owner, row.status, row.progress.get("on_its_way")) == (None, Status.RUNNING, None)
    assert shop.paths() == ["/first"]


async def test_a_row_that_the_code_fails_on_ends_stuck_and_blocks_nobody(pool: Pool, ledger_url: str, shop: Shop) -> None:
    async with open_replica(pool, ledger_url, shop, lapses_max=1) as replica:
        poisoned = new_order(replica.definitions)
        # In one transaction: the replica must not see it sound.
        async with pool.connection() as conn, conn.transaction():
            await ledger.insert_order(conn, poisoned)
            await conn.execute("update order_ledger set progress = '{\"steps\": 7}'")
        order = await place(replica)
        await until(pool, order, Status.COMPLETED)
        row = await until(pool, poisoned.order_ledger_id, Status.STUCK)

    assert row.last_error is not None
    assert "ValidationError" in row.last_error


async def test_a_cancel_counts_the_outcome_of_the_call_on_its_way(pool: Pool, ledger_url: str, shop: Shop) -> None:
    reached, go_on = asyncio.Event(), asyncio.Event()

    async def slow(request: web.Request) -> web.StreamResponse:
        reached.set()
        await go_on.wait()
        return web.json_response({"order_id": (await request.json())["order_id"]})

    shop.behaviours["/second"] = [slow]
    async with open_replica(pool, ledger_url, shop) as replica:
        order = await place(replica)
        await asyncio.wait_for(reached.wait(), 5)
        async with pool.connection() as conn:
            verdict = await cancel(conn, replica.definitions, order, actor="ann", reason="changed my mind")
            again = await cancel(conn, replica.definitions, order, actor="ann", reason="changed my mind")
        go_on.set()
        await until(pool, order, Status.CANCELLED)
        async with pool.connection() as conn:
            with pytest.raises(NotRetryable):
                await retry(conn, replica.definitions, order, actor="ann", reason="after all")

    assert (verdict.done, again.done) == (True, False)
    assert shop.paths() == ["/first", "/second", "/undo-second", "/undo-first"]


async def test_a_completed_order_can_not_be_cancelled_on_its_way(pool: Pool, ledger_url: str, shop: Shop) -> None:
    async with open_replica(pool, ledger_url, shop) as replica:
        order = await place(replica)
        await until(pool, order, Status.COMPLETED)
        async with pool.connection() as conn:
            with pytest.raises(NotCancellable, match="is COMPLETED"):
                await cancel(conn, replica.definitions, order, actor="ann", reason="too late")


async def test_a_stuck_order_goes_on_when_an_operator_retries_it(pool: Pool, ledger_url: str, shop: Shop) -> None:
    shop.behaviours["/second"] = [status(422)]
    shop.behaviours["/undo-first"] = [status(500)] * 5
    async with open_replica(pool, ledger_url, shop) as replica:
        order = await place(replica)
        await until(pool, order, Status.STUCK)
        async with pool.connection() as conn:
            preview = await retry(conn, replica.definitions, order, actor="ann", reason="mended", dry_run=True)
            before = await row_of(pool, order)
            verdict = await retry(conn, replica.definitions, order, actor="ann", reason="mended")
        await until(pool, order, Status.FAILED)

    assert (preview.done, before.status) == (False, Status.STUCK)
    assert preview.calls == verdict.calls == ("first: POST /undo-first at shop",)
    assert ("intent", "first", "compensation", 2, 1, None) in await journal(pool, order)


async def test_a_failed_order_is_tried_anew_as_an_order_of_its_own(pool: Pool, ledger_url: str, shop: Shop) -> None:
    shop.behaviours["/first"] = [status(422)]
    async with open_replica(pool, ledger_url, shop) as replica:
        order = await place(replica)
        failed = await until(pool, order, Status.FAILED)
        async with pool.connection() as conn:
            verdict = await retry(conn, replica.definitions, order, actor="ann", reason="in stock again")
        row = await until(pool, verdict.order_ledger_id, Status.COMPLETED)

    assert verdict.order_ledger_id != order
    assert row.client_request_id == f"retry:1:{failed.client_request_id}"


async def test_an_order_that_a_client_placed_under_the_key_of_a_retry_is_not_taken_for_it(
    pool: Pool, ledger_url: str, shop: Shop
) -> None:
    shop.behaviours["/first"] = [status(422)]
    async with open_replica(pool, ledger_url, shop) as replica, pool.connection() as conn:
        failed = await until(pool, await place(replica), Status.FAILED)
        key = f"retry:1:{failed.client_request_id}"
        request = Request(order_id("tests", key), "tests", key, b"other", Basket(), {}, "correlation")
        await ledger.insert_order(conn, open_order(replica.definitions.named("errand"), request).order)
        verdict = await retry(conn, replica.definitions, failed.order_ledger_id, actor="ann", reason="in stock again")

    assert verdict.done
    assert verdict.order_ledger_id == order_id("tests", f"retry:2:{failed.client_request_id}")


async def test_changed_code_under_the_same_version_refuses_to_start(pool: Pool, ledger_url: str, shop: Shop) -> None:
    changed = Saga(name="errand", version=1, input=Basket, steps=(step("first"), step("other")))
    async with open_replica(pool, ledger_url, shop) as replica, pool.connection() as conn:
        with pytest.raises(DefinitionError, match="raise its version"):
            await Definitions([changed], replica.settings).register(conn)


async def test_a_replica_leaves_rows_whose_definition_it_does_not_have(pool: Pool, ledger_url: str, shop: Shop) -> None:
    other = Saga(name="other", version=1, input=Basket, steps=(step("first"),))
    async with open_replica(pool, ledger_url, shop, ERRAND) as replica:
        definitions = Definitions([other], replica.settings)
        stranger = new_order(definitions, "other")
        async with pool.connection() as conn:
            await definitions.register(conn)
            await ledger.insert_order(conn, stranger)
        order = await place(replica)
        await until(pool, order, Status.COMPLETED)

        assert (await row_of(pool, stranger.order_ledger_id)).lease_epoch == 1


async def test_no_transaction_is_open_while_a_participant_is_called(pool: Pool, ledger_url: str, shop: Shop) -> None:
    open_transactions: list[int] = []

    async def look(request: web.Request) -> web.StreamResponse:
        async with await psycopg.AsyncConnection.connect(ledger_url, autocommit=True) as conn:
            cursor = await conn.execute(
                "select count(*) from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()"
                " and application_name like 'saga%' and state like 'idle in transaction%'"
            )
            row = await cursor.fetchone()
        open_transactions.append(row[0] if row else -1)
        return web.json_response({"order_id": (await request.json())["order_id"]})

    shop.behaviours.update({path: [look] for path in ("/first", "/second", "/third")})
    async with open_replica(pool, ledger_url, shop) as replica:
        order = await place(replica)
        await until(pool, order, Status.COMPLETED)

    assert open_transactions == [0, 0, 0]


async def test_a_failed_order_that_is_retried_twice_is_placed_once(pool: Pool, ledger_url: str, shop: Shop) -> None:
    shop.behaviours["/first"] = [status(422)]
    async with open_replica(pool, ledger_url, shop) as replica:
        order = await place(replica)
        await until(pool, order, Status.FAILED)
        async with pool.connection() as conn, pool.connection() as other:
            one, two = await asyncio.gather(
                *(retry(each, replica.definitions, order, actor="ann", reason="again") for each in (conn, other))
            )
            await until(pool, one.order_ledger_id, Status.COMPLETED)
            late = await retry(conn, replica.definitions, order, actor="ann", reason="again")

    assert one.order_ledger_id == two.order_ledger_id == late.order_ledger_id
    assert sorted((one.done, two.done, late.done)) == [False, False, True]


async def test_a_row_that_somebody_has_locked_holds_up_no_other(pool: Pool, ledger_url: str, shop: Shop) -> None:
    reached, go_on = asyncio.Event(), asyncio.Event()

    async def slow(request: web.Request) -> web.StreamResponse:
        reached.set()
        await go_on.wait()
        return web.json_response({"order_id": (await request.json())["order_id"]})

    shop.behaviours["/first"] = [slow]
    async with open_replica(pool, ledger_url, shop) as replica:
        locked = await place(replica)
        await asyncio.wait_for(reached.wait(), 5)
        async with await psycopg.AsyncConnection.connect(ledger_url) as conn:
            await conn.execute("select from order_ledger where order_ledger_id = %s for update", (locked,))
            go_on.set()
            others = [await place(replica) for _ in range(5)]
            for other in others:
                await until(pool, other, Status.COMPLETED, timeout_s=5)
            await conn.rollback()
        await until(pool, locked, Status.COMPLETED)

    assert shop.paths().count("/first") == 6


async def test_a_replica_that_stops_while_it_claims_leaves_no_lease(pool: Pool, ledger_url: str, shop: Shop) -> None:
    for _ in range(10):
        async with open_replica(pool, ledger_url, shop) as replica:
            await place(replica)

    async with pool.connection() as conn:
        cursor = await conn.execute("select count(*) from order_ledger where lease_owner is not null")
        assert await cursor.fetchone() == (0,)


async def test_a_stuck_order_that_is_retried_starts_with_no_lapses(pool: Pool, ledger_url: str, shop: Shop) -> None:
    async with open_replica(pool, ledger_url, shop, lapses_max=1) as replica:
        poisoned = new_order(replica.definitions)
        # In one transaction: the replica must not see it sound.
        async with pool.connection() as conn, conn.transaction():
            await ledger.insert_order(conn, poisoned)
            await conn.execute("update order_ledger set input = '{\"what\": 7}'")
        await until(pool, poisoned.order_ledger_id, Status.STUCK)
        async with pool.connection() as conn:
            await conn.execute("update order_ledger set input = '{}'")
            await retry(conn, replica.definitions, poisoned.order_ledger_id, actor="ann", reason="mended")
        row = await until(pool, poisoned.order_ledger_id, Status.COMPLETED)

    assert row.lapses == 0
