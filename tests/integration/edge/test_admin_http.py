"""Probes, metrics, statistics and the participants' health, with the ledger there and away."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import aiohttp
import psycopg
import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer, unused_port
from prometheus_client.parser import text_string_to_metric_families
from psycopg_pool import AsyncConnectionPool

from edge_api import keys, monitoring
from edge_api.middlewares import answer_problems, identify_request
from edge_api.monitoring import METRICS, PROBES, READY, EdgeMetrics
from edge_api.problems import CONTENT_TYPE
from orchestrator.fleet import Fleet
from orchestrator.outcome import Unknown
from orchestrator.settings import load_settings
from orchestrator.tracing import Tracer
from sql.connect import open_pool
from tests.integration.audit.shop import Shop, scripted


@dataclass
class Edge:
    """An edge's monitoring routes on one listener, and the shop that fills its ledger."""

    shop: Shop
    client: TestClient[Any, Any]
    pool: AsyncConnectionPool[Any]
    ready: asyncio.Event

    async def get(self, path: str, status: int = 200) -> Any:
        async with self.client.get(path) as response:
            assert response.status == status, await response.text()
            assert response.headers["Cache-Control"] == "no-store"
            if status != 200:
                assert response.content_type == CONTENT_TYPE
            return await response.json(content_type=None)

    async def scrape(self) -> dict[tuple[str, ...], float]:
        """Return every sample by its name and the values of its labels."""
        async with self.client.get("/metrics") as response:
            assert response.status == 200
            assert response.content_type == "text/plain"
            families = text_string_to_metric_families(await response.text())
        return {(s.name, *s.labels.values()): s.value for family in families for s in family.samples}


@pytest.fixture
async def participants() -> AsyncIterator[dict[str, str]]:
    """Addresses of participants: one is up, one is ill, one redirects, one hangs, one is not there."""

    async def answer(_request: web.Request) -> web.Response:
        return web.json_response({"status": "ok"})

    async def fail(_request: web.Request) -> web.Response:
        raise web.HTTPServiceUnavailable

    async def redirect(_request: web.Request) -> web.Response:
        raise web.HTTPFound("/orders/healthz")

    async def hang(_request: web.Request) -> web.Response:
        await asyncio.Event().wait()
        return web.Response()

    app = web.Application()
    for name, handler in (("orders", answer), ("inventory", fail), ("payments", redirect), ("shipping", hang)):
        app.router.add_get(f"/{name}/healthz", handler)
    async with TestServer(app) as server:
        served = {name: str(server.make_url(f"/{name}")) for name in ("orders", "inventory", "payments", "shipping")}
        yield {**served, "notifications": f"http://127.0.0.1:{unused_port()}"}


@pytest.fixture
async def edge(ledger_url: str, participants: dict[str, str]) -> AsyncIterator[Edge]:
    app = web.Application(middlewares=[identify_request, answer_problems])
    app.add_routes(monitoring.CLIENT_ROUTES)
    app.add_routes(monitoring.ADMIN_ROUTES)
    app[METRICS] = EdgeMetrics()
    app[keys.TRACER] = Tracer()
    app[READY] = ready = asyncio.Event()
    app[keys.SETTINGS] = load_settings(**{f"{name}_url": url for name, url in participants.items()})
    ready.set()
    async with (
        open_pool(ledger_url, name="edge", connections_max=2, role="sagaledger_edge") as pool,
        await psycopg.AsyncConnection.connect(ledger_url, autocommit=True) as conn,
        aiohttp.ClientSession() as app[PROBES],
    ):
        app[keys.POOL] = pool
        app[keys.SEES_ALL_CLIENTS] = True
        app[keys.FLEET] = Fleet(pool, app[keys.SETTINGS], app[METRICS].breaker_state)
        shop = Shop(conn, scripted())
        await shop.open()
        async with TestClient(TestServer(app)) as client:
            yield Edge(shop, client, pool, ready)


async def test_a_running_edge_is_alive_and_ready(edge: Edge) -> None:
    assert await edge.get("/healthz") == {"status": "ok"}
    assert await edge.get("/readyz") == {"status": "ready", "takes_orders": True}


async def test_an_edge_that_starts_or_stops_is_alive_but_not_ready(edge: Edge) -> None:
    edge.ready.clear()

    assert (await edge.get("/readyz", 503))["retryable"] is True
    assert await edge.get("/healthz") == {"status": "ok"}


async def test_an_edge_whose_ledger_does_not_answer_is_alive_but_not_ready(edge: Edge) -> None:
    async with edge.pool.connection(), edge.pool.connection():
        began_s = asyncio.get_running_loop().time()
        await edge.get("/readyz", 503)

        assert asyncio.get_running_loop().time() - began_s < monitoring.LEDGER_TIMEOUT_S + 0.5
        await edge.get("/healthz")


async def test_an_edge_whose_ledger_is_gone_is_not_ready(edge: Edge) -> None:
    await edge.pool.close()

    await edge.get("/readyz", 503)
    await edge.get("/statistics", 503)


