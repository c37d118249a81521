"""`POST /orders/ID/cancel` on a real edge and a real ledger: what is begun, for whom, and how it is told."""

from typing import Any

from tests.integration.edge.service import Edge, Reply, Scripted, StartEdge

KEYS = "ann=key-of-ann,bob=key-of-bob"
COMPLETED = (
    "update order_ledger set status = 'COMPLETED', finished_at = clock_timestamp() where finished_at is null returning 1"
)


async def cancel(edge: Edge, order: str, **headers: str) -> Reply:
    sent = {"Content-Type": "application/json", **headers}
    return await edge.call("POST", f"/orders/{order}/cancel", data=b'{"reason": "changed my mind"}', **sent)


async def started(edge: Edge) -> list[str]:
    async with edge.session.get(f"{edge.admin_url}/metrics") as response:
        return [line for line in (await response.text()).splitlines() if line.startswith("saga_started_total{")]


async def children(edge: Edge) -> list[dict[str, Any]]:
    return await edge.rows("select * from order_ledger where parent_id is not null")


async def test_a_completed_order_is_taken_back_once_and_counted_once(start_edge: StartEdge, payments: Scripted) -> None:
    edge = await start_edge(payments_url=payments.url)
    order = (await edge.place()).id
    await edge.rows(COMPLETED)

    first, second = await cancel(edge, order), await cancel(edge, order)

    assert (first.status, second.status) == (202, 202)
    assert first.json == second.json
    assert first.headers["Location"] == first.json["links"]["cancellation"]
    (run,) = await children(edge)
    assert first.json["links"]["cancellation"] == f"/orders/{run['order_ledger_id']}"
    assert (run["saga"], run["input"]["actor"], run["input"]["reason"]) == ("cancel_order", "client default", "changed my mind")
    assert 'saga_started_total{saga="cancel_order"} 1.0' in await started(edge)
    shown = (await edge.get(f"/orders/{order}")).json
    assert (shown["status"], shown["links"]["cancellation"]) == ("COMPLETED", first.json["links"]["cancellation"])
    assert (await edge.get(shown["links"]["cancellation"])).json["links"]["parent"] == f"/orders/{order}"


async def test_nobody_takes_back_what_is_another_clients(start_edge: StartEdge, payments: Scripted) -> None:
    edge = await start_edge(payments_url=payments.url, api_keys=KEYS)
    ann, bob = ({"Authorization": f"Bearer key-of-{name}"} for name in ("ann", "bob"))
    order = (await edge.place(headers=ann)).id
    await edge.rows(COMPLETED)

    assert (await cancel(edge, order, **bob)).status == 404
    assert await children(edge) == []
    assert (await cancel(edge, order, **ann)).status == 202


async def test_clients_do_not_start_it_by_its_name(start_edge: StartEdge, payments: Scripted) -> None:
    edge = await start_edge(payments_url=payments.url)

    answer = await edge.call(
        "POST", "/sagas/cancel_order", data=b"{}", **{"Content-Type": "application/json", "Idempotency-Key": "k"}
    )

    assert answer.status == 404


async def test_what_has_ended_otherwise_is_a_conflict(start_edge: StartEdge, payments: Scripted) -> None:
    edge = await start_edge(payments_url=payments.url)
    order = (await edge.place()).id
    await edge.rows("update order_ledger set status = 'FAILED', finished_at = clock_timestamp() returning 1")

    answer = await cancel(edge, order)

    assert (answer.status, answer.problem, answer.json["order_ledger_id"]) == (409, "conflict", order)
