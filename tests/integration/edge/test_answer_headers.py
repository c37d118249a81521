"""The headers of every kind of answer, whole: none more, none fewer, none that tells what serves it."""

import pytest
import pytest_asyncio

from tests.integration.edge.credentials import TOKEN
from tests.integration.edge.service import Edge, Scripted, StartEdge

pytestmark = pytest.mark.asyncio(loop_scope="module")
JSON = {"Content-Type": "application/json"}
KEY = {"Authorization": "Bearer shop-key"}
OPERATOR = {"Authorization": f"Bearer {TOKEN}"}
OF_ALL = {
    "Cache-Control": "no-store",
    "Content-Length": "#",
    "Date": "#",
    "Server": "sagaledger",
    "X-Content-Type-Options": "nosniff",
    "X-Request-Id": "#",
}
OF_SEEN = {**OF_ALL, "X-Correlation-ID": "#", "traceparent": "#"}
"""What the middlewares have seen."""
DOCUMENT = {**OF_SEEN, "Content-Type": "application/json"}
PROBLEM = {**OF_SEEN, "Content-Type": "application/problem+json"}
PAGE = {
    **OF_SEEN,
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self';"
    " base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'",
    "Referrer-Policy": "no-referrer",
}
CLOSED = {"Connection": "close"}
OF_CLIENTS = {
    "GET /healthz": DOCUMENT,
    "GET /readyz": DOCUMENT,
    "GET /openapi.json": DOCUMENT,
    "GET /orders": DOCUMENT,
    "GET /events": DOCUMENT,
    "GET /orders/nothing": PROBLEM,
    "GET /nothing": PROBLEM,
    "DELETE /orders": {**PROBLEM, "Allow": "GET,POST"},
    "GET /orders?limit=0": PROBLEM,
    "GET /orders?customer_id=%ff": {**PROBLEM, **CLOSED},
}
OF_OPERATORS = {
    "GET /": {**PAGE, "Content-Type": "text/html; charset=utf-8"},
    "GET /shell.js": {**PAGE, "Content-Type": "text/javascript; charset=utf-8"},
    "GET /style.css": {**PAGE, "Content-Type": "text/css; charset=utf-8"},
    "GET /metrics": {**OF_SEEN, "Content-Type": "text/plain; version=1.0.0; charset=utf-8"},
    "GET /statistics": DOCUMENT,
    "GET /health/participants": DOCUMENT,
    "GET /admin/config": DOCUMENT,
    "GET /admin/webhooks": DOCUMENT,
    "GET /admin/breakers": DOCUMENT,
    "GET /admin/outbox/dead": DOCUMENT,
    "GET /admin/webhooks/nothing": PROBLEM,
    "POST /admin/webhooks": {**PROBLEM, "Accept-Post": "application/json"},
}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def edge(start_shared_edge: StartEdge, shared_payments: Scripted) -> Edge:
    return await start_shared_edge(payments_url=shared_payments.url, api_keys="shop=shop-key", admin_token=TOKEN)


def shown(headers: dict[str, str], expected: dict[str, str]) -> dict[str, str]:
    """Headers with a sign in place of what is of this answer alone, named as they are expected."""
    names = {name.lower(): name for name in expected}
    found = {names.get(name.lower(), name): value for name, value in headers.items()}
    return {name: "#" if expected.get(name) == "#" else value for name, value in found.items()}


async def assert_answered(
    edge: Edge, url: str, asked: str, expected: dict[str, str], *, data: bytes | None = None, **headers: str
) -> None:
    method, _, path = asked.partition(" ")
    async with edge.session.request(method, url + path, data=data, headers=headers) as response:
        await response.read()
        assert len(response.headers) == len(set(response.headers)), response.headers
        assert shown(dict(response.headers), expected) == expected


@pytest.mark.parametrize(("asked", "expected"), OF_CLIENTS.items(), ids=OF_CLIENTS)
async def test_answers_to_clients(edge: Edge, asked: str, expected: dict[str, str]) -> None:
    await assert_answered(edge, edge.url, asked, expected, **KEY)


@pytest.mark.parametrize(("asked", "expected"), OF_OPERATORS.items(), ids=OF_OPERATORS)
async def test_answers_to_operators(edge: Edge, asked: str, expected: dict[str, str]) -> None:
    await assert_answered(edge, edge.admin_url, asked, expected, **OPERATOR)


async def test_answers_to_who_has_no_key(edge: Edge) -> None:
    refused = {**PROBLEM, "WWW-Authenticate": "Bearer"}
    await assert_answered(edge, edge.url, "GET /orders", refused)
    await assert_answered(edge, edge.admin_url, "GET /admin/config", refused)


async def test_answers_to_an_order(edge: Edge) -> None:
    placed = await edge.place("one", KEY)
    location = {"Location": f"/orders/{placed.id}"}
    body = b'{"customer_id":"17850","currency":"GBP","items":[{"sku":"85123A","quantity":6,"unit_price_minor":255}]}'
    sent = {**KEY, **JSON, "Idempotency-Key": "one"}
    assert shown(placed.headers, {**DOCUMENT, **location}) == {**DOCUMENT, **location}

    await assert_answered(
        edge, edge.url, "POST /orders", {**DOCUMENT, **location, "Idempotency-Replayed": "true"}, data=body, **sent
    )
    await assert_answered(edge, edge.url, "POST /orders", PROBLEM, data=b"{}", **sent)
    await assert_answered(edge, edge.url, "POST /orders", PROBLEM, data=b"{", **sent)
    unsupported = {**PROBLEM, "Accept-Post": "application/json"}
    await assert_answered(edge, edge.url, "POST /orders", unsupported, data=body, **{**sent, "Content-Type": "text/plain"})
    keyless = {**PROBLEM, "Link": '</openapi.json>; rel="service-desc"'}
    await assert_answered(edge, edge.url, "POST /orders", keyless, data=body, **KEY, **JSON)
    too_large = await edge.send(b" " * (2**20 + 1), **sent)
    assert shown(too_large.headers, PROBLEM) == {**PROBLEM, **CLOSED}


async def test_answers_to_what_comes_too_often(start_shared_edge: StartEdge) -> None:
    edge = await start_shared_edge(rate_per_s=0.001, rate_burst=1)
    await edge.get("/orders")

    await assert_answered(edge, edge.url, "GET /orders", {**PROBLEM, "Retry-After": "1000"})


@pytest.mark.parametrize(
    ("request_", "expected"),
    [
        (b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nA B: c\r\n\r\n", OF_ALL),
        (b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nExpect: 200-ok\r\n\r\n", {**OF_ALL, **CLOSED}),
        (b"GET /healthz HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n", {**OF_SEEN, **CLOSED}),
    ],
    ids=["no HTTP", "an expectation", "another host"],
)
async def test_answers_to_what_no_client_sends(edge: Edge, request_: bytes, expected: dict[str, str]) -> None:
    head, _, _ = (await edge.raw(request_, edge.admin_url)).partition(b"\r\n\r\n")
    headers = dict(line.split(": ", 1) for line in head.decode().split("\r\n")[1:])

    expected = {**expected, "Content-Type": "application/problem+json"}
    assert shown(headers, expected) == expected
