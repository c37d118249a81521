"""One claimed saga: decide, write, call, decide, write, until it ends or must wait. IO, pure, IO."""

import random
import time
from dataclasses import dataclass, field
from typing import Any, Final

import structlog
from psycopg_pool import AsyncConnectionPool

from orchestrator.definitions import Definitions
from orchestrator.metrics import Metrics
from orchestrator.outcome import Outcome
from orchestrator.participant import Caller, Tracing
from orchestrator.progress import Answered, Call, Lapsed, Observation
from orchestrator.settings import LEASE_MARGIN_S
from orchestrator.work import Work, event_payload
from orchestrator.writer import Superseded, Writer
from sql import ledger
from sql.connect import OUTAGE
from sql.ledger import ClaimLost
from sql.models import TERMINAL, Claim, Entry, Event, Kind, SagaRow, Status, Transition

POISON_DELAY_MAX_S: Final = 60.0
"""Longest pause before an order is tried again that the code failed on."""

log = structlog.get_logger(__name__)


@dataclass
class Hold:
    """A claim as long as it is worked on.

    Attributes:
        claim: What is held.
        ends_at_s: Monotonic time at which the lease surely still holds.
        began_at_s: Monotonic time of the claim.
    """

    claim: Claim
    ends_at_s: float
    began_at_s: float = field(default_factory=time.monotonic)

    @property
    def left_s(self) -> float:
        """Seconds for which the lease surely still holds."""
        return self.ends_at_s - time.monotonic()


