"""Every route of both listeners with every kind of credentials; a new route is closed until it is named."""

import re
from collections.abc import Iterator
from uuid import uuid4

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from edge_api import access, dashboard, doors, keys, openapi
from edge_api.app import ADMIN_ROUTES, CLIENT_ROUTES
from edge_api.clients import KeyRing
from edge_api.doors import admin_door, clients_door
from edge_api.middlewares import answer_problems, identify_request
from edge_api.monitoring import METRICS, EdgeMetrics
from orchestrator.api_keys import Scope
from orchestrator.settings import load_settings
from orchestrator.tracing import Tracer
from sql.connect import open_pool
from tests.integration.edge.credentials import STATIC, TOKEN, Listener, admin_of, bearing, clients_of, make_key
from tests.integration.edge.service import StartEdge

OPEN = "anybody"
# Written down once more, by hand: a route that is added to an edge has to be added here.
CLIENTS = {
    ("POST", "/orders"): "orders",
    ("GET", "/orders"): "orders",
    ("GET", "/orders/{order_ledger_id}"): "orders",
    ("GET", "/orders/{order_ledger_id}/journal"): "orders",
    ("GET", "/orders/{order_ledger_id}/stream"): "orders",
    ("POST", "/orders/{order_ledger_id}/pay"): "orders",
    ("POST", "/orders/{order_ledger_id}/cancel"): "orders",
    ("POST", "/orders/{order_ledger_id}/signals/{name}"): "orders",
    ("GET", "/sagas"): "orders",
    ("POST", "/sagas/{saga}"): "orders",
    ("GET", "/events"): "events",
    ("GET", "/healthz"): OPEN,
    ("GET", "/readyz"): OPEN,
    ("GET", "/openapi.json"): OPEN,
    ("GET", "/docs"): OPEN,
}
ADMIN = {
    **{("GET", path): OPEN for path in dashboard.FILES},
    ("GET", "/healthz"): OPEN,
    ("GET", "/readyz"): OPEN,
    ("GET", "/metrics"): "admin",
    ("GET", "/stream"): "admin",
    ("GET", "/admin/orders/{order_ledger_id}/stream"): "admin",
    ("GET", "/statistics"): "admin",
    ("GET", "/health/participants"): "admin",
    ("GET", "/admin/config"): "admin",
    ("GET", "/admin/config/{saga}"): "admin",
    ("PUT", "/admin/config/{saga}"): "admin",
    ("DELETE", "/admin/config/{saga}"): "admin",
    ("POST", "/admin/config/{saga}/apply"): "admin",
    ("GET", "/admin/config/{saga}/history"): "admin",
    ("GET", "/admin/webhooks"): "admin",
    ("POST", "/admin/webhooks"): "admin",
    ("GET", "/admin/webhooks/{name}"): "admin",
    ("DELETE", "/admin/webhooks/{name}"): "admin",
    ("POST", "/admin/webhooks/{name}/rotate"): "admin",
    ("POST", "/admin/webhooks/{name}/enable"): "admin",
    ("POST", "/admin/webhooks/{name}/disable"): "admin",
    ("GET", "/admin/breakers"): "admin",
    ("POST", "/admin/breakers/{name}/hold"): "admin",
    ("POST", "/admin/breakers/{name}/reset"): "admin",
    ("POST", "/admin/orders/{order_ledger_id}/retry"): "admin",
    ("POST", "/admin/orders/{order_ledger_id}/cancel"): "admin",
    ("POST", "/admin/orders/{order_ledger_id}/pause"): "admin",
    ("POST", "/admin/orders/{order_ledger_id}/resume"): "admin",
    ("POST", "/admin/orders/{order_ledger_id}/skip-step"): "admin",
    ("POST", "/admin/orders/{order_ledger_id}/resolve"): "admin",
    ("GET", "/admin/outbox/dead"): "admin",
    ("POST", "/admin/outbox/dead/{event_id}/replay"): "admin",
    ("POST", "/admin/outbox/dead/replay"): "admin",
    ("GET", "/admin/orders"): "admin",
    ("GET", "/admin/stuck"): "admin",
    ("GET", "/admin/fleet"): "admin",
    ("GET", "/admin/orders/{order_ledger_id}"): "admin",
    ("GET", "/admin/definitions"): "admin",
    ("GET", "/admin/definitions/{saga}"): "admin",
}


