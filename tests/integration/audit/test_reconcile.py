"""Drift between ledger and participants, planted behind their backs: it is told with its worth, and its remedy mends it."""

import io
import json
import shlex
from collections.abc import Awaitable, Callable
from uuid import UUID

import psycopg
import pytest
from rich.console import Console

from orchestrator import cancelling, operating
from orchestrator.definitions import Definitions
from orchestrator.identity import order_id, resource_id
from orchestrator.operations import reconcile as reconciling
from orchestrator.operations.reconcile import Reconciliation, reconcile, render_reconciliation
from orchestrator.outcome import Rejected, Succeeded
from orchestrator.sagas import SHIPPED
from orchestrator.sagas.cancel_order import CANCEL_ORDER
from orchestrator.settings import Settings
from tests.integration.audit.conftest import Installation
from tests.integration.audit.shop import SAGA, Shop, scripted

STRANGER = "0198c0de-0000-8000-8000-000000000001"
COMPLETED = str(order_id("client", "completed"))
FAILED = str(order_id("client", "failed"))
DECLINED = str(order_id("client", "declined"))
WORTH = 800
Plant = Callable[[Installation, str], Awaitable[None]]


@pytest.fixture
async def at_rest(installation: Installation) -> Installation:
    """An installation with an order that completed, one that failed and one that was declined."""
    await installation.shop.place("completed")
    await installation.shop.place("declined", payment_method="pm_declined")
    await installation.shop.place("failed", items=({"sku": "tea", "quantity": 1000, "unit_price_minor": 1},))
    return installation


async def compared(installation: Installation) -> Reconciliation:
    return await reconcile(installation.ledger_url, installation.urls, SHIPPED)


async def rewrite(installation: Installation, name: str, *statements: str) -> None:
    """Change a participant's database behind the back of what forbids it, as one that was restored from a backup is changed."""
    async with await psycopg.AsyncConnection.connect(installation.databases[name], autocommit=True) as conn:
        await conn.execute("set session_replication_role = replica")
        for statement in statements:
            await conn.execute(statement.encode())


async def mend(installation: Installation, command: str) -> None:
    """Do what a command would that was proposed."""
    words = shlex.split(command)
    if words[0] == "curl":
        headers = dict(word.split(": ", 1) for word, option in zip(words[1:], words, strict=False) if option == "--header")
        body = json.loads(words[words.index("--data") + 1]) if "--data" in words else None
        method, url = words[words.index("--request") + 1 : words.index("--request") + 3]
        async with installation.http.request(method, url, json=body, headers=headers) as answer:
            assert answer.status == 200, await answer.text()
        return
    assert words[:2] == ["saga", "ledger"]
    shop, definitions = installation.shop, Definitions([SAGA, CANCEL_ORDER], Settings())
    await definitions.register(shop.conn)
    verb, saga = {"cancel": (cancelling.cancel, definitions.named(CANCEL_ORDER.name)), "retry": (operating.retry, SAGA)}[
        words[2]
    ]
    orders = await alike(shop, words) if words[3] == "--all" else [UUID(words[3])]
    for order in orders:
        await verb(shop.conn, definitions, order, actor="ann", reason=words[words.index("--reason") + 1])
    await shop.run(saga=saga)


async def alike(shop: Shop, words: list[str]) -> list[UUID]:
    """The orders that a bulk retry is for, which is proposed as a look at first."""
    assert "--dry-run" in words
    status, saga, cause = (words[words.index(option) + 1] for option in ("--status", "--saga", "--error-like"))
    cursor = await shop.conn.execute(
        "select order_ledger_id from order_ledger where status = %s and saga = %s and strpos(last_error, %s) > 0",
        (status, saga, cause),
    )
    return [row[0] for row in await cursor.fetchall()]


async def authorize(installation: Installation, order: str, amount_minor: int = 500) -> None:
    """Have money set aside for an order, under the key under which the ledger would."""
    body = {
        "authorization_id": str(resource_id(order, "authorize_payment")),
        "order_id": order,
        "amount_minor": amount_minor,
        "currency": "GBP",
        "payment_method": "pm_card",
    }
    await installation.post("payments", "/payments/authorize", f"{order}:authorize_payment:action", body)


async def capture(installation: Installation, order: str) -> None:
    await authorize(installation, order)
    authorization = str(resource_id(order, "authorize_payment"))
    body = {"authorization_id": authorization, "order_id": order, "amount_minor": 500}
    await installation.post("payments", f"/payments/capture/{authorization}", f"{order}:capture_payment:action", body)


