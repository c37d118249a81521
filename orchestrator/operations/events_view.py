"""`saga events tail`: the feed as it goes on, from the database itself and of every client."""

import asyncio
import contextlib
import sys
from typing import Any, Final, Literal
from uuid import UUID

import orjson

from orchestrator.operations.asking import Connection, connected
from orchestrator.operations.render import open_console, say, short
from sql import events
from sql.events import Cursor, FeedError, StoredEvent

LAST: Final = 10
"""Events that are shown of what has been, where no beginning is said, as tail(1) does."""
LIMIT: Final = 500
POLL_S: Final = 0.2
"""Between two looks at the end of the feed: at once for people, and next to nothing for the server."""

Beginning = UUID | Cursor | Literal["start", "last"]


def tail(database_url: str, *, beginning: Beginning, as_json: bool) -> None:
    """Print events as they come, until interrupted, which is how it is meant to end.

    Args:
        database_url: The ledger's.
        beginning: Behind which event or position to begin; `start` for the oldest event that is kept, `last` for the
            last `LAST`.
        as_json: Print a line of JSON for each.

    Raises:
        FeedError: There is no such event, or one can't go on from there.
    """
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(_tail(database_url, beginning, as_json=as_json))


def line(event: StoredEvent) -> str:
    """Return an event as one line: when (UTC), order, position in its journal, type."""
    return f"{short(event.occurred_at)} {event.order_ledger_id} {event.seq:>3} {event.type}"


async def _tail(database_url: str, beginning: Beginning, *, as_json: bool) -> None:
    console = open_console()
    async with connected(database_url) as conn:
        after = await _position(conn, beginning)
        while True:
            page = await events.read_feed(conn, after, limit=LIMIT)
            for event in page.events:
                if as_json:
                    print(orjson.dumps(_document(event), option=orjson.OPT_UTC_Z).decode())
                else:
                    say(console, line(event))
            sys.stdout.flush()
            after = page.cursor
            if not page.has_more:
                await asyncio.sleep(POLL_S)


async def _position(conn: Connection, beginning: Beginning) -> Cursor | None:
    if beginning == "start":
        return None
    if beginning == "last":
        return await events.find_before_last(conn, LAST)
    if isinstance(beginning, Cursor):
        return beginning
    found = await events.find_event(conn, beginning)
    if found is None:
        raise FeedError(f"the feed has no event {beginning}")
    return found


def _document(event: StoredEvent) -> dict[str, Any]:
    return {**events.document(event), "client_id": event.client_id, "cursor": events.encode_cursor(event.cursor)}
