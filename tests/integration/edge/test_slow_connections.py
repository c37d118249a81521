"""Connections that say nothing, or say it slowly, are closed in time and take nothing from the others."""

import asyncio
import contextlib
import socket
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import orjson
import pytest

from edge_api import listening
from tests.integration.edge.service import ORDER, Edge, Scripted, StartEdge, eventually

BODY = orjson.dumps(ORDER)
HEADER = b"POST /orders HTTP/1.1\r\nHost: edge\r\nContent-Type: application/json\r\nIdempotency-Key: slow\r\n"
WHOLE = HEADER + b"Content-Length: %d\r\n\r\n" % len(BODY)
DEADLINE_S = 0.4
Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@pytest.fixture
async def edge(start_edge: StartEdge, payments: Scripted) -> Edge:
    return await start_edge(payments_url=payments.url)


@pytest.fixture
def short_header_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listening, "HEADER_TIMEOUT_S", DEADLINE_S)


@asynccontextmanager
async def connected(edge: Edge) -> AsyncIterator[Streams]:
    host, _, port = edge.url.removeprefix("http://").partition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    try:
        yield reader, writer
    finally:
        writer.close()


async def drip(streams: Streams, data: bytes) -> bytes:
    """Send a byte now and then, until the other side closes; return what it said."""
    reader, writer = streams

    async def send() -> None:
        with contextlib.suppress(ConnectionError):
            for byte in data:
                writer.write(bytes([byte]))
                await writer.drain()
                await asyncio.sleep(0.02)

    sending = asyncio.create_task(send())
    try:
        async with asyncio.timeout(10):
            return await reader.read()
    except ConnectionResetError:
        return b""
    finally:
        sending.cancel()


async def answered(streams: Streams) -> None:
    """Have one request answered on a connection that stays open."""
    reader, writer = streams
    writer.write(b"GET /healthz HTTP/1.1\r\nHost: edge\r\n\r\n")
    assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200 ")
    await reader.readuntil(b"}")


def test_limits_are_as_they_are_written() -> None:
    assert listening.HEADER_TIMEOUT_S <= 10
    assert listening.KEEPALIVE_S <= 75


@pytest.mark.usefixtures("short_header_time")
@pytest.mark.parametrize("first", [False, True], ids=["at once", "after a request that was answered"])
async def test_a_header_that_drips_ends_in_time(edge: Edge, first: bool) -> None:
    async with connected(edge) as streams:
        if first:
            await answered(streams)

        assert await drip(streams, HEADER * 50) == b""

    assert await edge.orders() == []


@pytest.mark.usefixtures("short_header_time")
async def test_a_connection_that_says_nothing_ends_in_time(edge: Edge) -> None:
    async with connected(edge) as streams:
        assert await drip(streams, b"") == b""


@pytest.mark.usefixtures("short_header_time")
async def test_a_body_and_an_answer_may_take_longer_than_a_header(edge: Edge) -> None:
    async with connected(edge) as (reader, writer):
        writer.write(WHOLE.replace(b"Host", b"Prefer: wait=1\r\nHost"))
        began_s = time.monotonic()
        for byte in BODY:
            writer.write(bytes([byte]))
            await asyncio.sleep(2 * DEADLINE_S / len(BODY))

        async with asyncio.timeout(10):
            answer = await reader.readuntil(b"}")

    assert answer.startswith(b"HTTP/1.1 202 ")
    assert time.monotonic() - began_s > 4 * DEADLINE_S


@pytest.mark.usefixtures("short_header_time")
async def test_an_idle_connection_may_stay_longer_than_a_header_takes(edge: Edge) -> None:
    async with connected(edge) as streams:
        await answered(streams)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(2 * DEADLINE_S):
                await streams[0].read()
        await answered(streams)


async def test_two_hundred_slow_connections_disturb_nobody(edge: Edge) -> None:
    async with AsyncExitStack() as stack:
        slow = [await stack.enter_async_context(connected(edge)) for _ in range(200)]
        dripping = [asyncio.create_task(drip(streams, (HEADER if n % 2 else WHOLE) * 50)) for n, streams in enumerate(slow)]

        replies = await asyncio.gather(*(edge.place() for _ in range(20)))

        for task in dripping:
            task.cancel()
        await asyncio.gather(*dripping, return_exceptions=True)
    assert {reply.status for reply in replies} == {202}


async def test_idle_connections_are_closed_and_others_are_taken_meanwhile(
    start_edge: StartEdge, payments: Scripted, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listening, "KEEPALIVE_S", 2.0)
    edge = await start_edge(payments_url=payments.url)
    async with AsyncExitStack() as stack:
        idle = []
        for _ in range(300):
            idle.append(await stack.enter_async_context(connected(edge)))
            await answered(idle[-1])

        assert (await edge.place()).status == 202

        async with asyncio.timeout(20):
            assert await asyncio.gather(*(reader.read() for reader, _ in idle)) == [b""] * len(idle)


async def test_who_asks_and_never_reads_is_cut_off(start_edge: StartEdge, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listening, "WRITE_TIMEOUT_S", DEADLINE_S)
    edge = await start_edge(connections_max=1)
    host, _, port = edge.url.removeprefix("http://").partition(":")
    with socket.socket() as deaf:
        deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
        deaf.connect((host, int(port)))
        # More than the kernel keeps for it; aiohttp waits with the next until the one before is gone.
        deaf.sendall(b"GET /openapi.json HTTP/1.1\r\nHost: edge\r\n\r\n" * 100)

        async def has_room() -> bool:
            async with connected(edge) as (reader, writer):
                writer.write(b"GET /healthz HTTP/1.1\r\nHost: edge\r\n\r\n")
                return (await reader.readline()).startswith(b"HTTP/1.1 200 ")

        assert not await has_room()
        await eventually(has_room)
