"""The loop of a replica: look for work when woken, when a row falls due, and every few seconds whatever happens.

The wake flag is cleared before the look, never after: what arrives during a look causes the next one.
"""

import asyncio
import contextlib
import random
import time
from typing import Any, Final
from uuid import UUID

import structlog
from psycopg_pool import AsyncConnectionPool

from orchestrator.definitions import Definitions
from orchestrator.fleet import Fleet
from orchestrator.hold import Hold
from orchestrator.metrics import Metrics
from orchestrator.runner import Runner
from orchestrator.settings import Settings
from orchestrator.switch import WhenDisabled
from sql import ledger
from sql.connect import OUTAGE
from sql.models import Claim
from sql.tasks import end_task

CLAIM_MAX: Final = 100
"""Rows of one claim: few enough that a backlog is shared among replicas."""
DUE_SLACK_S: Final = 0.002
"""A timer fires this much after a row is due, so that the look finds it due."""
SUSPECT_LOOK_S: Final = 0.1
"""While an order is at work that its owners may have died of, to take the next such one soon after."""
HERD_JITTER_S: Final = 0.01
"""Replicas that see the same row waiting do not all look at the same instant."""

GIVE_BACK_S: Final = 1.0
"""Kept of the time to stop for giving back what has not ended."""

log = structlog.get_logger(__name__)


