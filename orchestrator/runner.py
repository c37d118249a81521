"""One claimed saga: decide, write, call, decide, write, until it ends or must wait. IO, pure, IO."""

import random
import time
from dataclasses import dataclass, field
from typing import Any, Final, TypeGuard

import structlog
from msgspec.structs import replace
from psycopg_pool import AsyncConnectionPool

from orchestrator.definitions import Definitions
from orchestrator.events import event_payload
from orchestrator.fleet import Fleet, Parked, Pass
from orchestrator.metrics import Metrics
from orchestrator.participant import Caller, Tracing
from orchestrator.prepared import Prepared
from orchestrator.progress import Answered, Call, Lapsed, Move, Observation
from orchestrator.saga import Saga
from orchestrator.settings import LEASE_MARGIN_S
from orchestrator.work import Work
from orchestrator.writer import Superseded, Writer
from sql import ledger
from sql.connect import OUTAGE
from sql.ledger import ClaimLost
from sql.models import TERMINAL, Claim, Direction, Entry, Event, Kind, SagaRow, Status, Transition

POISON_DELAY_MAX_S: Final = 60.0
"""Longest pause before an order is tried again that the code failed on."""

log = structlog.get_logger(__name__)


@dataclass
class Hold:
    """A claim as long as it is worked on.

    Attributes:
        claim: What is held.
        ends_at_s: Monotonic time at which the lease surely still holds.
        suspect: Whether owner after owner let the lease run out, and there was no sign of life since.
        began_at_s: Monotonic time of the claim.
    """

    claim: Claim
    ends_at_s: float
    suspect: bool = False
    began_at_s: float = field(default_factory=time.monotonic)

    @property
    def left_s(self) -> float:
        """Seconds for which the lease surely still holds."""
        return self.ends_at_s - time.monotonic()

    def is_overdue(self, by_s: float = 0.0) -> bool:
        """Tell whether the order's deadline passed, so many seconds ago at least."""
        left_s = self.claim.deadline_in_s
        return left_s is not None and left_s - (time.monotonic() - self.began_at_s) <= -by_s


