"""A request that is wrong is refused with a reason, in a fixed order of checks, and leaves no row."""

import asyncio
import gzip
import time
from collections.abc import AsyncIterator
from typing import Any

import orjson
import pytest
import pytest_asyncio
import structlog
from prometheus_client.parser import text_string_to_metric_families

from tests.integration.edge.service import ORDER, Edge, Scripted, StartEdge, eventually

pytestmark = pytest.mark.asyncio(loop_scope="module")
BODY = orjson.dumps(ORDER)
MIB = 1024 * 1024


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared_edge(start_shared_edge: StartEdge, shared_payments: Scripted) -> Edge:
    return await start_shared_edge(payments_url=shared_payments.url)


@pytest_asyncio.fixture(loop_scope="module")
async def edge(shared_edge: Edge, shared_payments: Scripted) -> AsyncIterator[Edge]:
    yield shared_edge
    assert await shared_edge.orders() == []
    assert shared_payments.calls == []


def raw_post(*lines: bytes, body: bytes = BODY) -> bytes:
    head = (b"POST /orders HTTP/1.1", b"Host: edge", b"Connection: close", b"Content-Type: application/json", *lines)
    return b"\r\n".join((*head, b"Content-Length: %d" % len(body), b"", body))


def status_of(answer: bytes) -> int:
    return int(answer.split(b" ", 2)[1])


@pytest.mark.parametrize("key", [None, "", "   "])
async def test_a_missing_key_is_400(edge: Edge, key: str | None) -> None:
    headers = {} if key is None else {"Idempotency-Key": key}

    reply = await edge.call("POST", "/orders", data=BODY, **{"Content-Type": "application/json", **headers})

    assert (reply.status, reply.problem) == (400, "idempotency-key-missing")


@pytest.mark.parametrize(
    "line",
    [
        pytest.param(b"Idempotency-Key: " + b"k" * 256, id="256 bytes"),
        pytest.param(b"Idempotency-Key: " + b"k" * 8_000, id="8,000 bytes"),
        pytest.param(b"Idempotency-Key: caf\xe9", id="Latin-1"),
        pytest.param("Idempotency-Key: caf\u00e9".encode(), id="UTF-8"),
        pytest.param(b"Idempotency-Key: a\tb", id="tab"),
        pytest.param(b'Idempotency-Key: a"b', id="quote"),
        pytest.param(b"Idempotency-Key: one\r\nIdempotency-Key: one", id="twice"),
        pytest.param(b"Idempotency-Key: one\r\nidempotency-key: two", id="twice in another case"),
    ],
)
async def test_a_malformed_key_is_400(edge: Edge, line: bytes) -> None:
    answer = await edge.raw(raw_post(line))

    assert status_of(answer) == 400
    assert b"problems/idempotency-key-invalid" in answer
    assert b"application/problem+json" in answer


@pytest.mark.parametrize(
    "line",
    [
        pytest.param(b"Idempotency-Key: " + b"k" * 9_000, id="9,000 bytes"),
        pytest.param(b"Idempotency-Key: a\0b", id="NUL"),
        pytest.param(b"Idempotency-Key: a\r\n b", id="folded"),
        pytest.param(b"Idempotency-Key: one\r\nTransfer-Encoding: chunked", id="length and chunks"),
    ],
)
async def test_what_is_no_http_is_400(edge: Edge, line: bytes) -> None:
    assert status_of(await edge.raw(raw_post(line))) == 400


