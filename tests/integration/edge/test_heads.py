"""What the head of a request may be: all else that comes over a socket is refused with a problem, and is no fault of ours."""

from collections.abc import AsyncIterator

import orjson
import pytest
import pytest_asyncio
import structlog

from edge_api.heads import HEAD_BYTES_MAX
from tests.integration.edge.service import ORDER, Edge, Scripted, StartEdge

pytestmark = pytest.mark.asyncio(loop_scope="module")
BODY = orjson.dumps(ORDER)
LENGTH = b"Content-Length: %d" % len(BODY)
CHUNK = b"%x\r\n%b\r\n0\r\n\r\n" % (len(BODY), BODY)
MALFORMED = (400, b"malformed-request")
INVALID_QUERY = (400, b"invalid-query")
NO_ORDER = (404, b"order-not-found")
NOTHING = (404, b"not-found")
UNSUPPORTED = (415, b"unsupported-media-type")
FINE = (200, b"")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared_edge(start_shared_edge: StartEdge, shared_payments: Scripted) -> Edge:
    return await start_shared_edge(payments_url=shared_payments.url)


@pytest_asyncio.fixture(loop_scope="module")
async def edge(shared_edge: Edge) -> AsyncIterator[Edge]:
    with structlog.testing.capture_logs() as logged:
        yield shared_edge
    assert [entry for entry in logged if entry["log_level"] in ("warning", "error")] == []
    assert await shared_edge.orders() == []


def get(
    target: bytes, *lines: bytes, version: bytes = b"HTTP/1.1", method: bytes = b"GET", host: bytes = b"Host: edge"
) -> bytes:
    head = [b"%b %b %b" % (method, target, version), host, b"Connection: close", *lines]
    return b"\r\n".join([*(line for line in head if line), b"", b""])


def post(*lines: bytes, body: bytes = BODY) -> bytes:
    """An order that is well but for some lines: the request of each case must be refused for them."""
    given = [b"POST /orders HTTP/1.1", b"Host: edge", b"Connection: close", b"Idempotency-Key: one", *lines]
    return b"\r\n".join([*given, b"", b""]) + body


