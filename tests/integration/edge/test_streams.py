"""Streams over WebSockets from a real ledger: what is told, to whom, from where on, and how it ends."""

import asyncio
import json
from base64 import urlsafe_b64encode
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID, uuid4

import aiohttp
import psycopg
import pytest
from aiohttp import ClientWebSocketResponse, WSMsgType, WSServerHandshakeError, web

from edge_api import changes, clients, listening, stream
from edge_api.answers import Change
from edge_api.changes import BATCH_MAX, TooSlow
from edge_api.following import all_orders, one_order
from orchestrator.api_keys import Scope
from sql.connect import open_pool
from sql.tasks import end_task
from tests.integration.edge.credentials import STATIC, TOKEN, bearing, make_key
from tests.integration.edge.service import Edge, Proxy, StartEdge, eventually
from tests.integration.ledger import outbox
from tests.integration.ledger.outbox import Connection, finish, prepare
from tests.integration.ledger.test_changes import append

Message = dict[str, Any]
OURS, THEIRS = bearing("key-of-ours"), bearing("key-of-theirs")
KEYS = "ours=key-of-ours,theirs=key-of-theirs"


@pytest.fixture
async def conn(ledger_url: str) -> AsyncIterator[Connection]:
    async with await psycopg.AsyncConnection.connect(ledger_url, autocommit=True) as opened:
        await prepare(opened)
        yield opened


def opened(edge: Edge, path: str, headers: dict[str, str] | None = None, **options: Any) -> Any:
    url = edge.admin_url if path.startswith(("/stream", "/admin")) else edge.url
    return edge.session.ws_connect(url + path, headers=headers or {}, timeout=aiohttp.ClientWSTimeout(ws_close=5.0), **options)


async def take(socket: ClientWebSocketResponse, count: int) -> list[Message]:
    async with asyncio.timeout(15):
        found = [json.loads(await socket.receive_str()) for _ in range(count)]
    for message in found:
        assert Change.model_validate(message).model_dump(mode="json") == message
    return found


async def ends(socket: ClientWebSocketResponse, timeout_s: float = 15.0) -> int | None:
    """Return the code by which the edge closes, after whatever it still tells."""
    async with asyncio.timeout(timeout_s):
        while (await socket.receive()).type not in (WSMsgType.CLOSE, WSMsgType.CLOSED, WSMsgType.ERROR):
            pass
    return socket.close_code


async def refused(edge: Edge, path: str, headers: dict[str, str] | None = None, **options: Any) -> int:
    with pytest.raises(WSServerHandshakeError) as raised:
        await opened(edge, path, headers, **options)
    return raised.value.status


def told(messages: list[Message]) -> list[tuple[str, int]]:
    return [(message["order_ledger_id"], message["seq"]) for message in messages]


async def test_an_orders_stream_tells_its_journal_to_the_orders_end(start_edge: StartEdge, conn: Connection) -> None:
    edge = await start_edge()
    order = await outbox.place(conn, "default")
    path = f"/orders/{order}/stream"

    async with opened(edge, path) as socket:
        (recorded,) = await take(socket, 1)
        await append(conn, order, 2)
        begun = await take(socket, 2)
        await append(conn, order)
        await finish(conn, order)
        assert told(await take(socket, 1)) == [(str(order), 3)]
        assert await ends(socket) == 1000
    assert (recorded["seq"], recorded["status"], recorded["step"], recorded["state"]) == (0, "PENDING", None, None)
    assert [(m["seq"], m["step"], m["state"]) for m in begun] == [(1, "run", "running"), (2, "run", "running")]
    for after, rest in ((0, [1, 2, 3]), (2, [3]), (3, [])):
        async with opened(edge, f"{path}?after={after}") as socket:
            assert [seq for _, seq in told(await take(socket, len(rest)))] == rest
            assert await ends(socket) == 1000
    async with opened(edge, f"{path}?after=4") as socket:
        assert await ends(socket) == 4410
    async with opened(edge, f"/admin{path}?after=2") as socket:
        assert [seq for _, seq in told(await take(socket, 1))] == [3]


