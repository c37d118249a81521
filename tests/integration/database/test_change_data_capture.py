"""The outbox by logical decoding: every committed event comes out once, in the columns that an event router expects."""

import asyncio
import json
from collections.abc import Iterator
from datetime import datetime
from typing import Any
from uuid import UUID

import psycopg
import pytest
from psycopg import AsyncConnection

from orchestrator.events import OrderEvent, read_event
from sql import migrate, retention
from tests.integration.audit.shop import Shop, place_every_shape, scripted
from tests.integration.database.pgoutput import Insert, read_changes
from tests.integration.ledger.outbox import tell
from tests.servers import Server, servers

PUBLICATION = "create publication sagaledger_outbox for table outbox with (publish = 'insert')"
SLOT = "select pg_create_logical_replication_slot('debezium', 'pgoutput')"
CHANGES = (
    "select data from pg_logical_slot_get_binary_changes('debezium', null, null,"
    " 'proto_version', '1', 'publication_names', 'sagaledger_outbox')"
)
ROUTED = {"id", "aggregatetype", "aggregateid", "type", "payload"}
"""The columns that Debezium's outbox event router looks for by default."""


@pytest.fixture
def captured() -> Iterator[Server]:
    """A server of its own, with a ledger whose outbox is captured as the documents say."""
    with servers(1) as (server,):
        server.create()
        server.configure(wal_level="logical", max_replication_slots="4")
        server.start()
        migrate.apply(server.url("sagaledger"), "ledger")
        server.do(PUBLICATION, SLOT, database="sagaledger")
        yield server


def changes(server: Server) -> list[Insert | str]:
    """Take what was captured since."""
    with psycopg.connect(server.url("sagaledger"), autocommit=True) as conn:
        return read_changes([bytes(row[0]) for row in conn.execute(CHANGES).fetchall()])


async def stored(conn: AsyncConnection[Any]) -> dict[str, dict[str, Any]]:
    cursor = await conn.execute("select to_jsonb(o) from outbox o")
    return {row[0]["id"]: row[0] for row in await cursor.fetchall()}


async def test_every_committed_event_comes_out_once_in_the_columns_of_the_router(captured: Server) -> None:
    async with await AsyncConnection.connect(captured.url("sagaledger"), autocommit=True) as conn:
        shop = Shop(conn, scripted())
        await shop.open()
        await place_every_shape(shop)
        found = await asyncio.to_thread(changes, captured)
        expected = await stored(conn)

    rows = [change.row for change in found if isinstance(change, Insert)]
    assert len(rows) == len(found) == len(expected) > 50
    for row in rows:
        assert row.keys() >= ROUTED
        told = expected.pop(str(row["id"]))
        assert json.loads(str(row["payload"])) == told["payload"]
        assert (row["aggregatetype"], row["type"]) == ("order", told["type"])
        assert UUID(row["aggregateid"]) == UUID(told["aggregateid"])
        assert isinstance(read_event(as_in_the_feed(row)), OrderEvent)
    assert expected == {}


async def test_events_come_in_the_order_of_commits_and_those_of_one_order_in_theirs(captured: Server) -> None:
    async with (
        await AsyncConnection.connect(captured.url("sagaledger"), autocommit=True) as conn,
        await AsyncConnection.connect(captured.url("sagaledger"), autocommit=True) as other,
    ):
        shop = Shop(conn, scripted())
        await shop.open()
        await shop.place("one")
        cursor = await conn.execute("select aggregateid from outbox limit 1")
        (order,) = (await cursor.fetchone()) or (None,)
        changes(captured)
        async with conn.transaction():
            await tell(conn, order, "BeganFirst")
            await tell(other, order, "CommittedFirst", count=3)
        async with conn.transaction(force_rollback=True):
            await tell(conn, order, "NeverCommitted")
        types = [change.row["type"] for change in changes(captured) if isinstance(change, Insert)]

    assert types == ["CommittedFirst"] * 3 + ["BeganFirst"]
    assert changes(captured) == [], "each comes once"


async def test_what_retention_removes_is_not_told(captured: Server) -> None:
    async with await AsyncConnection.connect(captured.url("sagaledger"), autocommit=True) as conn:
        shop = Shop(conn, scripted())
        await shop.open()
        await shop.place("done")
        assert changes(captured)
        assert await retention.purge_orders(conn, older_than_days=0, orders_max=10) == 1
        await conn.execute("select restart_feed()")

    assert changes(captured) == []


def as_in_the_feed(row: dict[str, str | None]) -> dict[str, Any]:
    """Return a captured row as the feed and webhooks have it."""
    return {
        "id": row["id"],
        "type": row["type"],
        "order_ledger_id": row["aggregateid"],
        "seq": int(str(row["seq"])),
        "occurred_at": datetime.fromisoformat(str(row["created_at"])),
        "correlation_id": row["correlation_id"],
        "data": json.loads(str(row["payload"])),
    }
