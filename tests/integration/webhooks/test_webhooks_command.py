"""`saga webhooks` and `saga outbox`, and the admin listener's routes for the same."""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg
import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from edge_api import keys
from edge_api import webhooks as routes
from edge_api.clients import KeyRing
from edge_api.doors import admin_door
from edge_api.middlewares import answer_problems, identify_request
from edge_api.monitoring import METRICS, EdgeMetrics
from orchestrator.settings import load_settings
from orchestrator.tracing import Tracer
from sql import webhooks
from sql.acts import list_acts
from sql.connect import open_pool
from tests.acceptance.commands import assert_told, saga
from tests.integration.ledger.outbox import Connection, place, tell

URL = "http://127.0.0.1:9/hook"


class Admin:
    """A client of the admin routes."""

    def __init__(self, client: TestClient[Any, Any]) -> None:
        self._client = client

    async def __call__(self, method: str, path: str, body: Any = None, *, status: int = 200) -> Any:
        async with self._client.request(method, f"/admin/{path}", json=body) as answer:
            text = await answer.text()
            assert answer.status == status, text
            return json.loads(text) if text else None


@pytest.fixture
async def admin(ledger_url: str) -> AsyncIterator[Admin]:
    settings = load_settings()
    async with open_pool(ledger_url, name="edge", connections_max=2, role="sagaledger_edge") as pool:
        app = web.Application(middlewares=[identify_request, answer_problems, admin_door(settings, KeyRing(pool, {}))])
        app.add_routes(routes.ROUTES)
        app[METRICS] = EdgeMetrics()
        app[keys.TRACER] = Tracer()
        app[keys.POOL] = pool
        app[keys.SEES_ALL_CLIENTS] = True
        app[keys.SETTINGS] = settings
        async with TestClient(TestServer(app)) as client:
            yield Admin(client)


async def die(conn: Connection, name: str = "one", *, events: int = 3) -> list[str]:
    """Have so many deliveries of a new webhook be dead; ids of their events."""
    order = await place(conn)
    await tell(conn, order, count=events - 1)
    assert await webhooks.insert_subscription(conn, name, URL, [], "whsec_", from_start=True)
    await webhooks.fan_out(conn, limit=100, waiting_max=100)
    claimed = await webhooks.claim_deliveries(conn, {}, slots_max=100, lease_s=60.0)
    settlements = [webhooks.Settlement(delivery, "answered 500: no") for delivery in claimed]
    await webhooks.settle_deliveries(conn, settlements, disable_after_s=60.0)
    return [str(delivery.id) for delivery in claimed]


def run(url: str, folder: Path, *arguments: str) -> Any:
    done = saga(*arguments, cwd=folder, SAGA_DATABASE_URL=url)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout) if "--json" in arguments else done.stdout


def test_a_webhook_is_added_listed_rotated_disabled_enabled_and_removed(ledger_url: str, tmp_path: Path) -> None:
    added = run(ledger_url, tmp_path, "webhooks", "add", "crm", URL, "--type", "OrderCompleted", "--type", "Strange")
    assert "no saga that ships tells of Strange" in added
    secret = added.split()[-1]
    assert secret.startswith("whsec_")
    listed = run(ledger_url, tmp_path, "webhooks", "list")
    assert listed.splitlines()[1].split() == ["crm", "well", "0", "0", "OrderCompleted,", "Strange"]
    rotated = run(ledger_url, tmp_path, "webhooks", "rotate", "crm", "--json")
    assert rotated["secret"] not in (secret, "")
    run(ledger_url, tmp_path, "webhooks", "disable", "crm", "--reason", "it moves house")
    shown = run(ledger_url, tmp_path, "webhooks", "list", "--json")["webhooks"]
    assert [(each["name"], each["url"], each["enabled"], each["disabled_reason"]) for each in shown] == [
        ("crm", URL, False, "it moves house")
    ]
    assert secret not in json.dumps(shown)
    run(ledger_url, tmp_path, "webhooks", "enable", "crm")
    assert run(ledger_url, tmp_path, "webhooks", "list", "--json")["webhooks"][0]["enabled"] is True
    run(ledger_url, tmp_path, "webhooks", "remove", "crm")
    assert run(ledger_url, tmp_path, "webhooks", "list", "--json") == {"webhooks": []}


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("webhooks", "add", "one", "ftp://h/"), 2, "http or https"),
        (("webhooks", "add", "one", "http://169.254.169.254/"), 2, "link-local"),
        (("webhooks", "add", "one", "http://h/#x"), 2, "fragment"),
        (("webhooks", "add", "one", "http://u:p@h/"), 2, "without user"),
        (("webhooks", "add", "One", URL), 2, "lower-case"),
        (("webhooks", "add", "one", URL, "--type", "a b"), 2, "no type of events"),
        (("webhooks", "rotate", "none"), 1, "there is no webhook none"),
        (("webhooks", "remove", "none"), 1, "there is no webhook none"),
        (("webhooks", "enable", "none"), 1, "there is no webhook none"),
        (("outbox", "replay"), 2, "--all"),
        (("outbox", "replay", str(UUID(int=7)), "--all"), 2, "--all"),
        (("outbox", "replay", str(UUID(int=7))), 1, "there is no dead letter"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else None,
)
def test_what_can_not_be_is_refused_with_a_sentence(
    ledger_url: str, tmp_path: Path, arguments: tuple[str, ...], code: int, said: str
) -> None:
    assert_told(saga(*arguments, cwd=tmp_path, SAGA_DATABASE_URL=ledger_url), code, said)