def routes_of(tables: tuple[list[web.RouteDef], ...], *, described: bool) -> set[tuple[str, str]]:
    app = web.Application()
    for routes in tables:
        app.add_routes(routes)
    if described:
        openapi.add_to(app, lambda: True)
    return {(route.method, route.resource.canonical) for route in app.router.routes() if route.resource}


def path_to(template: str) -> str:
    """Return a path that fits a route, of things that are not there."""
    named = {"order_ledger_id": str(uuid4()), "event_id": str(uuid4())}
    return re.sub(r"\{(\w+)\}", lambda found: named.get(found[1], "nothing"), template)


def test_every_route_of_the_clients_listener_is_known_here() -> None:
    assert set(CLIENTS) == routes_of(CLIENT_ROUTES, described=True)


def test_every_route_of_the_admin_listener_is_known_here() -> None:
    assert set(ADMIN) == routes_of(ADMIN_ROUTES, described=False)


def test_what_a_route_needs_is_said_once_a_path() -> None:
    assert {path: OPEN if need is access.OPEN else need for path, need in access.CLIENT_ROUTES.items()} == {
        path: who for (_, path), who in CLIENTS.items()
    }
    assert {path for (_, path), who in ADMIN.items() if who == OPEN} == access.ADMIN_OPEN


def test_a_route_of_which_nothing_is_said_stops_the_start() -> None:
    async def tell(_: web.Request) -> web.Response:
        return web.Response()

    app = web.Application()
    app.add_routes([web.get("/secrets", tell)])

    with pytest.raises(LookupError, match="/secrets has no line"):
        access.check_client_routes(app)


async def test_a_route_of_which_nothing_is_said_is_closed_were_it_served_all_the_same(ledger_url: str) -> None:
    async def tell(_: web.Request) -> web.Response:
        return web.Response(text="a secret")

    async with open_pool(ledger_url, name="edge", connections_max=1) as pool:
        door = clients_door(load_settings(), KeyRing(pool, {"shop-key": "shop"}))
        app = web.Application(middlewares=[identify_request, answer_problems, door])
        app.add_routes([web.get("/secrets", tell)])
        app[METRICS] = EdgeMetrics()
        app[keys.TRACER] = Tracer()
        async with TestClient(TestServer(app)) as client:
            for path in ("/secrets", "/", "/shell.js", "/views/overview.js"):
                async with client.get(path) as closed:
                    assert closed.status == 401


async def test_a_new_route_of_the_admin_listener_is_closed(ledger_url: str) -> None:
    async def tell(_: web.Request) -> web.Response:
        return web.Response(text="a secret")

    async with open_pool(ledger_url, name="edge", connections_max=1) as pool:
        door = admin_door(load_settings(admin_token=TOKEN), KeyRing(pool, {}))
        app = web.Application(middlewares=[identify_request, answer_problems, door])
        app.add_routes([web.get("/secrets", tell)])
        app[METRICS] = EdgeMetrics()
        app[keys.TRACER] = Tracer()
        async with TestClient(TestServer(app)) as client:
            async with client.get("/secrets") as closed:
                assert closed.status == 401
            async with client.get("/secrets", headers=bearing(TOKEN)) as opened:
                assert opened.status == 200


async def _statuses(
    listener: Listener, routes: dict[tuple[str, str], str], headers: dict[str, str]
) -> Iterator[tuple[str, int]]:
    """Return what each route needs, and the status of its answer: 0 where the door let the request in."""
    found = []
    for (method, template), who in routes.items():
        body = {} if method in ("POST", "PUT") else None
        reply = await listener.ask(method, path_to(template), json=body, **headers)
        assert reply.status not in (429, 500, 503), (method, template, reply)
        found.append((who, reply.status if reply.status in (401, 403) else 0))
    return iter(found)