async def test_a_bad_chunk_is_400(edge: Edge) -> None:
    head = (
        b"POST /orders HTTP/1.1\r\nHost: edge\r\nConnection: close\r\nContent-Type: application/json\r\nIdempotency-Key: a\r\n"
    )

    answer = await edge.raw(head + b"Transfer-Encoding: chunked\r\n\r\nxyz\r\n" + BODY)

    assert status_of(answer) == 400


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(BODY[:-1], id="cut off"),
        pytest.param(b"\xef\xbb\xbf" + BODY, id="byte order mark"),
        pytest.param(orjson.dumps(ORDER).decode().encode("utf-16"), id="UTF-16"),
        pytest.param(BODY.replace(b"17850", b"\xff"), id="not UTF-8"),
        pytest.param(BODY.replace(b"17850", b"\\ud800"), id="unpaired surrogate"),
        pytest.param(BODY.replace(b'"quantity":6', b'"quantity":1,"quantity":6'), id="member twice"),
        pytest.param(BODY.replace(b":6,", b":NaN,"), id="NaN"),
        pytest.param(BODY.replace(b":6,", b":Infinity,"), id="Infinity"),
        pytest.param(BODY.replace(b":6,", b":1e400,"), id="1e400"),
        pytest.param(BODY.replace(b":6,", b":" + b"9" * 5_000 + b","), id="5,000 digits"),
        pytest.param(b"[" * 1_000, id="1,000 deep"),
        pytest.param(b"[" * 100_000, id="100,000 deep"),
    ],
)
async def test_what_is_not_strict_json_is_400(edge: Edge, body: bytes) -> None:
    reply = await edge.send(body)

    assert (reply.status, reply.problem) == (400, "malformed-json")


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        pytest.param(b"[]", "#", id="an array"),
        pytest.param(BODY.replace(b":6,", b":0,"), "#/items/0/quantity", id="quantity 0"),
        pytest.param(BODY.replace(b":6,", b":true,"), "#/items/0/quantity", id="quantity true"),
        pytest.param(BODY.replace(b":6,", b":6.0,"), "#/items/0/quantity", id="quantity 6.0"),
        pytest.param(BODY.replace(b":6,", b":1E2,"), "#/items/0/quantity", id="quantity 1E2"),
        pytest.param(BODY.replace(b":6,", b":9223372036854775808,"), "#/items/0/quantity", id="quantity 2**63"),
        pytest.param(BODY.replace(b"17850", b"a\\u0000b"), "#/customer_id", id="NUL"),
        pytest.param(BODY.replace(b'"items"', b'"metadata":{"a\\u0000":1},"items"'), "#/metadata", id="NUL in a name"),
        pytest.param(BODY.replace(b'"items"', b'"saga":"none","items"'), "#/saga", id="unknown saga"),
        pytest.param(BODY.replace(b'"items"', b'"sagas":"x","items"'), "#/sagas", id="unknown member"),
    ],
)
async def test_what_is_not_valid_is_422_and_pointed_at(edge: Edge, body: bytes, pointer: str) -> None:
    reply = await edge.send(body)

    assert (reply.status, reply.problem) == (422, "validation-error")
    assert [error["pointer"] for error in reply.json["errors"]] == [pointer]


@pytest.mark.parametrize(
    "content_type",
    [
        "text/plain",
        "application/x-www-form-urlencoded",
        "application/json; charset=latin-1",
        "application/json; charset=utf-16",
        "application/problem+json",
        "application/jsonx",
        "",
    ],
)
async def test_another_content_type_is_415_even_without_a_key(edge: Edge, content_type: str) -> None:
    reply = await edge.call("POST", "/orders", data=BODY, **{"Content-Type": content_type})

    assert (reply.status, reply.problem) == (415, "unsupported-media-type")


async def test_a_compressed_body_is_415_and_never_unpacked(edge: Edge) -> None:
    bomb = gzip.compress(b" " * 100 * MIB)

    reply = await edge.send(bomb, **{"Content-Encoding": "gzip"})

    assert (reply.status, reply.problem) == (415, "unsupported-media-type")


async def test_a_body_that_is_declared_too_large_is_413_at_once(edge: Edge) -> None:
    head = b"POST /orders HTTP/1.1\r\nHost: edge\r\nContent-Type: application/json\r\nIdempotency-Key: a\r\n"
    host, _, port = edge.url.removeprefix("http://").partition(":")
    reader, writer = await asyncio.open_connection(host, int(port))

    writer.write(head + b"Content-Length: 1000000000\r\n\r\n{")

    async with asyncio.timeout(2):
        answer = await reader.readuntil(b"}")
    assert status_of(answer) == 413
    assert b"problems/payload-too-large" in answer
    writer.close()