@pytest.mark.parametrize(
    ("environment", "allowed", "code"), [("prod", {}, 2), ("preview", {}, 2), ("prod", {"SAGA_WEBHOOK_PRIVATE": "1"}, 0)]
)
def test_outside_dev_a_webhook_in_the_own_network_must_be_allowed(
    ledger_url: str, tmp_path: Path, environment: str, allowed: dict[str, str], code: int
) -> None:
    settings = {"SAGA_DATABASE_URL": ledger_url, "SAGA_ENVIRONMENT": environment, **allowed}
    done = saga("webhooks", "add", "one", URL, cwd=tmp_path, **settings)

    assert done.returncode == code, done
    assert ("SAGA_WEBHOOK_PRIVATE" in done.stderr) is (code == 2)


async def test_dead_letters_are_listed_and_replayed(conn: Connection, ledger_url: str, tmp_path: Path) -> None:
    first, *others = await die(conn, events=5)
    assert await webhooks.insert_subscription(conn, "other", URL, [], "whsec_", from_start=False)

    listed = run(ledger_url, tmp_path, "outbox", "dead")
    assert listed.splitlines()[-1] == "5 dead"
    assert "one, given up" in listed
    assert "after 1 attempts: answered 500: no" in listed
    assert run(ledger_url, tmp_path, "outbox", "dead", "--webhook", "other", "--json") == {"dead": [], "total": 0}
    assert run(ledger_url, tmp_path, "outbox", "replay", first) == "1 delivery is tried again\n"
    again = await webhooks.claim_deliveries(conn, {}, slots_max=100, lease_s=60.0)
    assert [(str(delivery.id), delivery.attempts) for delivery in again] == [(first, 1)]
    assert run(ledger_url, tmp_path, "outbox", "replay", "--all", "--rate", "1000") == "4 deliveries are tried again\n"
    assert {str(each.id) for each in await webhooks.claim_deliveries(conn, {}, slots_max=100, lease_s=60.0)} == {*others}
    assert run(ledger_url, tmp_path, "outbox", "dead", "--json") == {"dead": [], "total": 0}


async def test_the_admin_api_keeps_webhooks(admin: Admin, conn: Connection) -> None:
    asked = {"name": "crm", "url": f"{URL}?key=1", "types": ["OrderCompleted"]}
    added = await admin("POST", "webhooks", asked, status=201)
    assert added["secret"].startswith("whsec_")
    assert {**added, **asked} == added
    assert (await admin("POST", "webhooks", asked, status=409))["type"].endswith("/name-taken")
    (shown,) = (await admin("GET", "webhooks"))["webhooks"]
    assert "secret" not in shown
    assert shown["enabled"] is True
    rotated = await admin("POST", "webhooks/crm/rotate", {"grace_s": 60})
    assert rotated["secret"] != added["secret"]
    assert rotated["old_secret_until"] is not None
    disabled = await admin("POST", "webhooks/crm/disable", {"reason": "a test"})
    assert (disabled["enabled"], disabled["disabled_reason"]) == (False, "a test")
    assert (await admin("POST", "webhooks/crm/enable"))["enabled"] is True
    assert (await admin("GET", "webhooks/crm"))["name"] == "crm"
    await admin("DELETE", "webhooks/crm", status=204)
    for method, path, body in (
        ("GET", "webhooks/crm", None),
        ("DELETE", "webhooks/crm", None),
        ("POST", "webhooks/crm/rotate", {}),
        ("POST", "webhooks/crm/enable", None),
        ("POST", "webhooks/crm/disable", {"reason": "x"}),
    ):
        assert (await admin(method, path, body, status=404))["detail"] == "there is no webhook crm."


