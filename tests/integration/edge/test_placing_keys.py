"""One key, one order, one answer, however often and from wherever the request is repeated."""

import asyncio
from typing import Any

import psycopg
import pytest

from tests.integration.audit.shop import Shop, scripted
from tests.integration.edge.service import ORDER, Edge, Scripted, StartEdge, authorized, eventually


@pytest.fixture
async def edge(start_edge: StartEdge, payments_url: str) -> Edge:
    return await start_edge(payments_url=payments_url)


async def test_an_order_is_recorded_with_everything_that_belongs_to_it(edge: Edge) -> None:
    reply = await edge.place(key="first", metadata={"channel": "web"})

    assert reply.status == 202
    assert reply.headers["Location"] == f"/orders/{reply.id}" == reply.json["links"]["self"]
    assert reply.json["status"] == "PENDING"
    assert not reply.replayed
    (row,) = await edge.orders()
    assert (row["client_id"], row["client_request_id"], row["status"], row["total_minor"]) == (
        "default",
        "first",
        "PENDING",
        1530,
    )
    assert (row["lease_owner"], row["lease_expires_at"], row["next_retry_at"]) == (None, None, None)
    assert (row["response_status"], row["response_body"]) == (202, reply.body.decode())
    assert await edge.journal() == [("intent", None), ("outcome", "succeeded"), ("status", "PENDING")]
    assert await edge.events() == ["OrderReceived", "PaymentAuthorized"]
    order = (await edge.get(reply.headers["Location"])).json
    assert (order["metadata"], order["steps"][0]["state"]) == ({"channel": "web"}, "succeeded")


@pytest.mark.parametrize("isolation", ["read committed", "serializable"])
async def test_fifty_at_once_under_one_key_are_one_order(
    start_edge: StartEdge, payments_url: str, ledger_url: str, isolation: str
) -> None:
    with psycopg.connect(ledger_url, autocommit=True) as conn:
        name = psycopg.sql.Identifier(conn.info.dbname)
        conn.execute(psycopg.sql.SQL("alter database {} set default_transaction_isolation = {}").format(name, isolation))
    edges = [await start_edge(payments_url=payments_url) for _ in range(2)]

    replies = await asyncio.gather(*(edges[number % 2].place(key="one") for number in range(50)))

    assert {reply.status for reply in replies} <= {202, 409}
    assert all(reply.headers["Retry-After"] for reply in replies if reply.status == 409)
    placed = [reply for reply in replies if reply.status == 202]
    assert len({reply.frozen for reply in placed}) == 1
    assert sum(not reply.replayed for reply in placed) == 1
    assert len(await edges[0].orders()) == 1
    assert (await edges[1].place(key="one")).frozen == placed[0].frozen


async def test_a_key_with_another_body_is_refused_and_changes_nothing(edge: Edge) -> None:
    first = await edge.place(key="one")
    before = await edge.orders()

    other = await edge.place(key="one", customer_id="other")

    assert (other.status, other.problem) == (422, "idempotency-key-reused")
    unchanged = [{**row, "replays": None} for row in await edge.orders()]
    assert unchanged == [{**row, "replays": None} for row in before]
    assert (await edge.place(key="one")).frozen == first.frozen


async def test_two_bodies_under_one_key_at_once_are_one_order(edge: Edge) -> None:
    replies = await asyncio.gather(*(edge.place(key="one", customer_id=str(number % 2)) for number in range(20)))

    (row,) = await edge.orders()
    assert {reply.status for reply in replies} <= {202, 409, 422}
    for number, reply in enumerate(replies):
        mine = row["customer_id"] == str(number % 2)
        assert reply.status in ((202, 409) if mine else (422,))


async def test_another_spelling_of_the_same_request_is_a_repeat(edge: Edge) -> None:
    first = await edge.place(key="one")
    spelled = (
        b'{ "items": [ {"unit_price_minor":255, "quantity":6,"sku":"8512\\u0033A"} ],\r\n "currency":"GBP",'
        b'"customer_id" : "17850", "saga":"place_order", "metadata": {} }'
    )

    repeat = await edge.send(spelled, **{"Idempotency-Key": '"one"'})

    assert repeat.replayed
    assert repeat.frozen == first.frozen


async def test_the_answer_stays_as_it_was_when_the_order_goes_on(edge: Edge, ledger_url: str) -> None:
    first = await edge.place(key="one")
    async with await psycopg.AsyncConnection.connect(ledger_url, autocommit=True) as conn:
        await Shop(conn, scripted()).run()

    repeat = await edge.place(key="one")

    assert (await edge.get(first.headers["Location"])).json["status"] == "COMPLETED"
    assert repeat.replayed
    assert repeat.frozen == first.frozen


