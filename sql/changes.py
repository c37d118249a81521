"""What changes, as it changes: every order's journal in one order that never changes, or the journals of some orders.

What is promised to a reader who goes on where it stood:
- every entry comes, comes once, and in an order that is the same for all readers, on whatever process;
- nothing appears before a place that was given out, however late a transaction commits;
- where that can't be kept, because of what was removed meanwhile, or because the database is another one, it is told
  (`PlaceGone`).

A place in the whole is one integer, `place`: the transaction that wrote the entry, then the entry among those of its
transaction. It only grows, and a double holds it exactly until the server has had 2^40 transactions. Functions need no
transaction; they are one statement each, or two where there is something to tell.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import groupby
from typing import Any, Final
from uuid import UUID
from zlib import crc32

from psycopg import AsyncConnection

from sql.loader import Queries
from sql.models import Direction, Json, Kind, Status

Connection = AsyncConnection[Any]
Moment = datetime
"""An aware time."""

PLACES: Final = 2**13
"""Of one transaction, which writes 500 transitions at most, of some entries each."""
PAGE_MAX: Final = 10_000
"""Entries of one page: more than a transaction can have, since a transaction is never torn apart."""
BEHIND_MAX: Final = 50_000
"""Events after a place from which one goes on; with more, reading them all would be a burden to everybody else."""
LATE_S: Final = 10.0
"""An entry bears the time at which its row was looked at, and its transaction has its id some microseconds later at most, in
the same statement, which the server ends after 5 s."""
OPEN_MAX: Final = timedelta(seconds=50)
"""Beyond that: no transaction that writes entries or events lasts as long. It has a few statements, and for each of them, and
between two, the server gives it 5 s."""
ANEW: Final = -1
"""Before the first position of a journal."""

# Prepared, a statement may get one plan for all times and places, and would read the whole journal.
_QUERIES: Final = Queries("changes", prepare=False)


class PlaceGone(Exception):
    """One can't go on from this place without missing something.

    It is too far back, what stood there was removed, or it is none of this database's, restored or without what it had last.
    """


@dataclass(frozen=True, slots=True)
class Appended:
    """One entry of a journal, with what it takes to say what it changed.

    Attributes:
        order_ledger_id: Whose journal.
        seq: Its position there; 0 stands for the order's being recorded without an entry.
        place: Its place among all orders' entries; 0 where only one order was read.
        at: Aware time.
        status: Of the order after it.
        saga: Of the order.
        kind: What it records; None at position 0.
        step, direction, attempt, outcome: As in `sql.models.Entry`.
        optional, probed, attempts_max: Of an attempt that did not succeed: what the step's definition says.
        spared: Of one that ended Unknown: how many attempts up to it counted for nothing.
    """

    order_ledger_id: UUID
    seq: int
    place: int
    at: datetime
    status: Status
    saga: str
    kind: Kind | None = None
    step: str | None = None
    direction: Direction | None = None
    attempt: int | None = None
    outcome: str | None = None
    optional: bool = False
    probed: bool = False
    attempts_max: int | None = None
    spared: int | None = None


@dataclass(frozen=True, slots=True)
class Bookmark:
    """How far somebody has read: all that transactions below `transaction_id` wrote.

    Entries are found by their times, so it is to be known which times those still to be read can have. A transaction that had
    no id yet at some moment writes no earlier time (but for `LATE_S`). Hence with each look the moment and the next id
    (`mark_at`, `mark_id`) are kept, and once every transaction below that id has been read, the moment becomes `since`: nothing
    that is still to be read is of before. However long a transaction stays open, `since` waits for it. No look begins later
    than the database's present time (less `LATE_S`), so its clock may be set back while somebody reads.

    Attributes:
        transaction_id: The first transaction that has not been read.
        since: No entry of that one and those after it is of before.
        mark_id, mark_at: What `since` will be once `transaction_id` has come to `mark_id`.
        last: Order, position and time of the last entry that was read, which proves that the database is the same; None before.
    """

    transaction_id: int
    since: datetime
    mark_id: int
    mark_at: datetime
    last: tuple[UUID, int, datetime] | None = None

    @property
    def place(self) -> int:
        """The place behind everything that was read, and before all that was not."""
        return self.transaction_id * PLACES

    def onward(self, horizon: int, newest: int, at: datetime) -> "Bookmark":
        """Return the bookmark of one who has read all there was at a look.

        Args:
            horizon: The look saw all that transactions below it wrote.
            newest: The next id at the look.
            at: When the look began.
        """
        if horizon < self.mark_id:
            return replace(self, transaction_id=horizon)
        return replace(self, transaction_id=horizon, since=self.mark_at, mark_id=newest, mark_at=at)


@dataclass(frozen=True, slots=True)
class Page:
    """Entries in order.

    Attributes:
        entries: What was read.
        bookmark: Where to go on.
        has_more: Whether there is more already.
    """

    entries: tuple[Appended, ...]
    bookmark: Bookmark
    has_more: bool


@dataclass(frozen=True, slots=True)
class Course:
    """What one order's journal has after a position.

    Attributes:
        entries: In order; empty for nothing new.
        has_ended: Whether they reach to the journal's end, and the order has finished or was removed.
    """

    entries: tuple[Appended, ...]
    has_ended: bool


async def find_end(conn: Connection) -> Bookmark:
    """Return where the changes end now, for one who wants those to come.

    Whatever is committed after this was answered is behind it.
    """
    row = (await _QUERIES.fetch(conn, "find_end", {}))[0]
    return Bookmark(row["horizon"], row["at"] - OPEN_MAX, row["newest"], row["at"])


async def go_on(conn: Connection, place: int, *, limit: int = PAGE_MAX) -> Page:
    """Return the first page after the entry at a place; otherwise as `read_changes`.

    Raises:
        PlaceGone: There is no such entry, or too much after it.
    """
    transaction_id = place // PLACES
    parameters = {"transaction_id": str(transaction_id), "behind_max": BEHIND_MAX + 1}
    row = (await _QUERIES.fetch(conn, "find_place", parameters))[0]
    if row["behind"] > BEHIND_MAX or row["before"] is None:
        raise PlaceGone
    end = await find_end(conn)
    page = await read_changes(conn, replace(end, transaction_id=transaction_id, since=row["since"] - OPEN_MAX), limit=limit)
    later = [number for number, entry in enumerate(page.entries, 1) if entry.place == place]
    if not later:
        raise PlaceGone
    return replace(page, entries=page.entries[later[0] :])


async def read_changes(conn: Connection, bookmark: Bookmark, *, limit: int = PAGE_MAX) -> Page:
    """Return what was appended since.

    Args:
        conn: To the ledger's primary; it must see every client's orders.
        bookmark: How far was read.
        limit: Most entries; more than one transaction can have.

    Raises:
        PlaceGone: The database is not what it was, or what was read last was removed.
    """
    last_order, last_seq, last_at = bookmark.last or (None, None, None)
    parameters = {
        "transaction_id": str(bookmark.transaction_id),
        "since": bookmark.since,
        "late_s": LATE_S,
        "last_order": last_order,
        "last_seq": last_seq,
        "last_at": last_at,
        # One more than is shown tells whether there is a next page.
        "limit": limit + 1,
    }
    rows = await _QUERIES.fetch(conn, "list_changes", parameters)
    moment = rows[0]
    if not moment["holds"] or moment["horizon"] < bookmark.transaction_id:
        raise PlaceGone
    found = [row for row in rows if row["order_ledger_id"] is not None]
    has_more = len(found) > limit
    if has_more:
        torn = found[-1]["transaction_id"]
        found = [row for row in found if row["transaction_id"] < torn]
        onward = replace(bookmark, transaction_id=torn)
    else:
        onward = bookmark.onward(moment["horizon"], moment["newest"], moment["now"])
    written = [row for row in found if row["seq"]]
    if written:
        onward = replace(onward, last=(written[-1]["order_ledger_id"], written[-1]["seq"], written[-1]["at"]))
    places = _places([(row["transaction_id"], row["order_ledger_id"], row["seq"]) for row in found])
    return Page(tuple(await list_entries(conn, places)), onward, has_more)


async def find_order(conn: Connection, order_ledger_id: UUID, client_id: str | None) -> tuple[int, bool] | None:
    """Return how far an order's journal has come and whether the order has ended; None for none that this client may see."""
    rows = await _QUERIES.fetch(conn, "find_order", {"order_ledger_id": order_ledger_id, "client_id": client_id})
    return (rows[0]["last_seq"], rows[0]["ended"]) if rows else None


