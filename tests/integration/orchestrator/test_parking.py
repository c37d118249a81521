"""Orders that wait: how long at most, in whose way they are not, and where they go on when a participant has moved."""

import asyncio
from uuid import UUID

import pytest

from orchestrator.fleet import Parked, Pass
from orchestrator.operating import retry
from orchestrator.saga import Saga
from participants.contracts import Endpoint
from sql.models import Status
from sql.registry import register_participants, unregister_participant
from tests.integration.orchestrator.absence import (
    CLOSED,
    HELD,
    PATIENT,
    QUICK,
    Pool,
    away,
    eventually,
    is_parked,
    open_fleet,
    put,
    replays,
)
from tests.integration.orchestrator.shop import Basket, Done, Shop, Thing, open_replica, open_shop, place, row_of, step, until

DEADLINE_S = 600.0


async def let_pass(pool: Pool, order: UUID, minutes: int) -> None:
    """Have the order be so much older, and look at it now."""
    async with pool.connection() as conn:
        await conn.execute(
            "update order_ledger set deadline_at = deadline_at - %s * interval '1 minute', next_retry_at = clock_timestamp()"
            " where order_ledger_id = %s",
            (minutes, order),
        )


async def deadline_in_s(pool: Pool, order: UUID) -> float:
    async with pool.connection() as conn:
        cursor = await conn.execute(
            "select extract(epoch from deadline_at - clock_timestamp())::float8 from order_ledger where order_ledger_id = %s",
            (order,),
        )
        return float((await cursor.fetchall())[0][0])


async def test_an_order_gets_the_deadline_of_its_saga_or_else_of_the_settings(pool: Pool, ledger_url: str, shop: Shop) -> None:
    own = Saga(name="own", version=1, input=Basket, steps=(step("first"),), deadline_s=50.0)
    general = Saga(name="general", version=1, input=Basket, steps=(step("first"),))
    found = {}
    for saga in (own, general):
        async with open_replica(pool, ledger_url, shop, saga, deadline_s=DEADLINE_S) as replica:
            found[saga.name] = await deadline_in_s(pool, await place(replica, saga.name))

    assert 0 < found["own"] <= 50.0 < found["general"] <= DEADLINE_S


async def test_an_order_that_waits_past_its_deadline_is_undone(pool: Pool, ledger_url: str, shop: Shop) -> None:
    second = away(shop, "/second")
    async with open_replica(pool, ledger_url, shop, deadline_s=DEADLINE_S, retry_first_s=60.0) as replica:
        order = await place(replica)
        await eventually(lambda: second.calls)
        await eventually(lambda: waits(pool, order))
        await let_pass(pool, order, minutes=11)
        row = await until(pool, order, Status.FAILED)

    assert row.progress["reason"] == "its deadline has passed"
    assert shop.paths() == ["/first", "/second", "/undo-second", "/undo-first"]
    assert await replays(pool)


async def waits(pool: Pool, order: UUID) -> bool:
    row = await row_of(pool, order)
    return row.lease_owner is None and row.last_error is not None


@pytest.mark.parametrize(("minutes", "ends"), [(11, Status.FAILED), (21, Status.STUCK)])
async def test_undoing_may_wait_as_long_again_and_is_stuck_then(
    pool: Pool, ledger_url: str, shop: Shop, minutes: int, ends: Status
) -> None:
    first = away(shop, "/first", silent=True)
    async with open_replica(pool, ledger_url, shop, **{**QUICK, **PATIENT}, deadline_s=DEADLINE_S) as replica:
        order = await place(replica)
        await eventually(lambda: first.on_their_way)
        await put(pool, HELD, replica)
        first.back.set()
        await eventually(lambda: is_parked(pool, order))
        await let_pass(pool, order, minutes)
        row = await until(pool, order, Status.COMPENSATING, Status.STUCK)
        before = shop.paths()
        await put(pool, CLOSED, replica)
        if ends is Status.FAILED:
            await until(pool, order, Status.FAILED)

    assert row.status is (Status.STUCK if ends is Status.STUCK else Status.COMPENSATING)
    assert row.progress["reason"] == "its deadline has passed"
    assert before == ["/first"]
    assert await replays(pool)
    if ends is Status.STUCK:
        assert row.last_error == "first can't be undone in time: calls to shop are held: maintenance"


async def test_an_order_that_an_operator_retries_gets_its_time_anew(pool: Pool, ledger_url: str, shop: Shop) -> None:
    async with open_replica(pool, ledger_url, shop, deadline_s=DEADLINE_S, **QUICK) as replica:
        await put(pool, HELD, replica)
        order = await place(replica)
        await eventually(lambda: is_parked(pool, order))
        # Put aside while it went forward, long ago.
        async with pool.connection() as conn:
            await conn.execute(
                "update order_ledger set status = 'STUCK', progress = progress || '{\"stuck\": \"put aside\"}',"
                " deadline_at = deadline_at - interval '1 day' where order_ledger_id = %s",
                (order,),
            )
        await put(pool, CLOSED, replica)
        async with pool.connection() as conn:
            await retry(conn, replica.definitions, order, actor="ops", reason="mended")
        left_s = await deadline_in_s(pool, order)
        replica.worker.wake()
        await until(pool, order, Status.COMPLETED)

    assert 0 < left_s <= DEADLINE_S


