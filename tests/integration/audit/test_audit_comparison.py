"""The comparison of the ledger with what participants really did, and the report as a whole."""

import io
from collections.abc import AsyncIterator, Callable
from typing import Any, LiteralString

import orjson
import psycopg
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from rich.console import Console

from orchestrator.operations import audit_log, audit_report
from orchestrator.operations.audit import AuditReport, render_audit, run_audit
from orchestrator.sagas import SHIPPED
from sql import auditing
from tests.integration.audit.conftest import Installation

INVARIANTS = {
    database: sum(query.database == database and query.kind == "invariant" for query in auditing.load_audit())
    for database in auditing.DATABASES
}
STRANGER = "0198c0de-0000-8000-8000-000000000001"


@pytest.fixture
async def at_rest(installation: Installation) -> Installation:
    """An installation with two completed orders, one that failed and one that was declined."""
    shop = installation.shop
    await shop.place("completed")
    await shop.place("completed_too")
    await shop.place("declined", payment_method="pm_declined")
    await shop.place("failed", items=({"sku": "tea", "quantity": 1000, "unit_price_minor": 1},))
    return installation


async def change(installation: Installation, name: str, *texts: LiteralString) -> None:
    """Change a participant's database behind the back of what forbids it; `%s` is the id of the order `completed`."""
    id_ = await order_named(installation, "completed")
    async with await psycopg.AsyncConnection.connect(installation.databases[name], autocommit=True) as conn:
        await conn.execute("set session_replication_role = replica")
        for text in texts:
            await conn.execute(text, [id_] * text.count("%s"))


async def order_named(installation: Installation, key: str) -> str:
    cursor = await installation.shop.conn.execute(
        "select order_ledger_id from order_ledger where client_request_id = %s", [key]
    )
    row = await cursor.fetchone()
    assert row is not None
    return str(row[0])


def found(report: AuditReport) -> list[tuple[str, dict[str, Any]]]:
    """Return what the comparison found, without what queries found in the databases."""
    assert report.unreachable == ()
    return [(v.query, v.row) for v in report.violations if v.database == "effects"]


def shown(report: AuditReport) -> str:
    console = Console(file=io.StringIO(), width=200)
    render_audit(report, console)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


async def test_an_installation_at_rest_is_clean(at_rest: Installation) -> None:
    report = await at_rest.audit()

    assert (report.violations, report.unreachable, report.truncated) == ((), (), ())
    assert report.exit_code == 0
    counts = report.counts
    assert counts.queries == INVARIANTS
    assert (counts.orders_finished, counts.orders_compared, counts.orders_unchecked) == (4, 4, {})
    assert counts.effects == {"inventory": 2, "notifications": 0, "orders": 6, "payments": 6, "shipping": 0}
    assert (counts.effects_foreign, counts.effects_unfinished) == (0, 0)
    assert "The audit is clean." in shown(report)


async def test_an_empty_ledger_is_said_to_be_empty(installation: Installation) -> None:
    report = await installation.audit()

    assert report.exit_code == 0
    assert "0 orders: nothing to check" in shown(report)


async def test_orders_under_way_are_counted_and_not_compared(at_rest: Installation) -> None:
    await at_rest.shop.receive("under_way")
    await at_rest.shop.run(calls_max=3)

    report = await at_rest.audit()

    assert found(report) == []
    assert (report.counts.orders_finished, report.counts.effects_unfinished) == (4, 4)


async def test_effects_of_other_callers_are_counted_and_not_judged(at_rest: Installation) -> None:
    reference = {"authorization_id": "a", "order_id": "till-7"}
    authorized = {**reference, "amount_minor": 5, "currency": "GBP", "payment_method": "pm_card"}
    await at_rest.post("payments", "/payments/authorize", "k", authorized)
    await at_rest.post("payments", "/payments/void/a", "k", {})

    report = await at_rest.audit()

    assert report.exit_code == 0
    assert report.counts.effects_foreign == 2


async def test_an_operation_that_was_done_twice_is_found(at_rest: Installation) -> None:
    id_ = await order_named(at_rest, "completed")
    await change(
        at_rest,
        "payments",
        """insert into effect (operation_key, order_id, kind, amounts)
        select operation_key, order_id, kind, '{"fees": 1}' from effect where order_id = %s and kind = 'captured'""",
    )

    report = await at_rest.audit()

    key = f"{id_}:capture_payment:action"
    doubled = {"participant": "payments", "operation_key": key, "times": 2, "seqs": [3, 7]}
    fees = {"order_ledger_id": id_, "status": "COMPLETED", "account": "payments.fees", "expected": 0, "found": 1}
    assert sorted(found(report), key=str) == [
        ("effects_completed_stand", fees),
        ("effects_key_once", {**doubled, "seqs": [2, 7]}),
    ]
    assert report.exit_code == 1


