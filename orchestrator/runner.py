"""One claimed saga: decide, write, call, decide, write, until it ends or must wait. IO, pure, IO."""

import asyncio
import random
import time
from typing import Any

import structlog
from msgspec.structs import replace
from psycopg_pool import AsyncConnectionPool

from orchestrator.aside import aside, sentence
from orchestrator.definitions import Definitions
from orchestrator.fleet import Fleet, Parked, Pass
from orchestrator.hold import Hold
from orchestrator.logs import hide
from orchestrator.metrics import Metrics
from orchestrator.participant import Caller
from orchestrator.phases import ended_phase
from orchestrator.prepared import Prepared
from orchestrator.progress import Answered, Call, Lapsed, Move, Observation, Round
from orchestrator.saga import Saga
from orchestrator.settings import LEASE_MARGIN_S
from orchestrator.taking_back import back_of
from orchestrator.tracing import Tracer, ended
from orchestrator.work import Work, personal_of_row
from orchestrator.writer import Superseded, Writer
from sql import ledger
from sql.connect import OUTAGE
from sql.ledger import ClaimLost
from sql.models import TERMINAL, Claim, Direction, SagaRow, Transition

log = structlog.get_logger(__name__)


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
        tracer: Tells traces.
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
        tracer: Tracer | None = None,
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
        self._tracer = tracer or Tracer()

    async def run(self, hold: Hold) -> float | None:
        """Work on a claim until it ends, must wait, or the replica stops.

        Returns:
            Seconds until the order is due again; None when it is finished, given back or lost.
        """
        row = hold.claim.row
        # Every line that is logged in this task names the order; each claim runs in a task of its own.
        structlog.contextvars.bind_contextvars(order_ledger_id=str(row.order_ledger_id), correlation_id=row.correlation_id)
        hide(personal_of_row(row))
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
        claimed, overdue = True, hold.is_overdue()
        while True:
            settled = work.advance(observation, go_on=False)
            if claimed and overdue and settled.delay_s is None and work.may_turn(settled):
                settled = work.give_up(settled, "its deadline has passed")
            if claimed:
                # Nobody claims an order that waits before the time of its wait is over.
                settled = work.elapsed(settled)
            onward = settled if self.stopping else self._onward(work, settled, hold)
            leave = await self._leave_for(work, onward)
            try:
                move = self._parked(work, settled, onward, leave, hold) if isinstance(leave, Parked) else onward
                move, calls, transition = self._transition(work, move, settled, hold)
                written = await self._writer.write(transition, back_of(work, transition))
                if hold.attempts:
                    self._tracer.tell(hold.attempts)
                if isinstance(written, Superseded):
                    work = work.on(written.row)
                    if work.row.status in TERMINAL:
                        return None
                    continue
                before, work, claimed = work.progress, work.after(transition, written.last_seq), False
                if work.saga.groups and (phase := ended_phase(work.saga, before, work.progress, hold.moment.age_s)):
                    self._metrics.count_phase(phase)
                hold.suspect = hold.suspect and transition.lapses > 0
                if not calls or isinstance(leave, Parked):
                    return self._left(work, transition, hold)
                observation = await self._answers(work, move.calls, calls, hold, leave)
            finally:
                if not isinstance(leave, Parked):
                    await self._give_back(leave)

    def _onward(self, work: Work, settled: Move, hold: Hold) -> Move:
        """Return a decision with what comes next; without it where the code can't tell and something was observed."""
        try:
            return work.onward(settled, hold.moment if work.saga.is_timed else None)
        except Exception:
            if not settled.entries:
                raise
            # What is known must not be lost with it; the next claim of the row fails on the code alone.
            log.exception("next_step_failed_in_code")
            return settled

    def _transition(self, work: Work, move: Move, settled: Move, hold: Hold) -> tuple[Move, tuple[Prepared, ...], Transition]:
        """Return what to write of a decision: all of it, or where a call can't be made out, what was observed before."""
        jitter = random.uniform(0.0, self._jitter)
        try:
            calls = work.prepared_for(move)
        except Exception:
            if not settled.entries:
                raise
            log.exception("next_call_failed_in_code", step=move.calls[0].step)
            move, calls = settled, ()
        transition = work.transition(move, replica=self._replica, jitter=jitter, calls=calls)
        return move, calls, _in_time(work, move, transition, hold)

    async def _leave_for(self, work: Work, move: Move) -> tuple[Pass, ...] | Parked:
        """Ask for leave for a decision's calls: for all of them, or for none."""
        passes: tuple[Pass, ...] = ()
        try:
            for call in move.calls:
                participant = work.endpoint(call).participant
                leave: Pass | Parked | None = self._fleet.leave_at_once(participant)
                if leave is None:
                    leave = await self._fleet.leave_for(participant, work.saga.timeout_s_of(work.saga.call_of(call.step)))
                if isinstance(leave, Parked):
                    break
                passes += (leave,)
            else:
                return passes
        except BaseException:
            await self._give_back(passes)
            raise
        await self._give_back(passes)
        return leave

    async def _give_back(self, passes: tuple[Pass, ...]) -> None:
        for passed in passes:
            await self._fleet.back(passed)

    def _parked(self, work: Work, settled: Move, onward: Move, parked: Parked, hold: Hold) -> Move:
        """Decide what becomes of an order whose next calls can't be made now."""
        call, turns = onward.calls[0], work.may_turn(settled)
        if parked.away and turns and work.saga.call_of(call.step).when_open == "fail":
            return work.give_up(settled, f"{call.step} does not wait: {parked.reason}")
        # Undoing has as much time as the order had; what can't be undone any more waits no longer than that either.
        if parked.away and not turns and hold.is_overdue(by_s=work.saga.deadline_s or 0.0):
            return work.give_up(settled, f"{call.step} can't be {_done_by(call)} in time: {parked.reason}")
        return replace(settled, delay_s=parked.delay_s, error=parked.reason)

    def _left(self, work: Work, transition: Transition, hold: Hold) -> float | None:
        """Tell when an order that is given back is due."""
        if work.row.status in TERMINAL:
            self._metrics.finished.labels(work.saga.name, work.row.status.value).inc()
            age_s = hold.claim.age_s + time.monotonic() - hold.began_at_s
            self._metrics.duration.labels(work.saga.name).observe(age_s)
        log.info("order_left", status=work.row.status.value, step=work.row.step, delay_s=transition.delay_s)
        self._tracer.rested(work.row)
        at_rest = work.row.status in TERMINAL or work.progress.halted
        return None if at_rest else transition.delay_s or 0.0

    async def _answers(
        self, work: Work, calls: tuple[Call, ...], prepared: tuple[Prepared, ...], hold: Hold, passes: tuple[Pass, ...]
    ) -> Observation:
        """Make the calls of one decision, all at once."""
        saga = work.saga
        if hold.left_s < max([saga.timeout_s_of(saga.call_of(call.step)) for call in calls]) + LEASE_MARGIN_S:
            await self._renew(hold)
        if len(calls) == 1:
            return await self._answer(work, hold, calls[0], prepared[0], passes[0])
        async with asyncio.TaskGroup() as tasks:
            made = [tasks.create_task(self._answer(work, hold, *each)) for each in zip(calls, prepared, passes, strict=True)]
        return Round(tuple(task.result() for task in made))

    async def _answer(self, work: Work, hold: Hold, call: Call, prepared: Prepared, leave: Pass) -> Answered:
        timeout_s = work.saga.timeout_s_of(work.saga.call_of(call.step))
        structlog.contextvars.bind_contextvars(step=call.step)
        began_s = time.monotonic()
        tracing = self._tracer.begin(work, call)
        leave.outcome = outcome = await self._caller.call(prepared, tracing, timeout_s)
        if tracing.attempt is not None:
            hold.attempts.append(ended(tracing.attempt, outcome))
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
            reason = sentence(error, personal_of_row(row))
            transition = aside(row, reason, replica=self._replica, lapses_max=self._lapses_max)
            written = await self._writer.write(transition)
            if isinstance(written, Superseded):
                if written.row.status in TERMINAL:
                    return None
                transition = aside(written.row, reason, replica=self._replica, lapses_max=self._lapses_max)
                await self._writer.write(transition)
            self._tracer.rests(row.order_ledger_id, transition.status)
        except Exception:
            # Then its lease runs out, which counts as well.
            log.exception("order_not_put_aside")
            return None
        return transition.delay_s


def _done_by(call: Call) -> str:
    return "done" if call.direction is Direction.ACTION else "undone"


def _in_time(work: Work, move: Move, transition: Transition, hold: Hold) -> Transition:
    """Have an order that waits looked at when its time is over, even if it would wait longer."""
    if transition.delay_s is None or not work.may_turn(move):
        return transition
    limits = [hold.deadline_in_s, *work.times_left_s(move, hold.moment)]
    left_s = min((limit for limit in limits if limit is not None and limit > 0), default=None)
    return transition if left_s is None or left_s >= transition.delay_s else replace(transition, delay_s=left_s)
