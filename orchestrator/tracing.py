"""What a process tells of the orders that it works on: their calls at once, their steps when they come to rest (`spans.py`)."""

import asyncio
from collections import deque
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, suppress
from typing import Any, Final
from uuid import UUID

import structlog
from psycopg_pool import PoolClosed

from orchestrator.outcome import Outcome
from orchestrator.participant import Tracing
from orchestrator.progress import Call
from orchestrator.spans import RESTS, attempt_attributes, attempt_span_id, note_outcome, spans_of, step_span_id
from orchestrator.work import Work
from sql import histories
from sql.connect import OUTAGE
from sql.models import SagaRow, Status
from sql.tracing import Context, Role, Span, Traces, begin, end, read_context

ORDERS_MAX: Final = 20
"""Orders whose journals are read at once: some hundred spans, which keep other work waiting for a few milliseconds."""
WAITING_MAX: Final = 10_000
"""Orders that have come to rest and are not told yet; of more, nothing is told but their calls."""
AGAIN_S: Final = 1.0
"""Between two looks while the ledger is away."""
DRAIN_S: Final = 1.0
"""Seconds that the end of the process waits for the journals of orders that have come to rest."""

log = structlog.get_logger(__name__)


class Tracer:
    """Tells traces of orders; where traces are off it hands on what came with the order, and does nothing else.

    Args:
        traces: Where spans go; None where traces are off.
        connect: Lends an autocommit connection to the ledger that sees all clients' orders; None where traces are off.

    Attributes:
        traces: As given.
    """

    def __init__(
        self, traces: Traces | None = None, connect: Callable[[], AbstractAsyncContextManager[Any]] | None = None
    ) -> None:
        self.traces = traces
        self._connect = connect
        self._resting: deque[tuple[UUID, int | None]] = deque()
        self._filled = asyncio.Event()
        self._telling: asyncio.Task[None] | None = None

    def begin(self, work: Work, call: Call) -> Tracing:
        """Return what is sent along with a call that begins now, whose intent is durable."""
        row = work.row
        if self.traces is None:
            return Tracing(row.correlation_id, row.traceparent)
        context = read_context(row.traceparent)
        if context is None or not context.sampled:
            return Tracing(row.correlation_id, row.traceparent)
        endpoint = work.endpoint(call)
        attempt = (call.step, call.direction, work.progress.round, call.attempt)
        attributes = {
            **attempt_attributes(work.order_id, row.saga, *attempt, row.lease_epoch),
            "saga.participant": endpoint.participant,
            "http.request.method": endpoint.method,
            "url.template": endpoint.path,
        }
        step = Context(context.trace_id, step_span_id(work.order_id, *attempt[:3]))
        name = f"{endpoint.method} {endpoint.path}"
        span = begin(name, Role.CLIENT, step, attributes, attempt_span_id(work.order_id, *attempt))
        return Tracing(row.correlation_id, span.context.traceparent, span)

    def tell(self, attempts: list[Span]) -> None:
        """Tell of calls whose outcomes are durable, and forget them. Of others whoever takes them over tells."""
        if self.traces is not None:
            self.traces.tell(attempts)
        attempts.clear()

    def rested(self, row: SagaRow) -> None:
        """Tell soon of an order whose last write brought it to rest, if it did.

        Args:
            row: As it was written.
        """
        if self.traces is None or row.status not in RESTS:
            return
        context = read_context(row.traceparent)
        if context is not None and context.sampled:
            self._rested(row.order_ledger_id, row.last_seq)

    def rests(self, order_ledger_id: UUID, status: Status) -> None:
        """Tell soon of an order whose status was just written, if it rests with that."""
        if self.traces is not None and status in RESTS:
            self._rested(order_ledger_id, None)

    def _rested(self, order_ledger_id: UUID, last_seq: int | None) -> None:
        if len(self._resting) >= WAITING_MAX:
            assert self.traces is not None
            self.traces.drop(1)
            return
        self._resting.append((order_ledger_id, last_seq))
        self._filled.set()

    async def run(self) -> None:
        """Tell of orders that have come to rest, until cancelled; orders never wait for it."""
        while True:
            await self._filled.wait()
            self._filled.clear()
            try:
                while self._resting:
                    # A statement that is broken off costs its session: the end of the process lets this one end (`close`).
                    self._telling = asyncio.create_task(self._tell_resting(), name="tell traces")
                    await asyncio.shield(self._telling)
            except OUTAGE as error:
                log.warning("traces_without_ledger", error=type(error).__name__)
                self._filled.set()
                await asyncio.sleep(AGAIN_S)

    async def close(self) -> None:
        """Tell what waits, as far as that goes within two seconds; the ledger must still be open."""
        if self.traces is None:
            return
        with suppress(TimeoutError, PoolClosed, *OUTAGE):
            async with asyncio.timeout(DRAIN_S):
                if self._telling is not None:
                    await self._telling
                while self._resting:
                    await self._tell_resting()
        await self.traces.close()

    async def _tell_resting(self) -> None:
        assert self._connect is not None
        assert self.traces is not None
        batch = [self._resting[place] for place in range(min(ORDERS_MAX, len(self._resting)))]
        try:
            async with self._connect() as conn:
                courses = await histories.list_courses(conn, list({order for order, _ in batch}))
        except OUTAGE:
            raise
        except Exception:
            # A right that is missing, an entry of a newer release: sagas go on beside it, and so do the next orders' traces.
            log.exception("traces_not_told")
            self.traces.drop(len(batch))
            courses = []
        found = {course.order_ledger_id: course for course in courses}
        # Taken off only now: what could not be read is read again.
        for order, last_seq in batch:
            self._resting.popleft()
            try:
                if order in found:  # else it was purged meanwhile
                    self.traces.tell(spans_of(found[order], last_seq))
            except Exception:
                # A journal that is not as it should be, which is for an audit to say; the next orders are told.
                log.exception("trace_not_told", order_ledger_id=str(order))


def ended(attempt: Span, outcome: Outcome) -> Span:
    """Have a call that has begun end now; return its span."""
    note_outcome(end(attempt), outcome)
    return attempt