async def reserve(installation: Installation, order: str) -> None:
    body = {"order_id": order, "lines": [{"sku": "tea", "quantity": 3}]}
    await installation.post("inventory", "/inventory/reservations", f"{order}:reserve_inventory:action", body)


async def record(installation: Installation, order: str) -> None:
    line = {"sku": "tea", "quantity": 1, "unit_price_minor": 5}
    body = {"order_ledger_id": order, "customer_id": "17850", "currency": "GBP", "total_minor": 5, "lines": [line]}
    await installation.post("orders", "/orders", f"{order}:create_order:action", body)


async def ship(installation: Installation, order: str) -> None:
    body = {"shipment_id": str(resource_id(order, "schedule_shipping")), "order_id": order}
    await installation.post("shipping", "/shipments", f"{order}:schedule_shipping:action", body)


async def restore_without_void(installation: Installation, order: str) -> None:
    """Give the payments service the state that it had before a failed order's money was let go."""
    await rewrite(
        installation,
        "payments",
        f"delete from effect where order_id = '{order}' and kind = 'voided'",
        f"delete from fence where idempotency_key = '{order}:authorize_payment:compensation'",
        f"update payment set status = 'authorized', voided_at = null where order_id = '{order}'",
    )


async def restore_without_capture(installation: Installation, order: str) -> None:
    """Give the payments service the state that it had before a completed order's money was taken."""
    await rewrite(
        installation,
        "payments",
        f"delete from effect where order_id = '{order}' and kind = 'captured'",
        f"delete from fence where idempotency_key = '{order}:capture_payment:action'",
        f"update payment set status = 'authorized', captured_at = null where order_id = '{order}'",
    )


async def restore_without_stock(installation: Installation, order: str) -> None:
    """Give the inventory service the state that it had before a completed order's stock was held."""
    await rewrite(
        installation,
        "inventory",
        f"delete from effect where order_id = '{order}'",
        f"delete from fence where idempotency_key = '{order}:reserve_inventory:action'",
        f"delete from reservation where order_id = '{order}'",
    )


async def restore_without_record(installation: Installation, order: str) -> None:
    """Give the orders service the state that it had before a completed order was recorded."""
    await rewrite(
        installation,
        "orders",
        f"delete from effect where order_id = '{order}'",
        f"delete from fence where idempotency_key like '{order}:%'",
        f"delete from shop_order_line where order_ledger_id = '{order}'",
        f"delete from shop_order where order_ledger_id = '{order}'",
    )


KINDS: list[tuple[str, Plant, str, int | None, str | None]] = [
    ("unknown_order_holds_money", authorize, STRANGER, 500, None),
    ("unknown_order_holds_money", capture, STRANGER, 500, None),
    ("unknown_order_holds_stock", reserve, STRANGER, None, None),
    ("unknown_order_holds_record", record, STRANGER, None, None),
    ("unknown_order_holds_shipment", ship, STRANGER, None, None),
    ("undone_order_holds_money", restore_without_void, FAILED, 1000, "GBP"),
    ("undone_order_holds_stock", reserve, DECLINED, WORTH, "GBP"),
    ("undone_order_holds_record", record, DECLINED, WORTH, "GBP"),
    ("undone_order_holds_shipment", ship, DECLINED, WORTH, "GBP"),
    ("completed_order_lacks_money", restore_without_capture, COMPLETED, WORTH, "GBP"),
    ("completed_order_lacks_stock", restore_without_stock, COMPLETED, WORTH, "GBP"),
    ("completed_order_lacks_record", restore_without_record, COMPLETED, WORTH, "GBP"),
]


@pytest.mark.parametrize(("kind", "plant", "order", "value_minor", "currency"), KINDS)
async def test_each_kind_of_drift_is_told_with_its_worth_and_what_is_proposed_mends_it(
    at_rest: Installation, kind: str, plant: Plant, order: str, value_minor: int | None, currency: str | None
) -> None:
    assert (await compared(at_rest)).exit_code == 0
    await plant(at_rest, order)

    report = await compared(at_rest)

    told = [(drift.kind, drift.order, drift.value_minor, drift.currency) for drift in report.drifts]
    assert told == [(kind, order, value_minor, currency)]
    assert report.exit_code == 1
    for _ in range(2):  # what a cancel finds set aside still, it leaves; that is told then, and mended too
        for command in [command for drift in (await compared(at_rest)).drifts for command in drift.mend]:
            await mend(at_rest, command)
    assert (await compared(at_rest)).drifts == ()


