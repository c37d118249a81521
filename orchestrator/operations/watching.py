"""`saga watch`: what changes, as it changes; one order until nothing more happens of it by itself, or all orders."""

import asyncio
import sys
import time
from collections.abc import Awaitable, Callable, Collection
from datetime import datetime, timedelta
from typing import Final, TypeVar
from uuid import UUID

import orjson
import psycopg

from orchestrator.changes import Change, change_of
from orchestrator.operations.asking import Connection, connected
from orchestrator.operations.render import open_console, say, utc
from sql import changes, webhooks
from sql.changes import ANEW, Appended, Bookmark, PlaceGone
from sql.ledger import LedgerError, OrderNotFound
from sql.models import TERMINAL, Status

POLL_S: Final = 0.2
"""Between two looks: at once for people, and next to nothing for the server."""
AGAIN_S: Final = 0.5
AGAIN_MAX_S: Final = 5.0
"""Between two tries to reach the database, first and at the longest."""
LOOK_MAX_S: Final = 10.0
"""A server that has not answered by then is away."""
COURSE_MAX: Final = 500
EXIT_CODES: Final = {
    Status.COMPLETED: 0,
    Status.FAILED: 3,
    Status.CANCELLED: 4,
    Status.DECLINED: 5,
    Status.STUCK: 6,
}
"""How the command ends by how the order ends; 1 and 2 are for what went wrong with the command itself."""
T = TypeVar("T")
Told = Callable[[Appended, Change], None]


class Missed(LedgerError):
    """What happened since can't be told any more; the orders themselves are as they are."""


def watch_order(database_url: str, order_ledger_id: UUID, *, after: int | None, as_json: bool) -> int:
    """Print the changes of an order, those that were first, until it has ended or is STUCK.

    Args:
        database_url: The ledger's.
        order_ledger_id: The order.
        after: Position in its journal behind which to begin; None for its beginning.
        as_json: Print a line of JSON for each.

    Returns:
        The exit code, of `EXIT_CODES`.

    Raises:
        OrderNotFound: There is none.
    """
    told = _printer(as_json=as_json, of_one=True)
    return EXIT_CODES[asyncio.run(_watch_order(database_url, order_ledger_id, after, told))]


def watch_all(database_url: str, *, statuses: Collection[str], saga: str | None, after: int | None, as_json: bool) -> None:
    """Print the changes of all orders as they come, until interrupted, which is how it is meant to end.

    Args:
        database_url: The ledger's.
        statuses: Only changes after which an order has one of these; empty for all.
        saga: Only orders of this saga; None for all.
        after: The `seq` of a change behind which to begin; None for what comes from now on.
        as_json: Print a line of JSON for each.

    Raises:
        Missed: One can't go on from there without missing something.
    """
    print_one = _printer(as_json=as_json, of_one=False)

    def told(entry: Appended, change: Change) -> None:
        if (not statuses or change.status in statuses) and saga in (None, entry.saga):
            print_one(entry, change)

    try:
        asyncio.run(_watch_all(database_url, after, told))
    except KeyboardInterrupt:
        return


def line(change: Change, *, of_one: bool) -> str:
    """Return a change as one line for a terminal: when (UTC), which order, and its status, or a step and its state."""
    what = f"{change.step} {change.state}" if change.step else change.status
    order = "" if of_one else f"{change.order_ledger_id} "
    return f"{utc(change.at):%H:%M:%S} {order}{what}"


def whole_line(change: Change) -> str:
    """Return a change as one line for a program: when, order, position, status, step and state, a dash for none."""
    columns = (f"{utc(change.at):%Y-%m-%dT%H:%M:%S.%fZ}", change.order_ledger_id, change.seq, change.status)
    return " ".join(map(str, (*columns, change.step or "-", change.state or "-")))


def _printer(*, as_json: bool, of_one: bool) -> Told:
    console = open_console()

    def told(_: Appended, change: Change) -> None:
        if as_json:
            print(orjson.dumps(change.document(), option=orjson.OPT_UTC_Z).decode())
        elif console.is_terminal:
            say(console, line(change, of_one=of_one))
        else:
            print(whole_line(change))
        sys.stdout.flush()

    return told


async def _watch_order(database_url: str, order_ledger_id: UUID, after: int | None, told: Told) -> Status:
    seq, status = ANEW if after is None else after, None

    async def look(conn: Connection) -> Status | None:
        nonlocal seq, status
        found = await changes.find_order(conn, order_ledger_id, None)
        if found is None and status is None:
            raise OrderNotFound(f"the ledger has no order {order_ledger_id}")
        (course,) = await changes.read_courses(conn, [(order_ledger_id, seq)], limit=COURSE_MAX)
        for entry in course.entries:
            told(entry, change_of(entry, entry.seq))
            seq, status = entry.seq, entry.status
        if status is None and found is not None:
            # Begun behind its last change.
            (last,) = await changes.list_entries(conn, [(order_ledger_id, found[0], 0)])
            status = last.status
        if len(course.entries) < COURSE_MAX and (status is Status.STUCK or status in TERMINAL):
            return status
        if found is None:
            raise OrderNotFound(f"order {order_ledger_id} was removed from the ledger")
        return None

    return await _follow(database_url, look)


async def _watch_all(database_url: str, after: int | None, told: Told) -> None:
    bookmark: Bookmark | None = None

    async def look(conn: Connection) -> None:
        nonlocal bookmark
        try:
            if bookmark is None and after is None:
                bookmark = await changes.find_end(conn)
            page = await changes.read_changes(conn, bookmark) if bookmark else await changes.go_on(conn, after or 0)
        except PlaceGone:
            raise Missed("what happened since can't be told any more: leave out --after to begin now") from None
        bookmark = page.bookmark
        for entry in page.entries:
            told(entry, change_of(entry, entry.place))

    await _follow(database_url, look)


async def _follow(database_url: str, look: Callable[[Connection], Awaitable[T | None]]) -> T:
    """Look until something is found; while the database is away say since when, and go on where it was once it is back."""
    seen_at: datetime | None = None
    again_s = AGAIN_S
    while True:
        try:
            async with connected(database_url) as conn:
                # By the database's clock, of which this one knows what it was at the connection.
                began_at, began_s = await webhooks.read_clock(conn), time.monotonic()
                while True:
                    async with asyncio.timeout(LOOK_MAX_S):
                        found = await look(conn)
                    if again_s > AGAIN_S:
                        _say("the database is back")
                    seen_at, again_s = began_at + timedelta(seconds=time.monotonic() - began_s), AGAIN_S
                    if found is not None:
                        return found
                    await asyncio.sleep(POLL_S)
        except (psycopg.OperationalError, TimeoutError):
            if seen_at is None:
                raise
            if again_s == AGAIN_S:
                _say(f"stale since {utc(seen_at):%H:%M:%S} UTC: the database can't be reached; it is tried again")
        await asyncio.sleep(again_s)
        again_s = min(again_s * 2, AGAIN_MAX_S)


def _say(sentence: str) -> None:
    print(f"saga: {sentence}", file=sys.stderr, flush=True)
