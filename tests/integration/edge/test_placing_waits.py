"""`Prefer: wait` answers with the end of an order, and NOTIFY goes out after the order stands."""

import asyncio
import time

import psycopg
import pytest

from tests.integration.audit.shop import Shop, scripted
from tests.integration.edge.service import Edge, Scripted, StartEdge, eventually


@pytest.fixture
async def edge(start_edge: StartEdge, payments: Scripted) -> Edge:
    return await start_edge(payments_url=payments.url)


async def test_an_order_that_ends_in_time_is_answered_as_it_is(edge: Edge, ledger_url: str) -> None:
    waiting = asyncio.create_task(edge.place(key="one", headers={"Prefer": "respond-async, wait=20"}))
    await eventually(lambda: _pending(edge))
    async with await psycopg.AsyncConnection.connect(ledger_url, autocommit=True) as conn:
        await Shop(conn, scripted()).run()

    reply = await waiting

    assert (reply.status, reply.headers["Preference-Applied"]) == (200, "wait=20")
    assert reply.json == (await edge.get(f"/orders/{reply.id}")).json
    assert reply.json["status"] == "COMPLETED"
    stored = await edge.place(key="one")
    assert (stored.status, stored.replayed, stored.json["status"]) == (202, True, "PENDING")
    again = await edge.place(key="one", headers={"Prefer": "wait=20"})
    assert (again.status, again.json) == (200, reply.json)


async def test_an_order_that_does_not_end_in_time_is_answered_as_stored(edge: Edge) -> None:
    began_s = time.monotonic()

    reply = await edge.place(key="one", headers={"Prefer": "wait=1"})

    assert 0.9 < time.monotonic() - began_s < 3
    assert reply.status == 202
    assert "Preference-Applied" not in reply.headers
    assert (await edge.place(key="one")).frozen == reply.frozen


@pytest.mark.parametrize("preference", ["wait=0", "wait=x", "wait", "wait=-1", "return=minimal", ""])
async def test_what_is_no_preference_to_wait_is_ignored(edge: Edge, preference: str) -> None:
    async with asyncio.timeout(3):
        assert (await edge.place(headers={"Prefer": preference})).status == 202


@pytest.mark.parametrize("notify", [True, False])
async def test_orchestrators_are_woken_if_they_want_to_be(
    start_edge: StartEdge, payments: Scripted, ledger_url: str, notify: bool
) -> None:
    async with await psycopg.AsyncConnection.connect(ledger_url, autocommit=True) as conn:
        await conn.execute("listen order_events")
        edge = await start_edge(payments_url=payments.url, notify=notify)

        replies = await asyncio.gather(*(edge.place() for _ in range(20)))

        heard = [notification.payload async for notification in conn.notifies(timeout=0.5)]
    assert {reply.status for reply in replies} == {202}
    assert set(heard) == ({""} if notify else set())
    assert len(heard) <= 20


async def _pending(edge: Edge) -> bool:
    return [row["status"] for row in await edge.orders()] == ["PENDING"]
