"""`GET /events`: what happened to orders, each event once and in an order that never changes, page by page.

A client sees the events of its own orders. A request that waits holds no connection: one look at the database every
`POLL_S` serves all that wait, and there is none while nobody does. What a page costs does not depend on how many events
of other clients lie between; so a page may be empty though there is more, and its cursor advances all the same.
"""

import asyncio
import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

import psycopg
import structlog
from aiohttp import web
from psycopg_pool import PoolTimeout

from edge_api import keys
from edge_api.limits import in_time
from edge_api.middlewares import READ_TIMEOUT_S, unavailable
from edge_api.problems import Problem, ProblemType
from edge_api.reading import json_response
from edge_api.requests import WAIT_MAX_S, parameters_of, whole_number
from sql import events
from sql.connect import ALL_CLIENTS, Pool
from sql.events import Cursor, CursorGone, Page

LIMIT_DEFAULT: Final = 100
LIMIT_MAX: Final = 1_000
POLL_S: Final = 0.05
"""Seconds between two looks for events, while somebody waits."""
WAITING_MAX: Final = 1_000
"""Requests that wait at once; one more is answered at once, as if it had not asked to wait."""
_PARAMETERS: Final = ("after", "limit", "wait")

log = structlog.get_logger(__name__)


class _Waiter:
    """A request that waits: for events of one client, behind a position that advances over those of others."""

    def __init__(self, client_id: str, after: Cursor, limit: int) -> None:
        self.client_id = client_id
        self.after = after
        self.limit = limit
        self.page: asyncio.Future[Page | None] = asyncio.get_running_loop().create_future()

    def settle(self, page: Page | None) -> None:
        if not self.page.done():
            self.page.set_result(page)

    def offer(self, seen: Page) -> None:
        """Take its events from a look that began at or before its position; go on behind it when there are none."""
        own = [event for event in seen.events if event.client_id == self.client_id and event.cursor > self.after]
        if own:
            rest = len(own) > self.limit
            reached = own[self.limit - 1].cursor if rest else seen.cursor
            self.settle(Page(tuple(own[: self.limit]), reached.known(self.after.removed), rest or seen.has_more))
        else:
            self.after = max(self.after, seen.cursor).known(self.after.removed)


class Feed:
    """Reads the feed, and lets requests wait at its end.

    Args:
        pool: Autocommit connections to the ledger.
    """

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._waiting: set[_Waiter] = set()
        self._anybody = asyncio.Event()
        self._closed = False

    async def page(self, client_id: str, after: Cursor | None, *, limit: int, wait_s: float) -> Page:
        """Return a page, where there is nothing after waiting for it.

        Args:
            client_id: Whose events.
            after: None for the oldest event that is kept.
            limit: Most events.
            wait_s: Seconds to wait at the end of the feed; 0 for none.

        Raises:
            CursorGone: One can't go on from there.
            TimeoutError, psycopg.OperationalError, PoolTimeout: The ledger does not answer.
        """
        page = await self._read(client_id, after, limit)
        if page.events or page.has_more or not wait_s or self._closed or len(self._waiting) >= WAITING_MAX:
            return page
        waiter = _Waiter(client_id, page.cursor, limit)
        self._waiting.add(waiter)
        self._anybody.set()
        try:
            async with asyncio.timeout(wait_s):
                found = await waiter.page
        except TimeoutError:
            return Page((), waiter.after, has_more=False)
        finally:
            self._waiting.discard(waiter)
        return await self._read(client_id, waiter.after, limit) if found is None else found

    def close(self) -> None:
        """Have nobody wait any longer, so that a process that stops answers what it can."""
        self._closed = True
        for waiter in self._waiting:
            waiter.settle(Page((), waiter.after, has_more=False))

    async def run(self) -> None:
        """Look for events while somebody waits, until cancelled."""
        while True:
            await self._anybody.wait()
            waiting = frozenset(self._waiting)
            if not waiting:
                self._anybody.clear()
                continue
            try:
                await self._serve(waiting)
            except CursorGone:
                # Each looks at its own position, and is told what is wrong with it.
                for waiter in waiting:
                    waiter.settle(None)
            except (psycopg.Error, PoolTimeout) as error:
                # Whoever waits to the end gets an empty page, and learns with the next request if the ledger is away.
                log.warning("feed_failed", error=type(error).__name__)
            await asyncio.sleep(POLL_S)

    async def _serve(self, waiting: frozenset[_Waiter]) -> None:
        """Look once for all who waited when the look began, from the position of the one who is furthest back."""
        async with self._pool.acting_for(ALL_CLIENTS) as conn:
            seen = await events.read_feed(conn, min(waiter.after for waiter in waiting), limit=LIMIT_MAX)
        if seen.events:
            for waiter in waiting:
                waiter.offer(seen)

    async def _read(self, client_id: str, after: Cursor | None, limit: int) -> Page:
        async def read() -> Page:
            # A cursor stands at anybody's event, and how far a look goes is counted over all of them.
            async with self._pool.acting_for(ALL_CLIENTS) as conn:
                page = await events.read_feed(conn, after, limit=limit, client_id=client_id)
            # So the statement alone hides other clients' events; here they are hidden once more, whatever it says.
            return replace(page, events=tuple(event for event in page.events if event.client_id == client_id))

        return await in_time(read(), READ_TIMEOUT_S)