async def test_a_body_that_grows_too_large_is_413(edge: Edge) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        yield BODY[:-1]
        for _ in range(40):
            yield b" " * (MIB // 20)
        yield b"}"

    headers = {"Content-Type": "application/json", "Idempotency-Key": "a"}
    async with edge.session.post(f"{edge.url}/orders", data=chunks(), headers=headers) as response:
        problem = await response.json(content_type="application/problem+json")

    assert (response.status, problem["status"]) == (413, 413)


async def test_a_body_that_drips_is_408(edge: Edge, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edge_api.requests.BODY_TIMEOUT_S", 0.2)
    host, _, port = edge.url.removeprefix("http://").partition(":")
    reader, writer = await asyncio.open_connection(host, int(port))

    writer.write(raw_post(b"Idempotency-Key: a")[: -len(BODY)] + b"{")

    began_s = time.monotonic()
    async with asyncio.timeout(3):
        answer = await reader.readuntil(b"}")
    assert time.monotonic() - began_s < 1
    assert status_of(answer) == 408
    assert b"problems/request-timeout" in answer
    writer.close()


async def test_a_client_that_goes_away_in_the_middle_of_its_body_is_no_fault_of_ours(edge: Edge) -> None:
    host, _, port = edge.url.removeprefix("http://").partition(":")
    before = await _given_up(edge)
    _, writer = await asyncio.open_connection(host, int(port))
    writer.write(raw_post(b"Idempotency-Key: a")[:-1])
    await writer.drain()

    async def is_given_up() -> bool:
        return await _given_up(edge) == before + 1

    with structlog.testing.capture_logs() as logged:
        writer.close()
        await eventually(is_given_up)

    assert [entry for entry in logged if entry["log_level"] == "error"] == []


async def _given_up(edge: Edge) -> float:
    """Return how many orders were answered 408 so far."""
    async with edge.session.get(f"{edge.admin_url}/metrics") as response:
        families = text_string_to_metric_families(await response.text())
    labels = {"method": "POST", "route": "/orders", "status": "408"}
    samples = (sample for family in families for sample in family.samples)
    return sum(s.value for s in samples if s.name == "http_request_duration_seconds_count" and s.labels == labels)


@pytest.mark.parametrize(
    ("method", "path", "status", "problem"),
    [
        ("DELETE", "/orders", 405, "method-not-allowed"),
        ("PUT", "/orders/00000000-0000-8000-8000-000000000000", 405, "method-not-allowed"),
        ("GET", "/", 404, "not-found"),
        ("GET", "/metrics", 404, "not-found"),
        ("GET", "/statistics", 404, "not-found"),
        ("POST", "/orders/", 404, "not-found"),
        ("GET", "/orders/%00", 404, "order-not-found"),
        ("GET", "/orders/'%3B%20drop%20table%20order_ledger", 404, "order-not-found"),
    ],
)
async def test_what_is_not_there_is_a_problem_too(edge: Edge, method: str, path: str, status: int, problem: str) -> None:
    reply = await edge.call(method, path)

    assert (reply.status, reply.problem) == (status, problem)
    assert ("Allow" in reply.headers) == (status == 405)


async def test_every_answer_has_the_headers_of_every_answer(edge: Edge) -> None:
    for reply in (await edge.get("/healthz"), await edge.get("/none"), await edge.send(b"{"), await edge.get("/openapi.json")):
        assert reply.headers["X-Content-Type-Options"] == "nosniff"
        assert reply.headers["Cache-Control"] == "no-store"
        assert reply.headers["X-Correlation-ID"]
        assert reply.headers["traceparent"]
        assert "aiohttp" not in reply.headers.get("Server", "")
        if reply.status >= 400:
            assert reply.json["instance"] == f"urn:uuid:{reply.headers['X-Request-ID']}"


async def test_a_fault_of_ours_tells_nothing_of_the_inside(edge: Edge, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any, **__: Any) -> Any:
        raise RuntimeError("canary of the inside")

    monkeypatch.setattr("edge_api.starting.open_order", fail)

    reply = await edge.send(BODY)

    assert (reply.status, reply.problem) == (500, "internal-error")
    assert b"canary" not in reply.body