JSON = b"Content-Type: application/json"
OF_ANY_LISTENER = {
    "version 0.9": (b"GET /healthz\r\n\r\n", MALFORMED),
    "version 1.9": (get(b"/healthz", version=b"HTTP/1.9"), MALFORMED),
    "version 2.0": (get(b"/healthz", version=b"HTTP/2.0"), MALFORMED),
    "preface of HTTP/2": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", MALFORMED),
    "TLS": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(50), MALFORMED),
    "bare line feeds": (b"GET /healthz HTTP/1.1\nHost: edge\n\n", MALFORMED),
    "unknown method": (get(b"/healthz", method=b"FOO"), MALFORMED),
    "a method in lower case": (get(b"/healthz", method=b"get"), MALFORMED),
    "CONNECT": (get(b"other:443", method=b"CONNECT"), NOTHING),
    "OPTIONS *": (get(b"*", method=b"OPTIONS"), NOTHING),
    "TRACE": (get(b"/healthz", method=b"TRACE"), (405, b"method-not-allowed")),
    "a long line": (get(b"/healthz?" + b"a" * 9_000), MALFORMED),
    "300 headers": (get(b"/healthz", *[b"X-%d: a" % n for n in range(300)]), MALFORMED),
    "large headers": (get(b"/healthz", *[b"X-%d: %b" % (n, b"a" * 8_000) for n in range(5)]), (431, b"head-too-large")),
    "one large header": (get(b"/healthz", b"X: " + b"a" * 9_000), MALFORMED),
    "a name with a space": (get(b"/healthz", b"X Y: a"), MALFORMED),
    "a space before the colon": (get(b"/healthz", b"X : a"), MALFORMED),
    "no Host": (get(b"/healthz", host=b""), MALFORMED),
    "Host twice": (get(b"/healthz", b"Host: edge"), MALFORMED),
    "an empty Host": (get(b"/healthz", host=b"Host: "), MALFORMED),
    "two hosts": (get(b"/healthz", host=b"Host: a b"), MALFORMED),
    "a Host of other bytes": (get(b"/healthz", host=b"Host: \xff"), MALFORMED),
    "half an address": (get(b"/healthz", host=b"Host: [::1"), MALFORMED),
    "Authorization twice": (get(b"/healthz", b"Authorization: Bearer a", b"authorization: Bearer b"), MALFORMED),
    "Content-Type twice": (get(b"/healthz", JSON, b"content-type: text/plain"), MALFORMED),
    "Content-Length twice": (get(b"/healthz", b"Content-Length: 0", b"Content-Length: 0"), MALFORMED),
    "Content-Length below 0": (get(b"/healthz", b"Content-Length: -1"), MALFORMED),
    "Content-Length with a sign": (get(b"/healthz", b"Content-Length: +1"), MALFORMED),
    "two lengths in a line": (get(b"/healthz", b"Content-Length: 0, 0"), MALFORMED),
    "Content-Length beyond 64 bits": (get(b"/healthz", b"Content-Length: " + b"9" * 30), MALFORMED),
    "an unknown expectation": (get(b"/healthz", b"Expect: 200-ok"), (417, b"expectation-failed")),
    "a target of other bytes": (get(b"/\xff"), MALFORMED),
    "a path that is no UTF-8": (get(b"/%ff"), MALFORMED),
    "an overlong path": (get(b"/%c0%af"), MALFORMED),
    "a surrogate in the path": (get(b"/%ed%a0%80"), MALFORMED),
    "a query that is no UTF-8": (get(b"/healthz?a=%ff"), MALFORMED),
    "U+0000 in the path": (get(b"/%00"), NOTHING),
    "half an escape": (get(b"/%zz%"), NOTHING),
    "dots": (get(b"/none/../healthz"), NOTHING),
    "two slashes": (get(b"//healthz"), NOTHING),
    "a broken address as target": (get(b"http://[::1/healthz"), MALFORMED),
    "an upgrade that nobody offers": (get(b"/healthz", b"Upgrade: h2c", b"HTTP2-Settings: a"), FINE),
    "empty lines first": (b"\r\n\r\n" + get(b"/healthz"), FINE),
}
OF_CLIENTS = {
    "HTTP/1.0 without Host": (get(b"/healthz", version=b"HTTP/1.0", host=b""), FINE),
    "a whole address as target": (get(b"http://edge/healthz"), FINE),
    "no length": (post(JSON), MALFORMED),
    "length and chunks": (post(JSON, LENGTH, b"Transfer-Encoding: chunked"), MALFORMED),
    "chunks in HTTP/1.0": (
        post(JSON, b"Transfer-Encoding: chunked", body=CHUNK).replace(b"HTTP/1.1", b"HTTP/1.0"),
        MALFORMED,
    ),
    "an unknown coding of chunks": (post(JSON, b"Transfer-Encoding: xchunked", body=CHUNK), MALFORMED),
    "identity as coding": (post(JSON, b"Transfer-Encoding: identity", LENGTH), MALFORMED),
    "a chunk below 0": (post(JSON, b"Transfer-Encoding: chunked", body=b"-5\r\n"), MALFORMED),
    "a chunk beyond 64 bits": (post(JSON, b"Transfer-Encoding: chunked", body=b"f" * 20 + b"\r\n"), MALFORMED),
    "a body that claims to be packed": (post(JSON, LENGTH, b"Content-Encoding: gzip"), UNSUPPORTED),
    "packed by the second line": (post(JSON, LENGTH, b"Content-Encoding: identity", b"Content-Encoding: gzip"), UNSUPPORTED),
    "a type of other bytes": (post(b"Content-Type: application/j\xffson", LENGTH), UNSUPPORTED),
    "a type that is cut off": (post(b'Content-Type: application/json; charset="utf', LENGTH), UNSUPPORTED),
    "an order that is no UTF-8": (get(b"/orders/%ff"), MALFORMED),
    "an order that is U+0000": (get(b"/orders/%00"), NO_ORDER),
    "half an escape as order": (get(b"/orders/%"), NO_ORDER),
    "U+0000 as value": (get(b"/orders?customer_id=%00"), INVALID_QUERY),
    "U+0000 as name": (get(b"/orders?metadata.%00=1"), INVALID_QUERY),
    "U+0000 as cursor": (get(b"/orders?cursor=%00"), INVALID_QUERY),
    "U+0000 as an event's cursor": (get(b"/events?after=%00"), INVALID_QUERY),
    "a filter that is no UTF-8": (get(b"/orders?customer_id=%ff"), MALFORMED),
    "a label that is no UTF-8": (get(b"/orders?metadata.%ff=%ff"), MALFORMED),
    "U+0000 as saga": (post(JSON, LENGTH).replace(b"/orders", b"/sagas/%00"), NOTHING),
}


def told(answer: bytes) -> tuple[int, bytes]:
    """Status and type of an answer; every one that is an error is a problem, and none tells what serves it."""
    assert b"aiohttp" not in answer
    assert b"Python" not in answer
    head, _, body = answer.partition(b"\r\n\r\n")
    status = int(head.split(b" ", 2)[1])
    assert (b"application/problem+json" in head) == (status >= 400)
    return status, orjson.loads(body)["type"].rpartition("/")[2].encode() if status >= 400 else b""


@pytest.mark.parametrize(("request_", "expected"), OF_ANY_LISTENER.values(), ids=OF_ANY_LISTENER)
async def test_a_head_is_refused_by_both_listeners_alike(edge: Edge, request_: bytes, expected: tuple[int, bytes]) -> None:
    assert told(await edge.raw(request_)) == expected
    assert told(await edge.raw(request_.replace(b"Host: edge", b"Host: localhost"), edge.admin_url)) == expected


@pytest.mark.parametrize(("request_", "expected"), OF_CLIENTS.values(), ids=OF_CLIENTS)
async def test_a_request_that_is_wrong_is_refused(edge: Edge, request_: bytes, expected: tuple[int, bytes]) -> None:
    assert told(await edge.raw(request_)) == expected


async def test_the_heads_of_these_cases_are_just_too_large() -> None:
    assert HEAD_BYTES_MAX < 5 * 8_000
    assert HEAD_BYTES_MAX >= 4 * 8_000
