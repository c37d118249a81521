"""Retention: what finished long ago leaves whole, what is at work stays, and a late repeat is still a repeat."""

import asyncio
import json
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
from psycopg import AsyncConnection

from orchestrator.definitions import Definitions
from orchestrator.identity import order_id
from orchestrator.opening import Request, open_order
from orchestrator.retention import BATCH, Retention
from orchestrator.settings import Settings
from sql import auditing, ledger, retention
from sql.connect import open_pool
from sql.models import NewOrder, Status
from tests.acceptance.commands import saga
from tests.integration.orchestrator.shop import ERRAND, Basket

Connection = AsyncConnection[Any]
TABLES = ("order_ledger", "order_ledger_items", "order_personal", "ledger_journal", "outbox")


@pytest.fixture
async def conn(ledger_url: str) -> Any:
    async with await psycopg.AsyncConnection.connect(ledger_url, autocommit=True) as opened:
        await Definitions([ERRAND], Settings()).register(opened)
        yield opened


def new_order(key: str) -> NewOrder:
    saga = Definitions([ERRAND], Settings()).named("errand")
    return open_order(saga, Request(order_id("tests", key), "tests", key, b"hash", Basket(), {}, "correlation")).order


async def place(conn: Connection, status: Status = Status.COMPLETED, days_ago: float = 100, key: str | None = None) -> UUID:
    """Place an order as it would stand when it finished so many days ago."""
    key = key or uuid4().hex
    order = new_order(key)
    assert await ledger.insert_order(conn, order)
    await conn.execute(
        "update order_ledger set created_at = clock_timestamp() - make_interval(secs => %(s)s * 86400), status = %(status)s,"
        " finished_at = case when %(status)s in ('COMPLETED', 'FAILED', 'CANCELLED', 'DECLINED')"
        " then clock_timestamp() - make_interval(secs => %(s)s * 86400) end, lease_owner = null, lease_expires_at = null"
        " where order_ledger_id = %(id)s",
        {"s": days_ago, "status": status.value, "id": order.order_ledger_id},
    )
    await conn.execute(
        "insert into outbox (aggregateid, type, payload, correlation_id, seq) values (%s, 'OrderCompleted', '{}', 'c', 1)",
        (order.order_ledger_id,),
    )
    await conn.execute(
        "insert into ledger_journal (order_ledger_id, seq, at, kind, outcome, replica, lease_epoch, hash)"
        " values (%s, 1, now(), 'status', %s, 'r', 1, 'h')",
        (order.order_ledger_id, status.value),
    )
    return order.order_ledger_id


async def left(conn: Connection, order_ledger_id: UUID) -> set[str]:
    """Return the tables in which an order still has rows."""
    found = set()
    for table in TABLES:
        column = "aggregateid" if table == "outbox" else "order_ledger_id"
        query = f"select count(*) from {table} where {column} = %s"
        row = await (await conn.execute(query, (order_ledger_id,))).fetchone()  # type: ignore[arg-type]
        assert row is not None
        if row[0]:
            found.add(table)
    return found


async def test_what_finished_long_ago_leaves_whole(conn: Connection) -> None:
    old, young = await place(conn, days_ago=91), await place(conn, days_ago=89)

    removed = await retention.purge_orders(conn, older_than_days=90, orders_max=10)

    assert removed == 1
    assert await left(conn, old) == set()
    assert {"order_ledger", "ledger_journal", "outbox"} <= await left(conn, young)


@pytest.mark.parametrize("status", [Status.PENDING, Status.RUNNING, Status.COMPENSATING, Status.STUCK])
async def test_an_order_in_flight_is_never_removed_however_old(conn: Connection, status: Status) -> None:
    old = await place(conn, status, days_ago=10_000)

    assert await retention.purge_orders(conn, older_than_days=0, orders_max=10) == 0
    assert "ledger_journal" in await left(conn, old)


async def test_an_order_that_an_unfinished_one_stands_under_is_kept(conn: Connection) -> None:
    parent, child = await place(conn), await place(conn, Status.RUNNING)
    await conn.execute("update order_ledger set parent_id = %s where order_ledger_id = %s", (parent, child))

    assert await retention.purge_orders(conn, older_than_days=90, orders_max=10) == 0


async def test_what_was_begun_on_an_order_is_kept_as_long_as_the_order(conn: Connection) -> None:
    """Or an order that was paid would look unpaid."""
    parent, child = await place(conn, days_ago=50), await place(conn, days_ago=100)
    await conn.execute("update order_ledger set parent_id = %s where order_ledger_id = %s", (parent, child))

    assert await retention.purge_orders(conn, older_than_days=90, orders_max=10) == 0
    assert await retention.purge_orders(conn, older_than_days=40, orders_max=10) == 1
    assert (await left(conn, parent), "order_ledger" in await left(conn, child)) == (set(), True)
    assert await retention.purge_orders(conn, older_than_days=40, orders_max=10) == 1
    assert await left(conn, child) == set()


