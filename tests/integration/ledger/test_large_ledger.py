"""A ledger with many rows: what is read of it for a page or a claim depends on the page, not on the ledger."""

from collections.abc import AsyncIterator, Awaitable
from datetime import UTC, datetime
from typing import Any

import psycopg
import pytest
from msgspec import structs

from orchestrator import operating
from orchestrator.definitions import Definitions
from orchestrator.identity import order_id
from orchestrator.outcome import Unknown
from orchestrator.progress import Move
from orchestrator.settings import Settings
from sql import config, ledger, reading
from tests.integration.audit.shop import SAGA, Shop, scripted

ROWS = 20_000
PAGE = 50
READ_MAX = 4 * PAGE
"""Rows that a page may read, those that it skips among them: a hundredth of the ledger."""
READ_SO_FAR = "select seq_scan, idx_tup_fetch + seq_tup_read from pg_stat_xact_user_tables where relname = %s"
MIDDLE = """
select min(created_at) + (max(created_at) - min(created_at)) / 2, min(order_ledger_id::text)::uuid from order_ledger
"""
COPY = """
insert into order_ledger ({columns})
select {columns} from order_ledger l, generate_series(1, {rows}) n, lateral jsonb_populate_record(l, jsonb_build_object(
    'order_ledger_id', gen_random_uuid(), 'client_request_id', l.client_request_id || n, 'customer_id', 'c' || n % 1000,
    'created_at', l.created_at - make_interval(secs => n))) copied ({columns_of_all})
where {which}
"""

ENTRIES = 11
"""Of the journal of an order that completed: an intent and an outcome of each of its five steps, and its end."""
JOURNALS = """
insert into ledger_journal
    (order_ledger_id, seq, at, kind, step, direction, round, attempt, outcome, replica, lease_epoch, hash)
select c.order_ledger_id, j.seq, clock_timestamp(), j.kind, j.step, j.direction, j.round, j.attempt, j.outcome, j.replica,
    j.lease_epoch, j.hash
from order_ledger c join order_ledger o on c.client_request_id ~ ('^' || o.client_request_id || '[0-9]+$')
    join ledger_journal j on j.order_ledger_id = o.order_ledger_id
"""


@pytest.fixture
async def shop(ledger_url: str) -> AsyncIterator[Shop]:
    """A ledger of two orders that are finished and one that is due."""
    async with await psycopg.AsyncConnection.connect(ledger_url, autocommit=True) as conn:
        shop = Shop(conn, scripted())
        await shop.open()
        for key in ("done", "also-done"):
            await shop.place(key)
        await shop.receive("due")
        yield shop


