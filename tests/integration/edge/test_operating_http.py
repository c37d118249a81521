"""`/admin/orders/ID/…` on a real edge: what an operator's program is told, and what stands in the ledger after it."""

from typing import Any
from uuid import uuid4

import pytest

from tests.integration.edge.credentials import TOKEN, admin_of, bearing
from tests.integration.edge.service import Edge, Reply, Scripted, StartEdge

BY = {"actor": "ann", "reason": "looked into it"}
VERBS = ("retry", "cancel", "pause", "resume", "skip-step", "resolve")
AS = {"resolve": {"as": "failed"}}


@pytest.fixture
async def edge(start_edge: StartEdge, payments: Scripted) -> Edge:
    return await start_edge(payments_url=payments.url)


async def act(edge: Edge, order: str, verb: str, **said: Any) -> Reply:
    body = {**BY, **AS.get(verb, {}), **said}
    async with edge.session.post(f"{edge.admin_url}/admin/orders/{order}/{verb}", json=body) as response:
        return Reply(response.status, await response.read(), dict(response.headers))


async def stuck(edge: Edge) -> str:
    order = (await edge.place()).id
    await edge.rows(
        "update order_ledger set status = 'STUCK', progress = progress || '{\"stuck\": \"nobody knows\"}' where order_ledger_id"
        f" = '{order}'"
    )
    return order


async def row(edge: Edge, order: str) -> dict[str, Any]:
    (found,) = await edge.rows(f"select * from order_ledger where order_ledger_id = '{order}'")
    return found


async def test_an_order_is_held_shown_so_and_let_go(edge: Edge) -> None:
    order = (await edge.place()).id

    shown = await act(edge, order, "pause", dry_run=True)
    untouched = (await row(edge, order))["paused_at"]
    paused, again = await act(edge, order, "pause"), await act(edge, order, "pause")
    seen = (await edge.get(f"/orders/{order}")).json
    resumed = await act(edge, order, "resume")

    assert (shown.status, shown.json["dry_run"], shown.json["done"], untouched) == (200, True, False, None)
    assert (paused.json["done"], paused.json["paused"], paused.json["status"], again.json["done"]) == (
        True, True, "PENDING", False,
    )  # fmt: skip
    assert paused.json["calls"] == shown.json["calls"] == resumed.json["calls"]
    assert [call.partition(":")[0] for call in resumed.json["calls"]] == [
        "create_order", "reserve_inventory", "capture_payment", "confirm_order",
    ]  # fmt: skip
    assert (seen["status"], seen["paused_at"] is not None) == ("PENDING", True)
    assert (resumed.json["paused"], (await row(edge, order))["paused_at"]) == (False, None)


async def test_a_step_is_left_out_by_its_name_and_what_then_can_not_be_called_is_said(edge: Edge, payments: Scripted) -> None:
    payments.answer = None
    order = (await edge.place()).id

    skipped = await act(edge, order, "skip-step", step="create_order")
    wrong = await act(edge, order, "skip-step", step="confirm_order")

    assert (skipped.status, skipped.json["irreversible"]) == (200, ["create_order is left out"])
    assert (wrong.status, wrong.problem) == (409, "conflict")
    assert wrong.json["order_ledger_id"] == order
    assert "the turn of reserve_inventory" in wrong.json["detail"]
    (skip,) = await edge.rows("select actor, reason from ledger_journal where outcome = 'skip'")
    assert skip == BY


@pytest.mark.parametrize(("ending", "status", "left"), [
    ("completed", "COMPLETED", "create_order is left out"),
    ("failed", "FAILED", "what authorize_payment did stays"),
])  # fmt: skip
async def test_a_stuck_order_ends_as_the_operator_says(edge: Edge, ending: str, status: str, left: str) -> None:
    order = await stuck(edge)

    resolved = await act(edge, order, "resolve", **{"as": ending})
    again = await act(edge, order, "resolve", **{"as": ending})
    other = await act(edge, order, "resolve", **{"as": {"completed": "failed", "failed": "completed"}[ending]})

    assert (resolved.json["status"], resolved.json["calls"]) == (status, [])
    assert left in resolved.json["irreversible"]
    assert (again.json["done"], other.status) == (False, 409)
    assert f"Order{status.capitalize()}" in await edge.events()


async def test_a_stuck_order_is_retried_and_one_on_its_way_cancelled(edge: Edge) -> None:
    order = await stuck(edge)

    retried = await act(edge, order, "retry")
    cancelled = await act(edge, order, "cancel")

    assert (retried.json["done"], retried.json["status"]) == (True, "PENDING")
    assert (cancelled.json["status"], len(cancelled.json["calls"])) == ("COMPENSATING", 1)


async def test_a_failed_order_that_is_placed_anew_is_counted_as_started(edge: Edge, payments: Scripted) -> None:
    order = await stuck(edge)
    await act(edge, order, "resolve")

    again = await act(edge, order, "retry")
    async with edge.session.get(f"{edge.admin_url}/metrics") as response:
        metrics = await response.text()

    assert again.json["order_ledger_id"] != order
    assert again.json["irreversible"] == [f"of order {order}, what authorize_payment did stays"]
    assert 'saga_started_total{saga="place_order"} 2.0' in metrics


