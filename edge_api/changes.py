"""What changes, for all who follow it live: one look at the ledger for everybody, and none while nobody follows.

::

    journal ──a look every POLL_S──▶ Changes ──the newest KEPT_MAX, once──▶ each who follows all orders, at its own pace
                                        └──────what it waits for─────────▶ each who follows one order

Whoever follows has a position, and asks for what is behind it: nothing is put up for one who does not ask, so one who is slow
costs no more than one who is not, and once what it has not taken is no longer kept, it is told to go on anew where it stood.
"""

import asyncio
import time
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Final, Literal, NamedTuple
from uuid import UUID

import orjson
import psycopg
import structlog
from aiohttp import web
from psycopg_pool import PoolClosed

from edge_api.limits import in_time
from orchestrator.changes import change_of
from sql import changes
from sql.changes import Appended, Bookmark, Course, Page, PlaceGone
from sql.connect import ALL_CLIENTS, OUTAGE, Pool

POLL_S: Final = 0.1
"""Seconds between two looks, while anybody follows."""
POLL_MAX_S: Final = 1.0
RESTS: Final = 9
"""Looks that take long are made less often, so that a busy ledger has its time for work: so many times as long as one took
passes before the next, at most `POLL_MAX_S`."""
LOOK_TIMEOUT_S: Final = 5.5
"""A little more than a statement's own limit, which holds as long as the server can be reached."""
AWAY_S: Final = 3.0
"""Seconds for which looks fail before one who follows is told that the ledger is away; one that takes long has not failed."""
WAIT_S: Final = 1.0
"""Seconds for which one who follows waits for something new, before it looks after itself again."""
KEPT_MAX: Final = 10_000
"""Changes of all orders that are kept for those who have not taken them: some megabytes."""
BATCH_MAX: Final = 200
"""Changes that one who follows is given at once, before it is seen anew whether it may have them, and whether it keeps up."""

_AWAY: Final = (*OUTAGE, psycopg.Error, PoolClosed, TimeoutError)

log = structlog.get_logger(__name__)


class LedgerAway(Exception):
    """The ledger has not answered for a while; nothing was missed yet by one who goes on where it stood."""


class TooSlow(Exception):
    """What comes next is no longer kept; nothing was missed yet by one who goes on where it stood."""


class Stopping(Exception):
    """The process stops; nothing was missed yet by one who goes on where it stood."""


class Message(NamedTuple):
    """A change as it is sent.

    Attributes:
        seq: Its position.
        text: JSON.
    """

    seq: int
    text: str


