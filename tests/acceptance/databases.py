"""Databases that commands make on the tests' server."""

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
from psycopg import sql as pgsql

from sql.embedded import with_database

SUFFIXES = ("", "_orders", "_inventory", "_payments", "_shipping", "_notifications")


@contextmanager
def dropped_afterwards(server_url: str, name: str) -> Iterator[str]:
    """URL of a ledger that does not exist yet; it and the participants' databases are dropped in the end."""
    try:
        yield with_database(server_url, name)
    finally:
        with psycopg.connect(server_url, autocommit=True) as conn:
            for suffix in SUFFIXES:
                conn.execute(pgsql.SQL("drop database if exists {} with (force)").format(pgsql.Identifier(name + suffix)))