async def begun(edge: Edge) -> list[tuple[str, int]]:
    return [(row["saga"], row["last_seq"]) for row in await edge.rows("select saga, last_seq from order_ledger order by saga")]


async def test_a_retry_is_refused_when_somebody_has_resolved_the_order_since_it_was_previewed(edge: Edge) -> None:
    order = await stuck(edge)

    previewed = await act(edge, order, "retry", dry_run=True)
    quicker = await act(edge, order, "resolve", actor="bob")
    before = await row(edge, order), await begun(edge)
    refused = await act(edge, order, "retry", seen=previewed.json["seen"])

    assert (quicker.json["status"], refused.status, refused.problem) == ("FAILED", 409, "conflict")
    assert "has changed since you looked at it, and is FAILED now: look again" in refused.json["detail"]
    assert (await row(edge, order), await begun(edge)) == before, "it was placed anew, or written to"

    again = await act(edge, order, "retry", seen=(await act(edge, order, "retry", dry_run=True)).json["seen"])
    assert (again.json["done"], again.json["order_ledger_id"] != order) == (True, True)


async def test_an_order_that_failed_once_more_since_is_not_placed_anew_a_third_time_unseen(edge: Edge) -> None:
    order = await stuck(edge)
    await act(edge, order, "resolve")
    previewed = await act(edge, order, "retry", dry_run=True)
    child = (await act(edge, order, "retry", actor="bob")).json["order_ledger_id"]
    await act(edge, child, "pause", actor="bob")
    assert (await act(edge, child, "resolve", actor="bob")).json["status"] == "FAILED"
    before = await begun(edge)

    refused = await act(edge, order, "retry", seen=previewed.json["seen"])

    assert (refused.status, "look again" in refused.json["detail"], await begun(edge)) == (409, True, before)


async def test_a_cancel_that_was_previewed_on_its_way_takes_nothing_back_once_the_order_has_completed(edge: Edge) -> None:
    order = (await edge.place()).id
    previewed = await act(edge, order, "cancel", dry_run=True)
    await act(edge, order, "pause", actor="bob")
    assert (await act(edge, order, "resolve", actor="bob", **{"as": "completed"})).json["status"] == "COMPLETED"
    before = await begun(edge)

    refused = await act(edge, order, "cancel", seen=previewed.json["seen"])

    assert (refused.status, refused.problem, await begun(edge)) == (409, "conflict", before)
    known = (await act(edge, order, "cancel", dry_run=True)).json["seen"]
    assert (await act(edge, order, "cancel", seen=known)).json["done"] is True
    assert (await act(edge, order, "cancel", seen=known)).json["done"] is False, "what is done already is told as that"


@pytest.mark.parametrize("verb", VERBS)
async def test_an_order_that_is_not_there_is_not_found_by_any_verb(edge: Edge, verb: str) -> None:
    for order in (str(uuid4()), "no-id"):
        reply = await act(edge, order, verb)

        assert (reply.status, reply.problem) == (404, "order-not-found")


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize(
    "body",
    [
        {"actor": "ann"},
        {"reason": "x"},
        {**BY, "actor": ""},
        {**BY, "dry_run": "yes"},
        {**BY, "seen": 17},
        {**BY, "other": 1},
        {**BY, "as": "lost"},
        [],
    ],
    ids=str,
)
async def test_a_body_that_does_not_fit_does_nothing(edge: Edge, verb: str, body: Any) -> None:
    order = await stuck(edge)
    before = await row(edge, order)

    async with edge.session.post(f"{edge.admin_url}/admin/orders/{order}/{verb}", json=body) as response:
        reply = Reply(response.status, await response.read(), dict(response.headers))

    assert (reply.status, reply.problem) == (422, "validation-error")
    assert await row(edge, order) == before


async def test_clients_have_none_of_these_verbs(edge: Edge) -> None:
    order = (await edge.place()).id

    for verb in VERBS:
        reply = await edge.call("POST", f"/admin/orders/{order}/{verb}", data=b"{}", **{"Content-Type": "application/json"})
        assert (reply.status, reply.problem) == (404, "not-found")


async def test_who_acts_is_recorded_with_the_key_that_it_was_done_with(start_edge: StartEdge, payments: Scripted) -> None:
    edge = await start_edge(payments_url=payments.url, admin_token=TOKEN)
    order = await edge.place()
    for actor in ("ann", "admin"):
        for verb in ("pause", "resume"):
            body = {"actor": actor, "reason": "a test"}
            reply = await admin_of(edge).ask("POST", f"/admin/orders/{order.id}/{verb}", json=body, **bearing(TOKEN))
            assert reply.status == 200, reply.body

    rows = await edge.rows("select distinct actor from ledger_journal where actor is not null order by actor")
    assert [row["actor"] for row in rows] == ["admin", "ann (admin)"]
