"""The feed of events: everything once, in an order that never changes, and told when that can't be kept."""

import asyncio
import random
import re
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from uuid import UUID, uuid4

import psycopg
import pytest

from sql import events, retention
from sql.events import START, Cursor, CursorGone, Page, StoredEvent, decode_cursor, encode_cursor
from tests.integration.ledger.outbox import Connection, finish, place, prepare, settle, tell

DOCUMENT = Path(__file__).parents[3] / "docs" / "events.md"
WRITERS = 6
ROUNDS = 12


@pytest.fixture
async def conn(ledger_url: str) -> AsyncIterator[Connection]:
    async with await psycopg.AsyncConnection.connect(ledger_url, autocommit=True) as opened:
        await prepare(opened)
        yield opened


async def read_all(conn: Connection, after: Cursor | None = None, *, limit: int = 3, client: str | None = None) -> list[Page]:
    """Read to the end, each page with the cursor of the one before as a client would send it."""
    await settle(conn)
    pages = [await events.read_feed(conn, after, limit=limit, client_id=client)]
    while pages[-1].has_more:
        cursor = decode_cursor(encode_cursor(pages[-1].cursor))
        pages.append(await events.read_feed(conn, cursor, limit=limit, client_id=client))
    return pages


def told(pages: list[Page]) -> list[StoredEvent]:
    return [event for page in pages for event in page.events]


async def end(conn: Connection) -> Cursor:
    return (await read_all(conn))[-1].cursor


async def test_every_event_comes_once_page_by_page(conn: Connection) -> None:
    order = await place(conn)
    for seq in range(1, 8):
        await tell(conn, order, f"Told{seq}", seq=seq)

    pages = await read_all(conn)

    assert [event.type for event in told(pages)] == ["OrderReceived", *(f"Told{seq}" for seq in range(1, 8))]
    assert [len(page.events) for page in pages] == [3, 3, 2]
    assert {(event.order_ledger_id, event.client_id) for event in told(pages)} == {(order, "ours")}
    assert await events.read_feed(conn, pages[-1].cursor, limit=3) == Page((), pages[-1].cursor, has_more=False)


async def test_an_older_transaction_that_commits_later_is_neither_skipped_nor_put_before(
    conn: Connection, ledger_url: str
) -> None:
    order = await place(conn)
    start = await end(conn)
    async with await psycopg.AsyncConnection.connect(ledger_url) as late:
        await tell(late, order, "Late")
        await tell(conn, order, "Early")
        meanwhile = await events.read_feed(conn, start, limit=10)
        await late.commit()

    await settle(conn)
    page = await events.read_feed(conn, meanwhile.cursor, limit=10)

    assert meanwhile == Page((), start, has_more=False), "what stands behind an open transaction is not shown yet"
    assert [event.type for event in page.events] == ["Late", "Early"]


async def test_a_transaction_that_is_rolled_back_holds_nothing_up(conn: Connection, ledger_url: str) -> None:
    order = await place(conn)
    start = await end(conn)
    async with await psycopg.AsyncConnection.connect(ledger_url) as late:
        await tell(late, order, "Never")
        await tell(conn, order, "Early")
        await late.rollback()

        assert [event.type for event in told(await read_all(conn, start))] == ["Early"]


async def test_readers_among_many_writers_see_the_same_events_in_the_same_order(conn: Connection, ledger_url: str) -> None:
    orders = [await place(conn) for _ in range(WRITERS)]
    start = await end(conn)
    writing = asyncio.gather(*(_write(ledger_url, order, seed) for seed, order in enumerate(orders)))
    seen: dict[int, list[StoredEvent]] = {}

    async def follow(limit: int) -> None:
        mine, cursor = seen.setdefault(limit, []), start
        async with await psycopg.AsyncConnection.connect(ledger_url, autocommit=True) as own:
            while True:
                if ended := writing.done():
                    await settle(own)
                page = await events.read_feed(own, cursor, limit=limit)
                mine.extend(page.events)
                cursor = page.cursor
                if ended and not page.has_more:
                    return

    async with asyncio.timeout(30):
        await asyncio.gather(follow(1), follow(7), follow(100))

    written = {type for types in await writing for type in types}
    afterwards = told(await read_all(conn, start))
    assert len(written) > WRITERS
    assert {event.type for event in afterwards} == written
    assert len(afterwards) == len(written)
    for mine in seen.values():
        assert mine == afterwards
    for order in orders:
        own = [event.seq for event in afterwards if event.order_ledger_id == order]
        assert own == sorted(own)


