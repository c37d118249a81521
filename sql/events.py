"""The feed of domain events, page by page: one async function per query of `sql/queries/events.sql`, of the same name.

What is promised to a reader who goes on with the cursor that it was given last:

- every event comes once, in an order that never changes; the events of one order come in the order of their `seq`;
- nothing appears before a position that was given out, however late a transaction commits;
- where that can't be kept, because events were removed meanwhile or the database is another one, it is told (`CursorGone`).

Functions need no transaction.
"""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from dataclasses import dataclass, field, replace
from datetime import datetime
from struct import Struct
from struct import error as StructError
from typing import Any, Final
from uuid import UUID

from psycopg import AsyncConnection

from sql.loader import Queries
from sql.models import Json

Connection = AsyncConnection[Any]

SCANNED_MAX: Final = 2_000
"""Events that are looked at for one page, whoever they belong to: some milliseconds of the server."""

# Prepared, a statement may get one plan for all positions and clients, and would read the outbox from its beginning.
_QUERIES: Final = Queries("events", prepare=False)
_NOWHERE: Final = UUID(int=0)
_CURSOR: Final = Struct(">QQ16sQQ")
CURSOR_LENGTH: Final = 64
"""Characters of an encoded cursor. Base64 needs no padding for so many bytes, so any text of its letters is one."""


class FeedError(Exception):
    """The feed can't be read as it was asked for."""


class CursorGone(FeedError):
    """One can't go on from this cursor.

    Attributes:
        removed: True when events behind it were removed by retention; False when it is none of this database's.
    """

    def __init__(self, *, removed: bool) -> None:
        super().__init__(
            "events after the cursor were removed by retention"
            if removed
            else "the cursor is none of this database's: it was restored, or lost what it had last"
        )
        self.removed = removed


@dataclass(frozen=True, slots=True, order=True)
class Cursor:
    """A position in the feed: behind the event that it names. `START` is before all.

    Attributes:
        transaction_id, ordinal: Where that event stands.
        event_id: Which it is; proves that the database is still the one that gave the cursor.
        removed: The newest event that had been removed when its reader began, as transaction and ordinal: what was removed
            up to there the reader never asked for.
    """

    transaction_id: int
    ordinal: int
    event_id: UUID = field(compare=False)
    removed: tuple[int, int] = field(compare=False)

    def known(self, removed: tuple[int, int]) -> "Cursor":
        """Return the position for a reader who began when this was the newest event that had been removed."""
        return replace(self, removed=removed)


START: Final = Cursor(0, 0, _NOWHERE, (0, 0))
MEMBERS: Final = ("id", "type", "order_ledger_id", "seq", "occurred_at", "correlation_id", "data")
"""Of an event as consumers get it, whichever way."""


@dataclass(frozen=True, slots=True)
class StoredEvent:
    """An event as it stands in the outbox.

    Attributes:
        id: The same wherever the event is delivered; consumers drop what they have seen.
        type: What happened; see `orchestrator.events`.
        order_ledger_id: The order that it tells of.
        client_id: Whose order that is; None where the order is not in the ledger any more.
        seq: The order's journal position to which the event belongs; several events may share one.
        correlation_id: Of the request that placed the order.
        occurred_at: Aware time of the statement that wrote it.
        data: The payload.
        cursor: Behind this event.
    """

    id: UUID
    type: str
    order_ledger_id: UUID
    client_id: str | None
    seq: int
    correlation_id: str
    occurred_at: datetime
    data: Json
    cursor: Cursor


@dataclass(frozen=True, slots=True)
class Page:
    """Events in order.

    Attributes:
        events: None of them may be for this client though there are more; see `has_more`.
        cursor: Where to go on; it advances over events of other clients too.
        has_more: Whether there was more to look at; False at the end of the feed.
    """

    events: tuple[StoredEvent, ...]
    cursor: Cursor
    has_more: bool


