"""`GET /events`: pages, waiting at the end, and what is refused, from a real ledger."""

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import urlencode
from uuid import UUID, uuid4

import psycopg
import pytest

from edge_api import answers, feed, middlewares
from edge_api.feed import Feed
from sql import events, retention
from sql.connect import open_pool
from tests.integration.edge.service import Edge, Proxy, Reply, StartEdge, eventually
from tests.integration.ledger import outbox
from tests.integration.ledger.outbox import Connection, finish, prepare, settle

KEYS = "ours=k1,theirs=k2"


@pytest.fixture
async def conn(ledger_url: str) -> AsyncIterator[Connection]:
    async with await psycopg.AsyncConnection.connect(ledger_url, autocommit=True) as opened:
        await prepare(opened)
        yield opened


@pytest.fixture
async def edge(start_edge: StartEdge, conn: Connection) -> Edge:
    return await start_edge(api_keys=KEYS)


@pytest.fixture
def looks(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Every look at the feed in the database from now on, as the client it was for; None for all."""
    seen: list[Any] = []
    read_feed = events.read_feed

    async def counted(*given: Any, **options: Any) -> Any:
        seen.append(options.get("client_id"))
        return await read_feed(*given, **options)

    monkeypatch.setattr(events, "read_feed", counted)
    return seen


async def place(conn: Connection, client: str = "ours") -> UUID:
    order = await outbox.place(conn, client)
    await settle(conn)
    return order


async def tell(conn: Connection, order: UUID, type: str = "Told", *, seq: int = 1, count: int = 1) -> None:
    await outbox.tell(conn, order, type, seq=seq, count=count)
    await settle(conn)


async def get(edge: Edge, key: str = "k1", **query: Any) -> Reply:
    return await edge.get(f"/events?{urlencode(query)}", Authorization=f"Bearer {key}")


async def read(edge: Edge, key: str = "k1", **query: Any) -> Any:
    reply = await get(edge, key, **query)
    assert reply.status == 200, reply.body
    return reply.json


async def end(edge: Edge, key: str = "k1") -> str:
    page = await read(edge, key)
    assert not page["has_more"]
    return str(page["next_cursor"])


def types(page: Any) -> list[str]:
    return [event["type"] for event in page["events"]]


async def test_a_page_is_as_the_contract_says(edge: Edge, conn: Connection) -> None:
    order = await place(conn)
    await tell(conn, order, "Told", seq=3)

    first = await read(edge, limit=1)
    second = await read(edge, limit=1, after=first["next_cursor"])
    third = await read(edge, after=second["next_cursor"])

    for page in (first, second, third):
        assert answers.FeedPage.model_validate(page).model_dump(mode="json") == page
    assert [types(page) for page in (first, second, third)] == [["OrderReceived"], ["Told"], []]
    assert [page["has_more"] for page in (first, second, third)] == [True, False, False]
    (told,) = second["events"]
    assert (told["order_ledger_id"], told["seq"], told["correlation_id"], told["data"]) == (str(order), 3, "c", {})
    assert told["occurred_at"].endswith("Z")
    assert third["next_cursor"] == second["next_cursor"]


async def test_a_client_sees_its_own_orders_events(edge: Edge, conn: Connection) -> None:
    ours, theirs = await place(conn, "ours"), await place(conn, "theirs")

    assert [event["order_ledger_id"] for event in (await read(edge, "k1"))["events"]] == [str(ours)]
    assert [event["order_ledger_id"] for event in (await read(edge, "k2"))["events"]] == [str(theirs)]
    assert (await edge.get("/events")).problem == "unauthorized"


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("after=x", "'after'"),
        ("after=", "'after'"),
        ("after=%00", "'after'"),
        ("limit=0", "'limit'"),
        ("limit=1001", "'limit'"),
        ("limit=ten", "'limit'"),
        ("wait=-1", "'wait'"),
        ("wait=30.001", "'wait'"),
        ("wait=nan", "'wait'"),
        ("cursor=x", "'cursor'"),
        ("limit=1&limit=2", "once"),
    ],
)
async def test_a_query_that_means_nothing_is_refused(edge: Edge, query: str, names: str) -> None:
    reply = await edge.get(f"/events?{query}", Authorization="Bearer k1")

    assert (reply.status, reply.problem) == (400, "invalid-query")
    assert names in reply.json["detail"]


async def test_a_reader_who_missed_what_was_removed_is_told_how_to_go_on(edge: Edge, conn: Connection) -> None:
    start = await end(edge)
    order = await place(conn)
    await finish(conn, order)
    assert await retention.purge_orders(conn, older_than_days=0, orders_max=10) == 1

    reply = await get(edge, after=start, wait=20)

    assert (reply.status, reply.problem, reply.json["retryable"]) == (410, "cursor-gone", False)
    assert "retention" in reply.json["detail"]
    assert "without 'after'" in reply.json["detail"]
    assert types(await read(edge, after=await end(edge))) == []


async def test_a_cursor_of_another_database_is_told_so(edge: Edge, conn: Connection) -> None:
    await place(conn)
    cursor = events.decode_cursor(await end(edge))
    other = events.Cursor(cursor.transaction_id, cursor.ordinal, uuid4(), cursor.removed)

    reply = await get(edge, after=events.encode_cursor(other))

    assert (reply.status, reply.problem) == (410, "cursor-gone")
    assert "none of this database's" in reply.json["detail"]


# --- waiting ----------------------------------------------------------------------------------------------------------


async def waits(looks: list[Any]) -> None:
    """Return when somebody waits: looks for everybody are made then."""

    async def looked() -> bool:
        return None in looks

    await eventually(looked)


async def test_who_waits_gets_an_event_soon_after_its_commit(edge: Edge, conn: Connection, looks: list[Any]) -> None:
    order = await place(conn)
    waiting = asyncio.create_task(read(edge, after=await end(edge), wait=20))
    await waits(looks)

    began_s = time.monotonic()
    await tell(conn, order, "Told")
    page = await waiting

    assert types(page) == ["Told"]
    assert time.monotonic() - began_s < 2
    assert types(await read(edge, after=page["next_cursor"])) == []


async def test_a_wait_that_is_over_is_answered_with_no_events(edge: Edge, conn: Connection) -> None:
    await place(conn)
    cursor = await end(edge)
    began_s = time.monotonic()

    page = await read(edge, after=cursor, wait=0.3)

    assert time.monotonic() - began_s >= 0.3
    assert page == {"events": [], "next_cursor": cursor, "has_more": False}


async def test_a_wait_may_take_longer_than_a_read(edge: Edge, conn: Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(middlewares, "READ_TIMEOUT_S", 0.2)
    await place(conn)

    assert types(await read(edge, after=await end(edge), wait=0.5)) == []


async def test_nobody_waits_where_there_is_more_to_look_at(
    edge: Edge, conn: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events, "SCANNED_MAX", 4)
    theirs = await place(conn, "theirs")
    await tell(conn, theirs, count=5)
    async with asyncio.timeout(5):
        page = await read(edge, wait=20)

    assert (types(page), page["has_more"]) == ([], True)


async def test_another_clients_event_wakes_nobody_but_the_cursor_goes_on(
    edge: Edge, conn: Connection, looks: list[Any]
) -> None:
    await place(conn, "ours")
    waiting = asyncio.create_task(read(edge, after=await end(edge), wait=0.5))
    await waits(looks)
    await place(conn, "theirs")

    page = await waiting

    assert types(page) == []
    assert page["next_cursor"] == await end(edge)


async def test_all_who_wait_share_one_look_and_hold_no_connection(
    start_edge: StartEdge, conn: Connection, looks: list[Any]
) -> None:
    edge = await start_edge(api_keys=KEYS, database_connections=2)
    orders = {"k1": await place(conn, "ours"), "k2": await place(conn, "theirs")}
    cursors = {key: await end(edge, key) for key in orders}
    looks.clear()
    waiting = [asyncio.create_task(read(edge, key, after=cursors[key], wait=20)) for key in ("k1", "k2") * 20]

    async def all_have_looked() -> bool:
        return sum(client is not None for client in looks) == 40 and looks[-1] is None

    await eventually(all_have_looked)
    began_s, before = time.monotonic(), len(looks)
    # Both connections are free for others meanwhile.
    for _ in range(5):
        assert (await edge.get("/readyz")).status == 200
        await asyncio.sleep(0.05)
    await tell(conn, orders["k1"], "Ours")
    await tell(conn, orders["k2"], "Theirs")
    pages = await asyncio.gather(*waiting)

    assert [types(page) for page in pages] == [["Ours"], ["Theirs"]] * 20
    assert set(looks[before:]) == {None}
    assert len(looks) - before <= (time.monotonic() - began_s) / feed.POLL_S + 2


async def test_one_look_serves_readers_at_different_positions(conn: Connection, ledger_url: str) -> None:
    order = await place(conn)
    async with open_pool(ledger_url, name="tests", connections_max=2) as pool:
        served = Feed(pool)
        first = (await served.page("ours", None, limit=10, wait_s=0)).cursor
        early = asyncio.create_task(served.page("ours", first, limit=10, wait_s=20))
        await eventually(lambda: _waiting(served, 1))
        await tell(conn, order, "One")
        second = (await served.page("ours", first, limit=10, wait_s=0)).cursor
        late = asyncio.create_task(served.page("ours", second, limit=10, wait_s=20))
        await eventually(lambda: _waiting(served, 2))
        await tell(conn, order, "Two")

        running = asyncio.create_task(served.run())
        pages = await early, await late

        running.cancel()
    assert [[event.type for event in page.events] for page in pages] == [["One", "Two"], ["Two"]]


async def _waiting(served: Feed, number: int) -> bool:
    return len(served._waiting) == number


async def test_nobody_looks_while_nobody_waits(edge: Edge, conn: Connection, looks: list[Any]) -> None:
    await place(conn)
    await read(edge, after=await end(edge), wait=0.1)
    for _ in range(2):  # the loop may be about to look for the one who has just left
        await asyncio.sleep(0.1)
    before = len(looks)

    for _ in range(3):
        await asyncio.sleep(0.1)

    assert len(looks) == before


async def test_who_waits_longest_ago_and_who_came_last_miss_nothing(edge: Edge, conn: Connection) -> None:
    """Readers that join while looks are on their way, among writers that commit late."""
    order = await place(conn)
    start = await end(edge)
    total, done = 60, asyncio.Event()

    async def write() -> None:
        for number in range(total):
            await outbox.tell(conn, order, f"Told{number}", seq=number)
            await asyncio.sleep(0.005)
        done.set()

    async def follow(pause_s: float) -> list[str]:
        seen: list[str] = []
        cursor = start
        while len(seen) < total:
            page = await read(edge, after=cursor, wait=5, limit=7)
            seen += types(page)
            cursor = page["next_cursor"]
            await asyncio.sleep(pause_s)
        return seen

    async with asyncio.timeout(30):
        _, *followed = await asyncio.gather(write(), *(follow(pause_s) for pause_s in (0, 0.01, 0.03, 0.07)))

    assert followed == [[f"Told{number}" for number in range(total)]] * 4


async def test_too_many_who_wait_are_answered_at_once(
    edge: Edge, conn: Connection, looks: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feed, "WAITING_MAX", 1)
    order = await place(conn)
    cursor = await end(edge)
    waiting = asyncio.create_task(read(edge, after=cursor, wait=20))
    await waits(looks)

    async with asyncio.timeout(5):
        assert types(await read(edge, after=cursor, wait=20)) == []

    await tell(conn, order, "Told")
    assert types(await waiting) == ["Told"]


async def test_who_waits_is_told_when_what_it_waits_behind_is_removed(edge: Edge, conn: Connection, looks: list[Any]) -> None:
    cursor = await end(edge)
    waiting = asyncio.create_task(get(edge, after=cursor, wait=20))
    await waits(looks)
    async with conn.transaction():
        order = await outbox.place(conn)
        await conn.execute("delete from outbox where aggregateid = %s", (order,))

    reply = await waiting

    assert (reply.status, reply.problem) == (410, "cursor-gone")


async def test_a_feed_that_is_closed_answers_who_waits(conn: Connection, ledger_url: str, looks: list[Any]) -> None:
    await place(conn)
    async with open_pool(ledger_url, name="tests", connections_max=2) as pool:
        served = Feed(pool)
        running = asyncio.create_task(served.run())
        cursor = (await served.page("ours", None, limit=10, wait_s=0)).cursor
        waiting = asyncio.create_task(served.page("ours", cursor, limit=10, wait_s=20))
        await waits(looks)

        served.close()

        async with asyncio.timeout(5):
            assert (await waiting).events == ()
            assert (await served.page("nobody", None, limit=10, wait_s=20)).events == ()
        running.cancel()


async def test_who_waits_while_a_look_is_lost_gets_what_comes_after_it(
    start_edge: StartEdge, proxy: Proxy, ledger_url: str, conn: Connection, looks: list[Any]
) -> None:
    edge = await start_edge(api_keys=KEYS, database_url=proxy.url(ledger_url))
    order = await place(conn)
    waiting = asyncio.create_task(read(edge, after=await end(edge), wait=20))
    await waits(looks)
    before = len(looks)
    proxy.lose_answer_to(b"outbox_removed")
    await eventually(lambda: _more_than(looks, before + 2))

    await tell(conn, order, "Told")

    assert types(await waiting) == ["Told"]


async def _more_than(looks: list[Any], number: int) -> bool:
    return len(looks) > number


async def test_a_ledger_that_does_not_answer_is_not_waited_for(
    start_edge: StartEdge, proxy: Proxy, ledger_url: str, conn: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feed, "READ_TIMEOUT_S", 0.3)
    edge = await start_edge(api_keys=KEYS, database_url=proxy.url(ledger_url))
    cursor = await end(edge)
    proxy.swallow()

    async with asyncio.timeout(5):
        reply = await get(edge, after=cursor, wait=20)

    assert (reply.status, reply.problem) == (503, "unavailable")
    proxy.mend()
