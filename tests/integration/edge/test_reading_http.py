"""What clients read over HTTP, from a real ledger."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from pydantic import BaseModel

from edge_api import answers, keys, reading
from edge_api.clients import KeyRing
from edge_api.doors import clients_door
from edge_api.middlewares import answer_problems, identify_request
from edge_api.monitoring import METRICS, EdgeMetrics
from edge_api.problems import BASE
from orchestrator.outcome import Unknown
from orchestrator.settings import load_settings
from orchestrator.tracing import Tracer
from sql.connect import open_pool
from sql.models import Status
from tests.integration.audit.shop import Shop, place_every_shape, scripted


@dataclass
class Edge:
    """The read side of an edge with the clients `client` and `other`, on a ledger that a shop fills."""

    shop: Shop
    client: TestClient[Any, Any]

    async def get(self, path: str, status: int = 200, key: str = "k1") -> Any:
        async with self.client.get(path, headers={"Authorization": f"Bearer {key}"}) as response:
            assert response.status == status, await response.text()
            assert response.headers["Cache-Control"] == "no-store"
            return await response.json(content_type=None)


@pytest.fixture
async def edge(ledger_url: str) -> AsyncIterator[Edge]:
    async with open_pool(ledger_url, name="edge", connections_max=2, role="sagaledger_edge") as pool:
        door = clients_door(load_settings(), KeyRing(pool, {"k1": "client", "k2": "other"}))
        app = web.Application(middlewares=[identify_request, answer_problems, door])
        app.add_routes(reading.ROUTES)
        app[keys.POOL] = pool
        app[keys.SEES_ALL_CLIENTS] = False
        app[METRICS] = EdgeMetrics()
        app[keys.TRACER] = Tracer()
        async with (
            await psycopg.AsyncConnection.connect(ledger_url, autocommit=True) as conn,
            TestClient(TestServer(app)) as client,
        ):
            shop = Shop(conn, scripted())
            await shop.open()
            yield Edge(shop, client)


def _holds(model: type[BaseModel], document: Any) -> None:
    """Check that an answer has every member of its model and no other."""
    model.model_validate(document)
    assert model.model_fields.keys() == document.keys()


async def test_an_order_is_as_the_contract_says(edge: Edge) -> None:
    await place_every_shape(edge.shop)
    listed = (await edge.get("/orders"))["orders"]

    for summary in listed:
        order = await edge.get(summary["links"]["self"])
        journal = await edge.get(summary["links"]["journal"])
        _holds(answers.OrderSummary, summary)
        _holds(answers.Order, order)
        _holds(answers.Journal, journal)
        # What was begun on it is shown with the order itself only.
        assert {name: order[name] for name in summary} | {"links": summary["links"]} == summary
        assert summary["links"].items() <= order["links"].items()
        assert order["created_at"].endswith("Z")
        assert journal["entries"][0]["seq"] == 1
    assert len({order["status"] for order in listed}) >= 4


@pytest.mark.parametrize("suffix", ["", "/journal"])
async def test_what_is_not_mine_looks_like_what_is_not_there(edge: Edge, suffix: str) -> None:
    order_ledger_id = (await edge.shop.place("one")).row.order_ledger_id
    await edge.get(f"/orders/{order_ledger_id}{suffix}")

    wrong = [
        await edge.get(f"/orders/{order_ledger_id}{suffix}", 404, key="k2"),
        await edge.get(f"/orders/{uuid4()}{suffix}", 404),
        await edge.get(f"/orders/no-id{suffix}", 404),
        await edge.get(f"/orders/{order_ledger_id.hex}{suffix}", 404),
        await edge.get(f"/orders/%00{suffix}", 404),
    ]

    for problem in wrong:
        assert problem.pop("instance").startswith("urn:uuid:")
        assert problem == wrong[0]
    assert wrong[0]["type"] == BASE + "order-not-found"


async def test_a_list_holds_only_my_orders(edge: Edge) -> None:
    await edge.shop.receive("one")

    assert len((await edge.get("/orders"))["orders"]) == 1
    assert await edge.get("/orders", key="k2") == {"orders": [], "next_cursor": None}


@pytest.mark.parametrize("limit", [1, 3, 6, 7])
async def test_pages_hold_every_order_once_where_times_are_equal(edge: Edge, limit: int) -> None:
    for number in range(6):
        await edge.shop.receive(f"key-{number}")
    await edge.shop.conn.execute("update order_ledger set created_at = '2026-01-01T00:00:00.5Z'")

    page = await edge.get(f"/orders?limit={limit}")
    seen = page["orders"]
    pages = 1
    while page["next_cursor"]:
        page = await edge.get(f"/orders?limit={limit}&cursor={page['next_cursor']}")
        assert page["orders"]
        seen += page["orders"]
        pages += 1

    assert sorted(order["client_request_id"] for order in seen) == [f"key-{number}" for number in range(6)]
    assert pages == -(-6 // limit)


async def test_filters_are_read_from_the_query(edge: Edge) -> None:
    await edge.shop.place("done")
    await edge.shop.place("waiting", scripted(create_order=Unknown("no answer")), customer_id="a&b")
    await edge.shop.conn.execute(
        """update order_ledger set metadata = '{"channel.x": "wéb"}', created_at = '2026-01-01T12:00:00Z'
        where client_request_id = 'waiting'"""
    )

    async def found(query: str) -> set[str]:
        return {order["client_request_id"] for order in (await edge.get(f"/orders?{query}"))["orders"]}

    assert await found("status=COMPLETED") == {"done"}
    assert await found("status=COMPLETED,RUNNING") == {"done", "waiting"}
    assert await found("status=COMPLETED&status=RUNNING") == {"done", "waiting"}
    assert await found("status=RUNNING") == {"waiting"}
    assert await found("customer_id=a%26b") == {"waiting"}
    assert await found("client_request_id=done") == {"done"}
    assert await found("saga=place_order&metadata.channel.x=w%C3%A9b") == {"waiting"}
    assert await found("metadata.channel.x=shop") == set()
    assert await found("since=2026-01-01T13:00:00%2B01:00") == {"done", "waiting"}
    assert await found("since=2026-01-01T12:00:00.000001Z") == {"done"}


@pytest.mark.parametrize(
    ("query", "named"),
    [
        ("status=DONE", "'DONE'"),
        ("status=COMPLETED,", "''"),
        ("status=completed", "'completed'"),
        ("colour=red", "'colour'"),
        ("metadata.=red", "'metadata.'"),
        ("saga=a&saga=b", "'saga'"),
        ("since=2026-01-01", "'since'"),
        ("since=2026-01-01T12:00:00", "'since'"),
        ("since=2026-02-30T12:00:00Z", "'since'"),
        ("since=0001-01-01T00:00:00%2B01:00", "'since'"),
        ("since=2026-01-01T12:00:00+01:00", "%2B"),
        ("cursor=abc", "'cursor'"),
        ("cursor=", "'cursor'"),
        ("limit=0", "'limit'"),
        ("limit=201", "'limit'"),
        ("limit=1e2", "'limit'"),
        ("limit=%D9%A1", "'limit'"),
        ("saga=%00", "U+0000"),
        ("metadata.%00=x", "U+0000"),
    ],
)
async def test_a_wrong_query_is_refused_by_name(edge: Edge, query: str, named: str) -> None:
    problem = await edge.get(f"/orders?{query}", 400)

    assert problem["type"] == BASE + "invalid-query"
    assert named in problem["detail"]


async def test_the_longest_page_and_every_status_are_accepted(edge: Edge) -> None:
    await edge.get(f"/orders?limit=200&status={','.join(Status)}")


async def test_bytes_that_are_no_text_find_nothing(edge: Edge) -> None:
    await edge.shop.receive("one")

    assert (await edge.get("/orders?customer_id=%FF%fe"))["orders"] == []
    assert (await edge.get("/orders?metadata.%ED%A0%80=%ED%A0%80"))["orders"] == []
