"""The operators' page as it is served: its files as they lie, to anybody who can reach the listener; its data to operators."""

import re
from importlib.resources.abc import Traversable
from typing import Any

from edge_api.dashboard import FILES, HEADERS
from tests.integration.edge.service import Edge, Reply, Scripted, StartEdge


async def get(edge: Edge, path: str) -> Reply:
    async with edge.session.get(edge.admin_url + path) as response:
        return Reply(response.status, await response.read(), dict(response.headers))


def script(path: str) -> str:
    return FILES[path].read_text("utf-8")


def members(path: str, name: str) -> set[str]:
    """Return the members that a script reads of a variable."""
    found = set(re.findall(rf"\b{name}\.(\w+)", script(path)))
    assert found, name
    return found


async def test_files_are_served_as_they_lie_under_a_strict_policy_to_anybody(start_edge: StartEdge) -> None:
    edge = await start_edge(admin_token="a-token-of-operators")

    async def check(path: str, file: Traversable) -> None:
        reply = await get(edge, path)
        assert (reply.status, reply.body) == (200, file.read_bytes()), path
        assert reply.headers.items() >= HEADERS.items()
        assert reply.headers["Cache-Control"] == "no-store"
        assert not [name for name in reply.headers if name.lower().startswith(("access-control", "set-cookie"))]

    for path, file in FILES.items():
        await check(path, file)
    for asked in {path for name in FILES if name.endswith(".js") for path in re.findall(r"\bget\(\"(/[^\"]+)\"", script(name))}:
        assert (await get(edge, asked)).status == (200 if asked == "/readyz" else 401), asked


async def test_clients_are_not_served_the_page(start_edge: StartEdge) -> None:
    edge = await start_edge()

    for path in ("/", "/shell.js", "/views/overview.js"):
        assert (await edge.get(path)).status == 404


async def test_what_views_read_is_told(start_edge: StartEdge, payments: Scripted) -> None:
    edge = await start_edge(payments_url=payments.url)
    await edge.place()
    statistics: dict[str, Any] = (await get(edge, "/statistics")).json
    participants = (await get(edge, "/health/participants")).json["participants"]
    (order,) = (await get(edge, "/admin/orders")).json["orders"]
    await edge.rows("update order_ledger set status = 'STUCK'")
    stuck = (await get(edge, "/admin/stuck")).json
    overview = "/views/overview.js"

    assert members(overview, "statistics") <= statistics.keys()
    assert members(overview, "step") <= statistics["steps"][0].keys()
    assert members(overview, "fleet") <= (await get(edge, "/admin/fleet")).json.keys()
    assert members(overview, "one") - {"error"} <= participants["payments"].keys()
    assert members("/views/orders.js", "order") <= order.keys()
    assert members("/views/stuck.js", "told") <= stuck.keys()
    assert members("/views/stuck.js", "order") <= stuck["orders"][0].keys()
    assert members("/views/stuck.js", "of") <= stuck["groups"][0].keys()
