"""The journals' hash chains: where they end, page by page, and what has become of ends that were noted down once."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from psycopg import AsyncConnection
from psycopg.rows import class_row, scalar_row

from sql.loader import Queries

Connection = AsyncConnection[Any]
NOBODY: Final = UUID(int=0)
"""Before every order's id."""

_QUERIES: Final = Queries("chain")


@dataclass(frozen=True, slots=True)
class Head:
    """Where the journal of an order ends.

    Attributes:
        order_ledger_id: The order.
        last_seq: Its last entry; 0 for none.
        chain_head: The hash of it; None where there is none.
        purged: Whether the order was removed by retention: this is how its journal ended.
    """

    order_ledger_id: UUID
    last_seq: int
    chain_head: bytes | None
    purged: bool = False


@dataclass(frozen=True, slots=True)
class Standing:
    """What has become of an order of which it is known where its journal ended once.

    Attributes:
        order_ledger_id: The order.
        last_seq: Where its journal ends now, or ended when it was purged.
        purged: Whether it was removed by retention since.
        hash: At the entry that is known, or of a purged order at its end; None where there is none.
    """

    order_ledger_id: UUID
    last_seq: int
    purged: bool
    hash: bytes | None


async def page_heads(conn: Connection, *, after: UUID, limit: int) -> list[Head]:
    """Read where the journals of the next orders end, in the order of their ids; those of purged ones as they ended."""
    async with conn.cursor(row_factory=class_row(Head)) as cursor:
        await cursor.execute(_QUERIES["page_heads"], {"after": after, "limit": limit})
        return await cursor.fetchall()


async def get_moment(conn: Connection) -> datetime:
    """Return the time by the database's clock."""
    async with conn.cursor(row_factory=scalar_row) as cursor:
        await cursor.execute(_QUERIES["get_moment"])
        found = await cursor.fetchone()
    assert isinstance(found, datetime)
    return found


async def list_standing(conn: Connection, heads: Sequence[Head]) -> dict[UUID, Standing]:
    """Tell what has become of orders; one that is neither in the ledger nor known as purged is missing from the answer."""
    given = {"order_ledger_ids": [h.order_ledger_id for h in heads], "seqs": [h.last_seq for h in heads]}
    async with conn.cursor(row_factory=class_row(Standing)) as cursor:
        await cursor.execute(_QUERIES["list_standing"], given)
        return {standing.order_ledger_id: standing for standing in await cursor.fetchall()}


async def limit_span(conn: Connection, after: UUID, upto: UUID) -> None:
    """Have the audit's queries of the present transaction look at the orders after one and up to another alone."""
    await conn.execute(_QUERIES["limit_span"], {"after": after, "upto": upto})