@pytest.mark.parametrize("name", ["%00", "crm%00", "CRM", "x" * 64, "crm%0a"])
async def test_a_name_that_no_webhook_has_is_not_found(admin: Admin, name: str) -> None:
    for method, path, body in (
        ("GET", name, None),
        ("DELETE", name, None),
        ("POST", f"{name}/rotate", {}),
        ("POST", f"{name}/enable", None),
        ("POST", f"{name}/disable", {"reason": "x"}),
    ):
        assert (await admin(method, f"webhooks/{path}", body, status=404))["type"].endswith("/not-found")


@pytest.mark.parametrize(
    "wrong",
    [
        {"url": "http://u:p@h/"},
        {"url": "http://[fe80::1]/"},
        {"name": "No Name"},
        {"types": ["no type"]},
        {"types": ["T"] * 101},
        {"secret": "mine"},
    ],
    ids=str,
)
async def test_a_webhook_that_can_not_be_is_refused_by_the_admin_api(admin: Admin, wrong: dict[str, Any]) -> None:
    refused = await admin("POST", "webhooks", {"name": "crm", "url": URL, **wrong}, status=422)

    assert refused["errors"]
    assert (await admin("GET", "webhooks"))["webhooks"] == []


async def test_the_admin_api_lists_and_replays_dead_letters(admin: Admin, conn: Connection) -> None:
    first, *_ = await die(conn)

    found = await admin("GET", "outbox/dead?limit=2")
    assert (len(found["dead"]), found["total"]) == (2, 3)
    assert found["dead"][0]["error"] == "answered 500: no"
    assert await admin("GET", "outbox/dead?webhook=none") == {"dead": [], "total": 0}
    await admin("POST", f"outbox/dead/{first}/replay?webhook=none", status=404)
    assert await admin("POST", f"outbox/dead/{first}/replay") == {"replayed": [{"event_id": first, "webhook": "one"}]}
    await admin("POST", f"outbox/dead/{first}/replay", status=404)
    await admin("POST", "outbox/dead/nothing/replay", status=404)
    await admin("GET", "outbox/dead?limit=0", status=400)
    await admin("GET", "outbox/dead?no=1", status=400)
    assert (await admin("GET", "outbox/dead"))["total"] == 2


async def test_dead_letters_are_replayed_as_a_set_that_nothing_slips_into(admin: Admin, conn: Connection) -> None:
    first, *_ = await die(conn)
    (newest, *_), by = (await admin("GET", "outbox/dead"))["dead"], {"actor": "ann", "reason": "it is back"}
    before = newest["dead_at"]
    await conn.execute("update event_delivery set dead_at = clock_timestamp() where event_id = %s", (first,))

    assert await admin("POST", "outbox/dead/replay", {**by, "before": before, "webhook": "other"}) == {
        "replayed": 0,
        "more": False,
    }
    assert await admin("POST", "outbox/dead/replay", {**by, "before": before}) == {"replayed": 2, "more": False}
    assert await admin("POST", "outbox/dead/replay", {**by, "before": before}) == {"replayed": 0, "more": False}
    assert [letter["event_id"] for letter in (await admin("GET", "outbox/dead"))["dead"]] == [first]
    await admin("POST", f"outbox/dead/{first}/replay?webhook=one", by)
    acts = [
        (act["subject"], act["actor"], act["reason"]) for act in await list_acts(conn, limit=9) if act["act"] == "replay_dead"
    ]
    assert acts == [(first, "ann", "it is back"), ("all", "ann", "it is back")]
    for wrong in ({}, by, {**by, "before": "2026-07-01"}, {**by, "before": before, "webhook": "No Name"}):
        assert (await admin("POST", "outbox/dead/replay", wrong, status=422))["errors"]


def test_a_webhook_with_many_deliveries_is_removed_in_batches(ledger_url: str, tmp_path: Path) -> None:
    with psycopg.connect(ledger_url) as conn:
        conn.execute("set session_replication_role = replica")
        conn.execute("insert into event_subscription (name, url, secret) values ('crm', 'http://h', 'whsec_')")
        conn.execute(
            "insert into event_delivery (subscription_id, order_ledger_id, event_id, delivered_at)"
            " select subscription_id, gen_random_uuid(), gen_random_uuid(), now()"
            " from event_subscription, generate_series(1, 5000)"
        )
    run(ledger_url, tmp_path, "webhooks", "remove", "crm")

    with psycopg.connect(ledger_url) as conn:
        assert conn.execute("select count(*) from event_delivery").fetchone() == (0,)