@pytest.fixture
async def large(shop: Shop) -> Shop:
    """The same, with each order many times over."""
    await _multiply(shop.conn, ROWS // 3)
    return shop


async def _multiply(conn: Any, times: int, which: str = "true") -> None:
    columns = await (
        await conn.execute(
            "select attname, attgenerated <> '' from pg_attribute where attrelid = 'order_ledger'::regclass and attnum > 0"
            " and not attisdropped order by attnum"
        )
    ).fetchall()
    written = ", ".join(f"copied.{name}" for name, generated in columns if not generated)
    named = ", ".join(name for name, generated in columns if not generated)
    statement = COPY.format(which=which, columns=named, rows=times, columns_of_all=", ".join(name for name, _ in columns))
    await conn.execute(statement.replace(f"select {named}", f"select {written}"))
    await conn.execute("vacuum analyze order_ledger")


async def _copy_journals(conn: Any) -> None:
    async with conn.transaction():
        await conn.execute("set local session_replication_role = replica")
        await conn.execute(JOURNALS)
    await conn.execute("vacuum analyze ledger_journal")


async def rows_read(conn: Any, act: Awaitable[Any], table: str = "order_ledger") -> tuple[Any, int]:
    """What something returns, and how many rows of a table it read; a scan of it all is none that may be."""
    async with conn.transaction():
        before = await (await conn.execute(READ_SO_FAR, (table,))).fetchone()
        result = await act
        after = await (await conn.execute(READ_SO_FAR, (table,))).fetchone()
    assert after[0] == before[0], f"the whole of {table} was read"
    return result, after[1] - before[1]


FILTERS: dict[str, dict[str, Any]] = {
    "everybody's": {},
    "a client's": {"client_id": "client"},
    "unfinished": {"statuses": ["PENDING", "RUNNING"]},
    "of a status that none has": {"statuses": ["STUCK"]},
    "a client's of a common status": {"client_id": "client", "statuses": ["COMPLETED"]},
    "a customer's": {"customer_id": "c7"},
    "of a key": {"client_id": "client", "client_request_id": "done7"},
    "since long ago": {"since": datetime(2020, 1, 1, tzinfo=UTC)},
}


async def test_a_page_reads_little_wherever_it_is(large: Shop) -> None:
    middle = await (await large.conn.execute(MIDDLE)).fetchone()
    for which, filters in FILTERS.items():
        page, read = await rows_read(large.conn, reading.list_orders(large.conn, limit=PAGE, **filters))
        assert read <= READ_MAX, which
        if len(page) == PAGE:
            page, read = await rows_read(large.conn, reading.list_orders(large.conn, limit=PAGE, cursor=middle, **filters))
            assert page, which
            assert read <= READ_MAX, f"{which}, in the middle"

    found, read = await rows_read(large.conn, reading.get_order(large.conn, order_id("client", "done"), "client"))
    assert found
    assert read <= 2


LOOKED_FOR: dict[str, dict[str, Any]] = {
    "an error that none has": {"error": "nobody has this"},
    "a label that none has": {"metadata": {"channel": "none"}},
    "a saga that is none": {"saga": "none"},
    "a client's of a status that none has": {"client_id": "client", "statuses": ["FAILED"]},
    "unfinished ones of a status that none has": {"statuses": ["COMPENSATING"]},
}
"""What no index tells, of more orders than are looked at."""
FEW = 2 * PAGE


async def test_what_no_index_tells_is_looked_for_in_so_many_orders_and_no_more(large: Shop) -> None:
    async def look(look_max: int = FEW, **filters: Any) -> tuple[reading.Look, int]:
        act = reading.look_for_orders(large.conn, limit=PAGE, look_max=look_max, **filters)
        found: tuple[reading.Look, int] = await rows_read(large.conn, act)
        return found

    # As the edge's role, whose policy has the planner take nearly all rows for hidden.
    await large.conn.execute("set role sagaledger_edge")
    await large.conn.execute("set saga.client_id = '*'")
    for which, filters in LOOKED_FOR.items():
        found, read = await look(**filters)
        assert (found.orders, found.reached is not None) == ([], True), which
        assert read <= 2 * FEW + PAGE, which

    found, read = await look(customer_id="c7", error="nobody has this")
    assert (found.orders, found.reached) == ([], None)
    key, read_of_key = await look(client_request_id="done7")
    assert [order["client_request_id"] for order in key.orders] == ["done7"]
    assert max(read, read_of_key) <= READ_MAX
    full, read = await look(look_max=2 * READ_MAX, statuses=["COMPLETED"])
    assert (len(full.orders), full.reached) == (PAGE, None)
    assert read <= 3 * READ_MAX


async def test_a_claim_reads_no_more_than_it_takes_however_much_is_due_or_waits(large: Shop) -> None:
    def claim() -> Awaitable[Any]:
        return ledger.claim_due(large.conn, owner="replica", lease_s=30.0, limit=PAGE, fingerprints=[SAGA.fingerprint])

    claims, read = await rows_read(large.conn, claim())
    assert len(claims.claims) == PAGE
    assert read <= READ_MAX

    await large.conn.execute(
        "update order_ledger set next_retry_at = clock_timestamp() + interval '1 h' where due_at is not null"
    )
    await large.conn.execute("vacuum analyze order_ledger")
    claims, read = await rows_read(large.conn, claim())
    assert claims.claims == ()
    assert 0 < claims.next_due_s <= 3600
    assert read <= PAGE


async def test_a_claim_passes_over_what_it_can_not_run_without_reading_it(large: Shop) -> None:
    if large.conn.info.server_version < 170000:
        pytest.skip("before PostgreSQL 17 an ordered scan looks for one of several definitions in the rows, not in the index")
    claims, read = await rows_read(
        large.conn, ledger.claim_due(large.conn, owner="replica", lease_s=30.0, limit=PAGE, fingerprints=["another's"])
    )
    assert claims.claims == ()
    assert read <= PAGE


async def test_what_has_begun_is_claimed_without_reading_what_waits_to_begin(shop: Shop) -> None:
    definitions = Definitions([SAGA], Settings())
    await definitions.register(shop.conn)
    work, _ = await shop.claim()  # the one that is due
    parked = structs.replace(work.transition(Move(work.progress), replica="r"), keep_lease=False, delay_s=0.0)
    assert await ledger.write_transitions(shop.conn, [parked])
    await shop.receive("placed")
    await shop.receive("in doubt", scripted(authorize_payment=Unknown("no answer in time")))
    await shop.retry_now()
    await _multiply(shop.conn, ROWS // 3, "l.due_at is not null")
    begun = await _begin_in_each_way(shop, definitions)

    claims, read = await rows_read(
        shop.conn,
        ledger.claim_due(
            shop.conn, owner="r", lease_s=30.0, limit=PAGE, suspects=0, fingerprints=[SAGA.fingerprint], begun=True
        ),
    )

    assert {claim.row.client_request_id for claim in claims.claims} == begun
    assert read <= READ_MAX


async def _begin_in_each_way(shop: Shop, definitions: Definitions) -> set[str]:
    """Begin with an order in each way in which one can be begun with, so that each is due; their keys."""
    why: Any = {"actor": "ann", "reason": "asked by phone"}
    unclear = scripted(create_order=Unknown("no answer in time"))
    cancelled = await shop.receive("cancelled before anybody had it")
    await operating.cancel(shop.conn, definitions, cancelled.row.order_ledger_id, **why)
    await _receive_first(shop, "lost by its owner")
    lost = await shop.run(calls_max=1)
    await ledger.release_leases(shop.conn, [(lost.row.order_ledger_id, lost.row.lease_epoch)])
    await _receive_first(shop, "waits for its next attempt")
    await shop.run(unclear)
    await shop.retry_now()
    await _receive_first(shop, "put aside and retried")
    aside = await shop.run(calls_max=1)
    await shop.put_aside(aside)
    await operating.retry(shop.conn, definitions, aside.row.order_ledger_id, **why)
    return {
        "cancelled before anybody had it",
        "lost by its owner",
        "waits for its next attempt",
        "put aside and retried",
    }


async def _receive_first(shop: Shop, key: str) -> None:
    """Receive an order that is due before all others, and so claimed next."""
    await shop.receive(key)
    await shop.conn.execute(
        "update order_ledger set created_at = (select min(created_at) from order_ledger) - interval '1 s'"
        " where client_request_id = %s",
        (key,),
    )


async def test_what_is_left_on_a_version_is_counted_without_reading_what_has_ended(large: Shop) -> None:
    await large.conn.execute(
        "update order_ledger set status = 'COMPLETED', finished_at = clock_timestamp(), lease_owner = null,"
        " lease_expires_at = null where finished_at is null and client_request_id <> 'due'"
    )
    await large.conn.execute("vacuum analyze order_ledger")

    left, read = await rows_read(large.conn, config.count_unfinished(large.conn, SAGA.name, SAGA.version))

    assert [row["orders"] for row in left] == [1]
    assert read <= 2


async def test_a_lease_begins_when_it_is_given_and_not_with_its_transaction(shop: Shop) -> None:
    async with shop.conn.transaction():
        await shop.conn.execute("select pg_sleep(1.1)")
        claims = await ledger.claim_due(shop.conn, owner="replica", lease_s=1.0, limit=1, fingerprints=[SAGA.fingerprint])
        row = await (
            await shop.conn.execute(
                "select lease_expires_at > clock_timestamp() from order_ledger where order_ledger_id = %s",
                (claims.claims[0].row.order_ledger_id,),
            )
        ).fetchone()

    assert row == (True,)


async def test_statistics_read_what_is_looked_at_and_no_more(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "SAMPLE", PAGE)
    await shop.run()
    await _multiply(shop.conn, ROWS // 10)
    await _copy_journals(shop.conn)
    # As many as it takes for a count to be an estimate.
    await shop.conn.execute("update pg_class set reltuples = 200000 where relname in ('order_ledger', 'outbox')")

    told, orders_read = await rows_read(shop.conn, reading.statistics(shop.conn))
    _, entries_read = await rows_read(shop.conn, reading.statistics(shop.conn), table="ledger_journal")

    assert told["finished"] == {"COMPLETED": PAGE}
    assert {step["attempts"] for step in told["steps"]} == {PAGE}
    assert orders_read <= READ_MAX
    assert entries_read <= PAGE * ENTRIES
