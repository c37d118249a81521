"""Group commit: while one write is on its way, the transitions of all other sagas collect; the next takes them all.

An idle replica pays one commit a step, a busy one shares each commit among everything that is at work. Every transition
is fenced by itself (`sql/queries/ledger.sql`, `write_transitions`), so sharing a statement shares no fate: what misses
its fence is told so and the rest is written. Only the end of a saga that takes another order back has a transaction of its own,
together with that order's (`taking_back.py`).
"""

import asyncio
from collections import deque
from typing import Any, Final
from uuid import UUID

import psycopg
import structlog
from msgspec import Struct
from psycopg_pool import AsyncConnectionPool, PoolClosed

from orchestrator.taking_back import Back, write_with_parent
from sql import ledger
from sql.connect import BAD_VALUE, OUTAGE
from sql.ledger import ClaimLost
from sql.models import SagaRow, Transition

BATCH_MAX: Final = 500
"""Most transitions of one statement: enough to make a commit's share small, and still a few tens of milliseconds."""
LOCKED_RETRY_S: Final = 0.02
RECONNECT_FIRST_S: Final = 0.05
RECONNECT_MAX_S: Final = 2.0

log = structlog.get_logger(__name__)


class Unstorable(Exception):
    """The database refuses the values of this one transition; nothing of it was written."""


class Written(Struct, frozen=True):
    """The transition is durable; the row's journal stands at `last_seq` now."""

    last_seq: int


class Superseded(Struct, frozen=True):
    """Somebody changed the row under the same claim (a cancel, an operator): decide again on `row`."""

    row: SagaRow


class _Waiting(Struct, frozen=True):
    transition: Transition
    back: Back | None
    answer: asyncio.Future[Written | Superseded]


class Writer:
    """Writes transitions of one replica, many at a time.

    Args:
        pool: Autocommit connections to the ledger.
    """

    def __init__(self, pool: AsyncConnectionPool[Any]) -> None:
        self._pool = pool
        self._queue: deque[_Waiting] = deque()
        self._filled = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None

    async def write(self, transition: Transition, back: Back | None = None) -> Written | Superseded:
        """Write a transition with the next commit.

        Args:
            transition: What to write.
            back: The order that is taken back with it, or neither is written; None for none.

        Raises:
            ClaimLost: Another replica holds the row; nothing was written.
            NotTakenBack: The order to be taken back is not completed; nothing was written.
            Unstorable: The database refuses its values; nothing was written.
        """
        if self._loop is None:
            # Asked for once: the loop that runs is looked up with a system call.
            self._loop = asyncio.get_running_loop()
        waiting = _Waiting(transition, back, self._loop.create_future())
        self._queue.append(waiting)
        self._filled.set()
        return await waiting.answer

    async def run(self) -> None:
        """Write what collects, until cancelled."""
        while True:
            await self._filled.wait()
            self._filled.clear()
            while self._queue:
                await self._write_all(self._next_batch())

    def _next_batch(self) -> list[_Waiting]:
        """Take what waits, oldest first, one transition an order: a row is changed once by a statement."""
        batch: dict[UUID, _Waiting] = {}
        later: list[_Waiting] = []
        while self._queue and len(batch) < BATCH_MAX:
            waiting = self._queue.popleft()
            if batch.setdefault(waiting.transition.order_ledger_id, waiting) is not waiting:
                later.append(waiting)
        self._queue.extendleft(reversed(later))
        return list(batch.values())

    def _again(self, waiting: _Waiting) -> None:
        self._queue.append(waiting)
        self._filled.set()

    async def _write_all(self, batch: list[_Waiting]) -> None:
        delay_s, uncertain = RECONNECT_FIRST_S, False
        while batch:
            try:
                async with self._pool.connection() as conn:
                    if uncertain:
                        batch = await self._without_written(conn, batch)
                    await self._write_once(conn, [waiting for waiting in batch if waiting.back is None])
                    for waiting in batch:
                        if waiting.back is not None:
                            await self._write_back(conn, waiting, waiting.back)
                return
            except PoolClosed:
                raise
            except OUTAGE as error:
                # Whether the commit happened is not known; its own journal entries will tell.
                uncertain = True
                log.warning("write_interrupted", transitions=len(batch), error=str(error).splitlines()[0])
                await asyncio.sleep(delay_s)
                delay_s = min(delay_s * 2, RECONNECT_MAX_S)

    async def _write_once(self, conn: ledger.Connection, batch: list[_Waiting]) -> None:
        if not batch:
            return
        try:
            written = await ledger.write_transitions(conn, [waiting.transition for waiting in batch])
        except BAD_VALUE as error:
            await self._narrow_down(conn, batch, error)
            return
        missed = [waiting for waiting in batch if waiting.transition.order_ledger_id not in written]
        for waiting in batch:
            if waiting.transition.order_ledger_id in written:
                _answer(waiting, Written(written[waiting.transition.order_ledger_id]))
        if missed:
            await self._explain(conn, missed)

    async def _write_back(self, conn: ledger.Connection, waiting: _Waiting, back: Back) -> None:
        """Write the end of a saga together with that of the order which it took back."""
        try:
            written = await write_with_parent(conn, waiting.transition, back)
        except BAD_VALUE as error:
            _fail(waiting, Unstorable(str(error).splitlines()[0]))
        except OUTAGE:
            raise
        except Exception as error:
            # The code failed on the other order: that concerns nobody else who writes here.
            _fail(waiting, error)
        else:
            if written:
                _answer(waiting, Written(written[waiting.transition.order_ledger_id]))
            else:
                await self._explain(conn, [waiting])

    async def _narrow_down(self, conn: ledger.Connection, batch: list[_Waiting], error: psycopg.Error) -> None:
        """Halve a batch that the database refuses until the bad transition stands alone."""
        if len(batch) == 1:
            _fail(batch[0], Unstorable(str(error).splitlines()[0]))
            return
        middle = len(batch) // 2
        await self._write_once(conn, batch[:middle])
        await self._write_once(conn, batch[middle:])

    async def _explain(self, conn: ledger.Connection, missed: list[_Waiting]) -> None:
        """Tell those whose fence missed whether the claim is lost or the row has changed."""
        rows = await ledger.get_rows(conn, [waiting.transition.order_ledger_id for waiting in missed])
        for waiting in missed:
            row = rows.get(waiting.transition.order_ledger_id)
            if row is None or row.lease_epoch != waiting.transition.lease_epoch:
                _fail(waiting, ClaimLost(f"order {waiting.transition.order_ledger_id} was taken over"))
            elif row.last_seq == waiting.transition.last_seq:
                # Somebody else has it locked: it waits alone, the others go on.
                asyncio.get_running_loop().call_later(LOCKED_RETRY_S, self._again, waiting)
            else:
                _answer(waiting, Superseded(row))

    async def _without_written(self, conn: ledger.Connection, batch: list[_Waiting]) -> list[_Waiting]:
        """Answer what a lost commit had written after all; return the rest."""
        written = await ledger.list_written(conn, [waiting.transition for waiting in batch])
        rest = []
        for waiting in batch:
            if waiting.transition.order_ledger_id in written:
                _answer(waiting, Written(waiting.transition.last_seq + len(waiting.transition.entries)))
            else:
                rest.append(waiting)
        return rest


def _answer(waiting: _Waiting, answer: Written | Superseded) -> None:
    if not waiting.answer.done():
        waiting.answer.set_result(answer)


def _fail(waiting: _Waiting, error: Exception) -> None:
    if not waiting.answer.done():
        waiting.answer.set_exception(error)
