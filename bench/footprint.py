"""What an order costs in bytes over its life: rows and indexes that it leaves, and what the server wrote ahead for it."""

import asyncio
from typing import Any, Final

import psycopg

from bench.stack import place, running_stack

TABLES: Final = ("order_ledger", "order_personal", "order_ledger_items", "ledger_journal", "outbox")
ROUNDS: Final = 10
_SIZES: Final = "select pg_table_size(%s::regclass), pg_indexes_size(%s::regclass)"


def footprint(orders: int) -> dict[str, Any]:
    """Have orders of one line placed and completed by a real stack, and look at how its ledger grows.

    The tables are vacuumed now and then, as autovacuum would: room that old versions have left is used again.

    Returns:
        `orders`; `tables`: bytes of an order by table, rows and indexes; `bytes`: their sum; `wal_bytes`: written ahead for
        an order by the whole server, which has the participants' databases as well.
    """
    with running_stack() as stack:
        asyncio.run(place(stack, clients=8, orders=max(orders // ROUNDS, 50)))
        with psycopg.connect(stack["database_url"], autocommit=True) as conn:
            conn.execute("checkpoint")
            before, wal_before, done = _sizes(conn), _wal(conn), 0
            for _ in range(ROUNDS):
                load = asyncio.run(place(stack, clients=8, orders=max(orders // ROUNDS, 50)))
                done += len(load.completed_ms)
                after = _sizes(conn)
            wal_after = _wal(conn)
    tables = {
        table: {"rows": (after[table][0] - before[table][0]) / done, "indexes": (after[table][1] - before[table][1]) / done}
        for table in TABLES
    }
    return {
        "orders": done,
        "tables": tables,
        "bytes": sum(sum(parts.values()) for parts in tables.values()),
        "wal_bytes": (wal_after - wal_before) / done,
    }


def _sizes(conn: psycopg.Connection[Any]) -> dict[str, tuple[int, int]]:
    sizes = {}
    for table in TABLES:
        conn.execute(f"vacuum {table}")  # type: ignore[arg-type]
        row = conn.execute(_SIZES, (table, table)).fetchone()
        assert row is not None
        sizes[table] = (int(row[0]), int(row[1]))
    return sizes


def _wal(conn: psycopg.Connection[Any]) -> int:
    row = conn.execute("select pg_current_wal_insert_lsn() - '0/0'::pg_lsn").fetchone()
    assert row is not None
    return int(row[0])
