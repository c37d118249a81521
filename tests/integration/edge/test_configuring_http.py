"""`/admin/config` on real edges, and what their next orders start on."""

from typing import Any
from uuid import uuid4

import pytest

from orchestrator.definitions import Definitions, Unfit
from tests.integration.edge.service import Edge, Reply, Scripted, StartEdge

BY = {"actor": "ann", "reason": "a try"}
STEPS = ["authorize_payment", "create_order", "reserve_inventory", "capture_payment", "confirm_order"]
TURNED = ["authorize_payment", "reserve_inventory", "create_order", "capture_payment", "confirm_order"]


async def admin(edge: Edge, method: str, path: str, body: Any = None) -> Reply:
    async with edge.session.request(method, f"{edge.admin_url}/admin/config{path}", json=body) as response:
        return Reply(response.status, await response.read(), dict(response.headers))


async def configure(edge: Edge, canary: Any = None, **said: Any) -> None:
    put = await admin(edge, "PUT", "/place_order", {"configuration": said, **BY})
    assert put.status == 200, put.body
    applied = await admin(edge, "POST", "/place_order/apply", {**BY, "canary": canary})
    assert applied.status == 200, applied.body


async def steps(edge: Edge, reply: Reply) -> list[str]:
    assert reply.status == 202, reply.body
    return [step["name"] for step in (await edge.get(f"/orders/{reply.id}")).json["steps"]]


@pytest.fixture
async def edges(start_edge: StartEdge, payments: Scripted) -> list[Edge]:
    """Two edges on one ledger."""
    return [await start_edge(payments_url=payments.url) for _ in range(2)]


async def test_what_is_applied_at_one_edge_holds_at_once_at_the_other(edges: list[Edge]) -> None:
    one, other = edges
    before = await other.place("before")
    await configure(one, order=TURNED)

    assert await steps(other, await other.place("after")) == TURNED
    assert await steps(one, await one.place("too")) == TURNED
    assert await steps(one, before) == STEPS, "what has begun keeps what it began with"
    again = await other.place("before")
    assert again.replayed
    assert again.frozen == before.frozen


async def test_no_edge_asks_for_the_configuration_order_by_order(edges: list[Edge], monkeypatch: pytest.MonkeyPatch) -> None:
    looks, look = [], Definitions.look

    async def counted(definitions: Definitions, conn: Any) -> None:
        looks.append(definitions)
        await look(definitions, conn)

    monkeypatch.setattr(Definitions, "look", counted)
    await configure(edges[0], order=TURNED)
    for edge in edges:
        for _ in range(5):
            await edge.place(uuid4().hex)

    assert len(looks) == 2, "each edge looks once, since what it knew was refused"


async def test_what_is_pending_is_shown_with_what_it_would_change(edges: list[Edge]) -> None:
    edge = edges[0]
    said = {"off": [], "steps": {"capture_payment": {"timeout_s": 3}}}
    put = await admin(edge, "PUT", "/place_order", {"configuration": said, **BY})

    shown = (await admin(edge, "GET", "/place_order")).json
    assert shown == put.json
    assert shown["active"] is None
    assert shown["versions"] == [1]
    assert shown["runs"]["order"] == STEPS
    assert {name: shown["next"][name] for name in ("revision", "state", "actor", "reason", "configuration", "canary")} == {
        "revision": 1,
        "state": "pending",
        "actor": "ann",
        "reason": "a try",
        "configuration": {"steps": {"capture_payment": {"timeout_s": 3}}},
        "canary": None,
    }
    assert shown["differences"] == [{"key": "steps.capture_payment.timeout_s", "before": 5, "after": 3}]
    assert shown in (await admin(edge, "GET", "")).json["sagas"]


