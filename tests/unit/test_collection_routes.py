"""The collection of requests, held against the routes of both listeners."""

import re
from typing import Any
from urllib.parse import urlsplit

from aiohttp import web

from edge_api import dashboard, openapi
from edge_api.app import ADMIN_ROUTES, CLIENT_ROUTES
from tests.documents import ROOT
from tests.http_files import filled, read_requests

ANY_ORDER = "6bbd10e3-aec5-81bc-b506-e1a828f20025"
VARIABLES, REQUESTS = read_requests(ROOT / "docs/sagaledger.http")


class Whatever(dict[str, Any]):
    """The answer to any request, as far as a path needs it."""

    def __missing__(self, name: str) -> Any:
        return self if name != "order_ledger_id" else ANY_ORDER


def routes_of(tables: tuple[list[web.RouteDef], ...], *, described: bool) -> dict[tuple[str, str], re.Pattern[str]]:
    """Return what the paths of each route look like, by method and template."""
    app = web.Application()
    for routes in tables:
        app.add_routes(routes)
    if described:
        openapi.add_to(app, lambda: True)
    known = [(route.method, route.resource.canonical) for route in app.router.routes() if route.resource]
    return {(method, path): re.compile(re.sub(r"\{\w+\}", "[^/]+", path.replace(".", r"\."))) for method, path in known}


def asked_of(listener: str) -> list[tuple[str, str]]:
    """Return method and path of each request to a listener; a WebSocket begins as a GET."""
    listeners = {name: f"{name.removesuffix('_ws')}:" for name in ("edge", "edge_ws", "admin", "admin_ws")}
    urls = [(r.method, filled(r.url, VARIABLES | listeners, Whatever())) for r in REQUESTS]
    return [
        ("GET" if method == "WEBSOCKET" else method, urlsplit(url.removeprefix(f"{listener}:")).path)
        for method, url in urls
        if url.startswith(f"{listener}:")
    ]


def missing(known: dict[tuple[str, str], re.Pattern[str]], asked: list[tuple[str, str]]) -> set[tuple[str, str]]:
    return {
        (method, template)
        for (method, template), pattern in known.items()
        if not any(asked_method == method and pattern.fullmatch(path) for asked_method, path in asked)
    }


def test_no_route_of_the_clients_listener_is_missing() -> None:
    assert missing(routes_of(CLIENT_ROUTES, described=True), asked_of("edge")) == set()


def test_no_route_of_the_admin_listener_is_missing() -> None:
    files = {("GET", path) for path in dashboard.FILES} - {("GET", "/")}

    assert missing(routes_of(ADMIN_ROUTES, described=False), asked_of("admin")) - files == set()


def test_every_request_is_for_a_route_that_is_there() -> None:
    for listener, tables in (("edge", CLIENT_ROUTES), ("admin", ADMIN_ROUTES)):
        known = routes_of(tables, described=listener == "edge")
        for method, path in asked_of(listener):
            assert any(method == of and pattern.fullmatch(path) for (of, _), pattern in known.items()), (method, path)


def test_statuses_of_all_kinds_are_shown() -> None:
    assert {200, 201, 202, 204, 402, 404, 422} <= {request.answers for request in REQUESTS}
