"""What belongs to one client is to others as if it did not exist: by every route, list, filter, cursor, key and header."""

import asyncio
import re
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from psycopg import sql

from edge_api import answers
from edge_api.app import CLIENT_ROUTES
from tests.integration.edge.credentials import Listener, bearing, clients_of, normalised
from tests.integration.edge.service import ORDER, Edge, Reply, Scripted, StartEdge
from tests.integration.edge.test_doors import routes_of

ANN, BOB = bearing("key-of-ann"), bearing("key-of-bob")
CANARY, KEY = "canary-of-ann", "key-of-anns-order"
# Requests about one order, by route: what another client sends, which has to be right but for whose the order is.
ABOUT_AN_ORDER: dict[tuple[str, str], dict[str, Any] | None] = {
    ("GET", "/orders/{order_ledger_id}"): None,
    ("GET", "/orders/{order_ledger_id}/journal"): None,
    ("GET", "/orders/{order_ledger_id}/stream"): None,
    ("POST", "/orders/{order_ledger_id}/pay"): {"payment_method": "pm_card"},
    ("POST", "/orders/{order_ledger_id}/cancel"): {"reason": "I want to"},
    ("POST", "/orders/{order_ledger_id}/signals/{name}"): {"answer": "yes"},
}
# Of the others each has a test of its own below, or shows nothing of anybody's.
OTHERS = {
    ("POST", "/orders"): "test_a_key_that_another_has_used_is_as_good_as_new",
    ("POST", "/sagas/{saga}"): "test_a_key_that_another_has_used_is_as_good_as_new",
    ("GET", "/orders"): "test_no_list_and_no_filter_shows_anothers_order",
    ("GET", "/events"): "test_no_feed_shows_anothers_events",
    ("GET", "/sagas"): "of the installation",
    ("GET", "/healthz"): "of the process",
    ("GET", "/readyz"): "of the process",
    ("GET", "/openapi.json"): "of the release",
    ("GET", "/docs"): "of the release",
}
SECRET_COLUMNS = {
    "lease_owner", "lease_epoch", "lease_expires_at", "request_hash", "response_status", "response_body", "chain_head",
    "definition_id", "progress", "input", "client_id", "last_seq", "replays", "fingerprint",
}  # fmt: skip


@dataclass(frozen=True)
class Shop:
    """An edge with the clients ann and bob; ann has an order that could be told from any other by each of its members."""

    edge: Edge
    order: str

    @property
    def clients(self) -> Listener:
        return clients_of(self.edge)

    async def seen(self, path: str, who: dict[str, str] = BOB) -> Reply:
        return await self.clients.ask("GET", path, **who)


@pytest.fixture
async def shop(start_edge: StartEdge, payments: Scripted, ledger_url: str) -> Shop:
    # Without the second wall, the policies of the database, which have tests of their own: this one has to hold alone.
    with psycopg.connect(ledger_url, autocommit=True) as conn:
        for (table,) in conn.execute("select oid::regclass::text from pg_class where relrowsecurity").fetchall():
            conn.execute(sql.SQL("alter table {} disable row level security").format(sql.Identifier(table)))
    edge = await start_edge(payments_url=payments.url, api_keys="ann=key-of-ann,bob=key-of-bob")
    placed = await edge.place(
        key=KEY, headers=ANN, customer_id=CANARY, metadata={"channel": CANARY}, payment_method=f"pm_{CANARY}"
    )
    assert placed.status == 202, placed
    return Shop(edge, placed.id)


def test_every_route_has_a_case_here() -> None:
    assert {*ABOUT_AN_ORDER, *OTHERS} == routes_of(CLIENT_ROUTES, described=True)
    assert set(ABOUT_AN_ORDER) == {route for route in {*ABOUT_AN_ORDER, *OTHERS} if "order_ledger_id" in route[1]}


@pytest.mark.parametrize(("method", "route"), ABOUT_AN_ORDER, ids=lambda value: str(value))
@pytest.mark.parametrize("headers", [{}, {"Prefer": "wait=1"}], ids=["", "waiting"])
async def test_anothers_order_is_answered_like_none(shop: Shop, method: str, route: str, headers: dict[str, str]) -> None:
    body = ABOUT_AN_ORDER[method, route]

    async def ask(order: str, who: dict[str, str]) -> Reply:
        path = route.format(order_ledger_id=order, name="a-signal")
        key = {"Idempotency-Key": str(uuid4())} if body else {}
        return await shop.clients.ask(method, path, json=body, **who, **key, **headers)

    before = await shop.edge.rows("select * from order_ledger"), await shop.edge.rows("select * from ledger_journal")
    others, nothing, malformed = await ask(shop.order, BOB), await ask(str(uuid4()), BOB), await ask("no-id", BOB)

    assert (others.status, others.problem) == (404, "order-not-found")
    assert normalised(others) == normalised(nothing) == normalised(malformed)
    assert len(others.body) == len(nothing.body)
    assert (await shop.edge.rows("select * from order_ledger"), await shop.edge.rows("select * from ledger_journal")) == before
    own = await ask(shop.order, ANN)
    assert own.status != 404 or own.problem != "order-not-found", "the case would find ann's order if bob were ann"


