"""The edge as a process: how it starts, why it does not, and what its end leaves behind."""

import asyncio
import contextlib
import gzip
import re
import signal
import socket
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import psycopg
import pytest
from aiohttp import ClientConnectionError, ServerDisconnectedError, web
from structlog.testing import capture_logs

from edge_api.feed import Feed
from edge_api.main import EdgeError, serve
from orchestrator.settings import load_settings
from tests.integration.audit.shop import Shop, scripted
from tests.integration.edge.processes import EdgeProcess, edge_process
from tests.integration.edge.service import Edge, Proxy, Scripted, StartEdge, authorized, eventually

MIB = 1024 * 1024


@pytest.fixture
async def process(ledger_url: str, payments: Scripted) -> AsyncIterator[tuple[asyncio.subprocess.Process, Edge]]:
    """An edge in a process of its own, with the scripted payments service."""
    async with edge_process(ledger_url, payments_url=payments.url, edge_timeout_s="20", shutdown_s="4") as started:
        yield started.process, started.edge


async def _hang(_body: Any) -> web.StreamResponse:
    await asyncio.Event().wait()
    raise AssertionError


async def _called(payments: Scripted) -> bool:
    return bool(payments.calls)


async def test_sigterm_finishes_the_requests_in_hand(
    process: tuple[asyncio.subprocess.Process, Edge], payments: Scripted
) -> None:
    (running, edge), go_on = process, asyncio.Event()

    async def slow(body: Any) -> web.StreamResponse:
        await go_on.wait()
        return authorized(body)

    payments.answer = slow
    in_hand = asyncio.create_task(edge.place(key="one"))
    await eventually(lambda: _called(payments))

    running.send_signal(signal.SIGTERM)
    await eventually(lambda: _refused(edge))
    go_on.set()

    assert (await in_hand).json["status"] == "PENDING"
    async with asyncio.timeout(5):
        assert await running.wait() == 0


async def test_sigterm_answers_who_waits_for_the_end_of_an_order(process: tuple[asyncio.subprocess.Process, Edge]) -> None:
    running, edge = process
    waiting = asyncio.create_task(edge.place(key="one", headers={"Prefer": "wait=30"}))
    await eventually(lambda: _pending(edge))

    running.send_signal(signal.SIGTERM)

    assert (await waiting).status == 202
    async with asyncio.timeout(5):
        assert await running.wait() == 0


async def test_an_edge_killed_during_the_authorization_loses_nothing(
    process: tuple[asyncio.subprocess.Process, Edge], payments: Scripted, start_edge: StartEdge
) -> None:
    running, edge = process
    payments.answer = _hang
    lost = asyncio.create_task(edge.place(key="one"))
    await eventually(lambda: _called(payments))

    running.kill()
    await running.wait()
    with pytest.raises(ServerDisconnectedError):
        await lost

    (row,) = await edge.orders()
    assert (row["status"], row["lease_owner"][:5], row["response_status"]) == ("RECEIVED", "edge-", None)
    other = await start_edge(payments_url=payments.url)
    assert (await other.place(key="one")).problem == "idempotency-request-in-progress"
    await edge.rows("update order_ledger set lease_expires_at = clock_timestamp()")
    assert (await other.place(key="one")).id == str(row["order_ledger_id"])
    assert len(await edge.orders()) == len(payments.calls) == 1


async def test_bodies_that_are_too_large_take_no_memory(process: tuple[asyncio.subprocess.Process, Edge]) -> None:
    (running, edge), headers = process, {"Content-Type": "application/json", "Idempotency-Key": "one"}
    await edge.place()
    before = _memory_max_mib(running.pid)

    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(100):
            yield b" " * MIB

    packed = await edge.send(gzip.compress(b" " * 200 * MIB), **{"Content-Encoding": "gzip"})
    with contextlib.suppress(ConnectionError, ClientConnectionError):  # it may close while we still send
        async with edge.session.post(f"{edge.url}/orders", data=chunks(), headers=headers) as response:
            assert response.status == 413

    assert packed.status == 415
    assert _memory_max_mib(running.pid) - before < 20


def _memory_max_mib(pid: int) -> float:
    status = Path(f"/proc/{pid}/status").read_text()
    return int(re.findall(r"^VmHWM:\s+(\d+) kB", status, re.MULTILINE)[0]) / 1024


@pytest.mark.parametrize(("taken", "setting"), [("port", "SAGA_PORT"), ("admin_port", "SAGA_ADMIN_PORT")])
async def test_a_port_in_use_is_named(start_edge: StartEdge, taken: str, setting: str) -> None:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        bound.listen()
        port = bound.getsockname()[1]

        with pytest.raises(EdgeError, match=f"127.0.0.1:{port}, set {setting} ") as raised:
            await start_edge(**{taken: port})

    assert "\n" not in str(raised.value)


