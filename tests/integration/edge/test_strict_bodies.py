"""A body that is not strict JSON, or too large: every route that reads one refuses it alike, and keeps nothing."""

import io

import pytest
import pytest_asyncio

from tests.integration.edge.routes import routes_with_a_body
from tests.integration.edge.service import Edge, Reply, Scripted, StartEdge

pytestmark = pytest.mark.asyncio(loop_scope="module")
NOT_STRICT = {
    "nothing": b"",
    "cut off": b'{"a":1',
    "a member twice": b'{"reason":"a","reason":"b"}',
    "NaN": b'{"a":NaN}',
    "Infinity": b'{"a":-Infinity}',
    "beyond a double": b'{"a":1e400}',
    "beyond 64 bits": b'{"a":99999999999999999999}',
    "33 deep": b'{"a":' + b"[" * 32 + b"]" * 32 + b"}",
    "100,000 deep": b"[" * 100_000,
    "half a surrogate": b'{"a":"\\ud800"}',
    "half a surrogate in a name": b'{"\\udc00":1}',
    "a byte order mark": b"\xef\xbb\xbf{}",
    "UTF-16": '{"a":1}'.encode("utf-16"),
    "no UTF-8": b'{"a":"\xff"}',
    "overlong UTF-8": b'{"a":"\xc0\xaf"}',
    "two documents": b"{}{}",
    "a comment": b"{}//",
    "single quotes": b"{'a':1}",
}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def edge(start_shared_edge: StartEdge, shared_payments: Scripted) -> Edge:
    return await start_shared_edge(payments_url=shared_payments.url)


async def sent(edge: Edge, url: str, method: str, path: str, body: bytes, **headers: str) -> Reply:
    given = {"Content-Type": "application/json", "Idempotency-Key": f"key-{next(edge.keys)}", **headers}
    data = io.BytesIO(body) if len(body) > 2**20 else body
    async with edge.session.request(method, url + path, data=data, headers=given) as response:
        return Reply(response.status, await response.read(), dict(response.headers))


async def refusals(edge: Edge, body: bytes, **headers: str) -> set[tuple[int, str]]:
    """How all routes that read a body answer it; nothing may be there afterwards that was not before."""
    routes = await routes_with_a_body(edge)
    before = [await edge.rows(f"select * from {table}") for table in ("order_ledger", "saga_config", "event_subscription")]
    assert len(routes) >= 11
    replies = [await sent(edge, url, method, path, body, **headers) for url, method, path in routes]
    after = [await edge.rows(f"select * from {table}") for table in ("order_ledger", "saga_config", "event_subscription")]
    assert after == before
    return {(reply.status, reply.problem) for reply in replies}


@pytest.mark.parametrize("body", NOT_STRICT.values(), ids=NOT_STRICT)
async def test_what_is_not_strict_json_is_refused_by_every_route(edge: Edge, body: bytes) -> None:
    assert await refusals(edge, body) == {(400, "malformed-json")}


async def test_what_no_column_holds_is_refused_by_every_route(edge: Edge) -> None:
    assert await refusals(edge, b'{"a\\u0000":1}') == {(422, "validation-error")}
    assert await refusals(edge, b'{"reason":"\\u0000"}') == {(422, "validation-error")}


async def test_an_unknown_member_and_what_is_no_object_are_refused_by_every_route(edge: Edge) -> None:
    assert await refusals(edge, b'{"nothing_of_this_name":1}') == {(422, "validation-error")}
    assert await refusals(edge, b"[]") == {(422, "validation-error")}
    assert await refusals(edge, b"null") == {(422, "validation-error")}


@pytest.mark.parametrize(
    "content_type", ["text/plain", "application/x-www-form-urlencoded", "application/json; charset=utf-16"]
)
async def test_what_is_called_something_else_is_refused_by_every_route(edge: Edge, content_type: str) -> None:
    assert await refusals(edge, b"{}", **{"Content-Type": content_type}) == {(415, "unsupported-media-type")}


async def test_what_is_packed_is_refused_by_every_route(edge: Edge) -> None:
    assert await refusals(edge, b"{}", **{"Content-Encoding": "gzip"}) == {(415, "unsupported-media-type")}


async def test_what_is_too_large_is_refused_by_every_route(edge: Edge) -> None:
    assert await refusals(edge, b" " * (2**20 + 1)) == {(413, "payload-too-large")}