class Worker:
    """Claims sagas for one replica and has them run.

    Args:
        replica: Name of the replica; authority is the epoch, never the name.
        pool: Autocommit connections to the ledger.
        definitions: What this replica can run.
        runner: Runs a claim.
        fleet: Looked at before the first call of a claim.
        settings: Poll interval, lease, concurrency.
        metrics: Counters.
    """

    def __init__(
        self,
        *,
        replica: str,
        pool: AsyncConnectionPool[Any],
        definitions: Definitions,
        runner: Runner,
        fleet: Fleet,
        settings: Settings,
        metrics: Metrics,
    ) -> None:
        self._replica = replica
        self._pool = pool
        self._definitions = definitions
        self._runner = runner
        self._fleet = fleet
        self._settings = settings
        self._metrics = metrics
        self._wake = asyncio.Event()
        self._resting = asyncio.Event()  # set while the loop does not look for work
        self._resting.set()
        self._woken_by = "poll"
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at_s = 0.0
        self._active: dict[UUID, tuple[Hold, asyncio.Task[None]]] = {}

    def wake(self, by: str = "notify") -> None:
        """Have the loop look for work now."""
        self._woken_by = by
        self._wake.set()

    def has_work(self) -> bool:
        """Tell whether anything is at work."""
        return bool(self._active)

    async def run(self) -> None:
        """Claim and run until cancelled or stopped."""
        renewal = asyncio.create_task(self._renew_leases(), name="renew leases")
        self._resting.clear()
        try:
            while not self._runner.stopping:
                self._wake.clear()
                claimed_all = await self._look()
                if not claimed_all:
                    await self._pause()
        finally:
            self._resting.set()
            await end_task(renewal)

    async def stop(self, limit_s: float) -> None:
        """Claim nothing more, let every call on its way end and be written, then give back what is left.

        Args:
            limit_s: Seconds for all of it; what has not ended by then is given back as it is: the next owner takes it over.
        """
        limit_s = max(limit_s - GIVE_BACK_S, limit_s / 2)
        self._runner.stopping = True
        self.wake("stop")
        began_s = time.monotonic()
        # A claim that is on its way still brings orders; only then is it known what has to end.
        await _ended_within(self._resting, limit_s / 2)
        tasks = [task for _, task in self._active.values()]
        if tasks:
            renewal = asyncio.create_task(self._renew_leases(), name="renew leases")
            await asyncio.wait(tasks, timeout=max(began_s + limit_s - time.monotonic(), 0.0))
            renewal.cancel()
        held = [(id_, hold.claim.row.lease_epoch) for id_, (hold, task) in self._active.items() if not task.done()]
        for _, task in self._active.values():
            task.cancel()
        if held:
            await self._give_back(held)

    async def _give_back(self, held: list[tuple[UUID, int]]) -> None:
        log.warning("leases_given_back", orders=len(held))
        try:
            async with asyncio.timeout(GIVE_BACK_S), self._pool.connection() as conn:
                await ledger.release_leases(conn, held)
        except (*OUTAGE, TimeoutError) as error:
            # Then they run out by themselves.
            log.warning("leases_not_given_back", error=type(error).__name__)

    async def _look(self) -> bool:
        """Claim what is due and start it; tell whether there may be more at once."""
        limit = min(self._settings.concurrency - len(self._active), CLAIM_MAX)
        if limit <= 0 or self._is_paused():
            return False
        woken_by, began_s = self._woken_by, time.monotonic()
        self._woken_by = "poll"
        try:
            async with self._pool.connection() as conn:
                found = await ledger.claim_due(
                    conn,
                    owner=self._replica,
                    lease_s=self._settings.lease_s,
                    limit=limit,
                    fingerprints=self._definitions.fingerprints,
                    suspects=0 if self._has_suspect() else 1,
                    begun=not self._settings.takes_orders,
                )
        except OUTAGE as error:
            log.warning("claim_failed", error=str(error).splitlines()[0])
            await asyncio.sleep(random.uniform(0.1, 1.0))
            return True
        if found.claims:
            # After the claim, not beside it: an idle replica has one connection, and opening another takes longer.
            await self._fleet.refresh()
        self._metrics.claims.labels(woken_by).inc(len(found.claims))
        for claim in found.claims:
            self._metrics.claim_lag.observe(max(claim.lag_s, 0.0))
            suspect = claim.lapsed and claim.row.lapses > 1
            self._start(Hold(claim, ends_at_s=began_s + self._settings.lease_s, suspect=suspect))
        if self._has_suspect():
            self._wake_in(SUSPECT_LOOK_S)
        if found.next_due_s is not None:
            self._wake_in(found.next_due_s + random.uniform(0.0, HERD_JITTER_S))
        return len(found.claims) >= limit

    def _is_paused(self) -> bool:
        """Tell whether not even what has begun goes on."""
        return not self._settings.takes_orders and self._settings.when_disabled is WhenDisabled.PAUSE

    def _has_suspect(self) -> bool:
        """Tell whether one order is at work that its owners may have died of; there must not be two."""
        return any(hold.suspect for hold, task in self._active.values() if not task.done())

    async def _pause(self) -> None:
        try:
            async with asyncio.timeout(self._settings.poll_interval_s):
                await self._wake.wait()
        except TimeoutError:
            self._woken_by = "poll"

    def _start(self, hold: Hold) -> None:
        order_ledger_id = hold.claim.row.order_ledger_id
        if order_ledger_id in self._active:
            # Its lease ran out while this replica had it: what is left of that work has no claim any more.
            self._active[order_ledger_id][1].cancel()
        task = asyncio.create_task(self._run(hold), name=f"order {order_ledger_id}")
        self._active[order_ledger_id] = (hold, task)

    async def _run(self, hold: Hold) -> None:
        order_ledger_id = hold.claim.row.order_ledger_id
        full = False
        try:
            delay_s = await self._runner.run(hold)
            if delay_s is not None:
                self._wake_in(delay_s)
        finally:
            full = len(self._active) >= self._settings.concurrency
            if self._active.get(order_ledger_id, (None,))[0] is hold:
                del self._active[order_ledger_id]
            if full:
                self.wake("poll")

    def _wake_in(self, delay_s: float) -> None:
        """Have the loop look when a waiting row falls due, unless it will look earlier."""
        if delay_s >= self._settings.poll_interval_s:
            return
        loop = asyncio.get_running_loop()
        at_s = loop.time() + max(delay_s, 0.0) + DUE_SLACK_S
        if self._timer is not None:
            if self._timer_at_s <= at_s:
                return
            self._timer.cancel()
        # Kept apart: for an instant that is over by now uvloop gives a handle that does not know its time.
        self._timer, self._timer_at_s = loop.call_at(at_s, self._ring), at_s

    def _ring(self) -> None:
        self._timer = None
        self.wake("timer")

    async def _renew_leases(self) -> None:
        """Renew the leases of everything that is at work, in one statement."""
        while True:
            await asyncio.sleep(self._settings.lease_s / 3)
            holds = [hold for hold, task in self._active.values() if not task.done()]
            if not holds:
                continue
            began_s = time.monotonic()
            try:
                async with self._pool.connection() as conn:
                    held = [(hold.claim.row.order_ledger_id, hold.claim.row.lease_epoch) for hold in holds]
                    renewed = await ledger.renew_leases(conn, held, lease_s=self._settings.lease_s)
                    missed = [order_ledger_id for order_ledger_id, _ in held if order_ledger_id not in renewed]
                    rows = await ledger.get_rows(conn, missed) if missed else {}
            except OUTAGE as error:
                log.warning("renewal_failed", error=str(error).splitlines()[0])
                continue
            for hold in holds:
                claimed = hold.claim.row
                row = rows.get(claimed.order_ledger_id)
                if claimed.order_ledger_id in renewed:
                    hold.ends_at_s = began_s + self._settings.lease_s
                elif row is None or row.lease_epoch != claimed.lease_epoch:
                    # One that is still this replica's was locked by somebody else, and is renewed the next time.
                    self._drop(hold.claim)

    def _drop(self, claim: Claim) -> None:
        """Stop working on a row that was taken over; one that ended meanwhile is not at work any more."""
        active = self._active.get(claim.row.order_ledger_id)
        if active is not None and active[0].claim is claim:
            self._metrics.lease_lost.inc()
            log.warning(
                "claim_lost",
                order_ledger_id=str(claim.row.order_ledger_id),  # logged for all orders here, not in the task of this one
                correlation_id=claim.row.correlation_id,
                error=f"order {claim.row.order_ledger_id} was taken over",
            )
            active[1].cancel()


async def _ended_within(event: asyncio.Event, limit_s: float) -> None:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(limit_s):
            await event.wait()
