"""A participant that is away: its breaker opens for the whole fleet, orders wait, and nobody pays for it with attempts."""

import asyncio
import random
from uuid import UUID

from aiohttp import web

from orchestrator.circuit import Circuit, State
from orchestrator.progress import Progress
from orchestrator.saga import Saga
from sql.models import Status
from tests.integration.orchestrator.absence import (
    CLOSED,
    HELD,
    OPEN,
    PATIENT,
    QUICK,
    Absence,
    Always,
    Pool,
    away,
    breaker,
    eventually,
    is_in,
    is_parked,
    open_fleet,
    put,
    replays,
)
from tests.integration.orchestrator.shop import Basket, Shop, open_replica, place, row_of, status, step, until


async def unclear(pool: Pool) -> tuple[int, int]:
    """How many attempts ended Unknown that count, and that do not."""
    async with pool.connection() as conn:
        cursor = await conn.execute(
            "select count(*) filter (where reason is null), count(reason) from ledger_journal"
            " where kind = 'outcome' and outcome = 'unknown'"
        )
        counted, spared = (await cursor.fetchall())[0]
    return counted, spared


async def test_while_a_participant_is_away_no_attempt_is_spent_and_then_every_order_completes(
    pool: Pool, ledger_url: str, shop: Shop
) -> None:
    absence = away(shop, "/second")
    async with open_fleet(pool, ledger_url, shop) as (one, _):
        orders = [await place(one) for _ in range(8)]
        for order in orders:
            await eventually(lambda order=order: is_parked(pool, order))
        counted, _ = await unclear(pool)
        before = absence.calls
        # More trials than an order has attempts in all.
        await eventually(lambda: absence.calls >= before + 8)
        counted_later, spared = await unclear(pool)
        absence.back.set()
        for order in orders:
            await until(pool, order, Status.COMPLETED, timeout_s=30)

    assert counted_later == counted
    assert spared >= 7
    assert await is_in(pool, State.CLOSED)
    assert await replays(pool)


async def test_undoing_waits_too_and_ends_well(pool: Pool, ledger_url: str, shop: Shop) -> None:
    absence = away(shop, "/undo-second")
    shop.behaviours["/third"] = [status(422)] * 6
    async with open_fleet(pool, ledger_url, shop) as (one, _):
        orders = [await place(one) for _ in range(6)]
        for order in orders:
            await eventually(lambda order=order: is_parked(pool, order))
        before = absence.calls
        await eventually(lambda: absence.calls >= before + 8)
        absence.back.set()
        for order in orders:
            await until(pool, order, Status.FAILED, timeout_s=30)

    assert await replays(pool)


async def test_a_participant_that_fails_half_the_time_ends_every_order(pool: Pool, ledger_url: str, shop: Shop) -> None:
    chance = random.Random(89)

    async def flap(request: web.Request) -> web.StreamResponse:
        if chance.random() < 0.5:
            return web.json_response({"detail": "ill"}, status=503)
        return web.json_response({"order_id": (await request.json())["order_id"]})

    for path in ("/first", "/second", "/third", "/undo-first", "/undo-second", "/undo-third"):
        shop.behaviours[path] = Always([flap])
    # So many attempts that none of these orders fails by chance, and none may have more.
    attempts_max = 25
    async with open_fleet(pool, ledger_url, shop, retry_attempts=attempts_max, retry_first_s=0.02) as (one, _):
        orders = [await place(one) for _ in range(10)]
        rows = [await until(pool, order, Status.COMPLETED, timeout_s=60) for order in orders]

    steps = [step for row in rows for step in Progress.from_json(row.progress).steps.values()]
    assert all(step.attempts - step.lapses <= attempts_max for step in steps)


async def test_an_open_breaker_lets_no_call_through_and_frees_the_replica(pool: Pool, ledger_url: str, shop: Shop) -> None:
    async with open_fleet(pool, ledger_url, shop, breaker_open_s=20.0) as (one, other):
        await put(pool, OPEN, one, other)
        order = await place(one)
        await eventually(lambda: is_parked(pool, order))
        parked = await row_of(pool, order)
        async with pool.connection() as conn:
            cursor = await conn.execute("select next_retry_at - updated_at > interval '10 s', last_seq from order_ledger")
            waits = await cursor.fetchone()

    assert shop.calls == []
    assert (parked.status, parked.last_error) == (Status.PENDING, "shop is away: its breaker is open")
    assert waits == (True, 0)


async def test_the_whole_fleet_makes_one_trial(pool: Pool, ledger_url: str, shop: Shop) -> None:
    trial = away(shop, "/first", silent=True)
    async with open_fleet(pool, ledger_url, shop, count=3, **PATIENT) as replicas:
        await put(pool, OPEN, *replicas)
        orders = [await place(replicas[0]) for _ in range(12)]

        async def all_but_one_wait() -> bool:
            return sum([await is_parked(pool, order) for order in orders]) == len(orders) - 1

        await eventually(lambda: trial.on_their_way == 1)
        await eventually(all_but_one_wait)
        calls, state = trial.calls, (await breaker(pool)).state
        trial.back.set()
        for order in orders:
            await until(pool, order, Status.COMPLETED, timeout_s=30)

    assert (calls, state) == (1, State.HALF_OPEN)