async def test_an_order_that_has_more_than_it_should_is_told_and_left_to_a_person(at_rest: Installation) -> None:
    await rewrite(
        at_rest, "payments", f"""insert into effect (operation_key, order_id, kind, amounts)
        values ('till', '{COMPLETED}', 'captured', '{{"captured": 70}}')"""
    )  # fmt: skip

    (drift,) = (await compared(at_rest)).drifts

    assert (drift.kind, drift.value_minor, drift.mend) == ("completed_order_exceeds_money", 70, ())


async def test_a_message_about_an_order_that_nobody_knows_is_told_and_can_not_be_taken_back(at_rest: Installation) -> None:
    message = {"notification_id": STRANGER, "order_id": STRANGER, "customer_id": "1", "template": "order_cancelled"}
    await at_rest.post("notifications", "/notifications", f"{STRANGER}:send_notification:action", message)

    (drift,) = (await compared(at_rest)).drifts

    assert (drift.kind, drift.value_minor, drift.mend) == ("unknown_order_holds_message", None, ())


async def test_an_order_that_waits_for_an_operator_is_told_and_a_retry_mends_it(at_rest: Installation) -> None:
    refused = Rejected("not possible")
    await at_rest.shop.place("stuck", scripted(reserve_inventory=refused, create_order_undo=refused))

    (drift,) = (await compared(at_rest)).drifts
    at_rest.shop.answer = scripted(reserve_inventory=Succeeded({}))
    for command in drift.mend:
        await mend(at_rest, command)

    assert (drift.kind, drift.status, drift.value_minor, drift.currency) == ("stuck_order", "STUCK", WORTH, "GBP")
    assert drift.meaning.endswith("could not be undone: create_order")
    assert (await compared(at_rest)).drifts == ()


async def test_orders_on_their_way_are_left_alone(at_rest: Installation) -> None:
    await at_rest.shop.receive("under_way")
    await at_rest.shop.run(calls_max=3)

    assert (await compared(at_rest)).exit_code == 0


async def test_what_others_ask_of_the_participants_is_their_own_affair(at_rest: Installation) -> None:
    body = {"authorization_id": "a", "order_id": "till-7", "amount_minor": 5, "currency": "GBP", "payment_method": "pm_card"}
    await at_rest.post("payments", "/payments/authorize", "till", body)

    assert (await compared(at_rest)).exit_code == 0


async def test_an_order_that_differs_at_several_participants_is_at_risk_once(at_rest: Installation) -> None:
    await restore_without_capture(at_rest, COMPLETED)
    await restore_without_stock(at_rest, COMPLETED)
    await authorize(at_rest, STRANGER)
    await reserve(at_rest, STRANGER.replace("1", "2"))

    report = await compared(at_rest)

    assert len(report.drifts) == 4
    assert report.value_at_risk.by_currency == {"GBP": WORTH, "unknown": 500}
    assert report.value_at_risk.orders_unvalued == 1


async def test_a_participant_that_is_away_is_said_not_to_be_compared(at_rest: Installation) -> None:
    at_rest.urls["payments"] = "http://127.0.0.1:1"

    report = await compared(at_rest)

    assert [part.part for part in report.unreachable] == ["effects payments"]
    assert (report.drifts, report.exit_code) == ((), 1)


async def test_a_ledger_that_is_away_is_said_not_to_be_compared(at_rest: Installation) -> None:
    report = await reconcile("postgresql://127.0.0.1:1/ledger", at_rest.urls, SHIPPED)

    assert {part.part for part in report.unreachable} == {"comparison with effects", "database ledger"}
    assert report.exit_code == 1


async def test_the_report_is_bounded_and_says_so(at_rest: Installation, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reconciling, "DRIFTS_MAX", 1)
    for stranger in (STRANGER, STRANGER.replace("1", "2"), STRANGER.replace("1", "3")):
        await authorize(at_rest, stranger)

    report = await compared(at_rest)

    assert (len(report.drifts), report.truncated) == (1, True)


async def test_people_read_what_is_at_risk_and_what_mends_it(at_rest: Installation) -> None:
    await restore_without_capture(at_rest, COMPLETED)
    console = Console(file=io.StringIO(), width=400)

    report = await compared(at_rest)
    render_reconciliation(report, console)

    assert isinstance(console.file, io.StringIO)
    text = console.file.getvalue()
    assert f"DRIFT completed_order_lacks_money: {COMPLETED} place_order COMPLETED, 8.00 GBP" in text
    assert f"mend: saga ledger cancel {COMPLETED} --reason 'reconcile: completed_order_lacks_money'" in text
    assert "value at risk: 8.00 GBP" in text
    document = report.to_json()
    assert json.loads(json.dumps(document)) == document
    assert document["value_at_risk"] == {"by_currency": {"GBP": WORTH}, "orders_unvalued": 0}
