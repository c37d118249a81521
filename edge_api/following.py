"""One who follows changes: where it stands, and what comes next for it."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass, replace
from uuid import UUID

from edge_api.changes import BATCH_MAX, Changes, Message, message_of, messages_of
from sql.changes import Page


@dataclass(frozen=True, slots=True)
class Batch:
    """What is new after a position.

    Attributes:
        messages: In order, at most `BATCH_MAX`; empty where nothing came within `WAIT_S`.
        is_last: Whether nothing can follow.
    """

    messages: Sequence[Message]
    is_last: bool = False


@asynccontextmanager
async def all_orders(changes: Changes, after: int | None) -> AsyncIterator["AllOrders"]:
    """Follow every order.

    Args:
        changes: Looks for everybody.
        after: Place of the last change that was seen; None for those that are committed from now on.

    Raises:
        PlaceGone: One can't go on from there.
        TimeoutError, psycopg.OperationalError, PoolTimeout: The ledger does not answer.
    """
    page = Page((), await changes.find_end(), has_more=False) if after is None else await changes.read(after)
    with changes.followed(by="place"):
        yield AllOrders(changes, page)


@asynccontextmanager
async def one_order(changes: Changes, order_ledger_id: UUID, after: int) -> AsyncIterator["OneOrder"]:
    """Follow one order.

    Args:
        changes: Looks for everybody.
        order_ledger_id: The order.
        after: Position in its journal; `ANEW` for all of it.
    """
    with changes.followed(by="order"), closing(OneOrder(changes, order_ledger_id, after)) as following:
        yield following


class AllOrders:
    """One who follows every order: by pages of its own until it is where the others are, then with them.

    Args:
        changes: Looks for everybody.
        page: What it begins with.
    """

    def __init__(self, changes: Changes, page: Page) -> None:
        self._changes = changes
        self._page = page
        self._place = page.bookmark.place
        self._history: int | None = None

    async def next(self) -> Batch:
        """Return what comes next, in order and each change once.

        Raises:
            TooSlow, LedgerAway, Stopping, PlaceGone: See there.
            TimeoutError, psycopg.OperationalError, PoolTimeout: The ledger does not answer.
        """
        while self._history is None:
            if self._page.entries:
                told, rest = self._page.entries[:BATCH_MAX], self._page.entries[BATCH_MAX:]
                self._page = replace(self._page, entries=rest)
                return Batch(messages_of(told))
            self._place = self._page.bookmark.place
            if not self._page.has_more:
                self._history = self._changes.join(self._page.bookmark)
            if self._history is None:
                self._page = await self._changes.read(self._page.bookmark)
        found = await self._changes.after(self._place, self._history)
        if found:
            self._place = found[-1].seq
        return Batch(found)


class OneOrder:
    """One who follows one order, to its end.

    Args:
        changes: Looks for everybody.
        order_ledger_id: The order.
        after: Position in its journal.
    """

    def __init__(self, changes: Changes, order_ledger_id: UUID, after: int) -> None:
        self._changes = changes
        self._order_ledger_id = order_ledger_id
        self._asked = changes.ask(order_ledger_id, after)

    def close(self) -> None:
        """Follow no longer."""
        self._asked.cancel()

    async def next(self) -> Batch:
        """Return what comes next, in order and each change once.

        Raises:
            LedgerAway, Stopping: See there.
            Exception: It can't be told what this order's journal has.
        """
        course = await self._changes.course(self._asked)
        if course is None:
            return Batch(())
        if course.entries:
            self._asked = self._changes.ask(self._order_ledger_id, course.entries[-1].seq)
        return Batch([message_of(entry, entry.seq) for entry in course.entries], course.has_ended)