FEED: Final = web.AppKey("feed", Feed)


async def list_events(request: web.Request) -> web.Response:
    """Answer `GET /events`."""
    try:
        asked = read_query(request.query)
        page = await request.app[FEED].page(request[keys.CLIENT_ID], **asked)
    except CursorGone as gone:
        raise Problem(ProblemType.CURSOR_GONE, _HOW_TO_GO_ON[gone.removed]) from None
    except TimeoutError:
        raise unavailable() from None
    shown = [events.document(event) for event in page.events]
    return json_response({"events": shown, "next_cursor": events.encode_cursor(page.cursor), "has_more": page.has_more})


ROUTES: Final = [web.get("/events", list_events, allow_head=False)]

_ANEW: Final = (
    "Begin anew without 'after' and drop the events whose ids you know; what is no longer kept, take from GET /orders."
)
_HOW_TO_GO_ON: Final = {
    True: f"Events after this cursor were removed by retention. {_ANEW}",
    False: f"This cursor is none of this database's, which was restored or lost what it had last. {_ANEW}",
}


def read_query(query: Mapping[str, str]) -> dict[str, Any]:
    """Read the query of `GET /events`.

    Args:
        query: As it stands in the request; a name may stand once.

    Returns:
        Arguments of `Feed.page`: `after`, `limit` and `wait_s`.

    Raises:
        Problem: 400; the detail names the parameter.
        CursorGone: One can't go on from there.
    """
    asked = parameters_of(query, _PARAMETERS)
    return {
        "limit": whole_number("limit", asked.get("limit", str(LIMIT_DEFAULT)), LIMIT_MAX),
        "wait_s": _wait_s(asked.get("wait", "0")),
        "after": _after(asked["after"]) if "after" in asked else None,  # last: what is wrong with a request comes before 410
    }


def _after(value: str) -> Cursor:
    try:
        return events.decode_cursor(value)
    except ValueError:
        raise _bad_query("'after' must be the `next_cursor` of an earlier answer.") from None


def _wait_s(value: str) -> float:
    if not re.fullmatch(r"[0-9]{1,3}(\.[0-9]{1,24})?(e-[0-9]{1,3})?", value) or float(value) > WAIT_MAX_S:
        raise _bad_query(f"'wait' must be a number of seconds from 0 to {WAIT_MAX_S}.")
    return float(value)


def _bad_query(detail: str) -> Problem:
    return Problem(ProblemType.BAD_QUERY, detail)
