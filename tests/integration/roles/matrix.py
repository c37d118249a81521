"""Who may do what in each database, as its catalog says it: what `rights.txt` and `statements.txt` record.

`python -m tests.integration.roles.matrix` writes both anew, from databases of its own; read what changed before you commit it.
"""

import re
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, LiteralString

import psycopg

from sql import migrate
from sql.embedded import embedded_server, with_database
from sql.loader import QUERIES, Queries

HERE: Final = Path(__file__).parent
RIGHTS: Final = HERE / "rights.txt"
STATEMENTS: Final = HERE / "statements.txt"
PARTICIPANTS: Final = ("inventory", "notifications", "orders", "payments", "shipping")
ROLES: Final = {
    "ledger": ("sagaledger_edge", "sagaledger_orchestrator", "sagaledger_operator", "sagaledger_auditor"),
    **{name: (f"sagaledger_{name}", "sagaledger_auditor") for name in PARTICIPANTS},
}
"""Roles that may do something in each database."""
SUBJECTS: Final = {
    "ledger": (
        "acts", "api_keys", "audit", "chain", "changes", "config", "definitions", "erasure", "events", "families", "fleet",
        "halted", "histories", "ledger", "looking", "measuring", "oncall", "reading", "registry", "retention", "retrying",
        "schema", "session", "wake", "webhooks",
    ),
    "inventory": ("inventory", "stock_tries", "participant"),
    "notifications": ("notifications", "participant"),
    "orders": ("orders", "participant"),
    "payments": ("payments", "payment_tries", "participant"),
    "shipping": ("shipping", "participant"),
}  # fmt: skip
"""Files of `sql/queries/` whose statements each database is asked."""
NOT_EXPLAINED: Final = {"listen"}
"""Statements that have no plan, and need no right."""

_NAME: Final = re.compile(r"^-- name: (.+)$", re.MULTILINE)
# Effective rights, whatever they come from. Of a kind that a role has not on the whole table, the columns on which it has it.
_RELATIONS: Final[LiteralString] = """
select c.relname, array_remove(array_agg(case
        when has_table_privilege(%(role)s, c.oid, p.kind) then p.kind
        when p.by_column then p.kind || ' (' || (
            select string_agg(a.attname, ', ' order by a.attname) from pg_attribute a
            where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
                and has_column_privilege(%(role)s, c.oid, a.attnum, p.kind)) || ')' end order by p.n), null)
from pg_class c cross join (values (1, 'SELECT', true), (2, 'INSERT', true), (3, 'UPDATE', true), (4, 'DELETE', false),
    (5, 'TRUNCATE', false), (6, 'REFERENCES', false), (7, 'TRIGGER', false)) p (n, kind, by_column)
where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p', 'v', 'm')
group by c.relname order by c.relname
"""
_SEQUENCES: Final[LiteralString] = """
select c.relname, array_remove(array_agg(case when has_sequence_privilege(%(role)s, c.oid, p.kind) then p.kind end
    order by p.kind), null)
from pg_class c cross join (values ('SELECT'), ('UPDATE'), ('USAGE')) p (kind)
where c.relnamespace = 'public'::regnamespace and c.relkind = 'S'
group by c.relname order by c.relname
"""
_FUNCTIONS: Final[LiteralString] = """
select p.proname || '()', case when has_function_privilege(%(role)s, p.oid, 'EXECUTE') then array['EXECUTE'] else '{}' end
from pg_proc p where p.pronamespace = 'public'::regnamespace order by p.proname, p.oid
"""
_SCHEMA: Final[LiteralString] = """
select 'schema public', array_remove(array[case when has_schema_privilege(%(role)s, 'public', 'USAGE') then 'USAGE' end,
    case when has_schema_privilege(%(role)s, 'public', 'CREATE') then 'CREATE' end], null)
"""


def rights(url: str, database: str) -> Iterator[str]:
    """Yield a line for each object of a database and each role, and for what everybody may; `-` is nothing."""
    with psycopg.connect(url, autocommit=True) as conn:
        for role in (*ROLES[database], "public"):
            for query in (_SCHEMA, _RELATIONS, _SEQUENCES, _FUNCTIONS):
                for name, kinds in conn.execute(query, {"role": role}).fetchall():
                    yield f"{database}: {name}: {role.removeprefix('sagaledger_')}: {', '.join(kinds) or '-'}"


def statements(url: str, database: str) -> Iterator[str]:
    """Yield a line for each named query that a database is asked: which roles may run it."""
    with psycopg.connect(url, autocommit=True) as conn:
        for subject in SUBJECTS[database]:
            queries = Queries(subject)
            for name in _NAME.findall((QUERIES / f"{subject}.sql").read_text(encoding="utf-8")):
                if name not in NOT_EXPLAINED:
                    able = [role for role in ROLES[database] if allowed(conn, role, queries[name])]
                    shown = ", ".join(role.removeprefix("sagaledger_") for role in able)
                    yield f"{database}: {subject}.{name}: {shown or '-'}"


def allowed(conn: psycopg.Connection[Any], role: str, query: LiteralString, *, has_parameters: bool = True) -> bool:
    """Tell whether a role may run a statement; it is planned with every right checked, and not run."""
    conn.execute("select set_config('role', %s, false)", (role,))
    try:
        conn.execute(b"explain " + query.encode(), _Nulls() if has_parameters else None)
    except psycopg.errors.InsufficientPrivilege:
        return False
    finally:
        conn.execute("reset role")
    return True


class _Nulls(dict[str, Any]):
    """A value for every parameter."""

    def __missing__(self, name: str) -> Any:
        return None

    def __contains__(self, name: object) -> bool:
        return True


def _record() -> None:
    with tempfile.TemporaryDirectory() as folder, embedded_server(Path(folder) / "pg", durable=False) as server:
        lines: dict[Path, list[str]] = {RIGHTS: [], STATEMENTS: []}
        for database in ROLES:
            url = with_database(server, database)
            migrate.apply(url, database)
            lines[RIGHTS] += rights(url, database)
            lines[STATEMENTS] += statements(url, database)
        for path, found in lines.items():
            path.write_text("\n".join(found) + "\n", encoding="utf-8")


def unassigned() -> set[str]:
    """Return the files of `sql/queries/` that no database is said to be asked."""
    return {path.stem for path in QUERIES.glob("*.sql")} - {subject for subjects in SUBJECTS.values() for subject in subjects}


if __name__ == "__main__":
    _record()
