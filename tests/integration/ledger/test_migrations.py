"""Every migration is applied, taken back and applied again; the schema and the code speak of the same things."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import LiteralString

import psycopg
import pytest

from sql import migrate
from sql.models import Direction, Kind, Status

SCHEMAS = ("ledger", "orders", "inventory", "payments", "shipping", "notifications")
# Small tables that the rows of every order share: where the ledger is distributed by order, each node has a copy of them.
# All other tables hold rows of one order, and each of their keys and references must name it, if it is not to one of these.
REFERENCE = {
    "saga_definition", "saga_config", "saga_config_history", "participant", "participant_breaker", "event_subscription",
    "outbox_removed", "api_key", "api_key_version", "operator_act", "retry_run",
}  # fmt: skip
# To be dropped where the ledger is distributed. The one is by CONTRACT, and true by itself: the order's id is a hash of its two
# columns, and the primary key. The other says of an order's children what the lock of the order's row sees to.
OF_ONE_DATABASE = {"order_ledger_client_key", "order_ledger_one_child"}
TABLES: LiteralString = """
select relname from pg_class
where relkind in ('r', 'p') and relnamespace = 'public'::regnamespace and relname !~ 'yoyo'
"""
# Unique constraints are unique indexes; a column of an expression has no name and counts for nothing.
KEYS: LiteralString = """
select t.relname, i.relname, array(select attname::text from pg_attribute where attrelid = t.oid and attnum = any (x.indkey)),
    null
from pg_index x join pg_class t on t.oid = x.indrelid join pg_class i on i.oid = x.indexrelid
where x.indisunique and t.relnamespace = 'public'::regnamespace
union all
select t.relname, c.conname, array(select attname::text from pg_attribute where attrelid = t.oid and attnum = any (c.conkey)),
    c.confrelid::regclass::text
from pg_constraint c join pg_class t on t.oid = c.conrelid
where c.contype in ('f', 'x') and t.relnamespace = 'public'::regnamespace
"""


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


def test_orders_are_read_while_what_has_begun_is_indexed(new_database: Callable[[str], str]) -> None:
    url = new_database("ledger")
    undone, redone = (
        (migrate.MIGRATIONS / "ledger" / f"0025.index-what-has-begun{which}.sql").read_bytes() for which in (".rollback", "")
    )
    with psycopg.connect(url) as conn, psycopg.connect(url, options="-c lock_timeout=500") as reader:
        conn.execute(undone)
        conn.commit()
        conn.execute(redone)
        assert reader.execute("select count(*) from order_ledger").fetchone() == (0,)


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


def test_every_key_and_reference_of_an_orders_rows_names_the_order(ledger_url: str) -> None:
    with psycopg.connect(ledger_url) as conn:
        tables = {name for (name,) in conn.execute(TABLES).fetchall()}
        keys = conn.execute(KEYS).fetchall()

    assert tables >= REFERENCE, "a table that is exempt is there"
    of_one_order = tables - REFERENCE
    assert {"order_ledger", "ledger_journal", "outbox", "order_ledger_items", "order_personal"} <= of_one_order
    assert of_one_order <= {table for table, *_ in keys}, "each has a key"
    for table, key, columns, referenced in keys:
        if table in of_one_order and referenced not in REFERENCE and key not in OF_ONE_DATABASE:
            assert {"order_ledger_id", "aggregateid"} & set(columns), f"{key} of {table} does not name the order"


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
