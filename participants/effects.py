"""The log of what a participant really did, and how it is read without missing a row.

A position in the log is given out when a row is written and seen when its transaction commits, and these orders differ: a
reader that has passed position 5 would never see position 4, committed later. So a page ends at the last position given
out, and is read once every transaction that was writing at that moment has ended. Writers are never held up, and no
transaction id is stored, so the log can be dumped and restored.
"""

import asyncio
from dataclasses import dataclass
from typing import Final

from psycopg.rows import class_row
from pydantic import BaseModel, ConfigDict, Field

from participants.contracts.effects import Effect, EffectPage
from participants.database import Connection
from participants.problems import Problem
from sql.loader import Queries

SETTLE_TIMEOUT_S: Final = 2.0  # a writer's transaction takes milliseconds
SETTLE_POLL_S: Final = 0.005

_queries = Queries("fence")
_READ_LAST_POSITION = _queries["read_last_position"]
_LIST_EFFECT_WRITERS = _queries["list_effect_writers"]
_PAGE_EFFECTS = _queries["page_effects"]


@dataclass(frozen=True, slots=True)
class Posting:
    """An effect before it has a place in the log.

    Args:
        order_id: The order it was done for.
        kind: What was done.
        amounts: Change of each account, never zero.
    """

    order_id: str
    kind: str
    amounts: dict[str, int]


class EffectQuery(BaseModel):
    """The query of `GET /effects`.

    Attributes:
        after: Position after which to start.
        order_id: Only effects of this order; None for all.
        limit: Most effects to return.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    after: int = Field(default=0, ge=0, lt=2**63)
    order_id: str | None = None
    limit: int = Field(default=1000, ge=1, le=1000)


async def page_effects(connection: Connection, query: EffectQuery) -> EffectPage:
    """Read one page of the log.

    Args:
        connection: A connection in autocommit or READ COMMITTED: each statement must see what is committed by then.
        query: Where to start and what to leave out.

    Raises:
        Problem: 503 when a transaction that writes to the log does not end.
    """
    last = await _settled_position(connection)
    fields = {**query.model_dump(), "last": last, "limit": query.limit + 1}
    async with connection.cursor(row_factory=class_row(Effect)) as cursor:
        await cursor.execute(_PAGE_EFFECTS, fields)
        effects = await cursor.fetchall()
    page = tuple(effects[: query.limit])
    return EffectPage(effects=page, next_after=page[-1].seq if len(effects) > query.limit else None)


async def _settled_position(connection: Connection) -> int:
    """Return a position below which no row can appear any more."""
    cursor = await connection.execute(_READ_LAST_POSITION)
    row = await cursor.fetchone()
    last = int(row[0]) if row else 0
    waited_for = await _writers(connection)  # after the position: whoever was given one by then is in here, or done
    for _ in range(int(SETTLE_TIMEOUT_S / SETTLE_POLL_S)):
        if not waited_for:
            return last
        await asyncio.sleep(SETTLE_POLL_S)
        waited_for &= await _writers(connection)
    raise Problem(503, "unsettled", "A transaction that writes to the log does not end.", headers={"Retry-After": "1"})


async def _writers(connection: Connection) -> set[str]:
    cursor = await connection.execute(_LIST_EFFECT_WRITERS)
    return {str(row[0]) for row in await cursor.fetchall()}