def at_another(name: str) -> Endpoint[Thing, Done]:
    return Endpoint("another", "POST", f"/{name}", Thing, Done)


async def test_a_participant_that_hangs_takes_no_more_than_its_share_of_a_replica(
    pool: Pool, ledger_url: str, shop: Shop
) -> None:
    saga = Saga(
        name="errand",
        version=1,
        input=Basket,
        steps=(step("swift", action=at_another("swift"), compensation=at_another("undo")), step("slow")),
    )
    slow = away(shop, "/slow", silent=True)
    register_participants(ledger_url, {"another": shop.url})
    async with open_replica(pool, ledger_url, shop, saga, **PATIENT, concurrency=8) as replica:
        orders = [await place(replica) for _ in range(30)]
        await eventually(lambda: shop.paths().count("/swift") == 30)
        at_once = slow.on_their_way
        slow.back.set()
        for order in orders:
            await until(pool, order, Status.COMPLETED, timeout_s=30)

    assert 1 <= at_once <= 4
    assert len(shop.calls) == 60


async def test_the_registry_may_limit_a_participant_further(pool: Pool, ledger_url: str, shop: Shop) -> None:
    first = away(shop, "/first", silent=True)
    async with open_replica(pool, ledger_url, shop, **PATIENT) as replica:
        register_participants(ledger_url, {"shop": shop.url}, {"concurrency": 1})
        await replica.fleet.look()
        orders = [await place(replica) for _ in range(5)]
        await eventually(lambda: first.on_their_way)

        async def others_gave_way() -> bool:
            rows = [await row_of(pool, order) for order in orders]
            return sum("as many calls" in (row.last_error or "") for row in rows) >= 3

        await eventually(others_gave_way)
        calls = first.calls
        first.back.set()
        for order in orders:
            await until(pool, order, Status.COMPLETED)

    assert calls == 1


async def test_who_stood_in_line_when_the_participant_went_away_is_not_let_through(
    pool: Pool, ledger_url: str, shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("orchestrator.bulkhead.LINE_WAIT_S", 30.0)

    async def ask() -> Pass | Parked:
        return await replica.fleet.leave_for("shop", 1.0)

    async with open_replica(pool, ledger_url, shop) as replica:
        register_participants(ledger_url, {"shop": shop.url}, {"concurrency": 1})
        await replica.fleet.look()
        first = await ask()
        assert isinstance(first, Pass)
        in_line = asyncio.create_task(ask())
        await asyncio.sleep(0)
        await put(pool, HELD, replica)
        await replica.fleet.back(first)
        found = await in_line

    assert isinstance(found, Parked)
    assert found.reason == "calls to shop are held: maintenance"


async def test_a_participant_that_moves_is_called_where_it_is_now(pool: Pool, ledger_url: str, shop: Shop) -> None:
    async with open_shop() as elsewhere, open_fleet(pool, ledger_url, shop) as (one, _):
        register_participants(ledger_url, {"shop": elsewhere.url})

        async def moved() -> bool:
            await until(pool, await place(one), Status.COMPLETED)
            return bool(elsewhere.calls)

        await eventually(moved)


async def test_orders_wait_for_a_participant_that_was_removed_until_it_is_added(
    pool: Pool, ledger_url: str, shop: Shop
) -> None:
    async with open_fleet(pool, ledger_url, shop, count=1) as (replica,):
        assert unregister_participant(ledger_url, "shop")
        await replica.fleet.look()
        order = await place(replica)
        await eventually(lambda: waits(pool, order))
        parked = await row_of(pool, order)
        register_participants(ledger_url, {"shop": shop.url})
        await replica.fleet.look()
        await let_pass(pool, order, minutes=0)
        await until(pool, order, Status.COMPLETED)

    assert not unregister_participant(ledger_url, "nobody")
    assert parked.last_error == "shop is not registered"


async def test_a_participant_that_was_added_a_moment_ago_is_called(pool: Pool, ledger_url: str, shop: Shop) -> None:
    async with open_replica(pool, ledger_url, shop) as replica:
        assert unregister_participant(ledger_url, "shop")
        await replica.fleet.look()
        register_participants(ledger_url, {"shop": shop.url})

        async def is_known() -> bool:
            return isinstance(await replica.fleet.leave_for("shop", 1.0), Pass)

        await eventually(is_known)


async def test_an_address_of_the_settings_stands_where_none_is_registered(pool: Pool, ledger_url: str, shop: Shop) -> None:
    async with open_replica(pool, ledger_url, shop, orders_url="http://orders.example:1") as replica:
        default = replica.fleet.addresses["orders"]
        await asyncio.to_thread(register_participants, ledger_url, {"orders": "http://orders.example:2"})
        await replica.fleet.look()
        registered = replica.fleet.addresses["orders"]
        await asyncio.to_thread(unregister_participant, ledger_url, "orders")
        await replica.fleet.look()

    assert (default, registered) == ("http://orders.example:1", "http://orders.example:2")
    assert replica.fleet.addresses["orders"] == default
