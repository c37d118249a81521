"""What changes, in one order for every reader: whatever commits when, whoever reads from where, on a real ledger."""

import asyncio
import random
from collections.abc import AsyncIterator
from itertools import pairwise
from typing import Any
from uuid import UUID

import psycopg
import pytest

from orchestrator.changes import change_of
from sql import changes, retention
from sql.changes import ANEW, Appended, Bookmark, PlaceGone, find_end, go_on, read_changes, read_courses
from tests.integration.ledger import outbox
from tests.integration.ledger.outbox import Connection, finish, prepare

WRITERS = 4
ROUNDS = 12


@pytest.fixture
async def conn(ledger_url: str) -> AsyncIterator[Connection]:
    async with await psycopg.AsyncConnection.connect(ledger_url, autocommit=True) as opened:
        await prepare(opened)
        yield opened


async def append(conn: Connection, order: UUID, entries: int = 1, kind: str = "intent") -> None:
    """Append entries to an order's journal, in the caller's transaction, as a writer does: the row is locked first."""
    await conn.execute(
        """with held as (select order_ledger_id, last_seq, clock_timestamp() as at from order_ledger
                         where order_ledger_id = %(order)s for update),
           moved as (update order_ledger l set last_seq = l.last_seq + %(entries)s from held h
                     where l.order_ledger_id = h.order_ledger_id returning l.order_ledger_id)
           insert into ledger_journal (order_ledger_id, seq, at, kind, step, direction, attempt, replica, lease_epoch, hash)
           select h.order_ledger_id, h.last_seq + n, h.at, %(kind)s, 'run', 'action', h.last_seq + n, 'r', 1, ''
           from held h join moved using (order_ledger_id), generate_series(1, %(entries)s) n""",
        {"order": order, "entries": entries, "kind": kind},
    )


async def told(conn: Connection, bookmark: Bookmark, *, limit: int = changes.PAGE_MAX) -> tuple[list[Appended], Bookmark]:
    """Read to the end."""
    found: list[Appended] = []
    while True:
        page = await read_changes(conn, bookmark, limit=limit)
        found += page.entries
        bookmark = page.bookmark
        if not page.has_more:
            return found, bookmark


async def all_told(
    conn: Connection, bookmark: Bookmark, count: int, timeout_s: float = 20.0
) -> tuple[list[Appended], Bookmark]:
    """Read until so many have come; another database's transaction may hold them back for a while."""
    found: list[Appended] = []
    async with asyncio.timeout(timeout_s):
        while len(found) < count:
            more, bookmark = await told(conn, bookmark)
            found += more
            await asyncio.sleep(0.01)
    assert len(found) == count
    return found, bookmark


def keys(entries: list[Appended]) -> list[tuple[UUID, int]]:
    return [(entry.order_ledger_id, entry.seq) for entry in entries]


def shown(entry: Appended) -> tuple[Any, ...]:
    change = change_of(entry, entry.place)
    return change.status, change.step, change.state


async def test_an_order_without_a_call_is_told_and_then_each_entry_of_its_journal(conn: Connection) -> None:
    end = await find_end(conn)
    order = await outbox.place(conn)
    await append(conn, order, 2)

    entries, _ = await all_told(conn, end, 3)

    assert keys(entries) == [(order, 0), (order, 1), (order, 2)]
    assert [shown(entry) for entry in entries] == [("PENDING", None, None), *[("PENDING", "run", "running")] * 2]
    (course,) = await read_courses(conn, [(order, ANEW)], limit=10)
    assert keys(list(course.entries)) == keys(entries)
    assert not course.has_ended
    await finish(conn, order)
    (rest,) = await read_courses(conn, [(order, 1)], limit=10)
    assert (keys(list(rest.entries)), rest.has_ended) == ([(order, 2)], True)
    assert [c.has_ended for c in await read_courses(conn, [(order, 0), (order, 2)], limit=1)] == [False, True]