async def _write(url: str, order: UUID, seed: int) -> list[str]:
    """Write events of one order in transactions that stay open for a while; the types of those that were committed."""
    committed, dice = [], random.Random(seed)
    async with await psycopg.AsyncConnection.connect(url) as own:
        for number in range(ROUNDS):
            types = [f"{seed}-{number}-{part}" for part in range(dice.randint(1, 3))]
            for type in types:
                await tell(own, order, type, seq=number)
                await asyncio.sleep(dice.uniform(0, 0.01))
            if dice.random() < 0.2:
                await own.rollback()
            else:
                await own.commit()
                committed += types
    return committed


async def test_a_client_gets_its_own_events_and_goes_on_over_those_of_others(
    conn: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events, "SCANNED_MAX", 10)
    ours, theirs = await place(conn, "ours"), await place(conn, "theirs")
    await tell(conn, theirs, count=25)
    await tell(conn, ours, "Told")
    await tell(conn, theirs, count=3)

    pages = await read_all(conn, client="ours")

    assert [event.type for event in told(pages)] == ["OrderReceived", "Told"]
    assert [(len(page.events), page.has_more) for page in pages] == [(1, True), (0, True), (1, True), (0, False)]
    assert pages[-1].cursor == await end(conn), "it has come to the end, though the last events are another client's"
    assert told(await read_all(conn, client="nobody")) == []


async def test_a_page_costs_the_same_however_many_events_of_others_there_are(conn: Connection) -> None:
    theirs = await place(conn, "theirs")
    await tell(conn, theirs, count=20_000)
    await conn.execute("analyze outbox")

    async def looked_at() -> int:
        # Autovacuum looks at tables too, but not by this index.
        rows = await (
            await conn.execute("select idx_tup_read from pg_stat_user_indexes where indexrelname = 'outbox_feed'")
        ).fetchall()
        return int(rows[0][0])

    await settle(conn)
    await conn.execute("select pg_stat_force_next_flush()")
    before = await looked_at()
    page = await events.read_feed(conn, None, limit=100, client_id="ours")
    await conn.execute("select pg_stat_force_next_flush()")

    assert (page.events, page.has_more) == ((), True)
    assert 0 < await looked_at() - before <= events.SCANNED_MAX + 1


# --- what was removed -------------------------------------------------------------------------------------------------


async def purge(conn: Connection) -> int:
    return await retention.purge_orders(conn, older_than_days=0, orders_max=10)


async def test_a_reader_who_missed_events_that_were_removed_is_told(conn: Connection) -> None:
    start = (await events.read_feed(conn, None, limit=1)).cursor
    first = await place(conn)
    after_first = await end(conn)
    await place(conn)
    await finish(conn, first)
    assert await purge(conn) == 1

    with pytest.raises(CursorGone) as gone:
        await events.read_feed(conn, start, limit=10)

    assert gone.value.removed
    assert len(told(await read_all(conn, after_first))) == 1, "who had read what was removed missed nothing"


async def test_an_event_that_was_deleted_by_hand_is_missed_as_well(conn: Connection) -> None:
    start = (await events.read_feed(conn, None, limit=1)).cursor
    await place(conn)
    await conn.execute("delete from outbox")

    with pytest.raises(CursorGone):
        await events.read_feed(conn, start, limit=10)


async def test_a_reader_who_begins_anew_gets_what_is_kept_and_can_go_on(conn: Connection) -> None:
    kept, removed = await place(conn), await place(conn)
    await tell(conn, kept, "Told", count=2)
    await tell(conn, removed, "Told")
    await finish(conn, removed)
    await purge(conn)

    pages = await read_all(conn, limit=1)

    assert [event.type for event in told(pages)] == ["OrderReceived", "Told", "Told"]
    await tell(conn, kept, "New")
    assert [event.type for event in told(await read_all(conn, pages[-1].cursor))] == ["New"]