async def read_courses(conn: Connection, wanted: Sequence[tuple[UUID, int]], *, limit: int) -> list[Course]:
    """Return what the journals of some orders have after a position each.

    Args:
        conn: Any connection to the ledger that sees these orders.
        wanted: Orders and positions; `ANEW` for a journal's beginning.
        limit: Most entries of each.
    """
    parameters = {"order_ledger_ids": [order for order, _ in wanted], "afters": [after for _, after in wanted]}
    reached = await _QUERIES.fetch(conn, "list_reached", parameters)
    seqs = [
        [*([0] if row["bare"] else []), *range(max(after, 0) + 1, (row["last_seq"] or 0) + 1)][:limit]
        for (_, after), row in zip(wanted, reached, strict=True)
    ]
    keys = [(order, seq, 0) for (order, _), found in zip(wanted, seqs, strict=True) for seq in found]
    entries = {(entry.order_ledger_id, entry.seq): entry for entry in await list_entries(conn, keys)}
    courses = []
    for (order, after), row, found in zip(wanted, reached, seqs, strict=True):
        until = found[-1] if found else after
        has_ended = row["last_seq"] is None or (row["ended"] and until >= row["last_seq"])
        courses.append(Course(tuple(entries[order, seq] for seq in found if (order, seq) in entries), has_ended))
    return courses


