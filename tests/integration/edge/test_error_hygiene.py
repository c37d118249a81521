"""A fault in any handler of either listener: the log says what it was, the answer nothing of the inside."""

import asyncio
from collections.abc import Callable
from uuid import uuid4

import psycopg
import pytest
import structlog
from aiohttp import web
from psycopg_pool import PoolTimeout

from edge_api import app
from tests.integration.edge.service import Edge, StartEdge

CANARY = "canary-7391"
SIGNS = (
    b"canary-7391",
    b"Traceback",
    b"File ",
    b".py",
    b"psycopg",
    b"aiohttp",
    b"Python",
    b"select ",
    b"order_ledger_items",
    b"/tmp",
)
FAULTS: dict[str, tuple[Callable[[], BaseException], int]] = {
    "a mistake": (lambda: RuntimeError(CANARY), 500),
    "a missing member": (lambda: KeyError(CANARY), 500),
    "a broken promise": (lambda: AssertionError(CANARY), 500),
    "a text that is none": (lambda: UnicodeDecodeError("utf-8", CANARY.encode(), 0, 1, CANARY), 500),
    "too deep": (lambda: RecursionError(CANARY), 500),
    "a file": (lambda: FileNotFoundError(2, "No such file", f"/etc/{CANARY}.py"), 500),
    "a wrong statement": (lambda: psycopg.errors.SyntaxError(f"select {CANARY} from order_ledger_items"), 500),
    "a value that no column holds": (lambda: psycopg.DataError(f"select {CANARY}"), 500),
    "an answer of aiohttp's": (lambda: web.HTTPBadGateway(text=CANARY, reason=CANARY), 500),
    "a connection to the ledger": (lambda: psycopg.OperationalError(f"host=db password={CANARY}"), 503),
    "no connection to the ledger": (lambda: PoolTimeout(CANARY), 503),
}


def failing(fault: BaseException) -> Callable[[web.Request], object]:
    async def fail(_: web.Request) -> web.StreamResponse:
        raise fault

    return fail


async def broken_edge(start_edge: StartEdge, monkeypatch: pytest.MonkeyPatch, fault: BaseException) -> Edge:
    """Start an edge each of whose handlers fails; all that stands before them is as it is."""
    for name in ("CLIENT_ROUTES", "ADMIN_ROUTES"):
        broken = [
            [web.route(route.method, route.path, failing(fault), **route.kwargs) for route in routes]
            for routes in getattr(app, name)
        ]
        monkeypatch.setattr(app, name, tuple(broken))
    return await start_edge()


def paths(tables: tuple[list[web.RouteDef], ...]) -> list[tuple[str, str]]:
    named = {"{order_ledger_id}": str(uuid4()), "{event_id}": str(uuid4())}
    found = []
    router = web.UrlDispatcher()
    for routes in tables:
        router.add_routes(routes)
    for route in router.routes():
        assert route.resource is not None
        path = route.resource.canonical
        for part in path.split("/"):
            if part.startswith("{"):
                path = path.replace(part, named.get(part, "nothing"))
        found.append((route.method, path))
    return found


@pytest.mark.parametrize(("make", "status"), FAULTS.values(), ids=FAULTS)
async def test_a_fault_in_any_handler_is_told_to_the_log_only(
    start_edge: StartEdge, monkeypatch: pytest.MonkeyPatch, make: Callable[[], BaseException], status: int
) -> None:
    edge = await broken_edge(start_edge, monkeypatch, make())
    asked = [(edge.url, route) for route in paths(app.CLIENT_ROUTES)] + [
        (edge.admin_url, route) for route in paths(app.ADMIN_ROUTES)
    ]
    assert len(asked) > 35

    for url, (method, path) in asked:
        with structlog.testing.capture_logs() as logged:
            headers = {"Content-Type": "application/json", "Idempotency-Key": "one"} if method in ("POST", "PUT") else {}
            body = b"{}" if headers else None
            async with edge.session.request(method, url + path, data=body, headers=headers) as response:
                told = await response.read()
                told += b"".join(name + value for name, value in response.raw_headers)

        assert response.status == status, (method, path, told)
        assert response.headers["Content-Type"] == "application/problem+json"
        assert [sign for sign in SIGNS if sign in told] == [], (method, path, told)
        assert [entry for entry in logged if entry["log_level"] in ("warning", "error")], (method, path)
        if status == 503:
            assert "Retry-After" in response.headers


async def test_a_handler_that_hangs_is_told_by_its_own_limit(start_edge: StartEdge, monkeypatch: pytest.MonkeyPatch) -> None:
    async def hang(_: web.Request) -> web.StreamResponse:
        await asyncio.Event().wait()
        raise AssertionError

    monkeypatch.setattr("edge_api.middlewares.READ_TIMEOUT_S", 0.2)
    monkeypatch.setattr(app, "CLIENT_ROUTES", ([web.get("/orders", hang, allow_head=False)],))
    edge = await start_edge()

    async with asyncio.timeout(10):
        reply = await edge.get("/orders")

    assert (reply.status, reply.problem) == (503, "unavailable")