class Runner:
    """Runs claimed sagas of one replica.

    Args:
        replica: Name of the replica, for the journal.
        pool: Autocommit connections to the ledger.
        definitions: What this replica can run.
        writer: Writes all transitions.
        caller: Calls participants.
        metrics: Counters.
        jitter: Most of a wait that is added at random.
        lease_s: Seconds for which a renewal holds.
        lapses_max: Claims in a row that may run out before an order is put aside.
    """

    def __init__(
        self,
        *,
        replica: str,
        pool: AsyncConnectionPool[Any],
        definitions: Definitions,
        writer: Writer,
        caller: Caller,
        metrics: Metrics,
        jitter: float,
        lease_s: float,
        lapses_max: int,
    ) -> None:
        self.stopping = False
        self._replica = replica
        self._pool = pool
        self._definitions = definitions
        self._writer = writer
        self._caller = caller
        self._metrics = metrics
        self._jitter = jitter
        self._lease_s = lease_s
        self._lapses_max = lapses_max

    async def run(self, hold: Hold) -> float | None:
        """Work on a claim until it ends, must wait, or the replica stops.

        Returns:
            Seconds until the order is due again; None when it is finished, given back or lost.
        """
        row = hold.claim.row
        # Every line that is logged in this task names the order; each claim runs in a task of its own.
        structlog.contextvars.bind_contextvars(
            order_ledger_id=str(row.order_ledger_id), correlation_id=row.correlation_id, replica=self._replica
        )
        log.info("order_claimed", lease_epoch=row.lease_epoch, lapsed=hold.claim.lapsed)
        try:
            async with self._pool.connection() as conn:
                saga = await self._definitions.of(conn, row.definition_id)
            return await self._work_on(Work.of(saga, row), hold)
        except ClaimLost as lost:
            self._metrics.lease_lost.inc()
            log.warning("claim_lost", error=str(lost))
            return None
        except OUTAGE as error:
            # The ledger's fault and not the order's: its lease runs out, and whoever claims it goes on.
            log.warning("order_dropped", error=str(error).splitlines()[0])
            return None
        except Exception as error:
            log.exception("order_failed_in_code")
            return await self._put_aside(row, error)

    async def _work_on(self, work: Work, hold: Hold) -> float | None:
        observation: Observation | None = None
        if hold.claim.lapsed or work.progress.on_its_way:
            observation = Lapsed(too_often=work.row.lapses >= self._lapses_max)
        while True:
            move = work.advance(observation, go_on=not self.stopping)
            jitter = random.uniform(0.0, self._jitter)
            transition = work.transition(move, replica=self._replica, jitter=jitter)
            written = await self._writer.write(transition)
            if isinstance(written, Superseded):
                work = work.on(written.row)
                if work.row.status in TERMINAL:
                    return None
                continue
            work = work.after(transition, written.last_seq)
            if not move.calls:
                self._count_end(work, hold)
                log.info("order_left", status=work.row.status.value, step=work.row.step, delay_s=transition.delay_s)
                return transition.delay_s
            observation = await self._answer(work, move.calls[0], hold)

    async def _answer(self, work: Work, call: Call, hold: Hold) -> Answered:
        timeout_s = work.saga.timeout_s_of(work.saga.step(call.step))
        if hold.left_s < timeout_s + LEASE_MARGIN_S:
            await self._renew(hold)
        began_s = time.monotonic()
        outcome = await self._caller.call(
            work.endpoint(call),
            work.request(call),
            key=work.key(call),
            tracing=Tracing(work.row.correlation_id, work.row.traceparent),
            timeout_s=timeout_s,
            operation=work.operation(call) if call.probe else None,
        )
        duration_s = time.monotonic() - began_s
        self._count_attempt(work, call, outcome, duration_s)
        return Answered(call.step, outcome, round(duration_s * 1000, 3))

    async def _renew(self, hold: Hold) -> None:
        """Renew one lease out of turn: a call starts only if it must end before the lease does."""
        row, began_s = hold.claim.row, time.monotonic()
        async with self._pool.connection() as conn:
            if not await ledger.renew_leases(conn, [(row.order_ledger_id, row.lease_epoch)], lease_s=self._lease_s):
                raise ClaimLost(f"order {row.order_ledger_id} was taken over before its call")
        hold.ends_at_s = began_s + self._lease_s

    async def _put_aside(self, row: SagaRow, error: Exception) -> float | None:
        """Give back a row that the code can't work on: later again, and to an operator when that does not help."""
        reason = f"{type(error).__name__}: {error}".replace("\0", " ").splitlines()[0][:500]
        try:
            transition = self._aside(row, reason)
            written = await self._writer.write(transition)
            if isinstance(written, Superseded):
                if written.row.status in TERMINAL:
                    return None
                transition = self._aside(written.row, reason)
                await self._writer.write(transition)
        except Exception:
            # Then its lease runs out, which counts as well.
            log.exception("order_not_put_aside")
            return None
        return transition.delay_s

    def _aside(self, row: SagaRow, reason: str) -> Transition:
        lapses = row.lapses + 1
        stuck = lapses >= self._lapses_max
        return Transition(
            order_ledger_id=row.order_ledger_id,
            lease_epoch=row.lease_epoch,
            last_seq=row.last_seq,
            replica=self._replica,
            status=Status.STUCK if stuck else row.status,
            step=row.step,
            direction=row.direction,
            retry_count=row.retry_count,
            progress={**row.progress, "stuck": f"the code failed on it: {reason}"} if stuck else row.progress,
            last_error=reason,
            delay_s=None if stuck else min(4.0**lapses, POISON_DELAY_MAX_S),
            lapses=lapses,
            entries=(Entry(Kind.STATUS, outcome=Status.STUCK.value, reason=reason),) if stuck else (),
            events=(Event("OrderStuck", event_payload(row, Status.STUCK.value)),) if stuck else (),
        )

    def _count_attempt(self, work: Work, call: Call, outcome: Outcome, duration_s: float) -> None:
        outcome_name = type(outcome).__name__.lower()
        self._metrics.steps.count(work.saga.name, call.step, call.direction.value, outcome_name, duration_s)

    def _count_end(self, work: Work, hold: Hold) -> None:
        if work.row.status in TERMINAL:
            self._metrics.finished.labels(work.saga.name, work.row.status.value).inc()
            age_s = hold.claim.age_s + time.monotonic() - hold.began_at_s
            self._metrics.duration.labels(work.saga.name).observe(age_s)
