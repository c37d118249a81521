"""Opening the ledger when a process starts, or saying in one sentence why it can't be used."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Final

import psycopg
from psycopg_pool import PoolTimeout

from orchestrator.definitions import Definitions
from orchestrator.settings import Process, Settings
from sql.connect import START_TIMEOUT_S, Pool, Unfit, open_pool
from sql.loader import Queries
from sql.migrate import MIGRATIONS

_LIST_SCHEMA_MIGRATIONS: Final = Queries("schema")["list_schema_migrations"]


class LedgerUnusable(Exception):
    """The ledger can't be reached, or is not as this release needs it; nothing was started."""


@asynccontextmanager
async def open_ledger(settings: Settings, definitions: Definitions, process: Process, *, name: str) -> AsyncIterator[Pool]:
    """Open the ledger for a process and register what it runs.

    Args:
        settings: Where the ledger is.
        definitions: Sagas of this process.
        process: What it is: its address is used, and its role taken if the address's user may.
        name: Of the process, as `pg_stat_activity` shows it.

    Raises:
        LedgerUnusable: It can't be reached, is not migrated, or refuses.
        DefinitionError: A saga's code was changed under its version.
        SettingsError: No database is set.
    """
    opening = open_pool(
        settings.ledger_url(process),
        name=name,
        connections_max=settings.database_connections,
        role=f"sagaledger_{process}",
    )
    async with AsyncExitStack() as stack:
        try:
            pool = await stack.enter_async_context(opening)
        except Unfit as error:
            raise LedgerUnusable(str(error)) from None
        except (psycopg.OperationalError, PoolTimeout) as error:
            raise LedgerUnusable(
                f"the ledger did not answer within {START_TIMEOUT_S:g} s: is PostgreSQL up, and SAGA_DATABASE_URL right?"
                f" ({_last_line(error)})"
            ) from None
        await _register(pool, definitions)
        yield pool


async def _register(pool: Pool, definitions: Definitions) -> None:
    known = {path.stem for path in (MIGRATIONS / "ledger").glob("*.sql") if not path.stem.endswith(".rollback")}
    try:
        async with pool.connection() as conn:
            applied = {str(row[0]) for row in await (await conn.execute(_LIST_SCHEMA_MIGRATIONS)).fetchall()}
            if known - applied:
                raise LedgerUnusable(
                    f"the ledger's schema is behind this release by {len(known - applied)}: run `saga migrate`"
                )
            await definitions.register(conn)
    except (psycopg.errors.UndefinedTable, psycopg.errors.UndefinedColumn):
        raise LedgerUnusable("the ledger's schema is behind this release: run `saga migrate`") from None
    except psycopg.errors.InsufficientPrivilege as error:
        raise LedgerUnusable(f"its address's user lacks rights on the ledger: {_last_line(error)}") from None
    except (psycopg.OperationalError, PoolTimeout) as error:
        raise LedgerUnusable(f"the ledger went away during the start: {_last_line(error)}") from None


def _last_line(error: Exception) -> str:
    """Return what the server said; psycopg puts before it which addresses it tried."""
    return (str(error).splitlines() or [type(error).__name__])[-1].strip()
