"""Least privilege: what each role may do is what is written down, in `rights.txt` and `statements.txt`, and no more."""

from collections.abc import Callable
from typing import Any, LiteralString

import psycopg
import pytest

from sql import auditing
from sql.auditing import AuditQuery
from tests.integration.roles.matrix import RIGHTS, ROLES, STATEMENTS, allowed, rights, statements, unassigned

Databases = Callable[[str], str]
OURS: LiteralString = "rolname like 'sagaledger\\_%'"


@pytest.mark.parametrize("database", ROLES)
def test_each_role_may_do_what_is_written_down_and_no_more(database: str, new_database: Databases) -> None:
    written = RIGHTS.read_text(encoding="utf-8").splitlines()
    assert list(rights(new_database(database), database)) == [line for line in written if line.startswith(f"{database}: ")]


@pytest.mark.parametrize("database", ROLES)
def test_each_statement_may_be_run_by_those_who_are_written_down(database: str, new_database: Databases) -> None:
    written = STATEMENTS.read_text(encoding="utf-8").splitlines()
    assert list(statements(new_database(database), database)) == [line for line in written if line.startswith(f"{database}: ")]


def test_every_file_of_statements_is_asked_of_a_database() -> None:
    assert unassigned() == set()


def may_audit(conn: psycopg.Connection[Any], query: AuditQuery) -> bool:
    return allowed(conn, "sagaledger_auditor", query.text, has_parameters=False)


@pytest.mark.parametrize("database", ROLES)
def test_every_query_of_the_audit_may_be_run_by_an_auditor(database: str, new_database: Databases) -> None:
    queries = [query for query in auditing.load_audit() if query.database == database]
    assert queries
    with psycopg.connect(new_database(database), autocommit=True) as conn:
        assert [query.name for query in queries if not may_audit(conn, query)] == []


@pytest.mark.parametrize("database", ROLES)
def test_no_role_is_more_than_its_rights(database: str, new_database: Databases) -> None:
    with psycopg.connect(new_database(database)) as conn:
        able = conn.execute(
            f"select rolname from pg_roles where {OURS} and (rolsuper or rolbypassrls or rolcanlogin or rolcreaterole"
            " or rolcreatedb or rolreplication)"
        ).fetchall()
        owned = conn.execute(
            "select c.relname from pg_class c join pg_roles r on r.oid = c.relowner"
            f" where {OURS} and rolname <> 'sagaledger_owner' and c.relnamespace = 'public'::regnamespace"
        ).fetchall()
        unpinned = conn.execute(
            "select proname from pg_proc where pronamespace = 'public'::regnamespace and prosecdef"
            " and not exists (select from unnest(proconfig) c where c like 'search_path=%')"
        ).fetchall()

    assert able == []
    assert owned == []
    assert unpinned == [], "functions that run as their owner look for names only where nobody else may put any"


@pytest.mark.parametrize("table", ["ledger_journal", "saga_config_history", "operator_act"])
@pytest.mark.parametrize("role", ROLES["ledger"])
def test_no_role_may_change_history(role: str, table: str, ledger_url: str) -> None:
    for statement in (f"update {table} set actor = 'x'", f"delete from {table}", f"truncate {table}"):
        with psycopg.connect(ledger_url) as conn:
            conn.execute("select set_config('role', %s, false)", (role,))
            with pytest.raises(psycopg.errors.InsufficientPrivilege, match="permission denied"):
                conn.execute(statement)  # type: ignore[arg-type]


@pytest.mark.parametrize("database", ROLES)
def test_no_role_makes_tables(database: str, new_database: Databases) -> None:
    with psycopg.connect(new_database(database), autocommit=True) as conn:
        for role in ROLES[database]:
            conn.execute("select set_config('role', %s, false)", (role,))
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                conn.execute("create table public.mine (a integer)")
