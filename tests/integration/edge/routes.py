"""The routes of an edge, found where the edge has them."""

import re
from uuid import uuid4

from edge_api.app import ADMIN_ROUTES, CLIENT_ROUTES
from tests.integration.edge.service import Edge


async def routes_with_a_body(edge: Edge) -> list[tuple[str, str, str]]:
    """Listener, method and path of every route that reads a body."""
    order = (await edge.place()).id
    named = {"order_ledger_id": order, "event_id": str(uuid4()), "saga": "place_order"}
    found = []
    for url, tables in ((edge.url, CLIENT_ROUTES), (edge.admin_url, ADMIN_ROUTES)):
        for route in (route for routes in tables for route in routes if route.method in ("POST", "PUT")):
            path = re.sub(r"\{(\w+)(:[^/]*)?\}", lambda part: named.get(part[1], "nothing"), route.path)
            # A signal is looked for before its form is known, and what acts on a thing by its name alone reads nothing.
            if not re.search(r"/(signals/nothing|enable|replay)$", path):
                found.append((url, route.method, path))
    return found
