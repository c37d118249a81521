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
from collections.abc import Iterator
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
"""Seconds without an answer of the ledger after which one who follows is told that it is away."""
WAIT_S: Final = 1.0
"""Seconds for which one who follows waits for something new, before it looks after itself again."""
KEPT_MAX: Final = 10_000
"""Changes of all orders that are kept for those who have not taken them: some megabytes."""
COURSE_MAX: Final = 500
"""Changes of one order that are read at once."""

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
        self._waiting: dict[asyncio.Future[Course], tuple[UUID, int]] = {}
        self._news = asyncio.Event()
        self._anybody = asyncio.Event()
        self._answered_s = 0.0  # monotonic time at which the last look began that was answered, or somebody began to follow
        self._closed = False

    def close(self) -> None:
        """Have nobody wait any longer, so that a process that stops can say so."""
        self._closed = True
        self._news.set()
        for waiting in self._waiting:
            if not waiting.done():
                waiting.set_exception(Stopping())

    @contextmanager
    def followed(self, *, by: Literal["place", "order"]) -> Iterator[None]:
        """Look as long as this lasts.

        Args:
            by: Whether what follows asks by `after`, or by `course`.
        """
        if not any(self._followers.values()):
            self._answered_s = time.monotonic()
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
                self._answered_s = began_s
            except (*OUTAGE, psycopg.Error, PoolClosed, TimeoutError) as error:
                log.warning("changes_not_seen", error=type(error).__name__)
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
        """Return what is kept after the place of one who has joined, or wait for more; nothing when none comes in time.

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

    async def course(self, order_ledger_id: UUID, after: int) -> Course | None:
        """Return what one order's journal has after a position, or wait for more; None when none comes in time.

        Raises:
            LedgerAway, Stopping: See there.
        """
        self._check()
        waiting: asyncio.Future[Course] = asyncio.get_running_loop().create_future()
        self._waiting[waiting] = (order_ledger_id, after)
        try:
            async with asyncio.timeout(WAIT_S):
                return await waiting
        except TimeoutError:
            self._check()
            return None
        finally:
            del self._waiting[waiting]

    def _check(self) -> None:
        """See that there is any use in waiting.

        Raises:
            LedgerAway, Stopping: There is none.
        """
        if self._closed:
            raise Stopping
        if time.monotonic() - self._answered_s > AWAY_S:
            raise LedgerAway

    def _forget(self) -> None:
        self._bookmark, self._kept, self._floor = None, [], 0

    def _behind(self, place: int, history: int) -> list[Message]:
        self._check()
        if history != self._history:
            raise PlaceGone
        if place < self._floor:
            raise TooSlow
        return self._kept[bisect_right(self._kept, place, key=lambda message: message.seq) :]

    async def _look(self) -> None:
        async with self._pool.acting_for(ALL_CLIENTS) as conn:
            if self._bookmark is not None:
                await self._look_at_all(conn, self._bookmark)
            waiting = dict(self._waiting)
            if waiting:
                courses = await changes.read_courses(conn, list(waiting.values()), limit=COURSE_MAX)
                for future, course in zip(waiting, courses, strict=True):
                    if (course.entries or course.has_ended) and not future.done():
                        future.set_result(course)

    async def _look_at_all(self, conn: changes.Connection, bookmark: Bookmark) -> None:
        try:
            page = await changes.read_changes(conn, bookmark)
        except PlaceGone:
            # Nobody can go on; each is told so, and whoever comes back begins anew.
            self._forget()
            self._history += 1
            self._tell()
            return
        self._bookmark = page.bookmark
        if page.entries:
            self._kept += messages_of(page)
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


def messages_of(page: Page) -> list[Message]:
    """Return the changes of a page as they are sent."""
    return [message_of(entry, entry.place) for entry in page.entries]


def message_of(entry: Appended, seq: int) -> Message:
    """Return what an entry changed, as it is sent under a position."""
    return Message(seq, orjson.dumps(change_of(entry, seq).document(), option=orjson.OPT_UTC_Z).decode())


CHANGES: Final = web.AppKey("changes", Changes)