async def test_an_order_with_an_event_still_to_be_delivered_is_kept(conn: Connection) -> None:
    old = await place(conn)
    await conn.execute(
        "insert into event_subscription (name, url, secret, transaction_id)"
        " values ('one', 'http://127.0.0.1/', 'whsec_', pg_snapshot_xmax(pg_current_snapshot()))"
    )
    await conn.execute(
        "insert into event_delivery (subscription_id, order_ledger_id, event_id)"
        " select s.subscription_id, o.aggregateid, o.id from event_subscription s cross join outbox o"
    )
    assert await retention.purge_orders(conn, older_than_days=90, orders_max=10) == 0

    await conn.execute("update event_delivery set delivered_at = clock_timestamp()")

    assert await retention.purge_orders(conn, older_than_days=90, orders_max=10) == 1
    assert await left(conn, old) == set()


async def test_a_locked_order_is_passed_over(conn: Connection, ledger_url: str) -> None:
    locked, free = await place(conn, days_ago=120), await place(conn)
    async with await psycopg.AsyncConnection.connect(ledger_url) as other:
        await other.execute("select from order_ledger where order_ledger_id = %s for update", (locked,))

        assert await retention.purge_orders(conn, older_than_days=90, orders_max=1) == 1

    assert (await left(conn, free), bool(await left(conn, locked))) == (set(), True)


async def test_a_late_repeat_of_a_removed_order_is_answered_as_ever(conn: Connection) -> None:
    old = await place(conn, key="one")
    await ledger.freeze_answer(conn, old, 202, '{"the": "answer"}')
    await retention.purge_orders(conn, older_than_days=90, orders_max=10)

    assert await ledger.insert_order(conn, new_order("one")) is None, "it is not placed anew"
    repeat = await ledger.find_repeat(conn, old)

    assert repeat is not None
    assert (repeat.request_hash, repeat.response_status, repeat.response_body) == (b"hash", 202, '{"the": "answer"}')
    assert (repeat.status, repeat.held) == (Status.COMPLETED, False)


async def test_a_removed_order_that_was_never_answered_is_answered_once(conn: Connection) -> None:
    old = await place(conn)
    await retention.purge_orders(conn, older_than_days=90, orders_max=10)

    assert await ledger.freeze_answer(conn, old, 202, "first") == (202, "first")
    assert await ledger.freeze_answer(conn, old, 202, "second") == (202, "first")


async def test_an_audit_still_knows_a_removed_order(conn: Connection) -> None:
    old = await place(conn, Status.FAILED)
    await retention.purge_orders(conn, older_than_days=90, orders_max=10)

    assert await auditing.list_statuses(conn, [old]) == {old: Status.FAILED}


@pytest.mark.parametrize("table", ["purged_order", "ledger_journal"])
async def test_history_that_no_purge_recorded_can_not_be_deleted(conn: Connection, table: str) -> None:
    await place(conn)
    await retention.purge_orders(conn, older_than_days=90, orders_max=10)
    await place(conn)

    with pytest.raises(psycopg.errors.InsufficientPrivilege, match="append-only"):
        await conn.execute(f"delete from {table}")  # type: ignore[arg-type]


async def test_a_replica_removes_everything_that_is_old_enough_batch_by_batch(conn: Connection, ledger_url: str) -> None:
    for _ in range(BATCH + 3):
        await place(conn)
    young = await place(conn, days_ago=1)
    async with open_pool(ledger_url, name="tests", connections_max=2) as pool:
        assert await Retention(pool, days=90).run_once() == BATCH + 3
        assert await Retention(pool, days=90).run_once() == 0

    assert await left(conn, young)


async def test_the_command_counts_first_and_then_removes(conn: Connection, ledger_url: str, tmp_path: Path) -> None:
    old, young = await place(conn, days_ago=91), await place(conn, days_ago=2)

    def purge(*options: str) -> Any:
        done = saga("purge", "--json", *options, cwd=tmp_path, SAGA_DATABASE_URL=ledger_url)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    counted = await asyncio.to_thread(purge, "--dry-run")
    assert (counted["found"], counted["removed"], bool(await left(conn, old))) == (1, 0, True)
    assert (await asyncio.to_thread(purge))["removed"] == 1
    assert (await left(conn, old), bool(await left(conn, young))) == (set(), True)
    told = await asyncio.to_thread(saga, "purge", "--older-than", "1", cwd=tmp_path, SAGA_DATABASE_URL=ledger_url)

    assert told.stdout == "removed 1 order that finished more than 1 day ago\n"