async def test_a_declined_payment_ends_the_order_and_is_repeated_as_it_was(edge: Edge) -> None:
    declined = await edge.place(key="one", payment_method="pm_declined")

    assert (declined.status, declined.problem) == (402, "payment-declined")
    assert declined.headers["Location"] == f"/orders/{declined.id}"
    (row,) = await edge.orders()
    assert (row["status"], row["lease_owner"], row["finished_at"] is not None) == ("DECLINED", None, True)
    assert await edge.events() == ["OrderReceived", "PaymentDeclined", "OrderDeclined"]
    repeat = await edge.place(key="one", payment_method="pm_declined")
    assert repeat.replayed
    assert repeat.frozen == declined.frozen


async def test_what_the_edge_calls_and_ends_itself_is_counted(edge: Edge) -> None:
    await edge.place()
    await edge.place(payment_method="pm_declined")

    async with edge.session.get(edge.admin_url + "/metrics") as response:
        text = await response.text()

    attempts = 'saga_step_attempts_total{direction="action",outcome="%s",saga="place_order",step="authorize_payment"} 1.0'
    assert attempts % "succeeded" in text
    assert attempts % "rejected" in text
    assert 'saga_finished_total{saga="place_order",status="DECLINED"} 1.0' in text


async def test_one_key_of_two_clients_is_two_orders(start_edge: StartEdge, payments_url: str) -> None:
    edge = await start_edge(payments_url=payments_url, api_keys="ann=key-of-ann,bob=key-of-bob,ann=new-key-of-ann")

    def bearing(key: str) -> dict[str, str]:
        return {"Authorization": f"Bearer {key}"}

    ann, bob = [await edge.place(key="one", headers=bearing(key)) for key in ("key-of-ann", "key-of-bob")]

    assert (ann.status, bob.status) == (202, 202)
    assert ann.id != bob.id
    assert (await edge.place(key="one", headers=bearing("new-key-of-ann"))).frozen == ann.frozen
    mine, missing = [
        await edge.get(f"/orders/{order}", **bearing("key-of-bob"))
        for order in (ann.id, "00000000-0000-8000-8000-000000000000")
    ]
    assert mine.status == missing.status == 404
    assert {**mine.json, "instance": ""} == {**missing.json, "instance": ""}
    cancelled = await edge.call(
        "POST",
        f"/orders/{ann.id}/cancel",
        data=b'{"reason":"x"}',
        **bearing("key-of-bob"),
        **{"Content-Type": "application/json"},
    )
    assert cancelled.status == 404


@pytest.mark.parametrize("authorization", [None, "Bearer wrong-key", "Bearer", "Basic key-of-ann", "Bearer k\u00e9y-of-ann"])
async def test_without_a_valid_key_nothing_is_told(
    start_edge: StartEdge, payments: Scripted, authorization: str | None
) -> None:
    edge = await start_edge(payments_url=payments.url, api_keys="ann=key-of-ann")
    headers = {} if authorization is None else {"Authorization": authorization}

    for reply in (await edge.place(headers=headers), await edge.get("/orders", **headers), await edge.get("/none", **headers)):
        assert (reply.status, reply.problem) == (401, "unauthorized")
        assert reply.headers["WWW-Authenticate"] == "Bearer"
    assert await edge.orders() == []
    assert (await edge.get("/healthz")).status == 200


async def test_a_repeat_while_the_first_is_at_work_is_asked_to_wait(start_edge: StartEdge, payments: Scripted) -> None:
    edge, go_on = await start_edge(payments_url=payments.url), asyncio.Event()

    async def slow(body: Any) -> Any:
        await go_on.wait()
        return authorized(body)

    payments.answer = slow
    first = asyncio.create_task(edge.place(key="one"))
    await eventually(lambda: _called(payments))

    repeat = await edge.place(key="one")
    other = await edge.place(key="one", customer_id="other")

    assert (repeat.status, repeat.problem, repeat.headers["Retry-After"]) == (409, "idempotency-request-in-progress", "1")
    assert repeat.id
    assert other.problem == "idempotency-key-reused"
    go_on.set()
    placed = await first
    assert (placed.status, placed.replayed) == (202, False)
    assert (await edge.place(key="one")).frozen == placed.frozen


async def test_a_cancel_while_the_payment_is_authorized_counts_its_outcome(start_edge: StartEdge, payments: Scripted) -> None:
    edge, go_on = await start_edge(payments_url=payments.url), asyncio.Event()

    async def slow(body: Any) -> Any:
        await go_on.wait()
        return authorized(body)

    payments.answer = slow
    first = asyncio.create_task(edge.place(key="one"))
    await eventually(lambda: _called(payments))
    (row,) = await edge.orders()
    path = f"/orders/{row['order_ledger_id']}/cancel"

    asked = await edge.call("POST", path, data=b'{"reason": "too late"}', **{"Content-Type": "application/json"})
    go_on.set()
    placed = await first

    assert (asked.status, placed.status, placed.json["status"]) == (202, 202, "COMPENSATING")
    (row,) = await edge.orders()
    assert (row["status"], row["lease_owner"], row["progress"]["ending"]) == ("COMPENSATING", None, "CANCELLED")
    assert ("outcome", "succeeded") in await edge.journal()


