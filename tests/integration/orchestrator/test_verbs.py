"""`saga ledger retry` and `saga ledger cancel`: what they print, and what they leave in the ledger."""

import asyncio
import json
from uuid import UUID, uuid4

import psycopg
import pytest

from orchestrator.definitions import Definitions
from orchestrator.identity import order_id
from orchestrator.opening import Request, open_order
from orchestrator.operations import verbs
from orchestrator.sagas import SHIPPED
from orchestrator.sagas.orders import Item, PlaceOrder
from orchestrator.settings import load_settings
from sql import ledger

STUCK = "update order_ledger set status = 'STUCK', progress = jsonb_set(progress, '{stuck}', '\"nobody knows\"')"
FAILED = (
    "update order_ledger set status = 'FAILED', finished_at = now(), progress = jsonb_set(progress, '{ending}', '\"FAILED\"')"
)


@pytest.fixture
def order(ledger_url: str) -> UUID:
    """An order that no orchestrator has seen."""

    async def record() -> UUID:
        definitions, key = Definitions(SHIPPED, load_settings()), uuid4().hex
        items = (Item(sku="SKU", quantity=1, unit_price_minor=100),)
        asked = PlaceOrder(customer_id="c", currency="EUR", items=items)
        request = Request(order_id("tests", key), "tests", key, b"hash", asked, {}, "correlation")
        async with await psycopg.AsyncConnection.connect(ledger_url, autocommit=True) as conn:
            await definitions.register(conn)
            opening = open_order(definitions.named("place_order"), request)
            assert await ledger.insert_order(conn, opening.order)
        return opening.order.order_ledger_id

    return asyncio.run(record())


def act(verb: str, url: str, order: UUID, *, dry_run: bool = False, as_json: bool = False) -> None:
    verbs.act(verb, url, order_ledger_id=order, actor="ann", reason="so it is", dry_run=dry_run, as_json=as_json)


def do(url: str, statement: str) -> None:
    with psycopg.connect(url) as conn:
        conn.execute(statement)  # type: ignore[arg-type]


def test_a_cancel_is_shown_then_done_then_known(order: UUID, ledger_url: str, capsys: pytest.CaptureFixture[str]) -> None:
    act("cancel", ledger_url, order, dry_run=True)
    shown = capsys.readouterr().out.splitlines()
    act("cancel", ledger_url, order)
    done = capsys.readouterr().out.splitlines()
    act("cancel", ledger_url, order)
    again = capsys.readouterr().out.splitlines()

    assert shown == [
        f"cancel of order {order} would be followed by:",
        "      no calls",
        "nothing was changed; with --seen RECEIVED-round1 it is refused once the order has changed",
    ]
    assert done == [f"cancel of order {order} is recorded; it is CANCELLED, and goes on with:", "      no calls"]
    assert again[0] == f"cancel of order {order} had been asked for before; it is CANCELLED"


def test_a_completed_order_is_taken_back(order: UUID, ledger_url: str, capsys: pytest.CaptureFixture[str]) -> None:
    do(ledger_url, "update order_ledger set status = 'COMPLETED', finished_at = now()")
    run = order_id("tests", f"cancel:{order}")

    act("cancel", ledger_url, order, dry_run=True)
    shown = capsys.readouterr().out.splitlines()
    act("cancel", ledger_url, order)
    done = capsys.readouterr().out.splitlines()
    act("cancel", ledger_url, order)
    again = capsys.readouterr().out.splitlines()

    said = f"cancel of order {order}, which is completed and is taken back by cancel_order {run},"
    assert shown[0] == f"{said} would be followed by:"
    assert shown[-2].startswith("can't be undone: ")
    assert done[0] == f"{said} is recorded; it is PENDING, and goes on with:"
    assert again[0] == f"{said} had been asked for before; it is PENDING"
    assert done[1:] == shown[1:-1]
    assert "send_cancellation_notice" in done[1]


def test_a_retry_names_the_calls_that_follow(order: UUID, ledger_url: str, capsys: pytest.CaptureFixture[str]) -> None:
    do(ledger_url, STUCK)

    act("retry", ledger_url, order)

    told = capsys.readouterr().out.splitlines()
    assert told[0] == f"retry of order {order} is recorded; it is RECEIVED, and goes on with:"
    assert [line.split()[1] for line in told[1:]] == [
        "authorize_payment:", "create_order:", "reserve_inventory:", "capture_payment:", "confirm_order:",
    ]  # fmt: skip


def test_a_failed_order_is_tried_anew_under_another_id(
    order: UUID, ledger_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    do(ledger_url, FAILED)

    act("retry", ledger_url, order)
    told = capsys.readouterr().out
    act("retry", ledger_url, order, as_json=True)
    again = json.loads(capsys.readouterr().out)

    assert f"retry of order {order}, which was undone and is tried anew as order {again['order_ledger_id']}," in told
    assert (again["done"], again["dry_run"]) == (False, False)
