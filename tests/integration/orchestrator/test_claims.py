"""A claim: whose clock it goes by, what it counts before any work, and what it does not take at once."""

import asyncio
from typing import Any
from uuid import UUID

import psycopg
import pytest
from psycopg_pool import AsyncConnectionPool

from orchestrator.definitions import Definitions
from sql import ledger
from sql.models import Claims
from tests.integration.orchestrator.shop import ERRAND, new_order, settings_for

Pool = AsyncConnectionPool[Any]
LEASE_S = 60.0
BLOCKED = "select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'"


async def placed(pool: Pool, url: str, count: int) -> Definitions:
    definitions = Definitions([ERRAND], settings_for(url))
    async with pool.connection() as conn:
        await definitions.register(conn)
        for _ in range(count):
            assert await ledger.insert_order(conn, new_order(definitions))
    return definitions


async def claim(pool: Pool, definitions: Definitions, **options: Any) -> Claims:
    asked = {"owner": "r1", "lease_s": LEASE_S, "limit": 100, "fingerprints": definitions.fingerprints, **options}
    async with pool.connection() as conn:
        return await ledger.claim_due(conn, **asked)


async def lapse(pool: Pool) -> None:
    """Let every lease run out."""
    async with pool.connection() as conn:
        await conn.execute("update order_ledger set lease_expires_at = created_at where lease_expires_at is not null")


async def test_a_lease_begins_when_the_claim_got_through_and_not_when_it_began(pool: Pool, ledger_url: str) -> None:
    definitions = await placed(pool, ledger_url, 1)
    async with await psycopg.AsyncConnection.connect(ledger_url) as other:
        await other.execute("lock table order_ledger in access exclusive mode")
        claiming = asyncio.create_task(claim(pool, definitions))
        async with asyncio.timeout(10):
            while (await (await other.execute(BLOCKED)).fetchone()) == (0,):
                await asyncio.sleep(0.01)
        until_s = asyncio.get_running_loop().time() + 0.3
        while asyncio.get_running_loop().time() < until_s:
            await asyncio.sleep(0.05)
        row = await (await other.execute("select clock_timestamp()")).fetchone()
        await other.commit()
    assert len((await claiming).claims) == 1
    assert row is not None

    async with pool.connection() as conn:
        cursor = await conn.execute("select lease_expires_at >= %s + interval '60 s' from order_ledger", row)
        assert await cursor.fetchone() == (True,)


async def test_a_claim_that_ran_out_is_counted_by_the_next_before_any_work(pool: Pool, ledger_url: str) -> None:
    definitions = await placed(pool, ledger_url, 1)
    counted = []
    for _ in range(4):
        (found,) = (await claim(pool, definitions)).claims
        counted.append((found.lapsed, found.row.lapses, found.row.lease_epoch))
        await lapse(pool)

    assert counted == [(False, 0, 2), (True, 1, 3), (True, 2, 4), (True, 3, 5)]


async def test_orders_that_their_owners_may_have_died_of_are_taken_one_by_one(pool: Pool, ledger_url: str) -> None:
    definitions = await placed(pool, ledger_url, 5)

    def ids(claims: Claims) -> set[UUID]:
        return {found.row.order_ledger_id for found in claims.claims}

    first = await claim(pool, definitions)
    await lapse(pool)
    second = await claim(pool, definitions)
    await lapse(pool)
    async with pool.connection() as conn:
        await ledger.insert_order(conn, new_order(definitions))
    third = await claim(pool, definitions)
    fourth = await claim(pool, definitions, suspects=0)
    fifth = await claim(pool, definitions)

    assert len(ids(first)) == 5
    assert ids(second) == ids(first), "once is no suspicion: a replica that was killed holds many"
    assert len(ids(third)) == 2, "one of the suspects, and the new one"
    assert ids(fourth) == set()
    assert len(ids(fifth)) == 1
    assert ids(fifth) < ids(first) - ids(third)


async def test_only_what_has_begun_is_taken_where_no_more_is_wanted(pool: Pool, ledger_url: str) -> None:
    definitions = await placed(pool, ledger_url, 4)
    async with pool.connection() as conn:
        await conn.execute(
            "update order_ledger l set status = n.status, lapses = n.lapses, unbegun_epoch = null,"
            " lease_owner = case when n.lapses > 0 then 'r0' end, lease_expires_at = case when n.lapses > 0 then created_at end"
            " from (select order_ledger_id, (array['RECEIVED', 'PENDING', 'RUNNING', 'COMPENSATING'])[o] as status,"
            "     (o - 1) % 2 as lapses from (select order_ledger_id, row_number() over () as o from order_ledger) r) n"
            " where n.order_ledger_id = l.order_ledger_id"
        )

    begun = await claim(pool, definitions, begun=True)
    assert sorted(found.row.status for found in begun.claims) == ["COMPENSATING", "RUNNING"]
    assert sorted(found.row.status for found in (await claim(pool, definitions)).claims) == ["PENDING", "RECEIVED"]


@pytest.mark.parametrize("lapsed", [False, True])
async def test_what_an_operator_retried_has_begun_though_it_is_pending(lapsed: bool, pool: Pool, ledger_url: str) -> None:
    definitions = await placed(pool, ledger_url, 2)
    async with pool.connection() as conn:
        await conn.execute(
            "update order_ledger set status = 'PENDING', unbegun_epoch = null,"
            " progress = progress || jsonb_build_object('round', n) from"
            " (select order_ledger_id as id, row_number() over () as n from order_ledger) numbered where order_ledger_id = id"
        )
        if lapsed:
            await conn.execute("update order_ledger set lapses = 1, lease_owner = 'r0', lease_expires_at = created_at")

    begun = await claim(pool, definitions, begun=True)

    assert [found.row.progress.get("round") for found in begun.claims] == [2]