async def test_a_repeat_after_the_first_died_is_answered_and_freezes_the_answer(
    start_edge: StartEdge, payments: Scripted
) -> None:
    edge, go_on = await start_edge(payments_url=payments.url, edge_timeout_s=20), asyncio.Event()

    async def never(_body: Any) -> Any:
        await go_on.wait()
        raise AssertionError

    payments.answer = never
    first = asyncio.create_task(edge.place(key="one"))
    await eventually(lambda: _called(payments))
    first.cancel()
    await asyncio.wait({first})
    await edge.rows("update order_ledger set lease_expires_at = clock_timestamp()")

    late = await edge.place(key="one")
    repeat = await edge.place(key="one")

    assert (late.status, late.json["status"], late.replayed) == (202, "RECEIVED", False)
    assert repeat.replayed
    assert repeat.frozen == late.frozen
    (row,) = await edge.orders()
    assert row["due_at"] is not None
    go_on.set()


async def test_a_first_that_comes_back_late_answers_what_was_frozen_meanwhile(
    start_edge: StartEdge, payments: Scripted, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edge_api.starting.LEASE_MARGIN_S", -9.95)
    edge, go_on = await start_edge(payments_url=payments.url, edge_timeout_s=10), asyncio.Event()

    async def slow(body: Any) -> Any:
        await go_on.wait()
        return authorized(body)

    payments.answer = slow
    first = asyncio.create_task(edge.place(key="one"))
    await eventually(lambda: _called(payments))

    await eventually(lambda: _lapsed(edge))

    late = await edge.place(key="one")
    go_on.set()

    assert (late.status, late.json["status"]) == (202, "RECEIVED")
    assert (await first).frozen == late.frozen
    assert await _pending(edge)


async def test_a_client_that_goes_away_has_its_order_all_the_same(start_edge: StartEdge, payments: Scripted) -> None:
    edge, go_on = await start_edge(payments_url=payments.url), asyncio.Event()

    async def slow(body: Any) -> Any:
        await go_on.wait()
        return authorized(body)

    payments.answer = slow
    first = asyncio.create_task(edge.place(key="one"))
    await eventually(lambda: _called(payments))
    first.cancel()
    await asyncio.wait({first})
    go_on.set()
    await eventually(lambda: _pending(edge))

    repeat = await edge.place(key="one")

    assert repeat.replayed
    assert len(await edge.orders()) == len(payments.calls) == 1


async def test_what_is_sent_to_payments_names_the_order_and_its_trace(start_edge: StartEdge, payments: Scripted) -> None:
    edge = await start_edge(payments_url=payments.url)
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

    reply = await edge.place(headers={"X-Correlation-ID": "shop/42", "traceparent": trace})

    ((headers, body),) = payments.calls
    assert headers["Idempotency-Key"] == f"{reply.id}:authorize_payment:action"
    assert (headers["X-Correlation-ID"], headers["traceparent"]) == ("shop/42", trace)
    assert (reply.headers["X-Correlation-ID"], reply.headers["traceparent"]) == ("shop/42", trace)
    assert (body["order_id"], body["amount_minor"], body["payment_method"]) == (reply.id, 1530, "pm_card")
    (row,) = await edge.orders()
    assert (row["correlation_id"], row["traceparent"]) == ("shop/42", trace)
    assert "payment_method" not in row["input"]
    assert "pm_card" not in str(await edge.rows("select request from ledger_journal"))


@pytest.mark.parametrize("given", ["", "x" * 129, "a b", "caf\u00e9"])
async def test_a_malformed_correlation_id_is_replaced(start_edge: StartEdge, payments: Scripted, given: str) -> None:
    edge = await start_edge(payments_url=payments.url)

    reply = await edge.place(headers={"X-Correlation-ID": given, "traceparent": "00-1-2-3"})

    assert reply.headers["X-Correlation-ID"] not in ("", given)
    assert reply.headers["traceparent"] != "00-1-2-3"
    assert ORDER["customer_id"] in str(await edge.orders())


async def _called(payments: Scripted) -> bool:
    return bool(payments.calls)


async def _lapsed(edge: Edge) -> bool:
    return bool(await edge.rows("select 1 from order_ledger where lease_expires_at < clock_timestamp()"))


async def _pending(edge: Edge) -> bool:
    return [row["status"] for row in await edge.orders()] == ["PENDING"]
