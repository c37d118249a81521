"""The PostgreSQL that everything is measured on, and what it counts.

One server for all contestants, durable as in production: fsync and synchronous_commit on. Each contestant gets an empty
database of its own for each question, so that none meets what another left.
"""

import contextlib
import os
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import psycopg
from psycopg import sql as pgsql
from psycopg.rows import dict_row

from bench.processes import ended_cpu_s
from sql.embedded import embedded_server, with_database

SETTLE_S: Final = 1.2
"""A session that is at work tells the server's statistics what it did once a second, and one that ends at once."""
TUNED: Final = {"shared_buffers": "512MB", "max_wal_size": "8GB", "checkpoint_timeout": "30min", "autovacuum_naptime": "10s"}
"""As a small server would be set up: no checkpoint falls into a measurement by chance, vacuum keeps up."""

_COUNTS: Final = """
select (select xact_commit from pg_stat_database where datname = %(database)s) as transactions,
    (select sum(fsyncs) from pg_stat_io where object = 'wal') as fsyncs,
    (select wal_bytes from pg_stat_wal) as wal_bytes
"""
_STATEMENTS: Final = """
select sum(calls) as statements from pg_stat_statements s join pg_database d on d.oid = s.dbid where d.datname = %(database)s
"""


@dataclass(frozen=True, slots=True)
class Counts:
    """What the server has counted so far.

    Attributes:
        transactions: Committed in one database.
        fsyncs: Of the write-ahead log, by the whole server.
        wal_bytes: Written to it, by the whole server.
        statements: Run in one database; None where pg_stat_statements is not loaded.
        cpu_s: Of all its processes; None for a server on another machine.
    """

    transactions: float
    fsyncs: float
    wal_bytes: float
    statements: float | None
    cpu_s: float | None


class Server:
    """A server to measure on.

    Args:
        url: Of any database on it, as a role that may create databases.
    """

    def __init__(self, url: str) -> None:
        self._admin = psycopg.connect(with_database(url, "postgres"), autocommit=True, row_factory=dict_row)
        self._url = url
        self._pid = self._local_pid()
        loaded = self._one("select current_setting('shared_preload_libraries') as loaded")["loaded"]
        self._counts_statements = "pg_stat_statements" in loaded
        if self._counts_statements:
            self._admin.execute("create extension if not exists pg_stat_statements")

    @property
    def version(self) -> str:
        """Its release and how durable a commit is."""
        return str(
            self._one(
                "select 'PostgreSQL ' || current_setting('server_version') || ', fsync ' || current_setting('fsync')"
                " || ', synchronous_commit ' || current_setting('synchronous_commit') as told"
            )["told"]
        )

    def empty_database(self, name: str) -> str:
        """Create a database anew; returns its URL. The server writes a checkpoint, so that all start alike."""
        self.drop_database(name)
        self._admin.execute(pgsql.SQL("create database {}").format(pgsql.Identifier(name)))
        self._admin.execute("checkpoint")
        return with_database(self._url, name)

    def drop_database(self, name: str) -> None:
        """Drop a database, whoever is connected."""
        self._admin.execute(pgsql.SQL("drop database if exists {} with (force)").format(pgsql.Identifier(name)))

    def counts(self, database: str, *, settled: bool = True) -> Counts:
        """Return what it has counted.

        Args:
            database: Name of the one whose transactions are counted.
            settled: Wait first until sessions have told what they did.
        """
        if settled:
            time.sleep(SETTLE_S)
        given = {"database": database}
        row = self._one(_COUNTS, given)
        statements = float(self._one(_STATEMENTS, given)["statements"] or 0) if self._counts_statements else None
        return Counts(
            transactions=float(row["transactions"]),
            fsyncs=float(row["fsyncs"] or 0),
            wal_bytes=float(row["wal_bytes"]),
            statements=statements,
            cpu_s=self.cpu_s(),
        )

    def cpu_s(self) -> float | None:
        """Return the CPU seconds of all its processes so far, those that ended included; None when it is elsewhere."""
        return None if self._pid is None else ended_cpu_s(self._pid)

    def _one(self, query: str, parameters: dict[str, Any] | None = None) -> dict[str, Any]:
        row = self._admin.execute(query, parameters).fetchone()  # type: ignore[arg-type]
        assert row is not None
        return dict(row)

    def _local_pid(self) -> int | None:
        """Return the postmaster's process id when the server runs on this machine."""
        backend = self._admin.info.backend_pid
        with contextlib.suppress(OSError):
            fields = Path(f"/proc/{backend}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
            if "postgres" in Path(f"/proc/{backend}/stat").read_text(encoding="ascii"):
                return int(fields[1])
        return None


@contextlib.contextmanager
def running_server(url: str | None) -> Iterator[Server]:
    """Run the embedded server in a folder of its own, or take the one that is given.

    Args:
        url: Of a server to measure on, of a role that may create databases; None for the embedded one.
    """
    if url is not None:
        yield Server(url)
        return
    with tempfile.TemporaryDirectory(prefix="sagaledger-bench-", dir=os.environ.get("TMPDIR")) as folder:
        data = Path(folder) / "data"
        with embedded_server(data) as first, psycopg.connect(with_database(first, "postgres"), autocommit=True) as conn:
            for name, value in TUNED.items():
                conn.execute(pgsql.SQL("alter system set {} = {}").format(pgsql.Identifier(name), pgsql.Literal(value)))
        with embedded_server(data) as started:
            yield Server(started)