async def test_an_unsafe_configuration_is_refused_with_every_reason(edges: list[Edge]) -> None:
    said = {"order": [STEPS[0], "confirm_order", *STEPS[1:4]], "timeout_s": 60, "off": ["capture_payment"]}
    refused = await admin(edges[0], "PUT", "/place_order", {"configuration": said, **BY})

    assert (refused.status, refused.problem) == (422, "validation-error")
    reasons = " | ".join(error["detail"] for error in refused.json["errors"])
    assert "step confirm_order can't come before create_order, which it uses" in reasons or "undone by no earlier" in reasons
    assert "step capture_payment can't be off" in reasons
    assert (await admin(edges[0], "GET", "/place_order/history")).json["history"] == []


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "problem"),
    [
        ("GET", "/nothing", None, 404, "not-found"),
        ("GET", "/nothing/history", None, 404, "not-found"),
        ("PUT", "/nothing", {"configuration": {}, **BY}, 404, "not-found"),
        ("PUT", "/place_order", {"configuration": {}}, 422, "validation-error"),
        ("PUT", "/place_order", {"configuration": {}, **BY}, 409, "configuration-conflict"),
        ("POST", "/place_order/apply", BY, 409, "configuration-conflict"),
        ("POST", "/place_order/apply", {**BY, "canary": {"percent": 100, "for_s": 1}}, 422, "validation-error"),
        ("DELETE", "/place_order?actor=ann&reason=why", None, 409, "configuration-conflict"),
        ("DELETE", "/place_order?actor=ann", None, 400, "invalid-query"),
    ],
)
async def test_what_cannot_be_done_is_told(
    edges: list[Edge], method: str, path: str, body: Any, status: int, problem: str
) -> None:
    answer = await admin(edges[0], method, path, body)

    assert (answer.status, answer.problem) == (status, problem)


async def test_a_canary_gets_its_share_until_it_is_taken_back(edges: list[Edge]) -> None:
    await configure(edges[0], {"percent": 50, "for_s": 600}, order=TURNED)
    ran = [await steps(edge, await edge.place(uuid4().hex)) for edge in edges for _ in range(12)]
    assert {tuple(each) for each in ran} == {tuple(STEPS), tuple(TURNED)}

    assert (await admin(edges[1], "DELETE", "/place_order?actor=ann&reason=enough")).status == 200

    ran = [await steps(edge, await edge.place(uuid4().hex)) for edge in edges for _ in range(6)]
    assert {tuple(each) for each in ran} == {tuple(STEPS)}
    history = (await admin(edges[1], "GET", "/place_order/history")).json["history"]
    assert [entry["act"] for entry in history] == ["discard", "canary", "set"]
    assert history[1]["figures"]["percent"] == 50


async def test_what_is_listed_to_clients_is_what_new_orders_start_on(edges: list[Edge]) -> None:
    await configure(edges[0], order=TURNED)

    (listed,) = [saga for saga in (await edges[1].get("/sagas")).json["sagas"] if saga["name"] == "place_order"]
    assert [step["name"] for step in listed["steps"]] == TURNED


async def test_an_edge_that_starts_on_a_ledger_that_is_configured_knows_it(
    edges: list[Edge], start_edge: StartEdge, payments: Scripted
) -> None:
    await configure(edges[0], order=TURNED)

    assert await steps(edges[0], await (await start_edge(payments_url=payments.url)).place("new")) == TURNED


async def test_an_edge_whose_code_it_is_not_for_takes_no_order_of_that_saga_until_another_is_applied(
    edges: list[Edge], start_edge: StartEdge, payments: Scripted
) -> None:
    other = await start_edge(payments_url=payments.url, lease_s=3.0, step_timeout_s=1.0)
    await configure(edges[0], timeout_s=4.0)

    refused = await other.place("key")
    assert (refused.status, refused.problem) == (503, "unavailable")
    assert "Retry-After" in refused.headers
    assert (await edges[0].place("key")).status == 202, "another edge can"
    await configure(edges[0])
    assert (await other.place("asked-again")).status == 202


async def test_an_edge_whose_code_it_is_not_for_says_so_and_does_not_start(
    edges: list[Edge], start_edge: StartEdge, payments: Scripted
) -> None:
    await configure(edges[0], timeout_s=4.0)

    with pytest.raises(Unfit, match="a call of step authorize_payment may take 4 s, which must be less than"):
        await start_edge(payments_url=payments.url, lease_s=3.0, step_timeout_s=1.0)
