"""Payments that don't answer, a ledger that is away: nothing is lost, and every answer says the truth in time."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

import psycopg
import pytest
from aiohttp import web

from orchestrator.outcome import Rejected
from sql.ledger import get_rows
from tests.integration.audit.shop import Shop, scripted
from tests.integration.edge.service import Edge, Proxy, Scripted, StartEdge, authorized, eventually

INSERT = b"insert into order_ledger"
WRITE = b"update order_ledger l set status"


async def _hang(_body: Any) -> web.Response:
    await asyncio.Event().wait()
    raise AssertionError


async def _fail(_body: Any) -> web.Response:
    return web.Response(status=500)


async def _redirect(_body: Any) -> web.Response:
    return web.Response(status=307, headers={"Location": "http://127.0.0.1:1/"})


async def _garbage(_body: Any) -> web.Response:
    return web.Response(text="<html>", content_type="application/json")


async def _other_amount(body: Any) -> web.Response:
    return authorized({**body, "amount_minor": 1})


@pytest.mark.parametrize("answer", [_hang, _fail, _redirect, _garbage, _other_amount])
async def test_payments_that_do_not_answer_clearly_leave_the_order_received(
    start_edge: StartEdge, payments: Scripted, answer: Callable[[Any], Awaitable[web.StreamResponse]]
) -> None:
    edge = await start_edge(payments_url=payments.url, edge_timeout_s=0.2)
    payments.answer = answer

    reply = await edge.place(key="one")

    assert (reply.status, reply.json["status"]) == (202, "RECEIVED")
    (row,) = await edge.orders()
    assert (row["status"], row["step"], row["lease_owner"]) == ("RECEIVED", "authorize_payment", None)
    assert row["last_error"].startswith("payments")
    assert row["due_at"] == row["next_retry_at"] > row["created_at"]
    assert await edge.journal() == [("intent", None), ("outcome", "unknown")]
    assert (await edge.place(key="one")).frozen == reply.frozen


async def test_an_order_that_payments_were_away_for_is_finished_by_an_orchestrator(
    start_edge: StartEdge, ledger_url: str
) -> None:
    edge = await start_edge(payments_url="http://127.0.0.1:1")
    reply = await edge.place(key="one")

    async with await psycopg.AsyncConnection.connect(ledger_url, autocommit=True) as conn:
        shop = Shop(conn, scripted())
        await shop.retry_now()
        await shop.run()

    assert reply.json["status"] == "RECEIVED"
    assert (await edge.get(reply.headers["Location"])).json["status"] == "COMPLETED"
    assert (await edge.place(key="one")).frozen == reply.frozen


async def test_a_decline_after_the_202_leaves_the_202(start_edge: StartEdge, ledger_url: str) -> None:
    edge = await start_edge(payments_url="http://127.0.0.1:1")
    reply = await edge.place(key="one")

    async with await psycopg.AsyncConnection.connect(ledger_url, autocommit=True) as conn:
        shop = Shop(conn, scripted(authorize_payment=Rejected("no cover")))
        await shop.retry_now()
        await shop.run()

    assert [row["status"] for row in await edge.orders()] == ["DECLINED"]
    assert (await edge.place(key="one")).frozen == reply.frozen


async def test_a_decline_that_another_found_first_is_answered_402(
    start_edge: StartEdge, payments: Scripted, ledger_url: str
) -> None:
    edge, go_on = await start_edge(payments_url=payments.url, edge_timeout_s=20), asyncio.Event()

    async def slow(body: Any) -> web.Response:
        await go_on.wait()
        return authorized(body)

    payments.answer = slow
    first = asyncio.create_task(edge.place(key="one"))
    await eventually(lambda: _called(payments))
    await edge.rows("update order_ledger set lease_expires_at = clock_timestamp()")
    async with await psycopg.AsyncConnection.connect(ledger_url, autocommit=True) as conn:
        work = await Shop(conn, scripted(authorize_payment=Rejected("no cover"))).run()
        assert (await get_rows(conn, [work.row.order_ledger_id]))[work.row.order_ledger_id].status == "DECLINED"

    go_on.set()
    reply = await first

    assert (reply.status, reply.problem) == (402, "payment-declined")
    assert (await edge.place(key="one")).frozen == reply.frozen
    assert [row["status"] for row in await edge.orders()] == ["DECLINED"]


async def test_an_insert_whose_answer_is_lost_is_unknown_and_its_repeat_is_one_order(
    start_edge: StartEdge, payments: Scripted, proxy: Proxy, ledger_url: str
) -> None:
    edge = await start_edge(payments_url=payments.url, database_url=proxy.url(ledger_url))
    proxy.lose_answer_to(INSERT)

    lost = await edge.place(key="one")

    assert (lost.status, lost.problem, lost.headers["Retry-After"]) == (503, "outcome-unknown", "1")
    assert lost.json["retryable"] is True
    assert [str(row["order_ledger_id"]) for row in await edge.orders()] == [lost.id]
    assert (await edge.place(key="one")).problem == "idempotency-request-in-progress"
    await edge.rows("update order_ledger set lease_expires_at = clock_timestamp()")
    repeat = await edge.place(key="one")
    assert (repeat.status, repeat.id) == (202, lost.id)
    assert payments.calls == []


async def test_an_outcome_whose_write_is_lost_is_unknown_and_its_repeat_is_one_order(
    start_edge: StartEdge, payments: Scripted, proxy: Proxy, ledger_url: str
) -> None:
    edge = await start_edge(payments_url=payments.url, database_url=proxy.url(ledger_url))
    proxy.lose_answer_to(WRITE)

    lost = await edge.place(key="one")
    repeat = await edge.place(key="one")

    assert (lost.status, lost.problem) == (503, "outcome-unknown")
    assert (repeat.status, repeat.id, repeat.replayed) == (202, lost.id, True)
    assert [row["status"] for row in await edge.orders()] == ["PENDING"]
    assert len(payments.calls) == 1


async def test_while_the_ledger_is_away_the_edge_says_so_in_time_and_recovers_by_itself(
    start_edge: StartEdge, payments: Scripted, proxy: Proxy, ledger_url: str
) -> None:
    edge = await start_edge(payments_url=payments.url, database_url=proxy.url(ledger_url))
    before = await edge.place()
    proxy.cut()

    began_s = time.monotonic()
    replies = await asyncio.gather(edge.place(), edge.get("/orders"), edge.get(f"/orders/{before.id}"), edge.get("/readyz"))

    assert time.monotonic() - began_s < 3
    for reply in replies:
        assert (reply.status, reply.headers["Retry-After"], reply.json["retryable"]) == (503, "1", True)
        assert reply.problem in ("unavailable", "outcome-unknown")
    assert (await edge.get("/healthz")).status == 200
    proxy.mend()
    await eventually(lambda: _ready(edge), timeout_s=10)
    assert (await edge.place()).status == 202
    assert len(await edge.orders()) == 2


async def test_a_ledger_that_the_network_swallows_is_given_up_in_time(
    start_edge: StartEdge, payments: Scripted, proxy: Proxy, ledger_url: str
) -> None:
    # Without NOTIFY, so that a request and not the waker has the one connection that is open.
    edge = await start_edge(payments_url=payments.url, database_url=proxy.url(ledger_url), notify=False)
    await edge.place()
    proxy.swallow()

    began_s = time.monotonic()
    replies = await asyncio.gather(*(edge.place() for _ in range(5)), edge.get("/orders"))

    assert time.monotonic() - began_s < 3.5
    assert {(reply.status, reply.headers["Retry-After"]) for reply in replies} == {(503, "1")}
    proxy.mend()
    await eventually(lambda: _ready(edge), timeout_s=10)
    assert (await edge.place()).status == 202


async def test_a_read_that_the_network_swallows_is_given_up_in_time(
    start_edge: StartEdge, proxy: Proxy, ledger_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edge_api.middlewares.READ_TIMEOUT_S", 0.5)
    edge = await start_edge(database_url=proxy.url(ledger_url))
    proxy.swallow()

    async with asyncio.timeout(2):
        reply = await edge.get("/orders")

    assert (reply.status, reply.problem, reply.headers["Retry-After"]) == (503, "unavailable", "1")
    proxy.mend()


async def test_a_locked_ledger_is_503_or_409_and_then_goes_on(
    start_edge: StartEdge, payments: Scripted, ledger_url: str
) -> None:
    edge = await start_edge(payments_url=payments.url)

    async with await psycopg.AsyncConnection.connect(ledger_url) as conn:
        await conn.execute("lock table order_ledger in access exclusive mode")
        reply = await edge.place(key="one")
        await conn.rollback()

    assert reply.status in (409, 503)
    assert "Retry-After" in reply.headers
    assert (await edge.place(key="one")).status == 202


async def _called(payments: Scripted) -> bool:
    return bool(payments.calls)


async def _ready(edge: Edge) -> bool:
    return (await edge.get("/readyz")).status == 200


async def test_while_payments_are_away_orders_are_taken_and_nobody_waits_for_them(
    start_edge: StartEdge, payments: Scripted, ledger_url: str
) -> None:
    payments.answer = _fail
    edge = await start_edge(payments_url=payments.url, breaker_open_s=3600.0)
    for _ in range(5):
        assert (await edge.place()).status == 202

    async def known() -> bool:
        return (await edge.rows("select participant from participant_breaker where state = 'open'")) != []

    await eventually(known)
    before = len(payments.calls)
    reply = await edge.place(key="later")

    assert len(payments.calls) == before
    assert (reply.status, reply.json["status"]) == (202, "RECEIVED")
    assert (await edge.place(key="later")).frozen == reply.frozen
    assert [row["lease_owner"] for row in await edge.rows("select * from order_ledger where client_request_id = 'later'")] == [
        None
    ]
