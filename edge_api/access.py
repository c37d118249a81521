"""Who may use which route: one table a listener. A route that stands in neither is closed, and stops the start.

On the clients' listener a route needs a scope of the caller's key. On the admin listener every route needs the scope `admin`
(or the admin token) but for those that are named here as open: they tell nothing but that the process runs, or are the files
of a page that has no data of its own.
"""

from collections.abc import Collection, Mapping
from enum import Enum
from typing import Final, Literal

from aiohttp import web

from edge_api import dashboard
from orchestrator.api_keys import Scope


class Door(Enum):
    """What is said of a route instead of a scope. It is no None, which is what a table says of a path that it does not name."""

    OPEN = "open"


OPEN: Final = Door.OPEN
"""Of a route that needs no key."""
Need = Scope | Literal[Door.OPEN]
CLIENT_ROUTES: Final[Mapping[str, Need]] = {
    "/orders": Scope.ORDERS,
    "/orders/{order_ledger_id}": Scope.ORDERS,
    "/orders/{order_ledger_id}/journal": Scope.ORDERS,
    "/orders/{order_ledger_id}/stream": Scope.ORDERS,
    "/orders/{order_ledger_id}/pay": Scope.ORDERS,
    "/orders/{order_ledger_id}/cancel": Scope.ORDERS,
    "/orders/{order_ledger_id}/signals/{name}": Scope.ORDERS,
    "/sagas": Scope.ORDERS,
    "/sagas/{saga}": Scope.ORDERS,
    "/events": Scope.EVENTS,
    "/healthz": OPEN,
    "/readyz": OPEN,
    "/openapi.json": OPEN,
    "/docs": OPEN,
}
"""What each route of the clients' listener needs, whatever the method."""
ADMIN_OPEN: Final = frozenset({"/healthz", "/readyz", *dashboard.FILES})
"""What the admin listener shows to anybody who can reach it: that it runs, and the files of the page."""


def path_of(request: web.Request, known: Collection[str]) -> str | None:
    """Return the template of the route that a request is for, or its path where only the method is wrong; None for no route.

    Args:
        request: The request.
        known: The paths of its listener's table.
    """
    resource = request.match_info.route.resource
    if resource is not None:
        return resource.canonical
    # Of a path that is served with another method, aiohttp tells no more than that.
    return request.path if request.path in known else None


def check_client_routes(app: web.Application) -> None:
    """See that it is said of every route who may use it.

    Raises:
        LookupError: It is not of one, which nobody is to find out by using it.
    """
    for route in app.router.routes():
        path = route.resource.canonical if route.resource is not None else ""
        if path not in CLIENT_ROUTES:
            raise LookupError(f"{route.method} {path} has no line in edge_api.access.CLIENT_ROUTES")
