"""An answer from outside over HTTP: typed, given once, and nobody else's affair."""

from typing import Any
from uuid import UUID, uuid4

import orjson
import pytest

from tests.integration.edge.service import Edge, Reply, StartEdge

TEAM = "tests.integration.edge.team_sagas"


@pytest.fixture
async def edge(start_edge: StartEdge) -> Edge:
    return await start_edge(definitions=TEAM)


async def placed(edge: Edge, saga: str = "ask_first") -> str:
    headers = {"Content-Type": "application/json", "Idempotency-Key": uuid4().hex}
    return (await edge.call("POST", f"/sagas/{saga}", data=b'{"nights": 2}', **headers)).id


async def answer(edge: Edge, order: str, body: Any, name: str = "approval") -> Reply:
    return await edge.call(
        "POST", f"/orders/{order}/signals/{name}", data=orjson.dumps(body), **{"Content-Type": "application/json"}
    )


async def test_the_same_answer_twice_is_one_and_another_is_refused(edge: Edge) -> None:
    order = await placed(edge)

    first, again, other = [await answer(edge, order, {"by": by}) for by in ("Ann", "Ann", "Bob")]

    assert [(reply.status, reply.headers.get("Location")) for reply in (first, again)] == [(202, f"/orders/{order}")] * 2
    assert (other.status, other.problem) == (409, "conflict")
    (row,) = await edge.orders()
    assert row["results"] == {"approval": {"by": "Ann"}}
    journal = await edge.rows("select kind, step, outcome, actor, response from ledger_journal")
    assert [(entry["outcome"], entry["actor"]) for entry in journal] == [("signal", "client default")]


async def test_an_answer_must_be_what_the_saga_declares(edge: Edge) -> None:
    order = await placed(edge)

    reply = await answer(edge, order, {"from": "Ann"})

    assert (reply.status, reply.problem) == (422, "validation-error")
    assert {error["pointer"] for error in reply.json["errors"]} == {"#/by", "#/from"}


@pytest.mark.parametrize("name", ["book", "nothing"])
async def test_nobody_waits_for_what_is_no_signal(edge: Edge, name: str) -> None:
    reply = await answer(edge, await placed(edge), {"by": "Ann"}, name)

    assert (reply.status, reply.problem) == (404, "not-found")


@pytest.mark.parametrize("order", ["nothing", str(UUID(int=7))])
async def test_an_order_that_is_not_there_gets_no_answer(edge: Edge, order: str) -> None:
    reply = await answer(edge, order, {"by": "Ann"})

    assert (reply.status, reply.problem) == (404, "order-not-found")