class Changes:
    """Looks for changes while anybody follows them.

    Args:
        pool: Autocommit connections to the ledger.
    """

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._kept: list[Message] = []
        self._floor = 0  # what is kept is complete after this place
        self._bookmark: Bookmark | None = None  # None while nobody has joined
        self._history = 0  # of the database; a look that finds another one begins the next
        self._followers = {"place": 0, "order": 0}
        self._asked: dict[asyncio.Future[Course], tuple[UUID, int]] = {}
        self._news = asyncio.Event()
        self._anybody = asyncio.Event()
        self._failing_s: float | None = None  # monotonic time at which the first look began of those that failed last
        self._closed = False

    def close(self) -> None:
        """Have nobody wait any longer, so that a process that stops can say so."""
        self._closed = True
        self._news.set()
        for asked in self._asked:
            asked.cancel()

    @contextmanager
    def followed(self, *, by: Literal["place", "order"]) -> Iterator[None]:
        """Look as long as this lasts.

        Args:
            by: Whether what follows asks by `after`, or by `ask`.
        """
        if not any(self._followers.values()):
            self._failing_s = None
        self._followers[by] += 1
        self._anybody.set()
        try:
            yield
        finally:
            self._followers[by] -= 1

    async def find_end(self) -> Bookmark:
        """Return where the changes end: what is committed from now on is behind it. It raises as `read` does."""
        async with self._pool.acting_for(ALL_CLIENTS) as conn:
            return await in_time(changes.find_end(conn), LOOK_TIMEOUT_S)

    async def run(self) -> None:
        """Look while anybody follows, until cancelled."""
        while True:
            if not self._followers["place"]:
                self._forget()
            if not any(self._followers.values()):
                self._anybody.clear()
                await self._anybody.wait()
            began_s = time.monotonic()
            try:
                await in_time(self._look(), LOOK_TIMEOUT_S)
                self._failing_s = None
            except Exception as error:
                if self._failing_s is None:
                    self._failing_s = began_s
                if isinstance(error, _AWAY):
                    log.warning("changes_not_seen", error=type(error).__name__)
                else:
                    # A fault of this code must not end it: all who follow, and will, depend on it.
                    log.exception("changes_broken")
            await asyncio.sleep(min(max((time.monotonic() - began_s) * RESTS, POLL_S), POLL_MAX_S))

    async def read(self, begin: Bookmark | int) -> Page:
        """Return a page, read for one who is not yet where the others are.

        Args:
            begin: How far was read, or the place of the last change that was.

        Raises:
            PlaceGone: One can't go on from there.
            TimeoutError, psycopg.OperationalError, PoolTimeout: The ledger does not answer.
        """
        return await in_time(self._read(begin), LOOK_TIMEOUT_S)

    def join(self, bookmark: Bookmark) -> int | None:
        """Have all kept that comes after a bookmark; its history then, None when some of it is not kept any more."""
        if self._bookmark is None:
            self._bookmark, self._floor = bookmark, bookmark.place
        return self._history if bookmark.place >= self._floor else None

    async def after(self, place: int, history: int) -> list[Message]:
        """Return what comes next after the place of one who has joined, or wait for it; nothing when none comes in time.

        Raises:
            TooSlow, LedgerAway, Stopping, PlaceGone: See there.
        """
        if not (found := self._behind(place, history)):
            try:
                async with asyncio.timeout(WAIT_S):
                    await self._news.wait()
            except TimeoutError:
                pass
            found = self._behind(place, history)
        return found

    def ask(self, order_ledger_id: UUID, after: int) -> asyncio.Future[Course]:
        """Ask for what one order's journal has after a position, once there is any. To cancel it is to take it back."""
        asked: asyncio.Future[Course] = asyncio.get_running_loop().create_future()
        self._asked[asked] = (order_ledger_id, after)
        asked.add_done_callback(self._asked.pop)
        return asked

    async def course(self, asked: asyncio.Future[Course]) -> Course | None:
        """Return what was asked for, or wait for it; None when it does not come in time: it will, however long a look takes.

        Raises:
            LedgerAway, Stopping: See there.
            Exception: It can't be told what this order's journal has.
        """
        self._check()
        await asyncio.wait({asked}, timeout=WAIT_S)
        if asked.done() and not asked.cancelled():
            return asked.result()
        self._check()
        return None

    def _check(self) -> None:
        """See that there is any use in waiting.

        Raises:
            LedgerAway, Stopping: There is none.
        """
        if self._closed:
            raise Stopping
        if self._failing_s is not None and time.monotonic() - self._failing_s > AWAY_S:
            raise LedgerAway

    def _forget(self) -> None:
        self._bookmark, self._kept, self._floor = None, [], 0

    def _behind(self, place: int, history: int) -> list[Message]:
        self._check()
        if history != self._history:
            raise PlaceGone
        if place < self._floor:
            raise TooSlow
        first = bisect_right(self._kept, place, key=lambda message: message.seq)
        return self._kept[first : first + BATCH_MAX]

    async def _look(self) -> None:
        async with self._pool.acting_for(ALL_CLIENTS) as conn:
            if self._bookmark is not None:
                await self._look_at_all(conn, self._bookmark)
            if self._asked:
                await self._look_at_some(conn, dict(self._asked))

    async def _look_at_some(self, conn: changes.Connection, asked: dict[asyncio.Future[Course], tuple[UUID, int]]) -> None:
        try:
            courses = await changes.read_courses(conn, list(asked.values()), limit=BATCH_MAX)
        except _AWAY:
            raise
        except Exception as error:
            # An entry that this release does not know, say: whoever follows another order is told of that.
            futures = list(asked)
            if len(futures) > 1:
                for half in (futures[: len(futures) // 2], futures[len(futures) // 2 :]):
                    await self._look_at_some(conn, {future: asked[future] for future in half})
            elif not futures[0].done():
                futures[0].set_exception(error)
            return
        for future, course in zip(asked, courses, strict=True):
            if (course.entries or course.has_ended) and not future.done():
                future.set_result(course)

    async def _look_at_all(self, conn: changes.Connection, bookmark: Bookmark) -> None:
        try:
            page = await changes.read_changes(conn, bookmark)
            told = messages_of(page.entries)
        except _AWAY:
            raise
        except Exception as error:
            if not isinstance(error, PlaceGone):
                log.exception("changes_broken")
            # Nobody can go on; each is told so, and whoever comes back begins anew.
            self._forget()
            self._history += 1
            self._tell()
            return
        self._bookmark = page.bookmark
        if told:
            self._kept += told
            if len(self._kept) > KEPT_MAX:
                self._floor = self._kept[-KEPT_MAX - 1].seq
                del self._kept[:-KEPT_MAX]
            self._tell()

    def _tell(self) -> None:
        self._news.set()
        self._news = asyncio.Event()

    async def _read(self, begin: Bookmark | int) -> Page:
        async with self._pool.acting_for(ALL_CLIENTS) as conn:
            if isinstance(begin, Bookmark):
                return await changes.read_changes(conn, begin)
            return await changes.go_on(conn, begin)


def messages_of(entries: Iterable[Appended]) -> list[Message]:
    """Return changes of all orders as they are sent."""
    return [message_of(entry, entry.place) for entry in entries]


def message_of(entry: Appended, seq: int) -> Message:
    """Return what an entry changed, as it is sent under a position."""
    return Message(seq, orjson.dumps(change_of(entry, seq).document(), option=orjson.OPT_UTC_Z).decode())


CHANGES: Final = web.AppKey("changes", Changes)