async def test_metrics_tell_what_is_active(edge: Edge) -> None:
    await edge.shop.place("done")
    await edge.shop.place("waiting", scripted(create_order=Unknown("no answer")))

    samples = await edge.scrape()
    await edge.shop.retry_now()
    await edge.shop.run()
    later = await edge.scrape()

    assert samples["saga_active", "place_order", "RUNNING"] == 1
    assert samples["saga_oldest_seconds", "place_order", "RUNNING"] > 0
    assert (later["saga_active", "place_order", "RUNNING"], later["saga_oldest_seconds", "place_order", "RUNNING"]) == (0, 0)
    assert samples["saga_ledger_reachable",] == 1
    assert 0 < samples["saga_database_connections",] <= samples["saga_database_connections_max",]
    assert ("saga_database_rows", "dead", "ledger_journal") in samples
    assert samples["saga_outbox_pending",] == 0
    assert later["http_request_duration_seconds_count", "GET", "/metrics", "200"] == 1


async def test_metrics_are_served_without_the_ledger_but_not_its_old_numbers(edge: Edge) -> None:
    await edge.shop.receive("one")
    assert ("saga_active", "place_order", "PENDING") in await edge.scrape()
    await edge.pool.close()

    samples = await edge.scrape()

    of_the_ledger = ("saga_active", "saga_oldest_seconds", "saga_outbox_pending", "saga_outbox_dead", "saga_database_rows")
    assert not [sample for sample in samples if sample[0] in of_the_ledger]
    assert samples["saga_ledger_reachable",] == 0
    assert samples["http_request_duration_seconds_count", "GET", "/metrics", "200"] == 1


async def test_an_event_that_waits_for_a_subscriber_is_pending(edge: Edge) -> None:
    await edge.shop.receive("one")
    await edge.shop.conn.execute("insert into event_subscription (name, url, secret) values ('one', 'http://h', 'whsec_')")
    await edge.shop.conn.execute(
        """insert into event_delivery (subscription_id, order_ledger_id, event_id, delivered_at)
        select s.subscription_id, o.aggregateid, o.id, case when o.ordinal = 1 then now() end
        from event_subscription s, outbox o"""
    )
    (events,) = await (await edge.shop.conn.execute("select count(*) from outbox")).fetchall()

    assert (await edge.scrape())["saga_outbox_pending",] == events[0] - 1
    assert (await edge.get("/statistics"))["outbox_pending"] == events[0] - 1
    assert (await edge.scrape())["saga_outbox_dead",] == 0
    await edge.shop.conn.execute("update event_delivery set dead_at = now() where delivered_at is null")
    assert (await edge.scrape())["saga_outbox_dead",] == events[0] - 1


async def test_statistics_are_told(edge: Edge) -> None:
    await edge.shop.place("done")

    told = await edge.get("/statistics")

    assert told["finished"] == {"COMPLETED": 1}
    assert ("place_order", "create_order", "action", 1) in [
        (step["saga"], step["step"], step["direction"], step["succeeded"]) for step in told["steps"]
    ]


async def test_statistics_look_back_as_far_as_is_asked(edge: Edge) -> None:
    assert (await edge.get("/statistics?window=60"))["window_s"] == 60
    for query in ("window=0", "window=90000", "window=1h", "window=-1", "since=1"):
        assert (await edge.get(f"/statistics?{query}", 400))["type"].endswith("/invalid-query")


async def test_each_participant_is_told_of(edge: Edge, participants: dict[str, str]) -> None:
    began_s = asyncio.get_running_loop().time()
    told = (await edge.get("/health/participants"))["participants"]

    assert asyncio.get_running_loop().time() - began_s < monitoring.PARTICIPANT_TIMEOUT_S + 1
    assert {name: one["status"] for name, one in told.items()} == {
        "orders": "up",
        "inventory": "down",
        "payments": "down",
        "shipping": "down",
        "notifications": "down",
    }
    assert {name: one["url"] for name, one in told.items()} == participants
    assert "error" not in told["orders"]
    assert told["inventory"]["error"] == "it answered 503"
    assert told["payments"]["error"] == "it answered 302"
    assert told["shipping"]["error"] == "no answer within 2 s"
    assert told["notifications"]["error"].startswith("ClientConnectorError")
    assert all(one["latency_ms"] > 0 for one in told.values())
    assert {one["breaker"] for one in told.values()} == {"closed"}


async def test_a_participant_whose_breaker_is_not_closed_is_told_of(edge: Edge) -> None:
    await edge.shop.conn.execute(
        "insert into participant_breaker (participant, state, actor, reason) values ('orders', 'held', 'ann', 'maintenance')"
    )
    await edge.client.app[keys.FLEET].look()

    told = await edge.get("/health/participants")

    assert told["healthy"] is False
    assert (told["participants"]["orders"]["status"], told["participants"]["orders"]["breaker"]) == ("up", "held")