@pytest.mark.parametrize(
    "query",
    [
        "",
        "?limit=1",
        "?status=PENDING",
        "?saga=place_order",
        f"?customer_id={CANARY}",
        f"?client_request_id={KEY}",
        f"?metadata.channel={CANARY}",
        "?since=2000-01-01T00:00:00Z",
    ],
)
async def test_no_list_and_no_filter_shows_anothers_order(shop: Shop, query: str) -> None:
    found, own = await shop.seen(f"/orders{query}"), await shop.seen(f"/orders{query}", ANN)

    assert found.json == {"orders": [], "next_cursor": None}
    assert [order["order_ledger_id"] for order in own.json["orders"]] == [shop.order]


async def test_a_cursor_of_anothers_list_goes_on_in_ones_own(shop: Shop) -> None:
    for number in range(2):
        await shop.edge.place(key=f"ann-{number}", headers=ANN)
        await shop.edge.place(key=f"bob-{number}", headers=BOB)
    anns = (await shop.seen("/orders?limit=1", ANN)).json
    assert anns["next_cursor"]

    rest = (await shop.seen(f"/orders?cursor={anns['next_cursor']}")).json["orders"]

    own = {order["order_ledger_id"] for order in (await shop.seen("/orders")).json["orders"]}
    assert len(own) == 2
    assert {order["order_ledger_id"] for order in rest} <= own


async def test_no_feed_shows_anothers_events(shop: Shop) -> None:
    anns = (await shop.seen("/events?limit=1", ANN)).json
    assert {event["order_ledger_id"] for event in anns["events"]} == {shop.order}

    for path in (
        "/events",
        "/events?wait=0.2",
        f"/events?after={anns['next_cursor']}",
        f"/events?after={anns['next_cursor']}&wait=0.2",
    ):
        assert (await shop.seen(path)).json["events"] == [], path
    # One that waits while something happens to ann's order, and then to one of bob's.
    waiting = asyncio.create_task(shop.seen(f"/events?after={anns['next_cursor']}&wait=10"))
    await shop.edge.place(key="another", headers=ANN)
    own = await shop.edge.place(key="own", headers=BOB)
    assert {event["order_ledger_id"] for event in (await waiting).json["events"]} == {own.id}


@pytest.mark.parametrize("path", ["/orders", "/sagas/place_order"])
@pytest.mark.parametrize("headers", [{}, {"Prefer": "wait=1"}], ids=["", "waiting"])
async def test_a_key_that_another_has_used_is_as_good_as_new(shop: Shop, path: str, headers: dict[str, str]) -> None:
    body = {**ORDER, "customer_id": "of-bob"}

    asked = {**BOB, **headers, "Idempotency-Key": KEY}
    first, second = [await shop.clients.ask("POST", path, json=body, **asked) for _ in range(2)]

    assert (first.status, first.replayed, second.replayed) == (202, False, True)
    assert first.id == second.id != shop.order
    assert shop.order not in str((first, second))
    assert first.headers["Location"] == f"/orders/{first.id}"
    assert CANARY not in str((first, second))
    assert (await shop.seen(f"/orders/{shop.order}", ANN)).json["customer_id"] == CANARY


async def test_no_answer_to_bob_ever_names_what_is_anns(shop: Shop) -> None:
    replies = [
        await shop.seen(path) for path in ("/orders", "/events", "/sagas", f"/orders/{shop.order}", "/openapi.json", "/readyz")
    ]

    for reply in replies:
        assert shop.order not in str(reply)
        assert CANARY not in str(reply)


@pytest.mark.parametrize(
    "column", sorted(SECRET_COLUMNS | {"order_ledger_id", "state", "status", "amount", "total_minor", "created_at"})
)
async def test_what_is_the_ledgers_own_can_not_be_sent(shop: Shop, column: str) -> None:
    for path in ("/orders", "/sagas/place_order"):
        asked = {**ANN, "Idempotency-Key": str(uuid4())}
        reply = await shop.clients.ask("POST", path, json={**ORDER, column: "bob"}, **asked)
        assert (reply.status, reply.problem) == (422, "validation-error"), path
    assert len(await shop.edge.orders()) == 1


async def test_answers_have_the_members_that_are_listed_and_nothing_of_the_inside(shop: Shop, ledger_url: str) -> None:
    with psycopg.connect(ledger_url) as conn:
        columns = {
            name
            for (name,) in conn.execute(
                "select column_name from information_schema.columns where table_name = 'order_ledger'"
            ).fetchall()
        }
    order = await shop.seen(f"/orders/{shop.order}", ANN)
    page = await shop.seen("/orders", ANN)
    journal = await shop.seen(f"/orders/{shop.order}/journal", ANN)
    events = await shop.seen("/events", ANN)

    assert SECRET_COLUMNS - {"fingerprint"} <= columns, "the test speaks of columns that are there"
    assert order.json.keys() == answers.Order.model_fields.keys()
    assert page.json["orders"][0].keys() == answers.OrderSummary.model_fields.keys()
    assert journal.json["entries"][0].keys() == answers.JournalEntry.model_fields.keys()
    assert events.json["events"][0].keys() == answers.FeedEvent.model_fields.keys()
    for reply in (order, page, events):
        named = set(re.findall(r'"(\w+)":', reply.body.decode()))
        assert not named & (SECRET_COLUMNS - {"definition_id"}), reply
