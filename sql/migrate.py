"""Migrations: yoyo's files applied to the ledger and to each participant's database."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import psycopg
from psycopg import conninfo
from psycopg import sql as pgsql
from yoyo import get_backend, read_migrations

MIGRATIONS: Final = Path(__file__).parent / "migrations"


class MigrationError(Exception):
    """A database can't be reached, created or brought to its schema."""


@dataclass(frozen=True, slots=True)
class MigrationState:
    """What is applied of one folder of migrations, by name, in order."""

    applied: tuple[str, ...]
    pending: tuple[str, ...]


def state(database_url: str, folder: str) -> MigrationState:
    """Tell which migrations of a folder are applied to a database.

    Args:
        database_url: libpq URL or keywords.
        folder: `ledger` or a participant's name.

    Raises:
        MigrationError: The database can't be reached.
    """
    with _backend(database_url) as backend:
        migrations = read_migrations(str(MIGRATIONS / folder))
        pending = {migration.id for migration in backend.to_apply(migrations)}
        return MigrationState(
            tuple(m.id for m in migrations if m.id not in pending), tuple(m.id for m in migrations if m.id in pending)
        )


def apply(database_url: str, folder: str) -> tuple[str, ...]:
    """Bring a database to the newest schema, creating the database when it does not exist.

    Returns:
        Names of the migrations that were applied; empty when there was nothing to do.

    Raises:
        MigrationError: The database can't be reached or created, or a migration failed and was rolled back.
    """
    create_database(database_url)
    with _backend(database_url) as backend, backend.lock():
        pending = backend.to_apply(read_migrations(str(MIGRATIONS / folder)))
        names = tuple(migration.id for migration in pending)
        backend.apply_migrations(pending)
        return names


def rollback(database_url: str, folder: str) -> tuple[str, ...]:
    """Undo every applied migration of a folder, newest first; return their names."""
    with _backend(database_url) as backend, backend.lock():
        applied = backend.to_rollback(read_migrations(str(MIGRATIONS / folder)))
        names = tuple(migration.id for migration in applied)
        backend.rollback_migrations(applied)
        return names


def create_database(database_url: str) -> None:
    """Create the database that a URL names, unless it is there.

    Raises:
        MigrationError: The server can't be reached, or refuses.
    """
    options = conninfo.conninfo_to_dict(database_url)
    name = options.get("dbname") or "postgres"
    try:
        psycopg.connect(database_url, connect_timeout=5).close()
    except psycopg.OperationalError as error:
        if f'database "{name}" does not exist' not in str(error):
            raise MigrationError(_unreachable(database_url, error)) from None
        try:
            maintenance = conninfo.make_conninfo(database_url, dbname="postgres")
            with psycopg.connect(maintenance, autocommit=True, connect_timeout=5) as conn:
                conn.execute(pgsql.SQL("create database {}").format(pgsql.Identifier(str(name))))
        except psycopg.errors.DuplicateDatabase:
            pass
        except psycopg.Error as refused:
            raise MigrationError(_unreachable(database_url, refused)) from None


@contextmanager
def _backend(database_url: str) -> Iterator[Any]:
    options = conninfo.conninfo_to_dict(database_url)
    # yoyo reads query parameters as keywords of psycopg's connect(): that way a socket folder or an ssl mode goes through.
    query = "&".join(f"{key}={_quote(str(value))}" for key, value in options.items() if key != "dbname")
    try:
        backend = get_backend(f"postgresql+psycopg:///{_quote(str(options.get('dbname', 'postgres')))}?{query}")
    except psycopg.Error as error:
        raise MigrationError(_unreachable(database_url, error)) from None
    try:
        yield backend
    except psycopg.Error as error:
        raise MigrationError(f"a migration failed and was rolled back: {str(error).splitlines()[0]}") from error
    finally:
        backend.connection.close()


def _quote(text: str) -> str:
    return quote(text, safe="")


def _unreachable(database_url: str, error: psycopg.Error) -> str:
    options = conninfo.conninfo_to_dict(database_url)
    where = f"{options.get('host', 'localhost')}:{options.get('port', 5432)}/{options.get('dbname', '')}"
    return f"the database at {where} can't be reached: {str(error).splitlines()[0]}; start it or set SAGA_DATABASE_URL"
