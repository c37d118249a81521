"""What a step's update costs, what the ledger rests on instead of foreign keys, and the way to there from a ledger in use."""

from collections.abc import AsyncIterator
from typing import Any, LiteralString

import psycopg
import pytest

from sql import auditing, ledger, migrate
from sql.models import Direction, Entry, Kind, Status, Transition
from tests.integration.audit.shop import SAGA, Shop, place_every_shape, scripted

MIGRATION = "0007.narrow-updates"
ROWS: LiteralString = "select to_jsonb(l) from order_ledger l order by order_ledger_id"
GRANTS: LiteralString = """
select distinct grantee, privilege_type, is_grantable from information_schema.role_table_grants
where table_name = 'order_ledger' and grantee in ('PUBLIC', 'pg_monitor') order by 1, 2
"""
# How many rows were updated, and how many of them without a new index entry.
UPDATES: LiteralString = "select n_tup_upd, n_tup_hot_upd from pg_stat_xact_user_tables where relname = 'order_ledger'"
AS_BEFORE: LiteralString = """
select jsonb_build_array(order_ledger_id, seq, extract(epoch from at), kind, step, direction, round, attempt, outcome,
    request, response, error, duration_ms, replica, lease_epoch, actor, reason)::text
from jsonb_to_record(%(entry)s) as e(order_ledger_id uuid, seq integer, at timestamptz, kind text, step text, direction text,
    round integer, attempt integer, outcome text, request jsonb, response jsonb, error text, duration_ms double precision,
    replica text, lease_epoch bigint, actor text, reason text)
"""
NOW: LiteralString = AS_BEFORE.replace("jsonb_build_array(", "journal_entry_text(").replace(
    "extract(epoch from at)", "at"
).replace("::text\n", "\n")  # fmt: skip
BARE = {
    "order_ledger_id": "901484b9-6f23-8cfa-8219-750b254fab44",
    "seq": 1,
    "at": "2026-11-21T14:53:39.1+00:00",
    "kind": "intent",
    "round": 1,
    "replica": "r",
    "lease_epoch": 2**62,
}


@pytest.fixture
async def shop(ledger_url: str) -> AsyncIterator[Shop]:
    async with await psycopg.AsyncConnection.connect(ledger_url, autocommit=True) as conn:
        shop = Shop(conn, scripted())
        await shop.open()
        yield shop


async def fetched(conn: psycopg.AsyncConnection[Any], query: LiteralString) -> list[tuple[Any, ...]]:
    return await (await conn.execute(query)).fetchall()


async def claim(shop: Shop) -> Any:
    await shop.receive("due")
    claims = await ledger.claim_due(shop.conn, owner="r", lease_s=30.0, limit=1, fingerprints=[SAGA.fingerprint])
    return claims.claims[0].row


def going_on(row: Any, **changed: Any) -> Transition:
    values = {
        "order_ledger_id": row.order_ledger_id,
        "lease_epoch": row.lease_epoch,
        "last_seq": row.last_seq,
        "replica": "r",
        "status": Status.RUNNING,
        "step": "create_order",
        "direction": Direction.ACTION,
        "retry_count": 0,
        "progress": {},
        "keep_lease": True,
        "entries": (Entry(Kind.INTENT, "create_order", Direction.ACTION, attempt=1, request={"a": "ü"}),),
    }
    return Transition(**{**values, **changed})


async def test_a_step_touches_no_index_of_the_ledger(shop: Shop) -> None:
    row = await claim(shop)
    async with shop.conn.transaction():
        [(before, without_before)] = await fetched(shop.conn, UPDATES)
        assert await ledger.write_transitions(shop.conn, [going_on(row)])
        [(after, without_after)] = await fetched(shop.conn, UPDATES)
    assert (after - before, without_after - without_before) == (1, 1)


async def test_an_order_stays_as_long_as_no_narrow_row_tells_of_it(shop: Shop) -> None:
    await shop.receive("stays")
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        await shop.conn.execute("delete from order_ledger")


@pytest.mark.parametrize(
    "members",
    [
        {},
        {"step": 'q"\\/\x01\x1f\x7f\t\n é\u2028😀', "error": 'it said "no"\\', "reason": "", "actor": "ada"},
        {"step": "s", "direction": "compensation", "attempt": 3, "outcome": "unknown", "replica": 'r"\\'},
        {"request": {"b": [1, None, {"a": 1.50}], "a": "é\u0001"}, "response": None, "duration_ms": 0.1},
        {"response": {}, "duration_ms": 1e-7, "at": "1969-12-31T23:59:59.999999+00:00"},
        {"duration_ms": 1e20, "at": "2026-11-21T00:00:00+02:00", "seq": 2**31 - 1, "lease_epoch": 0},
        {"duration_ms": 123456.789},
    ],
    ids=str,
)
async def test_the_text_of_an_entry_is_what_it_was_in_every_release(shop: Shop, members: dict[str, Any]) -> None:
    entry = psycopg.types.json.Jsonb({**BARE, **members})
    before = await (await shop.conn.execute(AS_BEFORE, {"entry": entry})).fetchone()
    now = await (await shop.conn.execute(NOW, {"entry": entry})).fetchone()
    assert now == before
    assert now is not None
    assert now[0] is not None


async def test_a_ledger_in_use_comes_through_the_migration_and_back(shop: Shop) -> None:
    conn = shop.conn
    await place_every_shape(shop)
    # Later migrations' policies name the table, and a column is theirs.
    for later in ("0025.index-what-has-begun", "0024.note-what-has-not-begun", "0016.add-roles"):
        await conn.execute((migrate.MIGRATIONS / "ledger" / f"{later}.rollback.sql").read_bytes())
    await conn.execute("grant select on order_ledger to public; grant insert on order_ledger to pg_monitor with grant option")
    [chain] = [query for query in auditing.load_audit() if query.name == "ledger_chain_intact"]
    rows, granted = await fetched(conn, ROWS), await fetched(conn, GRANTS)
    assert len(rows) > 10
    assert len(granted) == 2
    for name in (f"{MIGRATION}.rollback.sql", f"{MIGRATION}.sql"):
        async with conn.transaction():
            await conn.execute((migrate.MIGRATIONS / "ledger" / name).read_bytes())
        assert await fetched(conn, ROWS) == rows, name
        assert await fetched(conn, GRANTS) == granted, name
        assert await fetched(conn, chain.text) == [], name