@pytest.mark.parametrize("seed", range(3))
async def test_every_change_comes_once_and_in_the_same_order_for_all_whatever_commits_when(
    conn: Connection, ledger_url: str, seed: int
) -> None:
    """Writers with transactions of some statements each that overlap and commit in any order; a reader that looks all the time,
    one that comes by now and then, and one that comes later from each place that was given out."""
    chance = random.Random(seed)
    orders = [await outbox.place(conn) for _ in range(WRITERS * 3)]
    _, start = await all_told(conn, await _beginning(conn), len(orders))
    written = 0

    async def write(own: list[UUID]) -> None:
        nonlocal written
        async with await psycopg.AsyncConnection.connect(ledger_url, autocommit=True) as writer:
            for _ in range(ROUNDS):
                async with writer.transaction(force_rollback=chance.random() < 0.1):
                    parts = [(chance.choice(own), chance.randint(1, 3)) for _ in range(chance.randint(1, 3))]
                    for order, entries in parts:
                        await append(writer, order, entries)
                        await asyncio.sleep(chance.choice([0, 0, 0.002, 0.02]))
            cursor = await writer.execute(
                "select coalesce(sum(last_seq), 0) from order_ledger where order_ledger_id = any(%s)", (own,)
            )
            row = await cursor.fetchone()
            assert row
            written += int(row[0])

    async def follow(every_s: float) -> list[Appended]:
        found, bookmark = [], start
        async with await psycopg.AsyncConnection.connect(ledger_url, autocommit=True) as reader:
            async with asyncio.timeout(30):
                while not writing.done() or len(found) < written:
                    page = await read_changes(reader, bookmark, limit=20)
                    found += page.entries
                    bookmark = page.bookmark
                    await asyncio.sleep(every_s)
        return found

    writing = asyncio.gather(*(write(orders[number::WRITERS]) for number in range(WRITERS)))
    always, sometimes = await asyncio.gather(follow(0), follow(0.05))
    await writing

    assert len(always) == written > WRITERS * ROUNDS
    assert [entry.place for entry in always] == [entry.place for entry in sometimes]
    assert all(before.place < after.place for before, after in pairwise(always))
    assert always[-1].place < 2**53
    for order in orders:
        own = [entry.seq for entry in always if entry.order_ledger_id == order]
        assert own == list(range(1, len(own) + 1))
    for number in [0, len(always) - 1, *chance.sample(range(len(always)), 10)]:
        page = await go_on(conn, always[number].place, limit=25)
        rest, _ = await told(conn, page.bookmark) if page.has_more else ([], None)
        assert keys([*page.entries, *rest]) == keys(always[number + 1 :])


async def test_nothing_is_told_of_a_transaction_before_all_that_began_earlier_have_ended(
    conn: Connection, ledger_url: str
) -> None:
    early, late = await outbox.place(conn), await outbox.place(conn)
    _, end = await all_told(conn, await _beginning(conn), 2)

    async with await psycopg.AsyncConnection.connect(ledger_url, autocommit=True) as slow, slow.transaction():
        await append(slow, early)
        await append(conn, late)
        assert (await told(conn, end))[0] == []
    entries, _ = await all_told(conn, end, 2)

    assert keys(entries) == [(early, 1), (late, 1)]


async def test_an_entry_is_found_though_its_transaction_was_open_for_long(conn: Connection, ledger_url: str) -> None:
    """The reader's window of time waits for the transaction, however often it looks meanwhile."""
    order = await outbox.place(conn)
    await conn.execute("alter table ledger_journal disable trigger user")
    _, bookmark = await all_told(conn, await _beginning(conn), 1)
    async with await psycopg.AsyncConnection.connect(ledger_url, autocommit=True) as slow, slow.transaction():
        await append(slow, order)
        await slow.execute("update ledger_journal set at = at - interval '9 s'")
        began = (await find_end(conn)).mark_at
        held = bookmark
        for _ in range(5):
            held = (await read_changes(conn, held)).bookmark
        assert held.since < began
    entries, after = await all_told(conn, held, 1)

    assert keys(entries) == [(order, 1)]
    async with asyncio.timeout(10):
        while after.since <= held.mark_at:
            after = (await read_changes(conn, after)).bookmark


async def test_a_place_of_which_something_is_gone_is_told(conn: Connection) -> None:
    kept, purged = await outbox.place(conn), await outbox.place(conn)
    end = await find_end(conn)
    for order in (kept, purged, kept):
        await append(conn, order)
    entries, bookmark = await all_told(conn, end, 3)
    first, second, third = (entry.place for entry in entries)
    await finish(conn, purged)
    assert await retention.purge_orders(conn, older_than_days=0, orders_max=10)

    assert keys(list((await go_on(conn, first)).entries)) == [(kept, 2)]
    assert (await go_on(conn, third)).entries == ()
    for place in (second, first + 1, third + 1, 1, 0, 2**53 - 1):
        with pytest.raises(PlaceGone):
            await go_on(conn, place)
    await conn.execute("alter table ledger_journal disable trigger user")
    await conn.execute("delete from ledger_journal where seq = 2")
    with pytest.raises(PlaceGone):
        await read_changes(conn, bookmark)


async def test_one_who_is_too_far_behind_is_told(conn: Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    order = await outbox.place(conn)
    await append(conn, order)
    (entry,) = [entry for entry in (await all_told(conn, await _beginning(conn), 2))[0] if entry.seq]
    monkeypatch.setattr(changes, "BEHIND_MAX", 3)
    await outbox.tell(conn, order, count=3)
    assert (await go_on(conn, entry.place)).entries == ()

    await outbox.tell(conn, order, count=1)

    with pytest.raises(PlaceGone):
        await go_on(conn, entry.place)


async def _beginning(conn: Connection) -> Bookmark:
    end = await find_end(conn)
    return Bookmark(1, end.since, end.mark_id, end.mark_at)