async def test_a_ledger_that_is_away_stops_the_start(start_edge: StartEdge, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sql.connect.START_TIMEOUT_S", 0.5)

    with pytest.raises(EdgeError, match="is PostgreSQL up, and SAGA_DATABASE_URL right"):
        await start_edge(database_url="postgresql://nobody@127.0.0.1:1/none")


async def test_a_database_without_the_ledgers_schema_stops_the_start(
    start_edge: StartEdge, participant_database: Callable[[str], str]
) -> None:
    with pytest.raises(EdgeError, match="run `saga migrate`"):
        await start_edge(database_url=participant_database("orders"))


async def test_a_ledger_that_lacks_one_migration_stops_the_start(start_edge: StartEdge, edge_ledger: Edge) -> None:
    await edge_ledger.rows("delete from _yoyo_migration where migration_id = (select max(migration_id) from _yoyo_migration)")

    with pytest.raises(EdgeError, match="behind this release by 1: run `saga migrate`"):
        await start_edge()


async def test_an_edge_does_not_go_on_without_one_of_its_parts(ledger_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    served = asyncio.Event()

    async def fail(_feed: Feed) -> None:
        await served.wait()
        raise LookupError("a fault")

    monkeypatch.setattr(Feed, "run", fail)
    settings = load_settings(database_url=ledger_url, port=0, admin_port=0, shutdown_s=2.0, notify=False)

    with capture_logs() as logs, pytest.raises(EdgeError, match="the feed failed: a fault"):
        async with asyncio.timeout(20):
            await serve(settings, announce=lambda *_: served.set(), stop=asyncio.Event())
    assert [entry["cause"] for entry in logs if entry["event"] == "edge_failed"] == ["the feed failed"]


@pytest.mark.parametrize(
    "keys", ["ann", "ann=", "=secret-key", "ann=k\u00e9y", "ann=a b", "a b=secret-key", "ann=secret-key,bob=secret-key", ","]
)
async def test_wrong_keys_stop_the_start_and_are_not_shown(start_edge: StartEdge, keys: str) -> None:
    with pytest.raises(EdgeError, match="SAGA_API_KEYS: entry") as raised:
        await start_edge(api_keys=keys)

    assert "secret-key" not in str(raised.value)


async def test_both_listeners_answer_and_each_its_own(start_edge: StartEdge, payments: Scripted) -> None:
    edge = await start_edge(payments_url=payments.url)
    await edge.place()

    async with edge.session.get(f"{edge.admin_url}/metrics") as response:
        text = await response.text()
    assert 'saga_started_total{saga="place_order"} 1.0' in text
    assert 'saga_active{saga="place_order",status="PENDING"} 1.0' in text
    assert 'http_request_duration_seconds_count{method="POST",route="/orders",status="202"} 1.0' in text
    for path, status in (("/readyz", 200), ("/healthz", 200), ("/statistics", 200), ("/orders", 404)):
        async with edge.session.get(f"{edge.admin_url}{path}") as response:
            assert response.status == status, path
    assert (await edge.get("/openapi.json")).json["openapi"].startswith("3.1")


@pytest.fixture
def edge_ledger(ledger_url: str) -> Edge:
    """A way to the ledger without an edge."""
    return Edge("", "", ledger_url, None)  # type: ignore[arg-type]


async def _refused(edge: Edge) -> bool:
    try:
        host, _, port = edge.url.removeprefix("http://").partition(":")
        _, writer = await asyncio.open_connection(host, int(port))
    except OSError:
        return True
    writer.close()
    return False


async def _pending(edge: Edge) -> bool:
    return [row["status"] for row in await edge.orders()] == ["PENDING"]


async def test_an_edge_whose_log_nobody_reads_answers_and_ends_all_the_same(ledger_url: str, payments: Scripted) -> None:
    async with edge_process(ledger_url, payments_url=payments.url, log_level="info", shutdown_s="4") as started:
        # Far more than the pipe holds: a line for each request.
        async with asyncio.timeout(20):
            replies = await asyncio.gather(*(started.edge.place() for _ in range(60)))
        assert {reply.status for reply in replies} == {202}

        started.process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(10):
            assert await started.process.wait() == 0


@pytest.mark.parametrize(("held", "orders"), [("statement", 0), ("answer", 1)])
async def test_an_edge_killed_around_the_commit_of_an_order_leaves_one_order_at_most_and_a_repeat_finds_it(
    ledger_url: str, payments: Scripted, proxy: Proxy, start_edge: StartEdge, held: Any, orders: int
) -> None:
    settings = {"database_url": proxy.url(ledger_url), "payments_url": payments.url, "notify": "false"}
    async with edge_process(ledger_url, **settings) as started:
        proxy.hold(b"insert into order_ledger", held)
        await _killed_while_placing(started, proxy)

        assert len(await started.edge.orders()) == orders
        await started.edge.rows("update order_ledger set lease_expires_at = clock_timestamp()")

    other = await start_edge(payments_url=payments.url)
    assert (await other.place(key="one")).status == 202
    assert len(await other.orders()) == 1
    assert (await other.place(key="one")).replayed


async def test_an_order_whose_edge_was_killed_before_it_notified_anybody_is_found_by_the_poll(
    ledger_url: str, payments: Scripted, proxy: Proxy
) -> None:
    async with (
        await psycopg.AsyncConnection.connect(ledger_url, autocommit=True) as conn,
        edge_process(ledger_url, database_url=proxy.url(ledger_url), payments_url=payments.url) as started,
    ):
        await conn.execute("listen order_events")
        proxy.hold(b"update order_ledger l set status", "answer")
        await _killed_while_placing(started, proxy)

        assert [notification async for notification in conn.notifies(timeout=0.1)] == []
        assert [row["status"] for row in await started.edge.orders()] == ["PENDING"]
        await Shop(conn, scripted()).run()
        assert [row["status"] for row in await started.edge.orders()] == ["COMPLETED"]


async def _killed_while_placing(started: EdgeProcess, proxy: Proxy) -> None:
    lost = asyncio.create_task(started.edge.place(key="one"))
    async with asyncio.timeout(20):
        await proxy.held.wait()
    started.process.kill()
    await started.process.wait()
    with pytest.raises(ServerDisconnectedError):
        await lost
    proxy.cut()
