"""A body that does not come, or not as it was announced: every route that reads one tells so in time, and closes."""

import asyncio
import contextlib
import time
from contextlib import AsyncExitStack

import pytest
import structlog

from edge_api import listening, requests
from tests.integration.edge.routes import routes_with_a_body
from tests.integration.edge.service import Edge, Scripted, StartEdge

TIMEOUT_S = 0.3


@pytest.fixture
async def edge(start_edge: StartEdge, payments: Scripted, monkeypatch: pytest.MonkeyPatch) -> Edge:
    monkeypatch.setattr(requests, "BODY_TIMEOUT_S", TIMEOUT_S)
    monkeypatch.setattr(listening, "LINGERING_S", TIMEOUT_S)
    return await start_edge(payments_url=payments.url)


def head(method: str, path: str, length: bytes = b"Content-Length: 1000") -> bytes:
    lines = (b"Host: localhost", b"Content-Type: application/json", b"Idempotency-Key: one", length)
    return b"\r\n".join((f"{method} {path} HTTP/1.1".encode(), *lines, b"", b"{"))


async def told(url: str, sent: bytes, *, drip: bytes = b"", then: bytes = b"") -> tuple[bytes, float]:
    """Send something, then a byte now and then until the other side closes; all it said, and after how long it had closed."""
    host, _, port = url.removeprefix("http://").partition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    began_s = time.monotonic()
    writer.write(sent)

    async def dripping() -> None:
        await asyncio.sleep(0.05)
        writer.write(then)
        while drip:
            writer.write(drip)
            await asyncio.sleep(0.02)

    more = asyncio.create_task(dripping())
    answer = b""
    try:
        # Who goes on sending to a connection that was closed is told so by a reset.
        async with asyncio.timeout(20):
            with contextlib.suppress(ConnectionResetError):
                while block := await reader.read(65_536):
                    answer += block
    finally:
        more.cancel()
        await asyncio.gather(more, return_exceptions=True)
        writer.close()
    return answer, time.monotonic() - began_s


def assert_ended(answer: bytes, status: bytes, problem: bytes) -> None:
    assert answer.startswith(b"HTTP/1.1 " + status), answer
    assert b"problems/" + problem in answer
    assert b"\r\nConnection: close\r\n" in answer


def test_a_body_and_its_rest_take_ten_seconds_at_most() -> None:
    assert requests.BODY_TIMEOUT_S <= 10
    assert listening.LINGERING_S <= 2


@pytest.mark.parametrize("drip", [b"", b" "], ids=["silence", "drip"])
async def test_every_route_that_reads_a_body_ends_one_that_does_not_come(edge: Edge, drip: bytes) -> None:
    routes = await routes_with_a_body(edge)
    assert len(routes) >= 11
    answers = await asyncio.gather(*(told(url, head(method, path), drip=drip) for url, method, path in routes))

    for answer, _ in answers:
        assert_ended(answer, b"408", b"request-timeout")
    assert len(await edge.orders()) == 1


async def test_a_body_that_is_framed_wrongly_from_the_middle_on_ends_in_time_too(edge: Edge) -> None:
    routes = await routes_with_a_body(edge)
    with structlog.testing.capture_logs() as logged:
        for url, method, path in routes:
            sent = head(method, path, b"Transfer-Encoding: chunked")[:-1] + b"1\r\n{\r\n"
            answer, _ = await told(url, sent, then=b"nonsense\r\n")
            # Which of these depends on the parser that aiohttp was built with.
            assert_ended(answer, b"4", b"malformed-request" if answer.startswith(b"HTTP/1.1 400") else b"request-timeout")

    assert [entry for entry in logged if entry["log_level"] == "error"] == []


async def test_what_no_route_reads_is_not_waited_for(edge: Edge) -> None:
    for url, path in ((edge.url, "/healthz"), (edge.url, "/nothing"), (edge.admin_url, "/admin/webhooks/nothing/enable")):
        answer, _ = await told(url, head("POST" if "admin" in path or "nothing" in path else "GET", path), drip=b" ")
        assert answer.startswith((b"HTTP/1.1 200", b"HTTP/1.1 404")), answer


async def test_two_hundred_bodies_that_do_not_come_disturb_nobody(start_edge: StartEdge, payments: Scripted) -> None:
    edge = await start_edge(payments_url=payments.url)
    host, _, port = edge.url.removeprefix("http://").partition(":")
    async with AsyncExitStack() as stack:
        for _ in range(200):
            _, writer = await asyncio.open_connection(host, int(port))
            stack.callback(writer.close)
            writer.write(head("POST", "/orders"))

        replies = await asyncio.gather(*(edge.place() for _ in range(20)))

    assert {reply.status for reply in replies} == {202}
