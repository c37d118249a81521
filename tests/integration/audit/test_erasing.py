"""`saga erase-customer`: nothing personal is left anywhere, and the history and its audit stay whole."""

import asyncio
import json
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from psycopg.rows import dict_row

from orchestrator import cancelling, operating
from orchestrator.definitions import Definitions
from orchestrator.operating import NotRetryable
from orchestrator.outcome import Rejected, Succeeded, Unknown
from orchestrator.retrace import retrace
from orchestrator.sagas.cancel_order import CANCEL_ORDER
from orchestrator.settings import Settings
from participants.app import create_app
from participants.contracts.shipping import Address
from participants.settings import load_settings
from sql import erasure, ledger
from sql.histories import page_histories
from sql.models import Status
from sql.registry import register_participants
from tests.acceptance.commands import saga
from tests.integration.audit.conftest import Installation
from tests.integration.audit.shop import SAGA, scripted

CANARY = "Canary Ann"
ADDRESS = Address(name=CANARY, lines=("Canary Row 7",), city="Leeds", country="GB")
WHY = ("--reason", "asked by letter", "--actor", "ann")


async def erase(installation: Installation, cwd: Path, *options: str) -> tuple[int, dict[str, Any]]:
    register_participants(installation.ledger_url, installation.urls)
    arguments = ("erase-customer", "17850", *WHY, "--json", *options, "--database-url", installation.ledger_url)
    ended = await asyncio.to_thread(saga, *arguments, cwd=cwd)
    assert ended.stdout, ended.stderr
    return ended.returncode, json.loads(ended.stdout)


def personal(installation: Installation) -> list[dict[str, Any]]:
    with psycopg.connect(installation.ledger_url, row_factory=dict_row) as conn:
        return conn.execute("select * from order_personal order by order_ledger_id").fetchall()


async def journal(installation: Installation, order: UUID) -> list[tuple[Any, ...]]:
    rows = await installation.shop.conn.execute(
        "select kind, outcome, actor, reason from ledger_journal where order_ledger_id = %s order by seq", (order,)
    )
    return await rows.fetchall()


async def is_whole(installation: Installation) -> None:
    """See that every invariant holds, the chain among them, and that every decision is still the core's."""
    report = await installation.audit()
    assert (report.violations, report.unreachable) == ((), ())
    for history in await page_histories(installation.shop.conn, limit=100):
        assert retrace(history) == ()


async def test_what_is_known_of_a_customer_goes_and_the_history_stays(installation: Installation, tmp_path: Path) -> None:
    shop = installation.shop
    placed = await shop.place("completed", shipping_address=ADDRESS)
    await shop.place("failed", shipping_address=ADDRESS, items=({"sku": "tea", "quantity": 1000, "unit_price_minor": 1},))
    other = await shop.place("other", customer_id="17851", shipping_address=ADDRESS)
    await installation.post("orders", "/customers", "add", {"customer_id": "17850", "name": CANARY})
    before = await journal(installation, placed.row.order_ledger_id)

    dry = await erase(installation, tmp_path, "--dry-run")
    left = personal(installation)
    code, told = await erase(installation, tmp_path)

    assert (dry[0], dry[1]["erased"], len(left)) == (0, 2, 3)
    assert (code, told["complete"], told["orders"], told["erased"], told["unfinished"]) == (0, True, 2, 2, [])
    assert {asked["participant"]: asked["erased"] for asked in told["participants"]} == {
        "orders": 1, "inventory": 0, "payments": 2, "shipping": 0, "notifications": 0,
    }  # fmt: skip
    assert [row["order_ledger_id"] for row in personal(installation)] == [other.row.order_ledger_id]
    after = await journal(installation, placed.row.order_ledger_id)
    assert after == [*before, ("operator", "erase", "ann", "asked by letter")]
    await is_whole(installation)
    acts = await (await shop.conn.execute("select act, subject, actor, reason from operator_act")).fetchall()
    assert acts == [("erase_customer", "17850", "ann", "asked by letter")]
    # Repeated, it finds nothing left, and changes no order.
    code, told = await erase(installation, tmp_path)
    assert (code, told["erased"], sum(asked["erased"] for asked in told["participants"])) == (0, 0, 0)
    assert await journal(installation, placed.row.order_ledger_id) == after