async def test_the_stream_of_all_tells_what_is_committed_after_the_handshake_and_goes_on_from_everywhere(
    start_edge: StartEdge, conn: Connection
) -> None:
    edge, other = await start_edge(), await start_edge()
    before, mine, theirs = [await outbox.place(conn, client) for client in ("default", "default", "b")]
    await append(conn, before)

    async with opened(edge, "/stream") as socket, opened(other, "/stream") as beside:
        for order in (mine, theirs, mine):
            await append(conn, order, 2)
        seen = await take(socket, 6)
        assert await take(beside, 6) == seen
    seqs = [message["seq"] for message in seen]
    assert seqs == sorted(set(seqs))
    assert [message["order_ledger_id"] for message in seen] == [str(o) for o in (mine, mine, theirs, theirs, mine, mine)]
    for number, seq in enumerate(seqs, 1):
        async with opened(other, f"/stream?after={seq}") as socket:
            assert await take(socket, len(seen) - number) == seen[number:]
            await append(conn, before)
            seen += await take(socket, 1)
    for seq in (seqs[0] + 1, 1, 2**53 - 1):
        async with opened(edge, f"/stream?after={seq}") as socket:
            assert await ends(socket) == 4410


async def test_nobody_is_looked_for_while_nobody_follows(
    start_edge: StartEdge, conn: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks: list[str] = []
    for name in ("read_changes", "read_courses"):
        real = getattr(changes.changes, name)

        async def counted(*given: Any, real: Any = real, name: str = name, **options: Any) -> Any:
            looks.append(name)
            return await real(*given, **options)

        monkeypatch.setattr(changes.changes, name, counted)
    edge = await start_edge()
    order = await outbox.place(conn, "default")
    async with opened(edge, "/stream") as all_of_them, opened(edge, f"/orders/{order}/stream") as one:
        await take(one, 1)
        await append(conn, order)
        await take(all_of_them, 1)
    assert {*looks} == {"read_changes", "read_courses"}

    hub = looks.copy()
    async with asyncio.timeout(10):
        while True:
            looks.clear()
            for _ in range(5):
                await asyncio.sleep(changes.POLL_S)
            if not looks:
                break
    assert hub


@pytest.mark.parametrize("path", ["/orders/{}/stream", "/orders/{}/stream?after=0"])
async def test_anothers_order_and_none_are_the_same_before_the_handshake(
    start_edge: StartEdge, conn: Connection, path: str
) -> None:
    edge = await start_edge(api_keys=KEYS)
    order = await outbox.place(conn, "ours")

    async with opened(edge, path.format(order), OURS) as socket:
        await take(socket, 0)
    for missing in (order, uuid4(), "none"):
        assert await refused(edge, path.format(missing), THEIRS) == 404
    assert await refused(edge, path.format(order)) == 401


async def test_what_is_no_handshake_and_what_is_no_position_are_told(start_edge: StartEdge, conn: Connection) -> None:
    edge = await start_edge()
    order = await outbox.place(conn, "default")
    handshake = {
        "Upgrade": "websocket",
        "Connection": "Upgrade",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
    }
    for wrong in (
        {"Upgrade": "h2c"},
        {"Connection": "keep-alive"},
        {"Sec-WebSocket-Version": "12"},
        {"Sec-WebSocket-Key": "short"},
        {"Sec-WebSocket-Protocol": "chat"},
    ):
        reply = await edge.get(f"/orders/{order}/stream", **{**handshake, **wrong})
        assert (reply.status, reply.problem) == (426, "upgrade-required"), wrong
        assert (reply.headers["Upgrade"], reply.headers["Sec-WebSocket-Version"]) == ("websocket", "13")
    for query in ("after=-1", "after=x", "after=1&after=1", "after=2147483648", "from=1", "after="):
        assert await refused(edge, f"/orders/{order}/stream?{query}") == 400, query
    for query in ("after=9007199254740992", "after=1.0"):
        assert await refused(edge, f"/stream?{query}") == 400, query


@pytest.mark.parametrize("path", ["/stream", "/orders/{}/stream"])
async def test_a_page_from_elsewhere_opens_nothing_even_where_everybody_comes_in(
    start_edge: StartEdge, conn: Connection, path: str
) -> None:
    edge = await start_edge(allowed_hosts="shop.example,127.0.0.1")
    path = path.format(await outbox.place(conn, "default"))
    own = edge.admin_url if path == "/stream" else edge.url

    for origin in ("https://evil.example", "null", "https://good.evil", f"{own}.evil.example", f"{own}/", "file://", f"x{own}",
                   "http://shop.example.evil", "http://a@shop.example", "http://shop.example:8080", "http://127.0.0.1:1",
                   ""):  # fmt: skip
        assert await refused(edge, path, {"Origin": origin}) == 403, origin
    # Without an origin there is no browser; what a browser sends without one was tampered with.
    assert await refused(edge, path, {"Sec-Fetch-Site": "cross-site"}) == 403
    assert await refused(edge, path, protocols=("saga.v1", "saga.token.YQ")) == 403
    for headers in ({"Origin": own}, {"Origin": "https://shop.example"}, {}):
        async with opened(edge, path, headers):
            pass


async def test_a_page_gives_its_key_as_a_subprotocol(start_edge: StartEdge) -> None:
    edge = await start_edge(admin_token=TOKEN)
    own = {"Origin": edge.admin_url}
    given = urlsafe_b64encode(TOKEN.encode()).decode().rstrip("=")

    async with opened(edge, "/stream", own, protocols=("saga.v1", f"saga.token.{given}")) as socket:
        assert socket.protocol == "saga.v1"
    async with opened(edge, "/stream", bearing(TOKEN)) as socket:
        assert socket.protocol is None
    for wrong in (given[:-1], f"{given}=", "", "%", given.swapcase()):
        assert await refused(edge, "/stream", own, protocols=("saga.v1", f"saga.token.{wrong}")) == 401, wrong
    assert await refused(edge, "/stream", own, protocols=(f"saga.token.{given}",)) == 426
    assert (await edge.get("/statistics", **{"Sec-WebSocket-Protocol": f"saga.v1, saga.token.{given}"})).status == 404
    async with edge.session.get(
        f"{edge.admin_url}/statistics", headers={"Sec-WebSocket-Protocol": f"saga.token.{given}"}
    ) as reply:
        assert reply.status == 401


async def test_a_revoked_key_ends_its_streams(
    start_edge: StartEdge, conn: Connection, ledger_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clients, "LOOK_S", 0.05)
    monkeypatch.setattr(changes, "WAIT_S", 0.1)
    key = await make_key(ledger_url, "ours", Scope.ORDERS)
    edge = await start_edge(api_keys=f"theirs={STATIC}")
    order, other = await outbox.place(conn, "ours"), await outbox.place(conn, "theirs")

    async with (
        opened(edge, f"/orders/{order}/stream", bearing(key.key)) as socket,
        opened(edge, f"/orders/{other}/stream", bearing(STATIC)) as beside,
    ):
        await take(socket, 1)
        await take(beside, 1)
        await revoke(conn, key.key_id)
        assert await ends(socket) == 4401
        await append(conn, other)
        await take(beside, 1)
    assert await refused(edge, f"/orders/{order}/stream", bearing(key.key)) == 401


async def revoke(conn: Connection, key_id: str) -> None:
    await conn.execute("update api_key set revoked_at = clock_timestamp() where key_id = %s", (key_id,))


async def test_nothing_of_what_a_client_sends_counts_and_a_large_frame_ends_it(start_edge: StartEdge, conn: Connection) -> None:
    edge = await start_edge()
    order = await outbox.place(conn, "default")

    async with opened(edge, "/stream", compress=15) as socket:
        assert not socket.compress
        await socket.send_str("{}")
        await socket.send_bytes(b"x" * 4000)
        await append(conn, order)
        await take(socket, 1)
        await socket.send_bytes(b"x" * 2**20)
        assert await ends(socket) == 1009


async def test_who_does_not_read_is_dropped_and_goes_on_where_it_stood_and_nobody_else_is_held_up(
    start_edge: StartEdge, conn: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream, "SEND_TIMEOUT_S", 3.0)
    monkeypatch.setattr(stream, "HEARTBEAT_S", 600.0)
    monkeypatch.setattr(listening, "WRITE_TIMEOUT_S", 300.0)
    monkeypatch.setattr(changes, "KEPT_MAX", 10**6)
    edge = await start_edge()
    order = await outbox.place(conn, "default")
    host, port = edge.admin_url.removeprefix("http://").split(":")
    async with opened(edge, "/stream") as socket:
        await append(conn, order)
        (first,) = await take(socket, 1)
        reader, writer = await asyncio.open_connection(host, int(port), limit=1024)
        request = (
            f"GET /stream?after={first['seq']} HTTP/1.1\r\nHost: {host}:{port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        )
        writer.write(request.encode())
        await reader.readuntil(b"\r\n\r\n")
        assert await streams_open(edge) == 2
        seen: list[Message] = []
        reading = asyncio.create_task(collect(socket, seen))
        written = 0
        async with asyncio.timeout(55):
            while await streams_open(edge) == 2:
                await append(conn, order, 2000)
                written += 2000
                while len(seen) < written:
                    await asyncio.sleep(0.01)
                    assert not reading.done()
        assert [m["seq"] for m in seen] == sorted({m["seq"] for m in seen})
        writer.close()
        async with opened(edge, f"/stream?after={seen[-10]['seq']}") as back:
            assert await take(back, 9) == seen[-9:]
        await end_task(reading)


async def test_who_takes_what_is_sent_little_by_little_is_slow(
    start_edge: StartEdge, conn: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream, "SEND_TIMEOUT_S", 0.5)
    real = web.WebSocketResponse.send_str

    async def slow(socket: web.WebSocketResponse, text: str) -> None:
        await asyncio.sleep(0.1)
        await real(socket, text)

    monkeypatch.setattr(web.WebSocketResponse, "send_str", slow)
    edge = await start_edge()
    order = await outbox.place(conn, "default")
    async with opened(edge, "/stream") as socket:
        await append(conn, order, 50)
        await take(socket, 1)
        assert await ends(socket) == 1013


async def collect(socket: ClientWebSocketResponse, seen: list[Message]) -> None:
    while True:
        seen.append(json.loads(await socket.receive_str()))


async def streams_open(edge: Edge) -> int:
    async with edge.session.get(f"{edge.admin_url}/metrics") as reply:
        lines = (await reply.text()).splitlines()
    return int(sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith("saga_streams_open{")))


async def test_there_is_room_for_so_many_and_for_so_many_of_one_client(
    start_edge: StartEdge, conn: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edge_api.app.Streams", lambda: stream.Streams(most=3, of_one_most=2))
    edge = await start_edge(api_keys=KEYS)
    order, other = await outbox.place(conn, "ours"), await outbox.place(conn, "theirs")
    path = f"/orders/{order}/stream"

    async with opened(edge, path, OURS), opened(edge, path, OURS):
        assert await refused(edge, path, OURS) == 429
        async with opened(edge, f"/orders/{other}/stream", THEIRS):
            assert await refused(edge, f"/orders/{other}/stream", THEIRS) == 503
            async with opened(edge, "/stream"):
                pass  # operators have places of their own
    async with opened(edge, path, OURS):
        pass


async def test_while_the_ledger_is_away_streams_end_and_go_on_without_a_gap_after(
    start_edge: StartEdge, conn: Connection, proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(changes, "AWAY_S", 0.5)
    monkeypatch.setattr(changes, "WAIT_S", 0.2)
    edge = await start_edge(database_url=proxy.url(conn.info.dsn))
    order = await outbox.place(conn, "default")

    async with opened(edge, "/stream") as everything, opened(edge, f"/orders/{order}/stream") as one:
        await append(conn, order)
        (seen,) = await take(everything, 1)
        await take(one, 2)
        proxy.cut()
        await append(conn, order)
        assert await asyncio.gather(ends(everything), ends(one)) == [1013, 1013]
    assert await refused(edge, f"/stream?after={seen['seq']}") == 503
    proxy.mend()
    monkeypatch.setattr(changes, "AWAY_S", 10.0)

    async def is_back() -> bool:
        return (await edge.get("/readyz")).status == 200

    await eventually(is_back, 15)
    async with (
        opened(edge, f"/stream?after={seen['seq']}") as everything,
        opened(edge, f"/orders/{order}/stream?after=1") as one,
    ):
        assert [m["order_ledger_id"] for m in await take(everything, 1)] == [str(order)]
        assert told(await take(one, 1)) == [(str(order), 2)]


async def test_looks_that_take_their_time_are_waited_for(
    start_edge: StartEdge, conn: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(changes, "WAIT_S", 0.05)
    monkeypatch.setattr(changes, "AWAY_S", 0.1)
    for name in ("read_changes", "read_courses"):
        real = getattr(changes.changes, name)

        async def slow(*given: Any, real: Any = real, **options: Any) -> Any:
            await asyncio.sleep(4 * changes.WAIT_S)
            return await real(*given, **options)

        monkeypatch.setattr(changes.changes, name, slow)
    edge = await start_edge()
    order = await outbox.place(conn, "default")

    async with opened(edge, "/stream") as everything, opened(edge, f"/orders/{order}/stream") as one:
        await take(one, 1)
        for number in range(1, 3):
            await append(conn, order)
            assert told(await take(one, 1)) == [(str(order), number)]
            await take(everything, 1)


async def test_an_entry_that_can_not_be_told_ends_only_streams_that_should_tell_it(
    start_edge: StartEdge, conn: Connection
) -> None:
    edge = await start_edge()
    ours, newer, others = [await outbox.place(conn, "default") for _ in range(3)]
    for known in ("ledger_journal_kind_check", "ledger_journal_shape"):
        await conn.execute(f"alter table ledger_journal drop constraint {known}")  # type: ignore[arg-type]

    async with (
        opened(edge, f"/orders/{ours}/stream") as one,
        opened(edge, f"/orders/{newer}/stream") as broken,
        opened(edge, f"/orders/{others}/stream") as other,
        opened(edge, "/stream") as everything,
    ):
        for socket in (one, broken, other):
            await take(socket, 1)
        await append(conn, newer, kind="of a release to come")
        assert await asyncio.gather(ends(broken), ends(everything)) == [1011, 4410]
        async with opened(edge, "/stream") as anew:
            for order, socket in ((ours, one), (others, other)):
                await append(conn, order)
                assert told(await take(socket, 1)) == [(str(order), 1)]
            assert [m["order_ledger_id"] for m in await take(anew, 2)] == [str(ours), str(others)]


async def test_a_database_that_is_not_what_it_was_ends_the_stream_of_all(start_edge: StartEdge, conn: Connection) -> None:
    edge = await start_edge()
    order = await outbox.place(conn, "default")

    async with opened(edge, "/stream") as socket:
        await append(conn, order)
        await take(socket, 1)
        await conn.execute("alter table ledger_journal disable trigger user")
        await conn.execute("delete from ledger_journal")
        assert await ends(socket) == 4410
    async with opened(edge, "/stream") as socket:
        await append(conn, order)
        await take(socket, 1)


async def test_an_edge_that_stops_says_so(start_edge: StartEdge, conn: Connection, ledger_url: str) -> None:
    from edge_api.main import serve
    from orchestrator.settings import load_settings

    stop, urls = asyncio.Event(), asyncio.get_running_loop().create_future()
    settings = load_settings(database_url=ledger_url, port=0, admin_port=0, shutdown_s=5.0)
    serving = asyncio.create_task(serve(settings, announce=lambda *found: urls.set_result(found), stop=stop))
    order: UUID = await outbox.place(conn, "default")
    async with aiohttp.ClientSession() as session:
        edge = Edge(*(await urls), ledger_url, session)
        async with opened(edge, "/stream") as everything, opened(edge, f"/orders/{order}/stream") as one:
            await take(one, 1)
            stop.set()
            assert await asyncio.gather(ends(everything), ends(one)) == [1001, 1001]
    await serving


async def test_one_who_is_far_behind_catches_up_page_by_page_and_then_follows_with_the_others(
    start_edge: StartEdge, conn: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    pages: list[int] = []
    for name in ("go_on", "read_changes"):
        real = getattr(changes.changes, name)

        async def small(*given: Any, real: Any = real, limit: int = 20) -> Any:
            page = await real(*given, limit=limit)
            pages.append(len(page.entries))
            return page

        monkeypatch.setattr(changes.changes, name, small)
    edge = await start_edge()
    order = await outbox.place(conn, "default")
    async with opened(edge, "/stream") as socket:
        await append(conn, order)
        (first,) = await take(socket, 1)
        for _ in range(30):
            await append(conn, order, 5)
        seen = await take(socket, 150)
    assert max(pages) <= 20
    async with opened(edge, "/stream") as beside, opened(edge, f"/stream?after={first['seq']}") as socket:
        assert await take(socket, 150) == seen
        await append(conn, order, 5)
        assert await take(socket, 5) == await take(beside, 5)


async def test_what_is_no_longer_kept_for_one_who_has_not_taken_it_is_told_to_it_alone(
    conn: Connection, ledger_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(changes, "KEPT_MAX", 10)
    order = await outbox.place(conn)
    async with open_pool(ledger_url, name="edge", connections_max=2) as pool:
        hub = changes.Changes(pool)
        looking = asyncio.create_task(hub.run())
        async with all_orders(hub, None) as slow, all_orders(hub, None) as quick:
            await asyncio.gather(slow.next(), quick.next())
            seen: list[Any] = []
            for number in range(1, 4):
                await append(conn, order, 6)
                while len(seen) < 6 * number:
                    seen += (await quick.next()).messages
            with pytest.raises(TooSlow):
                await slow.next()
            assert len(seen) == 18
        await end_task(looking)


async def test_many_changes_are_given_out_in_parts(conn: Connection, ledger_url: str) -> None:
    order = await outbox.place(conn)
    many = BATCH_MAX * 2 + 1
    async with open_pool(ledger_url, name="edge", connections_max=2) as pool:
        hub = changes.Changes(pool)
        looking = asyncio.create_task(hub.run())
        async with all_orders(hub, None) as joined:
            await joined.next()
            await append(conn, order)
            (first,) = await in_parts(joined, 1)
            await append(conn, order, many)
            seen = await in_parts(joined, many)
            async with all_orders(hub, first.seq) as later, one_order(hub, order, 1) as one:
                assert await in_parts(later, many) == seen
                assert [message.seq for message in await in_parts(one, many)] == [*range(2, many + 2)]
        await end_task(looking)


async def in_parts(following: Any, count: int) -> list[changes.Message]:
    found: list[changes.Message] = []
    async with asyncio.timeout(15):
        while len(found) < count:
            messages = (await following.next()).messages
            assert len(messages) <= BATCH_MAX
            found += messages
    assert len(found) == count
    return found