async def test_an_operation_of_another_caller_that_was_done_twice_is_found(at_rest: Installation) -> None:
    effect: LiteralString = (
        "insert into effect (operation_key, order_id, kind, amounts) values ('k', 'x', 'sent', '{\"n\": 1}')"
    )
    await change(at_rest, "notifications", effect, effect)

    report = await at_rest.audit()

    row = {"participant": "notifications", "operation_key": "k", "times": 2, "seqs": [1, 2]}
    assert found(report) == [("effects_key_once", row)]


async def test_an_effect_of_an_order_that_the_ledger_does_not_know_is_found(at_rest: Installation) -> None:
    held = {"order_id": STRANGER, "lines": [{"sku": "tea", "quantity": 1}]}
    key = f"{STRANGER}:reserve_inventory:action"
    await at_rest.post("inventory", "/inventory/reservations", key, held)

    report = await at_rest.audit()

    row = {"participant": "inventory", "operation_key": key, "kind": "stock_reserved", "amounts": {"reserved": 1}}
    assert found(report) == [("effects_known_to_ledger", {**row, "seq": 3})]
    assert report.exit_code == 1


async def test_an_effect_that_is_booked_on_another_order_is_found(at_rest: Installation) -> None:
    id_ = await order_named(at_rest, "completed")
    await change(at_rest, "inventory", "update effect set order_id = 'x' where order_id = %s")

    report = await at_rest.audit()

    key = f"{id_}:reserve_inventory:action"
    row = {"participant": "inventory", "seq": 1, "operation_key": key, "order_id": "x"}
    assert found(report) == [("effects_key_names_order", row)]


async def test_money_that_a_failed_order_keeps_is_found(at_rest: Installation) -> None:
    id_ = await order_named(at_rest, "failed")
    reference = {"authorization_id": "late", "order_id": id_, "amount_minor": 70}
    authorized = {**reference, "currency": "GBP", "payment_method": "pm_card"}
    await at_rest.post("payments", "/payments/authorize", f"{id_}:late:action", authorized)
    await at_rest.post("payments", "/payments/capture/late", "by-hand", reference)

    report = await at_rest.audit()

    row = {"order_ledger_id": id_, "status": "FAILED", "account": "payments.captured", "expected": 0, "found": 70}
    assert found(report) == [("effects_undone_net_zero", row)]


async def test_a_completed_order_without_its_capture_is_found(at_rest: Installation) -> None:
    id_ = await order_named(at_rest, "completed")
    await change(at_rest, "payments", "delete from effect where order_id = %s and kind = 'captured'")

    report = await at_rest.audit()

    about = {"order_ledger_id": id_, "status": "COMPLETED"}
    assert found(report) == [
        ("effects_completed_stand", {**about, "account": "payments.authorized", "expected": 0, "found": 800}),
        ("effects_completed_stand", {**about, "account": "payments.captured", "expected": 800, "found": 0}),
        (
            "effects_action_once",
            {**about, "participant": "payments", "operation_key": f"{id_}:capture_payment:action"},
        ),
    ]


async def test_a_completed_order_with_another_amount_is_found(at_rest: Installation) -> None:
    id_ = await order_named(at_rest, "completed")
    await change(at_rest, "inventory", """update effect set amounts = '{"reserved": 2}' where order_id = %s""")

    report = await at_rest.audit()

    row = {"order_ledger_id": id_, "status": "COMPLETED", "account": "inventory.reserved", "expected": 3, "found": 2}
    assert found(report) == [("effects_completed_stand", row)]


async def test_a_completed_order_without_effects_at_all_is_found(at_rest: Installation) -> None:
    for name in ("orders", "inventory", "payments"):
        await change(at_rest, name, "delete from effect where order_id = %s")

    report = await at_rest.audit()

    assert [query for query, _ in found(report)] == ["effects_completed_stand"] * 4 + ["effects_action_once"] * 5