async def test_an_order_that_goes_on_keeps_what_it_needs_until_it_has_ended(installation: Installation, tmp_path: Path) -> None:
    shop = installation.shop
    await shop.place("completed", shipping_address=ADDRESS)
    waits = await shop.place("waits", scripted(create_order=Unknown("no answer")), shipping_address=ADDRESS)

    code, told = await erase(installation, tmp_path)

    assert (code, told["complete"], told["erased"], told["unfinished"]) == (1, False, 1, [str(waits.row.order_ledger_id)])
    assert CANARY in str(personal(installation))
    async with shop.conn.transaction():
        assert not await erasure.erase_orders(shop.conn, [waits.row.order_ledger_id], actor="a", reason="r")
    await shop.retry_now()
    await shop.run()
    assert (await erase(installation, tmp_path))[1]["complete"]
    assert personal(installation) == []


async def test_a_run_that_was_cut_off_is_repeated(installation: Installation, tmp_path: Path) -> None:
    shop = installation.shop
    orders = [(await shop.place(f"order {n}", shipping_address=ADDRESS)).row.order_ledger_id for n in range(3)]
    await installation.post("orders", "/customers", "add", {"customer_id": "17850", "name": CANARY})
    assert await erasure.erase_orders(shop.conn, orders[:2], actor="ann", reason="cut off") == set(orders[:2])
    away = dict(installation.urls)
    installation.urls["orders"] = "http://127.0.0.1:1"

    code, told = await erase(installation, tmp_path)
    installation.urls.update(away)
    again, found = await erase(installation, tmp_path)

    assert (code, told["complete"], told["erased"]) == (1, False, 1)
    (error,) = [asked["error"] for asked in told["participants"] if asked["participant"] == "orders"]
    assert "could not be asked" in error
    assert (again, found["complete"], found["erased"]) == (0, True, 0)
    assert [asked["erased"] for asked in found["participants"] if asked["participant"] == "orders"] == [1]
    erased = [[kind for kind, outcome, *_ in await journal(installation, order) if outcome == "erase"] for order in orders]
    assert erased == [["operator"]] * 3
    await is_whole(installation)


async def test_only_the_orders_of_one_client_are_erased_where_one_is_named(installation: Installation, tmp_path: Path) -> None:
    await installation.shop.place("completed", shipping_address=ADDRESS)

    (client,) = await (await installation.shop.conn.execute("select distinct client_id from order_ledger")).fetchall()

    dry = await erase(installation, tmp_path, "--client", *client, "--dry-run")
    refused = await asyncio.to_thread(
        saga, "erase-customer", "17850", *WHY, "--client", "another", "--database-url", installation.ledger_url, cwd=tmp_path
    )
    left = personal(installation)
    code, told = await erase(installation, tmp_path, "--client", *client)

    assert (dry[0], dry[1]["erased"]) == (0, 1)
    # Participants would lose the name of the other client's customer: they know the id alone.
    assert (refused.returncode, refused.stdout, len(left)) == (1, "", 1)
    assert "other clients than another have orders of a customer 17850" in refused.stderr
    assert (code, told["erased"], personal(installation)) == (0, 1, [])


