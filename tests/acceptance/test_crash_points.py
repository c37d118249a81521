"""Replicas lost at the points that a kill under load meets only by chance: in the claim, after it, in the midst of undoing."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager
from typing import Any, LiteralString

import psycopg
import pytest

from tests.acceptance.stack import Process
from tests.acceptance.stack_shop import ACTIONS, STANDS, STOCK, Shop, attempts, eventually, succeeded

pytestmark = pytest.mark.acceptance

LOCK_CLAIMS = "lock table order_ledger in share mode"
LOCK_JOURNAL = "lock table ledger_journal in share mode"
WAITING = "select pid from pg_stat_activity where application_name like 'saga orchestrator%' and wait_event_type = 'Lock'"
OPEN = "select pid from pg_stat_activity where application_name like 'saga %' and state like 'idle in transaction%'"


async def test_a_replica_killed_before_its_claim_commits_leaves_no_trace(shop: Shop) -> None:
    victim, other = shop.stack.replicas
    with other.frozen():
        order = await _placed_while_frozen(shop, "in-the-claim", victim)
        async with _stopped_at(shop, LOCK_CLAIMS, victim) as (lock, sessions):
            victim.kill()
            await _end(lock, sessions)
        assert (await shop.row(order))["lease_owner"] is None

    assert (await shop.ends(order))["status"] == "COMPLETED"
    journal = await shop.journal(order)
    assert attempts(journal) == succeeded(*ACTIONS)
    assert {entry["lease_epoch"] for entry in journal} == {1, 2}, "somebody else had claimed it"
    assert await shop.stands(order) == STANDS


async def test_a_replica_frozen_in_its_claim_holds_no_transaction_open_and_is_taken_over(shop: Shop) -> None:
    victim, other = shop.stack.replicas
    with ExitStack() as frozen:
        frozen.enter_context(other.frozen())
        order = await _placed_while_frozen(shop, "frozen-in-the-claim", victim)
        async with _stopped_at(shop, LOCK_CLAIMS, victim):
            frozen.enter_context(victim.frozen())
        owner = await eventually(lambda: _owner(shop, order))
        assert shop.stack.replica_of(owner) is victim
        assert await _sessions(shop, OPEN) == []
        other.thaw()

        assert (await shop.ends(order))["status"] == "COMPLETED"
    journal = await shop.journal(order)
    assert [entry["step"] for entry in journal if entry["kind"] == "takeover"] == [None], "it had begun nothing"
    assert attempts(journal) == succeeded(*ACTIONS)
    assert await shop.stands(order) == STANDS


async def test_a_replica_killed_between_claim_and_intent_is_taken_over_and_no_attempt_is_spent(shop: Shop) -> None:
    victim, other = shop.stack.replicas
    with other.frozen():
        order = await _placed_while_frozen(shop, "after-the-claim", victim)
        async with _stopped_at(shop, LOCK_JOURNAL, victim) as (lock, sessions):
            assert shop.stack.replica_of(await eventually(lambda: _owner(shop, order))) is victim
            victim.kill()
            await _end(lock, sessions)

    assert (await shop.ends(order))["status"] == "COMPLETED"
    journal = await shop.journal(order)
    assert [entry["step"] for entry in journal if entry["kind"] == "takeover"] == [None]
    assert attempts(journal) == succeeded(*ACTIONS)
    assert await shop.stands(order) == STANDS


async def test_undoing_goes_on_at_the_step_at_which_its_replica_was_killed(shop: Shop) -> None:
    available = await shop.available()
    await shop.delay("orders", 700, "/cancel")
    order = await shop.place("killed-undoing", items=[{"sku": "85123A", "quantity": STOCK + 1, "unit_price_minor": 1}])

    async def undoing() -> Process:
        last, owner = (await shop.journal(order))[-1], await _owner(shop, order)
        assert (last["kind"], last["step"], last["direction"]) == ("intent", "create_order", "compensation")
        return shop.stack.replica_of(owner)

    (await eventually(undoing)).kill()

    assert (await shop.ends(order))["status"] == "FAILED"
    assert attempts(await shop.journal(order)) == [
        *succeeded("authorize_payment", "create_order"),
        "reserve_inventory rejected",
        "undo create_order unknown",
        *succeeded("undo create_order", "undo authorize_payment"),
    ]
    assert await shop.stands(order) == {}
    assert await shop.available() == available


async def test_orders_are_taken_while_no_replica_lives_and_served_when_one_does(shop: Shop) -> None:
    for replica in shop.stack.replicas:
        replica.kill()

    orders = await asyncio.gather(*(shop.place(f"nobody-{number}", edge=number % 2) for number in range(30)))

    assert {(await shop.row(order))["status"] for order in orders} == {"PENDING"}
    await asyncio.to_thread(shop.stack.restore)
    for order in orders:
        assert (await shop.ends(order, 30))["status"] == "COMPLETED"
        assert attempts(await shop.journal(order)) == succeeded(*ACTIONS)
        assert await shop.stands(order) == STANDS


@pytest.mark.slow
async def test_replicas_that_get_a_tenth_of_a_second_now_and_then_finish_everything_once(shop: Shop) -> None:
    placing = asyncio.gather(*(shop.place(f"starved-{number}") for number in range(20)))

    for turn in range(40):
        with shop.stack.replicas[turn % 2].frozen():
            await asyncio.sleep(0.1)

    for order in await placing:
        assert (await shop.ends(order, 60))["status"] == "COMPLETED"
        await shop.journal(order)  # is checked for owners that overlap
        assert await shop.stands(order) == STANDS


@pytest.mark.slow
async def test_replicas_come_and_go_under_load_and_no_order_is_claimed_twice_or_left_behind(shop: Shop) -> None:
    with shop.stack.only_replica() as first:
        await shop.delay("payments", 150, "/payments/capture", 120)
        placing = asyncio.gather(*(shop.place(f"scaled-{number}", edge=number % 2) for number in range(120)))
        more = await asyncio.to_thread(shop.stack.add_replicas, 7)
        orders = await placing
        for replica in more:
            assert await asyncio.to_thread(replica.stop) == 0
        shop.stack.replicas = [first]

        for order in orders:
            assert (await shop.ends(order, 60))["status"] == "COMPLETED"
            await shop.journal(order)  # is checked for owners that overlap
            assert await shop.stands(order) == STANDS


async def _placed_while_frozen(shop: Shop, key: str, victim: Process) -> str:
    """Place an order that no replica sees yet."""
    victim.freeze()
    return await shop.place(key)


@asynccontextmanager
async def _stopped_at(shop: Shop, lock: LiteralString, victim: Process) -> AsyncIterator[tuple[Any, list[int]]]:
    """Wake a replica and have it wait for a lock; the connection that holds the lock, and the sessions that wait."""
    url = shop.stack.databases["ledger"]
    async with await psycopg.AsyncConnection.connect(url) as conn:
        await conn.execute(lock)
        victim.thaw()

        async def waiting() -> list[int]:
            sessions = await _sessions(shop, WAITING)
            assert sessions
            return sessions

        yield conn, await eventually(waiting)


async def _sessions(shop: Shop, query: LiteralString) -> list[int]:
    async with await psycopg.AsyncConnection.connect(shop.stack.databases["ledger"], autocommit=True) as conn:
        return [row[0] for row in await (await conn.execute(query)).fetchall()]


async def _end(conn: psycopg.AsyncConnection[Any], sessions: list[int]) -> None:
    """End sessions of a process that is gone: the server would carry their statement out all the same."""
    for pid in sessions:
        await conn.execute("select pg_terminate_backend(%s, 5000)", (pid,))


async def _owner(shop: Shop, order: str) -> str:
    owner = (await shop.row(order))["lease_owner"]
    assert owner is not None
    return str(owner)
