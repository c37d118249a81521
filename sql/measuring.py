"""What is measured of the ledger's server: one async function per query of `sql/queries/measuring.sql`, of the same name."""

from typing import Any

from psycopg import AsyncConnection

from sql.loader import Queries
from sql.models import Json

Connection = AsyncConnection[Any]
_QUERIES = Queries("measuring")


async def measure_database(conn: Connection) -> Json:
    """Return how the database of this connection stands.

    `connections` of its own and `connections_max` of the server; `size_bytes`; `transaction_age`, of the 2,000 million that
    there may be between two freezes; and counts since the statistics were reset: `committed`, `rolled_back`, `deadlocks`, and
    blocks read `from_cache` and `from_disk`.
    """
    return (await _QUERIES.fetch(conn, "measure_database", {}))[0]


async def list_table_sizes(conn: Connection) -> list[Json]:
    """Return `table`, and estimates of its `live` and `dead` rows, for each table that orders are written to."""
    return await _QUERIES.fetch(conn, "list_table_sizes", {})
