"""A team's own sagas over HTTP: started under the rules of `POST /orders`, and described."""

import asyncio
from typing import Any

import orjson
import pytest

from edge_api import answers
from tests.integration.edge.service import ORDER, Edge, Reply, Scripted, StartEdge

TEAM = "tests.integration.edge.team_sagas"
ODD = {"customer_id": 7, "currency": ["GBP"], "total_minor": -1.5, "items": ["a towel"]}


@pytest.fixture
async def edge(start_edge: StartEdge) -> Edge:
    return await start_edge(definitions=TEAM)


async def start(edge: Edge, name: str, key: str, headers: dict[str, str] | None = None, /, **body: Any) -> Reply:
    given = {"Content-Type": "application/json", "Idempotency-Key": key, **(headers or {})}
    return await edge.call("POST", f"/sagas/{name}", data=orjson.dumps(body), **given)


async def test_an_order_is_recorded_with_the_sagas_own_input(edge: Edge) -> None:
    reply = await start(edge, "book_trip", "one", nights=2, traveller="Ann", metadata={"desk": 3})

    assert (reply.status, reply.json["saga"], reply.json["status"]) == (202, "book_trip", "PENDING")
    assert reply.headers["Location"] == f"/orders/{reply.id}"
    (row,) = await edge.orders()
    assert (row["saga"], row["input"], row["metadata"]) == ("book_trip", {"nights": 2}, {"desk": 3})
    assert [personal["data"] for personal in await edge.rows("select data from order_personal")] == [{"traveller": "Ann"}]
    assert (await edge.get("/orders?saga=book_trip&metadata.desk=3")).json["orders"][0]["order_ledger_id"] == reply.id
    assert await edge.events() == ["OrderReceived"]


async def test_a_key_is_one_order_here_too(edge: Edge) -> None:
    first = await start(edge, "book_trip", "one", nights=2)

    again = await asyncio.gather(*(start(edge, "book_trip", "one", nights=2, traveller="somebody") for _ in range(10)))

    assert {reply.frozen for reply in again} == {first.frozen}
    assert all(reply.replayed for reply in again)
    other = await start(edge, "book_trip", "one", nights=3)
    assert (other.status, other.problem) == (422, "idempotency-key-reused")
    elsewhere = await edge.place(key="one")
    assert (elsewhere.status, elsewhere.problem) == (422, "idempotency-key-reused")
    assert len(await edge.orders()) == 1


async def test_a_key_of_one_saga_is_not_anothers(edge: Edge) -> None:
    first = await start(edge, "book_again", "one", nights=2)

    other = await start(edge, "book_trip", "one", nights=2)

    assert (other.status, other.problem, other.id) == (422, "idempotency-key-reused", first.id)


@pytest.mark.parametrize("saga", ["nothing", "leave_trip"])
async def test_what_can_not_be_started_is_not_there(edge: Edge, saga: str) -> None:
    reply = await start(edge, saga, "one", nights=2)

    assert (reply.status, reply.problem) == (404, "not-found")
    assert await edge.orders() == []


@pytest.mark.parametrize(
    ("saga", "body", "pointer"),
    [
        ("book_trip", {"nights": 0}, "#/nights"),
        ("book_trip", {}, "#/nights"),
        ("book_trip", {"nights": 1, "beds": 2}, "#/beds"),
        ("look_round", {**ODD, "beds": 2}, "#/beds"),
        ("book_trip", {"nights": 1, "metadata": {"a": [1]}}, "#/metadata/a"),
        ("place_order", {**ORDER, "currency": "XXX"}, "#/currency"),
        ("place_order", {**ORDER, "saga": "place_order"}, "#/saga"),
    ],
)
async def test_an_input_that_does_not_fit_is_refused(edge: Edge, saga: str, body: dict[str, Any], pointer: str) -> None:
    reply = await start(edge, saga, "one", **body)

    assert (reply.status, reply.problem) == (422, "validation-error")
    assert [error["pointer"] for error in reply.json["errors"]] == [pointer]
    assert await edge.orders() == []


async def test_a_key_is_needed_here_too(edge: Edge) -> None:
    reply = await edge.call("POST", "/sagas/book_trip", data=b'{"nights": 1}', **{"Content-Type": "application/json"})

    assert (reply.status, reply.problem) == (400, "idempotency-key-missing")


async def test_members_that_are_only_called_like_columns_are_no_columns(edge: Edge) -> None:
    reply = await start(edge, "look_round", "one", **ODD)

    assert reply.status == 202
    (row,) = await edge.orders()
    assert (row["customer_id"], row["currency"], row["total_minor"], row["input"]) == (None, None, None, ODD)
    assert await edge.rows("select * from order_ledger_items") == []


async def test_an_order_is_placed_either_way(start_edge: StartEdge, payments: Scripted) -> None:
    edge = await start_edge(payments_url=payments.url)

    reply = await start(edge, "place_order", "one", **ORDER)

    assert (reply.status, reply.json["status"]) == (202, "PENDING")
    assert len(payments.calls) == 1
    (row,) = await edge.orders()
    assert (row["customer_id"], row["total_minor"]) == ("17850", 1530)


async def test_orders_are_not_placed_with_a_saga_that_takes_something_else(edge: Edge) -> None:
    reply = await edge.place(saga="book_trip")

    assert (reply.status, reply.json["errors"][0]["pointer"]) == (422, "#/saga")


async def test_every_saga_is_described(edge: Edge) -> None:
    shown = answers.Sagas.model_validate((await edge.get("/sagas")).json)

    by_name = {saga.name: saga for saga in shown.sagas}
    assert {"book_trip", "leave_trip", "look_round", "place_order"} <= by_name.keys()
    trip = by_name["book_trip"]
    assert (trip.version, trip.description, trip.startable, trip.input["required"]) == (1, "Books a room.", True, ["nights"])
    (step,) = trip.steps
    assert (step.name, step.type, step.kind) == ("book", "call", "compensatable")
    assert step.action == answers.SagaEndpoint(participant="hotel", method="POST", path="/rooms")
    assert step.compensation == answers.SagaEndpoint(participant="hotel", method="DELETE", path="/rooms/{room_id}")
    assert step.retry is not None
    assert (step.retry.attempts_max, step.timeout_s) == (5, 5.0)
    assert by_name["leave_trip"].startable is False


async def test_the_contract_knows_what_starts_each_saga(edge: Edge) -> None:
    contract = (await edge.get("/openapi.json")).json

    body = contract["paths"]["/sagas/{saga}"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    schemas = [contract["components"]["schemas"][one["$ref"].rpartition("/")[2]] for one in body["anyOf"]]
    trip = next(schema for schema in schemas if "nights" in schema["properties"])
    assert set(trip["properties"]) == {"nights", "traveller", "metadata"}
    assert (trip["required"], trip["additionalProperties"]) == (["nights"], False)
