"""Connections to a participant's database, and whether its schema is the one this code knows."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Final

import psycopg
from psycopg import AsyncConnection, IsolationLevel
from psycopg.conninfo import make_conninfo
from psycopg_pool import AsyncConnectionPool

from participants.errors import DatabaseUnreachable, SchemaBehind, SettingError
from participants.settings import Name
from sql.loader import QUERIES, Queries

CONNECT_TIMEOUT_S: Final = 2  # the least that libpq keeps to
ACQUIRE_TIMEOUT_S: Final = 2.0  # a caller learns within this time that the database is away
RECONNECT_S: Final = 2.0  # how long a broken connection is retried before the next request starts over

_MIGRATIONS: Final = QUERIES.parent / "migrations"
_queries = Queries("participant")
_LIMIT_SESSION = _queries["limit_session"]
_LIST_APPLIED_MIGRATIONS = _queries["list_applied_migrations"]
_CHECK_DATABASE = _queries["check_database"]

Connection = AsyncConnection
Pool = AsyncConnectionPool


@asynccontextmanager
async def open_pool(url: str, name: Name, size_max: int) -> AsyncIterator[Pool]:
    """Check the database, then keep connections to it open; a lost one is replaced.

    Raises:
        SettingError: The address cannot be read.
        DatabaseUnreachable: The database does not answer or refuses.
        SchemaBehind: The database lacks migrations.
    """
    try:
        conninfo = make_conninfo(
            url,
            connect_timeout=CONNECT_TIMEOUT_S,
            application_name=f"sagaledger-{name}",
            tcp_user_timeout=5000,  # milliseconds: a dead host is noticed before the statement's own limit
        )
    except psycopg.ProgrammingError:
        raise SettingError(f"SAGA_{name.upper()}_DATABASE_URL is wrong: it is not a PostgreSQL connection URL.") from None
    await _check_schema(conninfo, name)
    pool = AsyncConnectionPool(
        conninfo,
        min_size=min(2, size_max),
        max_size=size_max,
        open=False,
        configure=partial(_configure, role=f"sagaledger_{name}"),
        timeout=ACQUIRE_TIMEOUT_S,
        reconnect_timeout=RECONNECT_S,
        name=name,
    )
    async with pool:
        yield pool


@asynccontextmanager
async def transaction(pool: Pool) -> AsyncIterator[Connection]:
    """Lend a connection for one READ COMMITTED transaction: committed at the end, taken back when something is raised.

    Raises:
        PoolTimeout: No connection within ACQUIRE_TIMEOUT_S.
        psycopg.OperationalError: The database went away; whether a commit was done is not known.
    """
    try:
        async with pool.connection() as connection:
            yield connection
    except psycopg.OperationalError as error:
        if error.sqlstate is None or error.sqlstate.startswith(("08", "57P")):
            # One broken connection means a restart: the idle ones are broken too, so replace them all now.
            await pool.check()
        raise


async def ping(pool: Pool) -> None:
    """Return when the database has answered; raises like `transaction`."""
    async with transaction(pool) as connection:
        await connection.execute(_CHECK_DATABASE)


async def _configure(connection: Connection, role: str) -> None:
    """Give a new connection its isolation level, its limits and its role."""
    # The fence needs each statement to see what was committed while it waited: never the server's default.
    await connection.set_isolation_level(IsolationLevel.READ_COMMITTED)
    await connection.execute(_LIMIT_SESSION, {"role": role})
    await connection.commit()


async def _check_schema(conninfo: str, name: Name) -> None:
    known = {path.name.removesuffix(".sql") for path in (_MIGRATIONS / name).glob("*.sql")}
    known = {migration for migration in known if not migration.endswith(".rollback")}
    try:
        async with await AsyncConnection.connect(conninfo) as connection:
            cursor = await connection.execute(_LIST_APPLIED_MIGRATIONS)
            applied = {str(row[0]) for row in await cursor.fetchall()}
    except psycopg.errors.UndefinedTable:
        applied = set()
    except psycopg.OperationalError as error:
        reason = str(error).strip().splitlines()[-1].strip().rstrip(".")
        raise DatabaseUnreachable(f"The database of {name} cannot be reached: {reason}.") from None
    missing = sorted(known - applied)
    if missing:
        raise SchemaBehind(f"The database of {name} lacks migration {missing[0]}: run `saga migrate`.")
