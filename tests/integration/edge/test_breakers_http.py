"""`/admin/breakers`: what operators' programs see of breakers and do with them."""

from collections.abc import AsyncIterator
from typing import Any

import psycopg
import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from edge_api import breakers, keys
from edge_api.clients import KeyRing
from edge_api.doors import admin_door
from edge_api.middlewares import answer_problems, identify_request
from edge_api.monitoring import METRICS, EdgeMetrics
from orchestrator.settings import load_settings
from orchestrator.tracing import Tracer
from sql import acts
from sql.connect import Pool, open_pool

Client = TestClient[Any, Any]
BY = {"actor": "ann", "reason": "the bank moves house"}


@pytest.fixture
async def pool(ledger_url: str) -> AsyncIterator[Pool]:
    async with open_pool(ledger_url, name="edge", connections_max=2, role="sagaledger_edge") as pool:
        yield pool


@pytest.fixture
async def client(pool: Pool) -> AsyncIterator[Client]:
    app = web.Application(middlewares=[identify_request, answer_problems, admin_door(load_settings(), KeyRing(pool, {}))])
    app.add_routes(breakers.ROUTES)
    app[METRICS] = EdgeMetrics()
    app[keys.TRACER] = Tracer()
    app[keys.SETTINGS] = load_settings()
    app[keys.POOL] = pool
    app[keys.SEES_ALL_CLIENTS] = True
    async with TestClient(TestServer(app)) as client:
        yield client


async def ask(client: Client, method: str, path: str, body: Any = None, *, status: int = 200) -> Any:
    async with client.request(method, f"/admin/breakers{path}", json=body) as answer:
        assert answer.status == status, await answer.text()
        return await answer.json(content_type=None)


async def test_every_participant_has_a_breaker_that_is_shown(client: Client) -> None:
    shown = (await ask(client, "GET", ""))["breakers"]

    assert [each["participant"] for each in shown] == ["inventory", "notifications", "orders", "payments", "shipping"]
    assert shown[0].keys() == {
        "participant", "state", "recent", "opened_for_s", "actor", "reason", "updated_at", "wait_s",
    }  # fmt: skip
    assert {each["state"] for each in shown} == {"closed"}


async def test_a_breaker_is_held_and_reset_and_the_record_says_by_whom_and_why(client: Client, ledger_url: str) -> None:
    held = await ask(client, "POST", "/payments/hold", BY)
    shown = {each["participant"]: each for each in (await ask(client, "GET", ""))["breakers"]}
    reset = await ask(client, "POST", "/payments/reset", {"actor": "bob", "reason": "it is back"})

    assert (held["participant"], held["state"], held["actor"], held["reason"]) == ("payments", "held", "ann", BY["reason"])
    assert shown["payments"] == held
    assert {name for name, each in shown.items() if each["state"] == "held"} == {"payments"}
    assert reset["state"] == "closed"
    async with await psycopg.AsyncConnection.connect(ledger_url) as conn:  # an edge may write the record, not read it
        found = await acts.list_acts(conn, "payments", limit=10)
    assert [(each["act"], each["actor"], each["reason"], each["details"]) for each in found] == [
        ("reset_breaker", "bob", "it is back", {"before": "held", "after": "closed"}),
        ("hold_breaker", "ann", BY["reason"], {"before": "closed", "after": "held"}),
    ]


@pytest.mark.parametrize("verb", ["hold", "reset"])
async def test_of_a_participant_that_is_none_there_is_no_breaker(client: Client, verb: str) -> None:
    await ask(client, "POST", f"/warehouse/{verb}", BY, status=404)

    assert "warehouse" not in {each["participant"] for each in (await ask(client, "GET", ""))["breakers"]}


@pytest.mark.parametrize(
    "body", [{}, {"actor": "ann"}, {"reason": "x"}, {**BY, "actor": ""}, {**BY, "reason": "x" * 501}, {**BY, "state": "open"}]
)
async def test_who_and_why_must_be_said(client: Client, body: dict[str, str]) -> None:
    await ask(client, "POST", "/payments/hold", body, status=422)

    assert {each["state"] for each in (await ask(client, "GET", ""))["breakers"]} == {"closed"}