async def test_participants_of_a_stack_are_shown_their_secrets(installation: Installation, tmp_path: Path) -> None:
    settings: dict[str, Any] = {"orders_database_url": installation.databases["orders"], "orders_secret": "of-orders"}
    async with TestServer(create_app("orders", load_settings(**settings))) as server:
        installation.urls["orders"] = str(server.make_url("")).rstrip("/")
        parts = {name: {"url": url, "database_url": installation.databases[name]} for name, url in installation.urls.items()}
        parts["orders"]["secret"] = "of-orders"
        stack = {"database_url": installation.ledger_url, "edge_url": "http://127.0.0.1:1", "participants": parts}
        (tmp_path / ".sagaledger").mkdir()
        (tmp_path / ".sagaledger/stack.json").write_text(json.dumps(stack))
        code, told = await erase(installation, tmp_path)

    assert (code, told["complete"]) == (0, True), told


async def test_nothing_is_erased_where_nobody_could_be_asked(installation: Installation, tmp_path: Path) -> None:
    await installation.shop.place("completed", shipping_address=ADDRESS)
    known = {"SAGA_DATABASE_URL": installation.ledger_url, "SAGA_ENVIRONMENT": "preview"}

    refused = await asyncio.to_thread(saga, "erase-customer", "17850", *WHY, cwd=tmp_path, **known)

    assert (refused.returncode, refused.stdout, len(personal(installation))) == (1, "", 1), refused
    assert "SAGA_PARTICIPANT_SECRETS: there is none for" in refused.stderr


@pytest.mark.parametrize(("status", "complete"), [(402, False), (404, True), (405, True), (409, False), (410, False)])
async def test_who_refuses_to_erase_is_told_and_who_has_nothing_to_erase_is_passed_over(
    status: int, complete: bool, installation: Installation, tmp_path: Path
) -> None:
    async def refuse(_request: web.Request) -> web.Response:
        return web.json_response({"type": "about:blank", "detail": "not now"}, status=status)

    app = web.Application()
    app.router.add_post("/personal/erase", refuse)
    async with TestServer(app) as server:
        installation.urls["parcels"] = str(server.make_url("")).rstrip("/")
        code, told = await erase(installation, tmp_path)

    (asked,) = [asked for asked in told["participants"] if asked["participant"] == "parcels"]
    assert (code, told["complete"]) == (int(not complete), complete)
    assert (asked["erased"], asked["error"]) == ((0, None) if complete else (None, f"parcels answered {status}: not now"))


async def test_a_completed_order_is_taken_back_after_it_was_erased(installation: Installation) -> None:
    shop = installation.shop
    placed = await shop.place("completed", shipping_address=ADDRESS)
    order = placed.row.order_ledger_id
    await erasure.erase_orders(shop.conn, [order], actor="ann", reason="asked by letter")
    definitions = Definitions([SAGA, CANCEL_ORDER], Settings())
    await definitions.register(shop.conn)

    await cancelling.cancel(shop.conn, definitions, order, actor="ann", reason="asked by phone")
    await shop.run(saga=definitions.named(CANCEL_ORDER.name))

    assert (await ledger.get_rows(shop.conn, [order]))[order].status is Status.CANCELLED
    await is_whole(installation)


async def test_what_failed_is_not_placed_anew_without_what_it_needs(installation: Installation) -> None:
    shop = installation.shop
    failed = await shop.place("failed", scripted(create_order=Rejected("no"), authorize_payment=Succeeded({})))
    await erasure.erase_orders(shop.conn, [failed.row.order_ledger_id], actor="ann", reason="asked by letter")
    definitions = Definitions([SAGA], Settings())

    with pytest.raises(NotRetryable, match="erased"):
        await operating.retry(shop.conn, definitions, failed.row.order_ledger_id, actor="ann", reason="again")


async def test_personal_data_that_come_back_are_found(installation: Installation) -> None:
    placed = await installation.shop.place("completed", shipping_address=ADDRESS)
    order = placed.row.order_ledger_id
    await erasure.erase_orders(installation.shop.conn, [order], actor="ann", reason="asked by letter")
    await installation.shop.conn.execute("insert into order_personal (order_ledger_id, data) values (%s, '{}')", (order,))

    (violation,) = (await installation.audit()).violations

    assert (violation.query, violation.row["order_ledger_id"]) == ("ledger_erased_stays_erased", order)
