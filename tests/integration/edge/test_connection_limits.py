"""Connections beyond the limits are refused with a reason, the others never notice, and nothing is kept of them."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import structlog

from tests.integration.edge.service import Edge, StartEdge, eventually

ASKED = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"
Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@asynccontextmanager
async def connected(url: str) -> AsyncIterator[Streams]:
    host, _, port = url.removeprefix("http://").partition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    try:
        yield reader, writer
    finally:
        writer.close()


async def answer(streams: Streams) -> bytes:
    reader, writer = streams
    writer.write(ASKED)
    async with asyncio.timeout(10):
        return await reader.readuntil(b"}")


async def refusal(streams: Streams) -> bytes:
    """Everything that is said on a connection until it is closed."""
    reader, writer = streams
    writer.write(ASKED)
    async with asyncio.timeout(10):
        try:
            return await reader.read()
        except ConnectionResetError:
            return b""


async def filled(edge: Edge, stack: AsyncExitStack, number: int) -> list[Streams]:
    """As many connections, each of which was answered and stays open."""
    held = [await stack.enter_async_context(connected(edge.url)) for _ in range(number)]
    assert {(await answer(streams))[:12] for streams in held} == {b"HTTP/1.1 200"}
    return held


def open_files() -> int:
    return len(os.listdir("/proc/self/fd"))


async def test_the_newest_connection_is_told_that_there_is_no_room_and_taken_once_there_is(start_edge: StartEdge) -> None:
    edge = await start_edge(connections_max=5)
    async with AsyncExitStack() as stack:
        held = await filled(edge, stack, 5)
        with structlog.testing.capture_logs() as logged:
            for _ in range(20):
                async with connected(edge.url) as streams:
                    told = await refusal(streams)
                assert told.startswith(b"HTTP/1.1 503 ")
                assert b"\r\nRetry-After: 1\r\n" in told
                assert b"\r\nConnection: close\r\n" in told
                assert b"problems/overloaded" in told
        assert [entry["event"] for entry in logged if entry["log_level"] == "warning"] == ["connections_refused"]
        assert {(await answer(streams))[:12] for streams in held} == {b"HTTP/1.1 200"}

        held[0][1].close()

        async def taken() -> bool:
            async with connected(edge.url) as streams:
                return (await answer(streams)).startswith(b"HTTP/1.1 200")

        await eventually(taken)


async def test_one_address_fills_only_its_share(start_edge: StartEdge) -> None:
    edge = await start_edge(connections_max=100, connections_per_address=5)
    async with AsyncExitStack() as stack:
        await filled(edge, stack, 5)
        async with connected(edge.url) as streams:
            assert (await refusal(streams)).startswith(b"HTTP/1.1 503 ")


async def test_the_listeners_of_clients_and_operators_take_no_room_from_each_other(start_edge: StartEdge) -> None:
    edge = await start_edge(connections_max=5)
    async with AsyncExitStack() as stack:
        await filled(edge, stack, 5)
        async with connected(edge.admin_url) as streams:
            assert (await answer(streams)).startswith(b"HTTP/1.1 200")


async def test_a_flood_holds_no_more_descriptors_than_the_limits_say(start_edge: StartEdge) -> None:
    edge = await start_edge(connections_max=20)
    before = open_files()
    async with AsyncExitStack() as stack:
        flood = [await stack.enter_async_context(connected(edge.url)) for _ in range(400)]

        # Ours are in this process too: 400 of the clients, and of the edge no more than its limit and those being refused.
        async def bounded() -> bool:
            return open_files() - before - len(flood) <= 20 + 100

        await eventually(bounded, timeout_s=20)
        refused = await asyncio.gather(*(refusal(streams) for streams in flood[20:]))
        assert {told[:12] for told in refused} <= {b"HTTP/1.1 503", b""}
        assert (await answer(flood[0])).startswith(b"HTTP/1.1 200")


async def test_requests_in_a_row_on_one_connection_are_answered_in_their_order(start_edge: StartEdge) -> None:
    edge = await start_edge()
    paths = [b"/healthz", b"/none", b"/orders?limit=0", b"/healthz"] * 100
    asked = [b"GET %b HTTP/1.1\r\nHost: edge\r\nX-Correlation-ID: %d\r\n\r\n" % (path, n) for n, path in enumerate(paths)]
    async with connected(edge.url) as (reader, writer):
        writer.write(b"".join(asked))
        statuses = []
        async with asyncio.timeout(30):
            for number in range(len(paths)):
                head = await reader.readuntil(b"\r\n\r\n")
                statuses.append(int(head.split(b" ", 2)[1]))
                assert b"X-Correlation-ID: %d\r\n" % number in head
                await reader.readexactly(int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0]))

    assert statuses == [200, 404, 400, 200] * 100


async def test_what_follows_a_body_that_was_refused_is_not_taken_for_a_request(start_edge: StartEdge) -> None:
    """Else whoever sends such a body through a proxy would speak for others."""
    edge = await start_edge()
    inner = b"GET /healthz HTTP/1.1\r\nHost: edge\r\n\r\n"
    outer = b"POST /orders HTTP/1.1\r\nHost: edge\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n\r\n" % len(inner)
    async with connected(edge.url) as (reader, writer):
        writer.write(outer + inner + inner.replace(b"/healthz", b"/readyz"))
        async with asyncio.timeout(10):
            first = await reader.readuntil(b"}")
            second = await reader.readuntil(b"}")

    assert first.startswith(b"HTTP/1.1 415 ")
    assert b'"ready"' in second
