"""The loop of a replica that sends events and tells people: make deliveries, begin what is due, write what came of it.

It asks little: while there is no subscription one query a minute; at rest one at the interval of the poll; beside sagas at
work a few a second. It has one connection at a time, for short statements only.
"""

import asyncio
import math
import random
from collections import Counter
from collections.abc import Callable, Coroutine, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final
from uuid import UUID

import orjson
import psycopg
import structlog
from psycopg_pool import PoolTimeout

from orchestrator.metrics import Metrics
from orchestrator.oncall import ONCALL
from orchestrator.oncall.channels import SEND_S, Channel, tell
from orchestrator.oncall.message import TOLD
from orchestrator.settings import Settings
from orchestrator.transport import Transport, TransportError
from orchestrator.webhooks import signing
from orchestrator.webhooks.settling import settle_failure, settle_reply
from sql import oncall, webhooks
from sql.connect import Pool
from sql.events import document
from sql.oncall import Notice
from sql.webhooks import Connection, Delivery, Settlement

BATCH: Final = 200
"""Events that one look takes up for a subscription: a statement of some milliseconds."""
WAITING_MAX: Final = 5_000
"""Deliveries of a subscription that wait, at most: the backlog of a receiver that is away stays in the outbox."""
SLOTS_MAX: Final = 16
"""Calls of a replica to one receiver at once: enough for some hundred a second, and few enough for a small receiver."""
NOTICES_MAX: Final = 500
"""Orders that one message tells people of; what is more comes with the next."""
CONNECTIONS_MAX: Final = 1_000
"""To one host: several receivers may share one, and each has slots of its own."""
TURN_S: Final = 0.05
"""Least time between two turns of the loop, so that each writes what several calls came to."""
ACTIVE_S: Final = 0.2
"""Between two looks for events while sagas are at work here."""
RECHECK_S: Final = 2.0
"""Between two looks for a subscription while there was none and notifications come."""
SEARCH_S: Final = 60.0
"""And while none come: an idle replica asks one query a minute for this."""
CLEAN_S: Final = 600.0
CLEAN_BATCH: Final = 1_000
LEASE_MARGIN_S: Final = 5.0
"""A lease lasts so much longer than a call: a replica that was busy still writes what its call came to."""
BROKEN: Final = "this program failed on it; its log says how"
FAILED_S: Final = (0.5, 1.5)
"""Between a turn that failed and the next: not all replicas at once."""
STOP_S: Final = 0.7
"""For giving back what is on its way; the process ends soon after."""

log = structlog.get_logger(__name__)


