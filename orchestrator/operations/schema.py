"""Which migrations each database has had and lacks, found out without changing anything."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Final

import psycopg
from psycopg import conninfo

from orchestrator.operations.render import open_console, print_json, print_table
from sql.loader import Queries
from sql.migrate import MIGRATIONS, MigrationError, MigrationState, apply

_LIST_SCHEMA_MIGRATIONS: Final = Queries("schema")["list_schema_migrations"]
CONNECT_TIMEOUT_S: Final = 5


@dataclass(frozen=True, slots=True)
class SchemaReport:
    """What one database has had.

    Attributes:
        database: Its name.
        folder: `ledger` or a participant's name.
        exists: Whether there is such a database.
        state: Migrations applied and pending.
    """

    database: str
    folder: str
    exists: bool
    state: MigrationState


def read_schemas(databases: Mapping[str, str]) -> tuple[SchemaReport, ...]:
    """Look at databases, given by their folder of migrations.

    Raises:
        MigrationError: A server can't be reached.
    """
    return tuple(_read(folder, url) for folder, url in databases.items())


def apply_schemas(databases: Mapping[str, str]) -> dict[str, tuple[str, ...]]:
    """Bring databases to the newest schema; return what was applied to each.

    Raises:
        MigrationError: One can't be reached, created or migrated; those before it in the list are migrated.
    """
    return {folder: apply(url, folder) for folder, url in databases.items()}


def show_status(databases: Mapping[str, str], as_json: bool) -> None:
    """Print which migrations each database has had and lacks."""
    schemas = read_schemas(databases)
    if as_json:
        print_json({"databases": [{**asdict(schema.state), "database": schema.database} for schema in schemas]})
        return
    rows = [
        (
            schema.database,
            f"{len(schema.state.applied)} applied" if schema.exists else "not there yet",
            ", ".join(schema.state.pending) or "up to date",
        )
        for schema in schemas
    ]
    print_table(open_console(), ("DATABASE", "STATE", "PENDING"), rows)


def apply_and_show(databases: Mapping[str, str], as_json: bool) -> None:
    """Bring databases to the newest schema and print what was applied."""
    applied = apply_schemas(databases)
    if as_json:
        print_json({"applied": applied})
        return
    rows = [(folder, ", ".join(names) or "was up to date") for folder, names in applied.items()]
    print_table(open_console(), ("SCHEMA", "APPLIED"), rows)


def _read(folder: str, url: str) -> SchemaReport:
    files = sorted(path.name.removesuffix(".sql") for path in (MIGRATIONS / folder).glob("*.sql"))
    known = tuple(name for name in files if not name.endswith(".rollback"))
    name = str(conninfo.conninfo_to_dict(url).get("dbname", ""))
    try:
        with psycopg.connect(url, connect_timeout=CONNECT_TIMEOUT_S) as conn:
            applied = {str(row[0]) for row in conn.execute(_LIST_SCHEMA_MIGRATIONS)}
        exists = True
    except psycopg.errors.UndefinedTable:
        applied, exists = set(), True
    except psycopg.OperationalError as error:
        if f'database "{name}" does not exist' not in str(error):
            reason = str(error).strip().splitlines()[0]
            raise MigrationError(f"the database {name} can't be reached: {reason}; start it or set SAGA_DATABASE_URL") from None
        applied, exists = set(), False
    state = MigrationState(tuple(m for m in known if m in applied), tuple(m for m in known if m not in applied))
    return SchemaReport(name, folder, exists, state)