async def test_every_route_lets_in_whom_it_should_and_nobody_else(
    start_edge: StartEdge, ledger_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doors, "FAILURES_PER_S", 100_000)
    made = {scope.value: (await make_key(ledger_url, "ann", scope)).key for scope in Scope}
    edge = await start_edge(api_keys=f"ann={STATIC}", admin_token=TOKEN)
    client_scopes, every = {"orders", "events"}, {scope.value for scope in Scope}
    strangers = {
        "nothing": {},
        "another scheme": {"Authorization": f"Basic {STATIC}"},
        "no key": {"Authorization": "Bearer"},
        "a wrong key": bearing("wrong"),
        "a key of the right form": bearing(f"sgl_{'a' * 16}.{'A' * 43}"),
    }
    known = {"the setting's": (STATIC, client_scopes), **{scope: (key, {scope}) for scope, key in made.items()}}

    for listener, routes, token_scopes in ((clients_of(edge), CLIENTS, None), (admin_of(edge), ADMIN, every)):
        for name, headers in strangers.items():
            for who, status in await _statuses(listener, routes, headers):
                assert status == (0 if who == OPEN else 401), (name, who)
        for name, (key, scopes) in known.items():
            for who, status in await _statuses(listener, routes, bearing(key)):
                assert status == (0 if who == OPEN or who in scopes else 403), (name, who)
        for who, status in await _statuses(listener, routes, bearing(TOKEN)):
            assert status == (0 if who == OPEN or token_scopes else 401), ("the admin token", who)


async def test_what_is_no_route_is_told_to_those_only_who_may_come_in(start_edge: StartEdge) -> None:
    edge = await start_edge(api_keys=f"ann={STATIC}", admin_token=TOKEN)

    for listener, key in ((clients_of(edge), STATIC), (admin_of(edge), TOKEN)):
        for method, path, status in (("GET", "/none", 404), ("GET", "/orders/", 404), ("DELETE", "/healthz", 405)):
            without, having = [await listener.ask(method, path, **headers) for headers in ({}, bearing(key))]
            assert without.status == (401 if status == 404 else 405), (method, path)
            assert having.status == status
        # aiohttp knows of no route there; nobody may learn by that which are somewhere else.
        assert (await listener.ask("POST", "/metrics" if key == TOKEN else "/events")).status == 401


async def test_in_dev_without_keys_everybody_comes_in(start_edge: StartEdge) -> None:
    edge = await start_edge()

    for listener, routes in ((clients_of(edge), CLIENTS), (admin_of(edge), ADMIN)):
        assert {status for _, status in await _statuses(listener, routes, {})} == {0}


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Origin": "https://evil.example", "Content-Type": "application/json"}, 403),
        ({"Origin": "null", "Content-Type": "application/json"}, 403),
        ({"Sec-Fetch-Site": "cross-site", "Content-Type": "application/json"}, 403),
        ({"Sec-Fetch-Site": "same-site", "Content-Type": "application/json"}, 403),
        ({"Content-Type": "text/plain"}, 415),
        ({"Content-Type": "application/x-www-form-urlencoded"}, 415),
        ({"Content-Type": "multipart/form-data; boundary=b"}, 415),
        ({"Sec-Fetch-Site": "same-origin", "Origin": "https://behind.example", "Content-Type": "application/json"}, 201),
        ({"Content-Type": "application/json"}, 201),
    ],
)
async def test_a_page_of_another_origin_changes_nothing(start_edge: StartEdge, headers: dict[str, str], status: int) -> None:
    """Even where nobody has to sign in, which is when a browser on the operator's machine is the way in."""
    edge = await start_edge()
    body = b'{"name": "crm", "url": "http://127.0.0.1:9/"}'

    reply = await admin_of(edge).ask("POST", "/admin/webhooks", data=body, **headers)

    assert reply.status == status
    assert len(await edge.rows("select name from event_subscription")) == (1 if status == 201 else 0)
    for path in ("/enable", "/disable", "/rotate"):
        refused = await admin_of(edge).ask("POST", f"/admin/webhooks/crm{path}", data=b"{}", **headers)
        assert (refused.status == status) == (status != 201)


async def test_an_own_page_may_ask_without_a_body(start_edge: StartEdge) -> None:
    edge = await start_edge()
    origin = edge.admin_url

    assert (await admin_of(edge).ask("POST", "/admin/webhooks/none/enable", Origin=origin)).status == 404
    assert (await admin_of(edge).ask("POST", "/admin/webhooks/none/enable", Origin="http://evil.example")).status == 403
    assert (await admin_of(edge).ask("DELETE", "/admin/webhooks/none", Origin="http://evil.example")).status == 403
