"""What an order says of a person stands in one place: not in journal, results or events, nor in what is said of the order."""

from typing import Annotated, Any
from uuid import uuid4

import psycopg
import pytest
from aiohttp import web
from psycopg.rows import dict_row
from psycopg_pool import AsyncConnectionPool

from orchestrator.identity import order_id
from orchestrator.opening import Request, open_order
from orchestrator.retrace import retrace
from orchestrator.saga import Saga, Signal
from orchestrator.signalling import NotAwaited, signal
from participants.contracts import PERSONAL, Answer, Endpoint, Wire
from sql import ledger
from sql.models import Status
from tests.integration.orchestrator.past import history_of
from tests.integration.orchestrator.shop import Replica, Shop, Thing, open_replica, status, step, until

CANARY = "Canary-Ann-7"


class Letter(Wire):
    """Input of the test's saga."""

    to: Annotated[str, PERSONAL]


class Approval(Wire):
    """What somebody says of a letter."""

    yes: bool
    signed: Annotated[str, PERSONAL]


class Delivery(Thing):
    """Asks for a letter to be brought."""

    to: Annotated[str, PERSONAL]
    signed: Annotated[str, PERSONAL]


class Delivered(Answer):
    """A letter that was brought, and to whom."""

    order_id: str
    taken_by: Annotated[str, PERSONAL] = ""


POST = Saga(
    name="post",
    version=1,
    input=Letter,
    steps=(
        Signal("approval", payload=Approval, timeout_s=60),
        step(
            "bring",
            request=lambda ctx: Delivery(order_id=ctx.order_id, to=ctx.input.to, signed=ctx.results["approval"]["signed"]),
            action=Endpoint("shop", "POST", "/bring", Delivery, Delivered),
        ),
        step("file", request=lambda ctx: Thing(order_id=ctx.order_id)),
    ),
)


async def post(replica: Replica) -> Any:
    key = uuid4().hex
    asked = Request(order_id("tests", key), "tests", key, b"hash", Letter(to=CANARY), {}, "correlation")
    order = open_order(replica.definitions.named("post"), asked).order
    async with replica.pool.connection() as conn:
        assert await ledger.insert_order(conn, order)
        await answer(replica, order.order_ledger_id, CANARY + "-signed", conn)
    replica.worker.wake()
    return order.order_ledger_id


async def answer(replica: Replica, order: Any, signed: str, conn: Any) -> Any:
    return await signal(conn, replica.definitions, order, "approval", {"yes": True, "signed": signed}, actor="client c")


def kept(url: str) -> dict[str, list[Any]]:
    """Return every row of every table that is not meant for personal data."""
    with psycopg.connect(url, row_factory=dict_row) as conn:
        tables = conn.execute(
            "select relname from pg_class where relkind = 'r' and relnamespace = 'public'::regnamespace and relname !~ 'yoyo'"
        ).fetchall()
        names = {row["relname"] for row in tables} - {"order_personal"}
        return {
            name: conn.execute(psycopg.sql.SQL("select * from {}").format(psycopg.sql.Identifier(name))).fetchall()
            for name in names
        }


async def test_an_answer_from_outside_reaches_its_step_whole_and_the_journal_without_the_person(
    pool: AsyncConnectionPool[Any], ledger_url: str, shop: Shop
) -> None:
    bodies: list[Any] = []

    async def bring(request: web.Request) -> web.StreamResponse:
        bodies.append(await request.json())
        return web.json_response({"order_id": bodies[-1]["order_id"], "taken_by": CANARY})

    shop.behaviours["/bring"] = [bring]
    async with open_replica(pool, ledger_url, shop, POST) as replica:
        order = await post(replica)
        row = await until(pool, order, Status.COMPLETED)

        assert (bodies[0]["to"], bodies[0]["signed"]) == (CANARY, CANARY + "-signed")
        assert row.results["approval"] == {"yes": True}
        assert row.results["bring"] == {"order_id": str(order)}
        assert row.personal_results == {"approval": {"signed": CANARY + "-signed"}}
        async with pool.connection() as conn:
            assert not (await answer(replica, order, CANARY + "-signed", conn)).done
            with pytest.raises(NotAwaited):
                await answer(replica, order, "somebody else", conn)
            assert retrace(await history_of(pool, order)) == ()
    assert CANARY not in str(kept(ledger_url))


@pytest.mark.parametrize(
    ("code", "end"), [(422, Status.FAILED), (500, Status.FAILED), (200, Status.FAILED)], ids=["refused", "broken", "garbled"]
)
async def test_a_participant_that_repeats_what_it_was_told_tells_nobody(
    code: int, end: Status, pool: AsyncConnectionPool[Any], ledger_url: str, shop: Shop
) -> None:
    echo = {
        "detail": "x" * 276 + f" nobody lives at {CANARY.upper()}",
        "to": "elsewhere",
        "more": [{"said": CANARY}],
        CANARY: 1,
    }
    shop.behaviours["/bring"] = [status(code, echo)] * 5
    async with open_replica(pool, ledger_url, shop, POST) as replica:
        order = await post(replica)
        row = await until(pool, order, end)

    assert row.last_error is not None
    assert CANARY[:4].lower() not in str(kept(ledger_url)).lower()  # nor the half of it that an error would be cut to
    assert "[person" in str(kept(ledger_url)["ledger_journal"])
    assert "elsewhere" not in str(kept(ledger_url))