class Runner:
    """Runs claimed sagas of one replica.

    Args:
        replica: Name of the replica, for the journal.
        pool: Autocommit connections to the ledger.
        definitions: What this replica can run.
        writer: Writes all transitions.
        caller: Calls participants.
        fleet: Gives leave for each call.
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
        fleet: Fleet,
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
        self._fleet = fleet
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
            saga = self._definitions.known(row.definition_id)
            if saga is None:
                async with self._pool.connection() as conn:
                    saga = await self._definitions.of(conn, row.definition_id)
            return await self._work_on(*self._taken(saga, hold.claim), hold)
        except ClaimLost as lost:
            self._metrics.lease_lost.inc()
            log.warning("claim_lost", error=str(lost))
            return None
        except OUTAGE as error:
            # The ledger's fault and not the order's: its lease runs out, and whoever claims it goes on.
            log.warning("order_dropped", error=str(error).splitlines()[0])
            return None
        except (Exception, SystemExit) as error:
            log.exception("order_failed_in_code")
            return await self._put_aside(row, error)

    def _taken(self, saga: Saga[Any], claim: Claim) -> tuple[Work, Observation | None]:
        """Read a claimed row, and tell what its owner before has left of it."""
        if claim.lapsed and claim.row.lapses >= self._lapses_max:
            # It may be what its owners died of: no code of the saga runs for it any more.
            return Work.unread(saga, claim.row), Lapsed(too_often=True)
        work = Work.of(saga, claim.row)
        return work, Lapsed() if claim.lapsed or work.progress.on_its_way else None

    async def _work_on(self, work: Work, observation: Observation | None, hold: Hold) -> float | None:
        # Looked at once a claim: while an order is being worked on it does not wait, and may go on to its end.
        overdue = hold.is_overdue()
        while True:
            settled = work.advance(observation, go_on=False)
            if overdue and _goes_forward(work.onward(settled)):
                settled = work.give_up(settled, "its deadline has passed")
            onward = settled if self.stopping else work.onward(settled)
            leave = await self._leave_for(work, onward)
            try:
                move = self._parked(work, settled, onward.calls[0], leave, hold) if isinstance(leave, Parked) else onward
                move, call, transition = self._transition(work, move, settled)
                written = await self._writer.write(transition)
                if isinstance(written, Superseded):
                    work = work.on(written.row)
                    if work.row.status in TERMINAL:
                        return None
                    continue
                work, overdue = work.after(transition, written.last_seq), False
                hold.suspect = hold.suspect and transition.lapses > 0
                if call is None or not isinstance(leave, Pass):
                    return self._left(work, transition, hold)
                observation = await self._answer(work, move.calls[0], call, hold, leave)
            finally:
                if isinstance(leave, Pass):
                    await self._fleet.back(leave)

    def _transition(self, work: Work, move: Move, settled: Move) -> tuple[Move, Prepared | None, Transition]:
        """Return what to write of a decision: all of it, or where its call can't be made out, what was observed before."""
        jitter = random.uniform(0.0, self._jitter)
        try:
            call = work.prepared_for(move)
            return move, call, work.transition(move, replica=self._replica, jitter=jitter, call=call)
        except Exception:
            if not move.calls or not settled.entries:
                raise
            # What is known must not be lost with it; the next claim of the row fails on the call alone.
            log.exception("next_call_failed_in_code", step=move.calls[0].step)
            return settled, None, work.transition(settled, replica=self._replica, jitter=jitter)

    async def _leave_for(self, work: Work, move: Move) -> Pass | Parked | None:
        """Ask for leave for a decision's call; None where it has none."""
        if not move.calls:
            return None
        call = move.calls[0]
        participant = work.endpoint(call).participant
        leave = self._fleet.leave_at_once(participant)
        return leave or await self._fleet.leave_for(participant, work.saga.timeout_s_of(work.saga.step(call.step)))

    def _parked(self, work: Work, settled: Move, call: Call, parked: Parked, hold: Hold) -> Move:
        """Decide what becomes of an order whose next call can't be made now."""
        forward = call.direction is Direction.ACTION
        if parked.away and forward and work.saga.step(call.step).when_open == "fail":
            return work.give_up(settled, f"{call.step} does not wait: {parked.reason}")
        if parked.away and not forward and hold.is_overdue(by_s=work.saga.deadline_s or 0.0):
            return work.give_up(settled, f"{call.step} can't be undone in time: {parked.reason}")
        return replace(settled, delay_s=parked.delay_s, error=parked.reason)

    def _left(self, work: Work, transition: Transition, hold: Hold) -> float | None:
        """Tell when an order that is given back is due."""
        if work.row.status in TERMINAL:
            self._metrics.finished.labels(work.saga.name, work.row.status.value).inc()
            age_s = hold.claim.age_s + time.monotonic() - hold.began_at_s
            self._metrics.duration.labels(work.saga.name).observe(age_s)
        log.info("order_left", status=work.row.status.value, step=work.row.step, delay_s=transition.delay_s)
        at_rest = work.row.status in TERMINAL or work.row.status is Status.STUCK
        return None if at_rest else transition.delay_s or 0.0

    async def _answer(self, work: Work, call: Call, prepared: Prepared, hold: Hold, leave: Pass) -> Answered:
        timeout_s = work.saga.timeout_s_of(work.saga.step(call.step))
        if hold.left_s < timeout_s + LEASE_MARGIN_S:
            await self._renew(hold)
        began_s = time.monotonic()
        tracing = Tracing(work.row.correlation_id, work.row.traceparent)
        leave.outcome = outcome = await self._caller.call(prepared, tracing, timeout_s)
        duration_s = time.monotonic() - began_s
        self._metrics.steps.count(work.saga.name, call.step, call.direction, outcome, duration_s)
        return Answered(call.step, outcome, round(duration_s * 1000, 3), trial=leave.trial)

    async def _renew(self, hold: Hold) -> None:
        """Renew one lease out of turn: a call starts only if it must end before the lease does."""
        row, began_s = hold.claim.row, time.monotonic()
        async with self._pool.connection() as conn:
            if not await ledger.renew_leases(conn, [(row.order_ledger_id, row.lease_epoch)], lease_s=self._lease_s):
                raise ClaimLost(f"order {row.order_ledger_id} was taken over before its call")
        hold.ends_at_s = began_s + self._lease_s

    async def _put_aside(self, row: SagaRow, error: BaseException) -> float | None:
        """Give back a row that the code can't work on: later again, and to an operator when that does not help."""
        try:
            reason = _sentence(error)
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
        # It may be the progress that the code fails on, so nothing is expected of that.
        progress = row.progress if isinstance(row.progress, dict) else {}
        round_ = progress.get("round")
        entry = Entry(Kind.STATUS, round=round_ if _is_round(round_) else 1, outcome=Status.STUCK.value, reason=reason)
        return Transition(
            order_ledger_id=row.order_ledger_id,
            lease_epoch=row.lease_epoch,
            last_seq=row.last_seq,
            replica=self._replica,
            status=Status.STUCK if stuck else row.status,
            step=row.step,
            direction=row.direction,
            retry_count=row.retry_count,
            progress={**progress, "stuck": f"the code failed on it: {reason}"} if stuck else row.progress,
            last_error=reason,
            delay_s=None if stuck else min(4.0**lapses, POISON_DELAY_MAX_S),
            lapses=lapses,
            entries=(entry,) if stuck else (),
            events=(Event("OrderStuck", event_payload(row, Status.STUCK.value)),) if stuck else (),
        )


def _goes_forward(move: Move) -> bool:
    return bool(move.calls) and move.calls[0].direction is Direction.ACTION


def _sentence(error: BaseException) -> str:
    """Return an exception as one line of text that can be stored."""
    try:
        text = f"{type(error).__name__}: {error}"
    except Exception:
        text = type(error).__name__
    return text.replace("\0", " ").splitlines()[0][:500].encode(errors="backslashreplace").decode()


def _is_round(value: object) -> TypeGuard[int]:
    return type(value) is int and 0 < value < 2**31