class Sender:
    """Sends events for one replica.

    Args:
        pool: Autocommit connections to the ledger.
        transport: Of its own, so that receivers take no connection from participants.
        settings: Time limit, retry policy, retention.
        metrics: Counters.
        has_work: Tells whether sagas are at work here, which write events.
        channels: Ways of telling people, by kind; a replica without one leaves it to others.
    """

    def __init__(
        self,
        pool: Pool,
        transport: Transport,
        settings: Settings,
        metrics: Metrics,
        has_work: Callable[[], bool],
        channels: Mapping[str, Channel] = MappingProxyType({}),
    ) -> None:
        self._pool = pool
        self._transport = transport
        self._settings = settings
        self._metrics = metrics
        self._has_work = has_work
        self._channels = channels
        self._channels_are_there = not channels
        self._wake = asyncio.Event()
        self._calls: dict[asyncio.Task[None], Sequence[Delivery]] = {}
        self._ended: list[Settlement] = []
        # A receiver that fails is called by one call at a time, then two, four, until all is well again.
        self._slots: dict[UUID, int] = {}
        self._has_subscriptions = False
        self._looked_at_s = -math.inf
        self._look_at_s = 0.0
        self._claim_at_s = math.inf
        self._clean_at_s = 0.0

    def wake(self) -> None:
        """Have the loop look soon: there may be events, or a first subscription."""
        self._look_at_s = min(self._look_at_s, self._looked_at_s + (ACTIVE_S if self._has_subscriptions else RECHECK_S))
        self._wake.set()

    async def run(self) -> None:
        """Send until cancelled."""
        try:
            while True:
                try:
                    await self._turn()
                except (psycopg.Error, PoolTimeout) as error:
                    log.warning("webhooks_failed", error=(str(error).splitlines() or [type(error).__name__])[0])
                    await asyncio.sleep(random.uniform(*FAILED_S))
                except Exception:
                    # A fault of this code must not stop sagas, which go on beside it.
                    log.exception("webhooks_broken")
                    await asyncio.sleep(random.uniform(*FAILED_S))
                await self._pause()
        finally:
            await self._stop()

    async def _turn(self) -> None:
        self._wake.clear()
        now_s = _now_s()
        if not self._ended and now_s < min(self._look_at_s, self._claim_at_s):
            return
        async with self._pool.connection() as conn:
            if not self._channels_are_there:
                for kind, channel in self._channels.items():
                    await oncall.open_channel(conn, kind, f"{ONCALL}{kind}", channel.source, TOLD)
                self._channels_are_there = True
            if self._ended:
                await self._settle(conn)
            if now_s >= self._look_at_s:
                await self._look(conn)
            if now_s >= self._claim_at_s:
                await self._claim(conn)
            if self._has_subscriptions and now_s >= self._clean_at_s:
                await self._clean(conn)

    async def _pause(self) -> None:
        await asyncio.sleep(TURN_S)
        rest_s = min(self._look_at_s, self._claim_at_s) - _now_s()
        if rest_s > 0:
            try:
                async with asyncio.timeout(rest_s):
                    await self._wake.wait()
            except TimeoutError:
                pass

    async def _look(self, conn: Connection) -> None:
        found = await webhooks.fan_out(conn, limit=BATCH, waiting_max=WAITING_MAX)
        now_s = self._looked_at_s = _now_s()
        self._has_subscriptions = found.subscriptions > 0
        if not self._has_subscriptions:
            self._channels_are_there = not self._channels  # somebody may have removed the last of them
            # Not all replicas of a deployment at the same time.
            self._look_at_s = now_s + SEARCH_S * random.uniform(0.8, 1.0)
        elif found.more:
            self._look_at_s = now_s
        else:
            self._look_at_s = now_s + (ACTIVE_S if self._has_work() else self._settings.poll_interval_s)
        if found.made:
            self._claim_at_s = now_s
        elif found.next_due_s is not None:
            self._claim_at_s = min(self._claim_at_s, now_s + found.next_due_s)

    async def _claim(self, conn: Connection) -> None:
        on_their_way = Counter(delivery.subscription_id for call in self._calls.values() for delivery in call)
        free = {
            subscription_id: max(self._slots.get(subscription_id, SLOTS_MAX) - on_their_way[subscription_id], 0)
            for subscription_id in {*on_their_way, *self._slots}
        }
        lease_s = self._settings.webhook_timeout_s + LEASE_MARGIN_S
        claimed = await webhooks.claim_deliveries(conn, free, slots_max=SLOTS_MAX, lease_s=lease_s)
        # What is due and found no slot is looked for when a call ends.
        self._claim_at_s = math.inf
        for delivery in claimed:
            self._begin(self._deliver(delivery), [delivery])
        for kind, channel in self._channels.items():
            lease_s, window_s = SEND_S + LEASE_MARGIN_S, self._settings.oncall_window_s
            notices = await oncall.claim_notices(conn, kind, window_s=window_s, lease_s=lease_s, limit=NOTICES_MAX)
            if notices:
                self._begin(self._tell(channel, notices), [notice.delivery for notice in notices])

    def _begin(self, call: Coroutine[Any, Any, None], deliveries: Sequence[Delivery]) -> None:
        task = asyncio.create_task(call, name=f"event {deliveries[0].id} to {deliveries[0].webhook}")
        self._calls[task] = deliveries
        task.add_done_callback(self._ends)

    async def _deliver(self, delivery: Delivery) -> None:
        settlement = await self._exchange(delivery)
        slots = self._slots.get(delivery.subscription_id, SLOTS_MAX)
        self._slots[delivery.subscription_id] = min(slots * 2, SLOTS_MAX) if settlement.error is None else 1
        self._ended_with(settlement)

    async def _tell(self, channel: Channel, notices: Sequence[Notice]) -> None:
        """Tell people of all of these at once: it is taken as a whole, or tried again as a whole."""
        error = await tell(channel, notices, self._settings.admin_url)
        retry, jitter = self._settings.oncall_retry, self._settings.retry_jitter * random.random()
        for delivery in (notice.delivery for notice in notices):
            self._ended_with(Settlement(delivery) if error is None else settle_failure(delivery, error, retry, jitter))

    def _ended_with(self, settlement: Settlement) -> None:
        self._metrics.deliveries.labels(settlement.delivery.webhook, _outcome(settlement)).inc()
        self._ended.append(settlement)

    def _ends(self, call: asyncio.Task[None]) -> None:
        """Have what a call came to be written, and its slot taken by another."""
        del self._calls[call]
        self._claim_at_s = _now_s()
        self._wake.set()

    async def _exchange(self, delivery: Delivery) -> Settlement:
        settings = self._settings
        retry, jitter = settings.webhook_retry, settings.retry_jitter * random.random()
        body = orjson.dumps(document(delivery), option=orjson.OPT_UTC_Z)
        try:
            headers = signing.headers(delivery.secrets, delivery.id, delivery.now_s, body)
            reply = await self._transport.exchange("POST", delivery.url, headers, body, settings.webhook_timeout_s)
        except TimeoutError:
            return settle_failure(delivery, f"no answer within {settings.webhook_timeout_s:g} s", retry, jitter)
        except (TransportError, ValueError) as error:
            return settle_failure(delivery, str(error), retry, jitter)
        except Exception:
            log.exception("webhooks_broken")
            return settle_failure(delivery, BROKEN, retry, jitter)
        return settle_reply(delivery, reply, retry, jitter)

    async def _settle(self, conn: Connection) -> None:
        settlements, self._ended = self._ended, []
        disable_after_s = self._settings.webhook_disable_after_days * 86_400
        try:
            disabled = await webhooks.settle_deliveries(conn, settlements, disable_after_s=disable_after_s)
        except BaseException:
            self._ended = settlements + self._ended
            raise
        for name, reason in disabled.items():
            log.error("webhook_disabled", webhook=name, reason=reason)
        for settlement in settlements:
            if settlement.delay_s is not None:
                self._claim_at_s = min(self._claim_at_s, _now_s() + settlement.delay_s)
            elif settlement.error is not None:
                event = settlement.delivery
                log.error(
                    "event_dead",
                    order_ledger_id=str(event.order_ledger_id),
                    correlation_id=event.correlation_id,
                    id=str(event.id),
                    webhook=event.webhook,
                    error=settlement.error,
                )

    async def _clean(self, conn: Connection) -> None:
        days = self._settings.webhook_retention_days
        removed = await webhooks.delete_delivered(conn, older_than_days=days, limit=CLEAN_BATCH)
        self._channels_are_there = not self._channels
        self._clean_at_s = _now_s() + (0.0 if removed == CLEAN_BATCH else CLEAN_S * random.uniform(0.5, 1.0))

    async def _stop(self) -> None:
        """Write what has ended and give back what has not, so that another replica need not wait for leases to end."""
        broken_off = [delivery for call, deliveries in self._calls.items() if not call.done() for delivery in deliveries]
        for call in self._calls:
            call.cancel()
        if not self._ended and not broken_off:
            return
        try:
            async with asyncio.timeout(STOP_S), self._pool.connection() as conn:
                if self._ended:
                    await self._settle(conn)
                await webhooks.give_back_deliveries(conn, broken_off)
        except (psycopg.Error, PoolTimeout, TimeoutError) as error:
            log.warning("deliveries_not_given_back", error=type(error).__name__)


def _outcome(settlement: Settlement) -> str:
    if settlement.error is None:
        return "answered"
    return "failed" if settlement.delay_s is not None else "dead"


def _now_s() -> float:
    return asyncio.get_running_loop().time()
