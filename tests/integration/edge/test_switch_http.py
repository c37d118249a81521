"""`SAGA_ENABLED` at the edge: what would begin something is refused, what mends, answers or reads goes on."""

import pytest

from orchestrator.settings import load_settings
from tests.integration.edge.service import Edge, Scripted, StartEdge

JSON = {"Content-Type": "application/json"}


@pytest.mark.parametrize(
    ("environment", "given", "takes_orders"),
    [
        ("dev", {}, True),
        ("preview", {}, True),
        ("prod", {}, False),
        ("prod", {"enabled": True}, True),
        ("preview", {"enabled": False}, False),
        ("dev", {"enabled": False}, False),
    ],
)
def test_it_is_off_in_prod_alone_until_somebody_says_otherwise(
    environment: str, given: dict[str, bool], takes_orders: bool
) -> None:
    assert load_settings(environment=environment, **given).takes_orders is takes_orders


@pytest.fixture
async def edges(start_edge: StartEdge, payments: Scripted) -> tuple[Edge, Edge]:
    """Two edges of one ledger, of which the second is switched off."""
    on = await start_edge(payments_url=payments.url)
    return on, await start_edge(payments_url=payments.url, enabled=False)


async def test_every_way_to_begin_something_is_refused_and_nothing_is_recorded(edges: tuple[Edge, Edge]) -> None:
    on, off = edges
    unpaid = await on.place(saga="place_unpaid_order")
    await on.rows(
        "update order_ledger set status = 'COMPLETED', finished_at = now(), lease_owner = null, lease_expires_at = null"
    )
    before = len(await on.orders())

    refused = [
        await off.place("new"),
        await off.call(
            "POST", "/sagas/place_order", data=b'{"customer_id":"1","currency":"GBP","items":[{"sku":"a","quantity":1,'
            b'"unit_price_minor":1}]}', **JSON, **{"Idempotency-Key": "new"},
        ),
        await off.call("POST", f"/orders/{unpaid.id}/pay", data=b"{}", **JSON, **{"Idempotency-Key": "new"}),
    ]  # fmt: skip

    for reply in refused:
        assert (reply.status, reply.problem) == (503, "feature-disabled")
        assert reply.json["retryable"] is True
        assert int(reply.headers["Retry-After"]) > 0
    assert len(await on.orders()) == before
    assert (await on.place("new")).status == 202


async def test_a_repeat_gets_its_answer_for_it_begins_nothing(edges: tuple[Edge, Edge]) -> None:
    on, off = edges
    first = await on.place("known")

    repeated = await off.place("known")

    assert repeated.replayed
    assert repeated.frozen == first.frozen
    assert (await off.place("known", currency="EUR")).problem == "idempotency-key-reused"


async def test_what_reads_and_what_mends_goes_on(edges: tuple[Edge, Edge]) -> None:
    on, off = edges
    order = await on.place("known")

    assert (await off.get(f"/orders/{order.id}")).status == 200
    assert (await off.get("/events")).status == 200
    assert (await off.get("/readyz")).json == {"status": "ready", "takes_orders": False}
    cancelled = await off.call("POST", f"/orders/{order.id}/cancel", data=b'{"reason":"too late"}', **JSON)
    assert cancelled.status == 202
