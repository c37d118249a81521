"""Connections to PostgreSQL with every limit stated: none waits for ever, none holds what others need."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final

import psycopg
from psycopg import AsyncConnection
from psycopg_pool import AsyncConnectionPool, PoolTimeout

OUTAGE: Final = (psycopg.OperationalError, psycopg.errors.ReadOnlySqlTransaction, PoolTimeout)
"""What a statement raises when the server is away, too busy, or has become a standby: the order is not to blame."""
START_TIMEOUT_S: Final = 10.0
CHECKOUT_TIMEOUT_S: Final = 2.0
_OPTIONS: Final = " ".join(
    f"-c {setting}"
    for setting in (
        "default_transaction_isolation=read\\ committed",  # whatever the database's own default is
        "synchronous_commit=on",
        "statement_timeout=5000",
        "lock_timeout=2000",
        "idle_in_transaction_session_timeout=5000",
        "timezone=UTC",
        "jit=off",  # planning costs more than these short statements take
    )
)


@asynccontextmanager
async def open_pool(url: str, *, name: str, connections_max: int) -> AsyncIterator[AsyncConnectionPool[Any]]:
    """Open a pool of autocommit connections and wait until the first is there.

    Args:
        url: libpq URL.
        name: Shown in `pg_stat_activity`.
        connections_max: Most connections.

    Raises:
        psycopg_pool.PoolTimeout: The server did not answer in `START_TIMEOUT_S` seconds.
    """
    pool = AsyncConnectionPool(
        url,
        open=False,
        min_size=1,
        max_size=connections_max,
        timeout=CHECKOUT_TIMEOUT_S,
        max_idle=60.0,
        max_lifetime=1800.0,
        reconnect_timeout=0,
        name=name,
        kwargs={
            "autocommit": True,
            "options": _OPTIONS,
            "connect_timeout": 2,
            "application_name": f"saga {name}",
            "keepalives_idle": 10,
            "keepalives_interval": 5,
            "keepalives_count": 3,
            "tcp_user_timeout": 15000,
        },
        connection_class=AsyncConnection,
    )
    try:
        await pool.open(wait=True, timeout=START_TIMEOUT_S)
        yield pool
    finally:
        await pool.close(timeout=2.0)
