"""LISTEN on a session of its own. It wakes, it carries nothing, and nobody depends on it: the poll is the guarantee.

A session can go deaf without an error anywhere, stand at another server than the one that is written to, or behind a pooler
that keeps notifications to itself. So the pool, through which the ledger is written, sends the listener a notification now
and then, and the listener starts anew when that does not come. After each LISTEN it wakes once, because what was told
before was not heard.
"""

import asyncio
from collections.abc import Callable
from typing import Any, Final
from uuid import uuid4

import psycopg
import structlog
from psycopg_pool import AsyncConnectionPool, PoolTimeout

from orchestrator import wakes
from orchestrator.metrics import Metrics
from sql.connect import Session
from sql.loader import Queries

PROBE_INTERVAL_S: Final = 30.0
"""Seldom enough that an idle replica asks for little; a session that goes deaf costs no more than the poll's interval."""
PROBE_ANSWER_S: Final = 5.0
RECONNECT_FIRST_S: Final = 0.1
RECONNECT_MAX_S: Final = 5.0
QUEUE_WARNING: Final = 0.5
"""Share of the notification queue from which somebody should look for the session that does not read it."""

_QUERIES: Final = Queries("wake")
log = structlog.get_logger(__name__)


class Listener:
    """Wakes a worker when there may be work.

    Args:
        url: Session-mode address of the ledger.
        pool: Connections to the ledger, over which its probes are sent.
        wake: Called for every notification and after every LISTEN.
        metrics: Told whether the session is known to hear, and how full the server's queue is.
    """

    def __init__(self, url: str, pool: AsyncConnectionPool[Any], wake: Callable[[], None], metrics: Metrics) -> None:
        self._url = url
        self._pool = pool
        self._wake = wake
        self._metrics = metrics
        self._delay_s = RECONNECT_FIRST_S

    async def run(self) -> None:
        """Listen until cancelled, connecting again as often as it takes."""
        while True:
            try:
                await self._listen()
            except (psycopg.Error, PoolTimeout, OSError, TimeoutError) as error:
                if self._delay_s in (RECONNECT_FIRST_S, RECONNECT_MAX_S):
                    reason = (str(error).splitlines() or [type(error).__name__])[0]
                    log.warning("listener_lost", error=reason, meanwhile="work is found by polling")
            finally:
                self._metrics.listener_connected.set(0)
            await asyncio.sleep(self._delay_s)
            self._delay_s = min(self._delay_s * 2, RECONNECT_MAX_S)

    async def _listen(self) -> None:
        session = await Session.connect(self._url, application_name=wakes.LISTENER)
        try:
            await session.execute(_QUERIES["listen"])
            self._wake()
            told = wakes.LISTENER
            while True:
                await self._prove(session)
                told = await self._tell(session, told)
                self._metrics.listener_connected.set(1)
                self._delay_s = RECONNECT_FIRST_S
                async for notification in session.notifies(timeout=PROBE_INTERVAL_S):
                    self._hear(notification)
        finally:
            await session.close()

    async def _prove(self, session: Session) -> None:
        """Have a notification sent by the side that tells of work, and wait for it."""
        token = uuid4().hex
        async with self._pool.connection() as conn:
            try:
                found = await (await conn.execute(_QUERIES["probe"], {"token": token})).fetchall()
            except psycopg.errors.ProgramLimitExceeded:
                # Full: what was measured is lost with the probe. Looking again may cure it.
                found = await (await conn.execute(_QUERIES["measure_queue"])).fetchall()
                self._show_queue(found[0][0])
                raise
        self._show_queue(found[0][0])
        async for notification in session.notifies(timeout=PROBE_ANSWER_S):
            self._hear(notification)
            if notification.payload == token:
                return
        raise TimeoutError(
            "LISTEN hears nothing of the ledger: SAGA_LISTEN_DATABASE_URL must lead to the same database, and not through a"
            " pooler in transaction mode"
        )

    async def _tell(self, session: Session, told: str) -> str:
        """Have the session's name tell what wakes this replica, unless it does; return what it tells now."""
        name = wakes.session_name(self._metrics.claimed())
        if name != told:
            await session.execute(_QUERIES["tell_session"], {"name": name})
        return name

    def _show_queue(self, usage: float) -> None:
        self._metrics.notification_queue.set(usage)
        if usage >= QUEUE_WARNING:
            log.warning("notification_queue_filling", usage=usage, cause="a session that listens stays in a transaction")

    def _hear(self, notification: psycopg.Notify) -> None:
        if notification.channel == "order_events":
            self._wake()