async def read_feed(conn: Connection, after: Cursor | None, *, limit: int, client_id: str | None = None) -> Page:
    """Return the events after a position.

    Args:
        conn: To the ledger's primary.
        after: None to begin with the oldest event that is kept.
        limit: Most events, from 1 to `SCANNED_MAX` - 1.
        client_id: Events of this client's orders; None for those of every client.

    Raises:
        CursorGone: One can't go on from there.
    """
    asked = after or START
    parameters = {
        "transaction_id": str(asked.transaction_id),
        "ordinal": asked.ordinal,
        "event_id": asked.event_id,
        "removed_transaction_id": str(asked.removed[0]),
        "removed_ordinal": asked.removed[1],
        "client_id": client_id,
        # One more than is shown tells whether there is a next page.
        "limit": limit + 1,
        "scan_max": limit + 1 if client_id is None else SCANNED_MAX,
    }
    rows = await _QUERIES.fetch(conn, "read_feed", parameters)
    first = rows[0]
    if after is None:
        asked = asked.known(_removed(first))
    elif first["gone"] is not None:
        raise CursorGone(removed=first["gone"] == "removed")
    if not first["scanned"]:
        return Page((), asked, has_more=False)
    events = tuple(_event(row, asked.removed) for row in rows if row["id"] is not None)
    if len(events) > limit:
        return Page(events[:limit], events[limit - 1].cursor, has_more=True)
    reached = Cursor(int(first["reached_transaction_id"]), first["reached_ordinal"], first["reached_id"], asked.removed)
    return Page(events, reached, has_more=first["scanned"] == parameters["scan_max"])


async def find_before_last(conn: Connection, events: int) -> Cursor:
    """Return the position from which a reader sees the last so many events."""
    row = (await _QUERIES.fetch(conn, "find_before_last", {"events": events}))[0]
    return _position(row) if row["id"] is not None else START.known(_removed(row))


async def find_event(conn: Connection, event_id: UUID) -> Cursor | None:
    """Return the position behind an event; None when the feed has no such event. It reads the whole outbox."""
    rows = await _QUERIES.fetch(conn, "find_event", {"event_id": event_id})
    return _position(rows[0]) if rows else None


def document(event: object) -> Json:
    """Return an event as consumers get it, ready for JSON.

    Args:
        event: A `StoredEvent`, or what else has these attributes.
    """
    return {name: getattr(event, name) for name in MEMBERS}


def encode_cursor(cursor: Cursor) -> str:
    """Return a cursor as an opaque text, safe in a URL."""
    packed = _CURSOR.pack(cursor.transaction_id, cursor.ordinal, cursor.event_id.bytes, *cursor.removed)
    return urlsafe_b64encode(packed).decode()


def decode_cursor(text: str) -> Cursor:
    """Return the cursor that a text of `encode_cursor` stands for.

    Raises:
        ValueError: It is not such a text.
        CursorGone: No database gave it: none has such ordinals.
    """
    try:
        transaction_id, ordinal, id_bytes, *removed = _CURSOR.unpack(urlsafe_b64decode(text.encode("ascii")))
        cursor = Cursor(transaction_id, ordinal, UUID(bytes=id_bytes), (removed[0], removed[1]))
    except (ValueError, StructError):
        raise ValueError("this is no cursor of the feed") from None
    # Base64 decoding passes over what it does not know, so only a text that comes back the same is a cursor.
    if encode_cursor(cursor) != text:
        raise ValueError("this is no cursor of the feed")
    if max(ordinal, removed[1]) >= 2**63:  # beyond bigint
        raise CursorGone(removed=False)
    return cursor


def _event(row: Json, removed: tuple[int, int]) -> StoredEvent:
    return StoredEvent(
        id=row["id"],
        type=row["type"],
        order_ledger_id=row["order_ledger_id"],
        client_id=row["client_id"],
        seq=row["seq"],
        correlation_id=row["correlation_id"],
        occurred_at=row["created_at"],
        data=row["payload"],
        cursor=Cursor(int(row["transaction_id"]), row["ordinal"], row["id"], removed),
    )


def _position(row: Json) -> Cursor:
    return Cursor(int(row["transaction_id"]), row["ordinal"], row["id"], _removed(row))


def _removed(row: Json) -> tuple[int, int]:
    return int(row["removed_transaction_id"]), row["removed_ordinal"]
