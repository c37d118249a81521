"""`/admin/orders`, `/admin/stuck`, `/admin/fleet` on a real edge: what operators find, and how far is looked for it."""

from typing import Any
from urllib.parse import urlencode

import psycopg
import pytest

from sql import reading, retrying
from sql.models import Status
from tests.integration.edge.credentials import TOKEN, admin_of, bearing
from tests.integration.edge.service import Edge, Reply, Scripted, StartEdge


@pytest.fixture
async def edge(start_edge: StartEdge, payments: Scripted) -> Edge:
    """An edge with five orders, oldest first: k0 to k4, of which k1 is STUCK and k2 on hold."""
    edge = await start_edge(payments_url=payments.url)
    for number, customer in enumerate(("ann", "bob", "ann", "cat", "ann")):
        labels = {"channel": "shop" if number == 0 else "web"}
        await edge.place(f"k{number}", customer_id=customer, currency="GBP" if number < 4 else "JPY", metadata=labels)
    await edge.rows(
        "update order_ledger set status = 'STUCK', last_error = 'Card 4711 of 100% refused' where client_request_id = 'k1'"
    )
    await edge.rows("update order_ledger set paused_at = now() where client_request_id = 'k2'")
    # An order of another client under a key that the first has too.
    await edge.rows("update order_ledger set client_id = 'other' where client_request_id = 'k3'")
    return edge


async def get(edge: Edge, path: str, **query: Any) -> Reply:
    return await admin_of(edge).ask("GET", f"{path}?{urlencode(query)}")


async def keys(edge: Edge, **query: Any) -> list[str]:
    found = await get(edge, "/admin/orders", **query)
    assert found.status == 200, found
    return [order["client_request_id"] for order in found.json["orders"]]


async def test_operators_find_orders_of_every_client_by_whatever_they_know(edge: Edge) -> None:
    at = {row["client_request_id"]: row["created_at"].isoformat() for row in await edge.orders()}

    assert await keys(edge) == ["k4", "k3", "k2", "k1", "k0"]
    assert await keys(edge, client_id="other") == ["k3"]
    assert await keys(edge, client_request_id="k3") == ["k3"]
    assert await keys(edge, customer_id="ann") == ["k4", "k2", "k0"]
    assert await keys(edge, **{"metadata.channel": "shop"}) == ["k0"]
    assert await keys(edge, error="OF 100% ref") == ["k1"]
    assert await keys(edge, error="of 100_") == []
    assert await keys(edge, stuck="true") == await keys(edge, status="STUCK") == ["k1"]
    assert await keys(edge, paused="true") == ["k2"]
    assert await keys(edge, stuck="false", paused="false", saga="place_order", limit=2) == ["k4", "k3"]
    assert await keys(edge, since=at["k1"], until=at["k3"]) == ["k2", "k1"]
    assert await keys(edge, saga="none") == []


async def test_what_is_told_of_an_order_is_what_its_client_is_told_and_whose_it_is(edge: Edge) -> None:
    (told,) = (await get(edge, "/admin/orders", client_request_id="k0")).json["orders"]
    (listed,) = (order for order in (await edge.get("/orders")).json["orders"] if order["client_request_id"] == "k0")

    assert told == {**{name: value for name, value in listed.items() if name != "links"}, "client_id": "default"}


async def test_a_look_stops_after_so_many_orders_says_so_and_goes_on_from_there(
    edge: Edge, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "LOOK_MAX", 2)
    at = [row["created_at"] for row in await edge.orders()]

    pages = [(await get(edge, "/admin/orders", error="refused", limit=1)).json]
    while pages[-1]["next_cursor"]:
        pages.append((await get(edge, "/admin/orders", error="refused", limit=1, cursor=pages[-1]["next_cursor"])).json)

    assert [[order["client_request_id"] for order in page["orders"]] for page in pages] == [[], ["k1"], []]
    assert [page["reached_at"] is not None for page in pages] == [True, True, False]
    assert pages[0]["reached_at"] == at[3].isoformat().replace("+00:00", "Z")
    # Where the page is full, the next one begins behind it, however far was looked.
    first = (await get(edge, "/admin/orders", limit=1)).json
    assert (first["reached_at"], first["next_cursor"] is not None) == (None, True)


@pytest.mark.parametrize("query", ["stuck=yes", "until=2026-01-01", "colour=red", "client_id=a&client_id=b", "limit=0"])
async def test_a_wrong_question_is_refused(edge: Edge, query: str) -> None:
    assert (await admin_of(edge).ask("GET", f"/admin/orders?{query}")).problem == "invalid-query"