async def list_entries(conn: Connection, keys: Sequence[tuple[UUID, int, int]]) -> list[Appended]:
    """Return entries by order, position and the place that each is to have; those that were removed meanwhile are left out.

    Those of one order are asked for in their order, and none between them is left out.
    """
    if not keys:
        return []
    parameters = {"order_ledger_ids": [order for order, _, _ in keys], "seqs": [seq for _, seq, _ in keys]}
    places = {(order, seq): place for order, seq, place in keys}
    rows = await _QUERIES.fetch(conn, "list_entries", parameters)
    statuses: dict[UUID, str] = {}
    for row in rows:
        order = row["order_ledger_id"]
        statuses[order] = row["status"] or (row["outcome"] if row["kind"] == Kind.STATUS else statuses[order])
        row["status"] = statuses[order]
    return [_appended(row, places[row["order_ledger_id"], row["seq"]]) for row in rows]


def _places(keys: Iterable[tuple[int, UUID, int]]) -> list[tuple[UUID, int, int]]:
    """Return order and position of each entry with its place.

    In the order of their transactions; those of one share out the places that it has, and where in its share an entry stands
    comes from what it is: so a place of another database's is most likely none here, though a transaction of that id may be.
    """
    found = []
    for transaction_id, group in groupby(keys, key=lambda key: key[0]):
        entries = [(order, seq) for _, order, seq in group]
        share = max(PLACES // (len(entries) + 1), 1)
        for number, (order, seq) in enumerate(entries, 1):
            mark = crc32(order.bytes + seq.to_bytes(4)) % share
            found.append((order, seq, transaction_id * PLACES + number * share + mark))
    return found


def _appended(row: Json, place: int) -> Appended:
    kind, direction = row.pop("kind"), row.pop("direction")
    return Appended(
        **{**row, "status": Status(row["status"])},
        place=place,
        kind=Kind(kind) if kind else None,
        direction=Direction(direction) if direction else None,
    )