async def test_an_order_that_changes_while_the_audit_runs_is_left_to_the_next(
    at_rest: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    id_ = await order_named(at_rest, "completed")
    await change(at_rest, "inventory", """update effect set amounts = '{"reserved": 2}' where order_id = %s""")
    read_log = audit_log.read_log

    async def meanwhile(*arguments: Any) -> AsyncIterator[Any]:
        await at_rest.shop.conn.execute("update order_ledger set status = 'CANCELLED' where order_ledger_id = %s", [id_])
        async for page in read_log(*arguments):
            yield page

    monkeypatch.setattr("orchestrator.operations.audit_sides.read_log", meanwhile)
    report = await at_rest.audit()

    assert found(report) == []
    assert report.counts.orders_changed == 1


async def test_orders_are_compared_over_many_pages(at_rest: Installation, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("orchestrator.operations.audit_sides.PAGE_ORDERS", 1)
    monkeypatch.setattr("orchestrator.operations.audit_spool.PARTITIONS", 2)

    report = await at_rest.audit()

    assert report.exit_code == 0
    assert report.counts.orders_compared == 4


async def test_an_order_without_its_definition_is_counted_as_unchecked(at_rest: Installation) -> None:
    report = await run_audit(at_rest.ledger_url, at_rest.urls, at_rest.databases, [])

    assert report.counts.orders_unchecked == {"no definition of its saga and version": 2}
    assert report.counts.orders_compared == 2
    assert "2 not: no definition of its saga and version" in shown(report)


async def test_erased_personal_data_leave_an_order_checked(at_rest: Installation) -> None:
    await at_rest.shop.conn.execute("delete from order_personal")

    report = await at_rest.audit()

    assert (report.exit_code, report.counts.orders_compared) == (0, 4)


async def test_a_participant_that_is_away_fails_the_audit_and_the_others_are_audited(at_rest: Installation) -> None:
    await change(at_rest, "inventory", """update effect set amounts = '{"reserved": 2}' where order_id = %s""")
    at_rest.urls["payments"] = "http://127.0.0.1:1"

    report = await at_rest.audit()

    assert [part.part for part in report.unreachable] == ["effects payments"]
    assert [v.row["account"] for v in report.violations if v.database == "effects"] == ["inventory.reserved"]
    assert report.exit_code == 1
    assert "NOT AUDITED effects payments: it can't be reached" in shown(report)


async def test_parts_without_an_address_fail_the_audit(at_rest: Installation) -> None:
    del at_rest.urls["shipping"], at_rest.databases["notifications"]

    report = await at_rest.audit()

    assert [(part.part, part.reason) for part in report.unreachable] == [
        ("database notifications", "no address of it is given"),
        ("effects shipping", "no address of it is given"),
    ]
    assert report.exit_code == 1


async def test_a_service_of_a_teams_own_need_keep_no_log_but_must_be_there(at_rest: Installation) -> None:
    async with TestServer(web.Application()) as hotel:
        at_rest.urls["hotel"] = str(hotel.make_url("")).rstrip("/")

        report = await at_rest.audit()

        assert (report.exit_code, report.unreachable, report.counts.unlogged) == (0, (), ["hotel"])
        assert "nothing was compared with them: hotel" in shown(report)
        at_rest.urls["payments"] = at_rest.urls["hotel"]
        ours = await at_rest.audit()
    at_rest.urls["payments"] = at_rest.urls["hotel"] = "http://127.0.0.1:1"
    away = await at_rest.audit()

    assert [part.part for part in ours.unreachable] == ["effects payments"]
    assert [part.part for part in away.unreachable] == ["effects hotel", "effects payments"]


async def test_a_database_that_is_away_fails_the_audit(at_rest: Installation) -> None:
    at_rest.databases["orders"] = "postgresql://127.0.0.1:1/orders"

    report = await at_rest.audit()

    assert [part.part for part in report.unreachable] == ["database orders"]
    assert report.exit_code == 1


async def test_a_ledger_that_is_away_fails_the_audit(at_rest: Installation) -> None:
    report = await run_audit("postgresql://127.0.0.1:1/ledger", at_rest.urls, at_rest.databases, SHIPPED)

    assert [part.part for part in report.unreachable] == ["database ledger", "comparison with effects"]
    assert report.exit_code == 1


async def test_a_database_without_its_schema_fails_the_audit(
    at_rest: Installation, participant_database: Callable[[str], str]
) -> None:
    at_rest.databases["shipping"] = participant_database("shipping")
    await change(at_rest, "shipping", "drop table shipment")

    report = await at_rest.audit()

    queries = ("shipping_nothing_sent_after_undo", "shipping_one_shipment_stands", "shipping_shipments_follow_effects")
    assert [part.part for part in report.unreachable] == [f"query {query} on database shipping" for query in queries]
    assert report.counts.queries["shipping"] == INVARIANTS["shipping"] - len(queries)


EFFECT = {"seq": 1, "operation_key": "k", "order_id": "o", "kind": "sent", "amounts": {"sent": 1}, "at": "2026-01-01T00:00:00Z"}


def page(*seqs: int, next_after: int | None) -> web.Response:
    return web.json_response({"effects": [{**EFFECT, "seq": seq} for seq in seqs], "next_after": next_after})


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (lambda: web.Response(status=500), "it answered 500"),
        (lambda: web.Response(status=503), "it answered 503"),
        (lambda: web.Response(status=302, headers={"Location": "/effects?after=0&again"}), "it answered 302"),
        (lambda: web.Response(text="garbage"), "another shape"),
        (lambda: web.json_response({"effects": []}), "another shape"),
        (lambda: web.Response(body=b" " * 2000), "more than 1000 bytes"),
        (lambda: page(2, 1, next_after=None), "does not grow"),
        (lambda: page(1, next_after=1), "does not grow"),
        (lambda: page(1, 2, next_after=9), "does not lead to the next one"),
        (lambda: page(next_after=0), "does not lead to the next one"),
    ],
)
async def test_a_log_that_makes_no_sense_fails_the_audit(
    installation: Installation, monkeypatch: pytest.MonkeyPatch, answer: Callable[[], web.Response], reason: str
) -> None:
    async def get(_request: web.Request) -> web.Response:
        return answer()

    monkeypatch.setattr(audit_log, "PAGE_BYTES_MAX", 1000)
    monkeypatch.setattr(audit_log, "PAUSE_S", 0.0)
    app = web.Application()
    app.router.add_get("/effects", get)
    async with TestServer(app) as server:
        installation.urls["notifications"] = str(server.make_url(""))
        report = await installation.audit()

    (part,) = report.unreachable
    assert part.part == "effects notifications"
    assert reason in part.reason


