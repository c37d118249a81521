"""Every migration is applied, taken back and applied again; the schema and the code speak of the same things."""

import re
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest

from sql import migrate
from sql.models import Direction, Kind, Status

SCHEMAS = ("ledger", "orders", "inventory", "payments", "shipping", "notifications")
# What one order's rows stand in: distributed by order, their keys must all name it.
OF_ONE_ORDER = {"order_ledger": "order_ledger_id", "outbox": "aggregateid"}


def objects(url: str) -> set[tuple[str, str]]:
    with psycopg.connect(url) as conn:
        relations = conn.execute(
            "select relkind::text, relname from pg_class where relnamespace = 'public'::regnamespace"
            " and relname !~ '^_?yoyo' and relname not like '%yoyo%'"
        ).fetchall()
        functions = conn.execute("select 'f', proname from pg_proc where pronamespace = 'public'::regnamespace").fetchall()
    return {*relations, *functions}


@pytest.mark.parametrize("schema", SCHEMAS)
def test_migrations_can_be_taken_back_and_applied_again(schema: str, new_database: Callable[[str], str]) -> None:
    url = new_database(schema)
    applied = objects(url)

    undone = migrate.rollback(url, schema)
    left = objects(url)
    redone = migrate.apply(url, schema)

    assert left == set()
    assert list(redone) == sorted(undone)
    assert objects(url) == applied


@pytest.mark.parametrize("schema", SCHEMAS)
def test_applying_twice_changes_nothing(schema: str, new_database: Callable[[str], str]) -> None:
    url = new_database(schema)

    assert migrate.apply(url, schema) == ()
    assert migrate.state(url, schema).pending == ()


@pytest.mark.parametrize("path", sorted(migrate.MIGRATIONS.glob("*/*.sql")), ids=lambda path: f"{path.parent.name}/{path.name}")
def test_every_migration_has_its_rollback(path: Path) -> None:
    other = (
        path.name.removesuffix(".rollback.sql") + ".sql" if path.name.endswith(".rollback.sql") else f"{path.stem}.rollback.sql"
    )

    assert (path.parent / other).exists()
    assert re.fullmatch(r"[0-9]{4}\.[a-z-]+(\.rollback)?\.sql", path.name)


@pytest.mark.parametrize(
    ("table", "column", "words"),
    [("order_ledger", "status", Status), ("order_ledger", "direction", Direction), ("ledger_journal", "kind", Kind)],
)
def test_the_constraint_and_the_code_have_the_same_words(
    table: str, column: str, words: type[Status] | type[Direction] | type[Kind], ledger_url: str
) -> None:
    with psycopg.connect(ledger_url) as conn:
        row = conn.execute(
            "select pg_get_constraintdef(oid) from pg_constraint where conrelid = %s::regclass and conname = %s",
            (table, f"{table}_{column}_check"),
        ).fetchone()

    assert row is not None
    assert set(re.findall(r"'([A-Za-z]+)'::text", row[0])) == {word.value for word in words}


def test_every_key_of_an_orders_rows_names_the_order(ledger_url: str) -> None:
    with psycopg.connect(ledger_url) as conn:
        keys = conn.execute(
            "select c.relname, i.relname, pg_get_indexdef(x.indexrelid) from pg_index x"
            " join pg_class c on c.oid = x.indrelid join pg_class i on i.oid = x.indexrelid"
            " where x.indisunique and c.relname in ('order_ledger_items', 'order_personal', 'ledger_journal', 'outbox')"
        ).fetchall()

    assert len(keys) >= 5
    for table, index, definition in keys:
        assert OF_ONE_ORDER.get(table, "order_ledger_id") in definition, f"{index} of {table} does not name the order"


@pytest.mark.parametrize("statement", ["update ledger_journal set reason = 'x'", "delete from ledger_journal"])
def test_the_journal_is_append_only(statement: str, ledger_url: str) -> None:
    with psycopg.connect(ledger_url) as conn:
        conn.execute("insert into saga_definition values (gen_random_uuid(), 's', 1, 'h', 'f', '{}')")
        conn.execute(
            "insert into order_ledger (order_ledger_id, client_id, client_request_id, request_hash, saga, saga_version,"
            " definition_id, status, input, progress, correlation_id) select gen_random_uuid(), 'c', 'k', 'h', 's', 1,"
            " definition_id, 'PENDING', '{}', '{}', 'x' from saga_definition"
        )
        conn.execute(
            "insert into ledger_journal (order_ledger_id, seq, at, kind, outcome, replica, lease_epoch, hash)"
            " select order_ledger_id, 1, now(), 'status', 'PENDING', 'r', 1, 'h' from order_ledger"
        )
        with pytest.raises(psycopg.errors.InsufficientPrivilege, match="append-only"):
            conn.execute(statement)  # type: ignore[arg-type]


def test_the_journal_can_not_be_truncated(ledger_url: str) -> None:
    with psycopg.connect(ledger_url) as conn, pytest.raises(psycopg.errors.InsufficientPrivilege, match="append-only"):
        conn.execute("truncate ledger_journal")
