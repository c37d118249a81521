"""The way of the auditor and the nemesis to the databases: past the proxies, and patient with a server that restarts."""

import asyncio
from collections.abc import Mapping
from typing import Any, Final, LiteralString

import psycopg
from psycopg.rows import dict_row

AWAY: Final = (psycopg.OperationalError, psycopg.InterfaceError, OSError)
CONNECT_TIMEOUT_S: Final = 5

LEASES: Final = "select order_ledger_id from order_ledger where lease_owner like %s and lease_expires_at is not null"
UNFINISHED: Final = "select count(*) as orders from order_ledger where finished_at is null and status <> 'STUCK'"
STUCK: Final = "select order_ledger_id from order_ledger where status = 'STUCK' order by created_at"
FAILED: Final = """
    select order_ledger_id from order_ledger
    where status = 'FAILED' and parent_id is null order by created_at limit %s
"""
LISTENERS: Final = "select pid from pg_stat_activity where application_name like '%%listener%%'"
END_LISTENERS: Final = f"select pg_terminate_backend(pid) as ended, pid from ({LISTENERS}) as listening"
END_ALL: Final = (
    "select pg_terminate_backend(pid) as ended from pg_stat_activity where pid <> pg_backend_pid() and datname is not null"
)


class Direct:
    """Short questions, each on a connection that is made anew when the last one broke.

    Args:
        databases: URL of each database on the server's socket.
    """

    def __init__(self, databases: Mapping[str, str]) -> None:
        self.databases = dict(databases)
        self._connections: dict[str, psycopg.AsyncConnection[dict[str, Any]]] = {}
        self._locks: dict[str, asyncio.Lock] = {}

    async def ask(self, query: LiteralString, *parameters: Any, database: str = "ledger") -> list[dict[str, Any]]:
        """Return the rows of a question.

        Raises:
            psycopg.OperationalError: The server is away.
        """
        async with self._locks.setdefault(database, asyncio.Lock()):
            conn = await self.connection(database)
            return await (await conn.execute(query, parameters)).fetchall()

    async def surely(self, query: LiteralString, *parameters: Any, database: str = "ledger") -> list[dict[str, Any]]:
        """Return the rows of a question, asked until the server is there."""
        while True:
            try:
                return await self.ask(query, *parameters, database=database)
            except AWAY:
                await asyncio.sleep(0.1)

    async def connection(self, database: str = "ledger") -> psycopg.AsyncConnection[dict[str, Any]]:
        """Return a connection in autocommit."""
        conn = self._connections.get(database)
        if conn is None or conn.closed:
            conn = self._connections[database] = await self.new_connection(database)
        return conn

    async def new_connection(self, database: str = "ledger") -> psycopg.AsyncConnection[dict[str, Any]]:
        """Return a connection of one's own."""
        return await psycopg.AsyncConnection.connect(
            self.databases[database],
            autocommit=True,
            row_factory=dict_row,
            connect_timeout=CONNECT_TIMEOUT_S,
            application_name="chaos",
        )

    async def close(self) -> None:
        for conn in self._connections.values():
            await conn.close()