async def test_a_participant_that_is_busy_for_a_moment_is_asked_again(
    installation: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = iter((web.Response(status=503), page(1, next_after=None)))

    async def get(_request: web.Request) -> web.Response:
        return next(answers)

    monkeypatch.setattr(audit_log, "PAUSE_S", 0.0)
    app = web.Application()
    app.router.add_get("/effects", get)
    async with TestServer(app) as server:
        installation.urls["notifications"] = str(server.make_url(""))
        report = await installation.audit()

    assert report.exit_code == 0
    assert report.counts.effects["notifications"] == 1


async def test_the_report_is_bounded_and_says_so(at_rest: Installation, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audit_report, "ROWS_MAX", 1)
    monkeypatch.setattr("orchestrator.operations.audit.ROWS_MAX", 1)
    await at_rest.shop.conn.execute("delete from outbox")

    report = await at_rest.audit()

    assert report.truncated == ("ledger_orders_announced", "ledger_status_announced")
    assert [v.query for v in report.violations] == list(report.truncated)
    assert "(more than these)" in shown(report)


async def test_the_report_as_json_has_plain_values_only(at_rest: Installation) -> None:
    await at_rest.shop.conn.execute("update order_ledger set chain_head = '\\x00', updated_at = now()")
    at_rest.urls["payments"] = "http://127.0.0.1:1"

    report = await at_rest.audit(questions=True)

    document = report.to_json()
    assert orjson.loads(orjson.dumps(document)) == document
    assert document["clean"] is False
    assert document["violations"][0]["query"] == "ledger_chain_intact"
    assert document["counts"]["orders_finished"] == 4
    assert {answer["query"] for answer in document["answers"]} == {
        query.name for query in auditing.load_audit() if query.kind == "question"
    }


async def test_the_answers_of_the_three_sides_agree_on_the_money(at_rest: Installation) -> None:
    report = await at_rest.audit(questions=True)

    sides = {answer.query: answer.rows for answer in report.answers if "_money_" in answer.query}
    assert set(sides) == {"ledger_money_completed", "payments_money_captured", "orders_money_confirmed"}
    for rows in sides.values():
        assert rows == ({"currency": "GBP", "orders": 2, "amount_minor": 1600},)
    assert "How much captured money stands?" in shown(report)


async def test_what_rows_say_is_printed_as_text(at_rest: Installation) -> None:
    await change(
        at_rest,
        "shipping",
        "insert into effect (operation_key, order_id, kind, amounts) values (E'[red]\\x1b[2Jk', 'x', 'sent', '{\"n\": 1}')",
    )

    assert "[red] [2Jk" in shown(await at_rest.audit())