async def test_a_trial_whose_owner_was_killed_is_given_to_another(pool: Pool, ledger_url: str, shop: Shop) -> None:
    async with open_fleet(pool, ledger_url, shop, count=1) as (survivor,):
        # What a killed replica leaves: the trial taken, and nobody who will ever tell how it ended.
        await put(pool, Circuit(State.HALF_OPEN, "xxxxx", trial_left_s=0.5), survivor)
        order = await place(survivor)
        await eventually(lambda: is_parked(pool, order))
        before = len(shop.calls)
        await until(pool, order, Status.COMPLETED)

    assert before == 0
    assert await is_in(pool, State.CLOSED)


async def test_after_a_recovery_a_replica_begins_with_one_call(pool: Pool, ledger_url: str, shop: Shop) -> None:
    saga = Saga(name="errand", version=1, input=Basket, steps=(step("first"),))
    trial, others = Absence(), Absence(silent=True)
    trial.back.set()

    async def answer_the_trial_only(request: web.Request) -> web.StreamResponse:
        return await (others if trial.calls else trial).behave(request)

    shop.behaviours["/first"] = Always([answer_the_trial_only])
    async with open_replica(pool, ledger_url, shop, saga, **{**QUICK, **PATIENT}) as replica:
        await put(pool, OPEN, replica)
        orders = [await place(replica) for _ in range(6)]

        async def the_rest_gave_way() -> bool:
            rows = [await row_of(pool, order) for order in orders]
            return sum("as many calls" in (row.last_error or "") for row in rows) >= 3

        await eventually(the_rest_gave_way)
        at_once = others.calls
        others.back.set()
        for order in orders:
            await until(pool, order, Status.COMPLETED, timeout_s=30)

    assert at_once == 1


async def test_a_hold_stays_until_it_is_reset(pool: Pool, ledger_url: str, shop: Shop) -> None:
    async with open_fleet(pool, ledger_url, shop) as (one, other):
        await put(pool, HELD, one, other)
        order = await place(one)

        async def asked_again_and_again() -> bool:
            return (await row_of(pool, order)).lease_epoch > 4

        await eventually(asked_again_and_again)
        row = await row_of(pool, order)
        before = len(shop.calls)
        await put(pool, CLOSED, one, other)
        await until(pool, order, Status.COMPLETED)

    assert before == 0
    assert row.last_error == "calls to shop are held: maintenance"


async def test_a_step_that_does_not_wait_is_undone_at_once(pool: Pool, ledger_url: str, shop: Shop) -> None:
    saga = Saga(name="errand", version=1, input=Basket, steps=(step("first"), step("second", when_open="fail")))
    first = away(shop, "/first", silent=True)
    async with open_replica(pool, ledger_url, shop, saga, **{**QUICK, **PATIENT}) as replica:
        order = await place(replica)
        await eventually(lambda: first.on_their_way)
        await put(pool, HELD, replica)
        first.back.set()
        row = await until(pool, order, Status.COMPENSATING)
        await put(pool, CLOSED, replica)
        await until(pool, order, Status.FAILED)

    assert shop.paths() == ["/first", "/undo-first"]
    assert row.progress["reason"] == "second does not wait: calls to shop are held: maintenance"
    assert await replays(pool)


async def test_while_all_is_well_nothing_is_written_of_it(pool: Pool, ledger_url: str, shop: Shop) -> None:
    async with open_fleet(pool, ledger_url, shop) as (one, _):
        for order in [await place(one) for _ in range(10)]:
            await until(pool, order, Status.COMPLETED)

    assert await rows_of_breakers(pool) == []


async def test_a_call_that_ends_unknown_is_reported_with_those_before_it(pool: Pool, ledger_url: str, shop: Shop) -> None:
    async with open_fleet(pool, ledger_url, shop, count=1) as (replica,):
        await until(pool, await place(replica), Status.COMPLETED)
        shop.behaviours["/second"] = [status(500)]
        order = await place(replica)
        await until(pool, order, Status.COMPLETED)
        await eventually(lambda: rows_of_breakers(pool))

    assert await rows_of_breakers(pool) == [("shop", "closed", "....x", 5, 1)]


async def rows_of_breakers(pool: Pool) -> list[tuple[object, ...]]:
    async with pool.connection() as conn:
        cursor = await conn.execute("select participant, state, recent, calls, failures from participant_breaker")
        return await cursor.fetchall()


async def test_failures_of_all_replicas_count_together(pool: Pool, ledger_url: str, shop: Shop) -> None:
    shop.behaviours["/first"] = [status(500)] * 5
    async with open_fleet(pool, ledger_url, shop, count=5, breaker_open_s=60.0, concurrency=1, retry_first_s=60.0) as replicas:
        orders: list[UUID] = []
        for replica in replicas:
            orders.append(await place(replica))
        await eventually(lambda: is_in(pool, State.OPEN))

    assert len(shop.calls) == 5
    assert await asyncio.gather(*(row_of(pool, order) for order in orders))