async def test_a_stuck_order_is_told_at_the_step_that_could_not_be_undone_wherever_it_is_told(edge: Edge) -> None:
    # create_order could not be undone; authorize_payment was undone after it, and was tried last.
    await edge.rows(
        "update order_ledger set step = 'authorize_payment', direction = 'compensation', progress = "
        """'{"steps": {"authorize_payment": {"state": "compensated"}, "create_order": {"state": "compensation_failed"}}}'"""
        " where client_request_id in ('k0', 'k1')"
    )
    listed = {order["client_request_id"]: order["step"] for order in (await get(edge, "/admin/orders")).json["orders"]}
    (stuck,) = (order for order in (await get(edge, "/admin/stuck")).json["orders"] if order["status"] == "STUCK")
    one = await admin_of(edge).ask("GET", f"/admin/orders/{stuck['order_ledger_id']}")
    groups = (await get(edge, "/admin/stuck")).json["groups"]
    now = (await get(edge, "/statistics")).json["active_at"]
    async with await psycopg.AsyncConnection.connect(edge.ledger_url) as conn:
        run = await retrying.insert_run(conn, actor="ann", reason="mended", asked={})
        await retrying.choose_orders(conn, run, status=Status.STUCK, saga=None, error_like=None, limit=None)
        chosen = [*await retrying.list_set(conn, run), *(await retrying.sum_up_set(conn, run, reasons_max=9))[1]]

    assert (listed["k1"], listed["k0"]) == ("create_order", "authorize_payment")
    assert (stuck["step"], one.json["step"]) == ("create_order", "create_order")
    assert [group["step"] for group in groups if group["state"] == "STUCK"] == ["create_order"]
    assert [active["step"] for active in now if active["status"] == "STUCK"] == ["create_order"]
    assert [each["step"] for each in chosen] == ["create_order"] * 2


async def test_what_needs_a_person_is_summed_by_reason_and_currency(edge: Edge) -> None:
    for key in ("k3", "k4"):
        error = f"Card {key[1:] * 4} of {key[1:]}% refused"
        await edge.rows(
            f"update order_ledger set status = 'STUCK', last_error = '{error}', total_minor = 9000000000000000000"
            f" where client_request_id = '{key}'"
        )
    found = (await get(edge, "/admin/stuck")).json

    assert (found["looked_at"], found["complete"]) == (4, True)
    assert found["totals"] == [
        {"currency": "GBP", "orders": 3, "total_minor": str(1530 * 2 + 9 * 10**18)},
        {"currency": "JPY", "orders": 1, "total_minor": str(9 * 10**18)},
    ]
    groups = [(group["state"], group["reason"], group["currency"], group["orders"]) for group in found["groups"]]
    assert groups == [
        ("STUCK", "Card … of …% refused", "GBP", 2),
        ("STUCK", "Card … of …% refused", "JPY", 1),
        ("on hold", None, "GBP", 1),
    ]


async def test_what_needs_a_person_is_listed_by_age_or_by_value_with_who_holds_it(edge: Edge) -> None:
    await edge.rows("update order_ledger set paused_at = null where client_request_id = 'k2'")
    (held,) = await edge.rows("select order_ledger_id from order_ledger where client_request_id = 'k0'")
    paused = await admin_of(edge).ask(
        "POST", f"/admin/orders/{held['order_ledger_id']}/pause", json={"actor": "ann", "reason": "looks odd"}
    )
    await edge.rows("update order_ledger set status = 'STUCK', total_minor = 5000 where client_request_id = 'k3'")
    by_age, by_value = [(await get(edge, "/admin/stuck", by=by, limit=3)).json["orders"] for by in ("age", "value")]

    assert paused.status == 200
    assert [order["client_request_id"] for order in by_age] == ["k1", "k3", "k0"]
    assert [order["client_request_id"] for order in by_value] == ["k3", "k1", "k0"]
    assert [(order["actor"], order["reason"]) for order in by_age] == [(None, None), (None, None), ("ann", "looks odd")]
    assert by_age[2]["since"] == by_age[2]["paused_at"]
    assert (await get(edge, "/admin/stuck", by="name")).problem == "invalid-query"


async def test_the_fleet_is_who_is_connected_and_what_listeners_tell_of_themselves(edge: Edge) -> None:
    names = ("saga orchestrator a", "saga orchestrator a", "saga orchestrator b", "saga listener notify=3 poll=1",
             "saga listener", "saga listener notify=2 nonsense=5", "saga listener notify=2 nonsense=5", "another")  # fmt: skip
    sessions = [await psycopg.AsyncConnection.connect(edge.ledger_url, application_name=name) for name in names]
    try:
        told = (await get(edge, "/admin/fleet")).json
    finally:
        for session in sessions:
            await session.close()

    assert told["replicas"] == ["a", "b"]
    assert len(told["listeners"]) == 4
    assert all(0 <= listener["age_s"] < 60 for listener in told["listeners"])
    assert told["claims"] == {"notify": 7, "poll": 1, "timer": 0}
    assert (told["due"], told["due_max"]) == (3, 10_000)


async def test_nobody_finds_anything_without_the_token(start_edge: StartEdge) -> None:
    edge = await start_edge(admin_token=TOKEN, api_keys="ann=key-of-ann")

    for path in ("/admin/orders", "/admin/stuck", "/admin/fleet"):
        assert [(await admin_of(edge).ask("GET", path, **bearing(key))).status for key in ("key-of-ann", TOKEN)] == [403, 200]