async def test_a_reader_at_the_end_of_a_quiet_feed_is_not_sent_away_by_retention(conn: Connection) -> None:
    order = await place(conn)
    cursor = await end(conn)
    await finish(conn, order)
    assert await purge(conn) == 1

    assert await events.read_feed(conn, cursor, limit=10) == Page((), cursor, has_more=False)


async def test_a_reader_of_the_past_is_told_when_what_it_comes_to_is_removed(conn: Connection) -> None:
    old, kept, new = await place(conn), await place(conn), await place(conn)
    await finish(conn, old)
    await purge(conn)
    await settle(conn)
    begun = await events.read_feed(conn, None, limit=1)
    assert [event.order_ledger_id for event in begun.events] == [kept]
    await finish(conn, new)
    await purge(conn)

    with pytest.raises(CursorGone):
        await events.read_feed(conn, begun.cursor, limit=1)


# --- another database -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("change", ["id", "ordinal", "transaction"])
async def test_a_cursor_of_events_that_were_lost_with_the_server_is_refused(conn: Connection, change: str) -> None:
    await place(conn)
    cursor = await end(conn)
    await place(conn)
    other = {
        "id": replace(cursor, event_id=uuid4()),
        "ordinal": replace(cursor, ordinal=cursor.ordinal + 1000),
        "transaction": replace(cursor, transaction_id=cursor.transaction_id + 10**9),
    }

    with pytest.raises(CursorGone) as gone:
        await events.read_feed(conn, other[change], limit=10)

    assert not gone.value.removed


async def test_after_a_dump_was_restored_elsewhere_the_feed_goes_on_as_the_document_says(conn: Connection) -> None:
    order = await place(conn)
    before = await end(conn)
    await tell(conn, order, "Old")
    # As it stands after a restore into a server that is younger: its transactions have lower ids than the rows say.
    await conn.execute("update outbox set transaction_id = (transaction_id::text::bigint + 1000000)::text::xid8")
    restored = replace(before, transaction_id=before.transaction_id + 1_000_000)
    with pytest.raises(CursorGone):
        await events.read_feed(conn, restored, limit=10)
    (statement,) = re.findall(r"^(select restart_feed\(\));$", DOCUMENT.read_text(encoding="utf-8"), re.MULTILINE)

    await conn.execute(statement)
    await tell(conn, order, "New")

    assert [event.type for event in told(await read_all(conn))] == ["OrderReceived", "Old", "New"]
    with pytest.raises(CursorGone):
        await events.read_feed(conn, restored, limit=10)


# --- positions --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["", "x", "é", "A" * 63, "A" * 65, "A" * 64 + "\n", "////" * 16])
def test_what_is_no_cursor_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="no cursor"):
        decode_cursor(text)


def test_any_text_of_a_cursors_form_is_one_or_is_gone() -> None:
    with pytest.raises(CursorGone):
        decode_cursor("_" * 64)
    assert encode_cursor(decode_cursor("_" * 10 + "ABCDE" + "_" * 37 + "A" * 12)) == "_" * 10 + "ABCDE" + "_" * 37 + "A" * 12


def test_a_cursor_is_safe_in_a_url_and_comes_back_as_it_was() -> None:
    cursor = Cursor(2**64 - 1, 2**63 - 1, uuid4(), (7, 9))

    text = encode_cursor(cursor)

    assert re.fullmatch(r"[A-Za-z0-9_-]{64}", text)
    assert (decode_cursor(text), decode_cursor(text).removed) == (cursor, (7, 9))
    assert decode_cursor(text).event_id == cursor.event_id
    assert decode_cursor(encode_cursor(START)) == START


async def test_a_reader_can_begin_with_the_last_events_or_behind_one(conn: Connection) -> None:
    order = await place(conn)
    await tell(conn, order, "Told", count=5)
    last = told(await read_all(conn))
    assert len(last) == 6

    assert told(await read_all(conn, await events.find_before_last(conn, 2))) == last[-2:]
    assert told(await read_all(conn, await events.find_before_last(conn, 100))) == last
    found = await events.find_event(conn, last[3].id)
    assert told(await read_all(conn, found)) == last[4:]
    assert await events.find_event(conn, uuid4()) is None
