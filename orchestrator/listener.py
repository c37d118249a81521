"""LISTEN on a session of its own. It wakes, it carries nothing, and nobody depends on it: the poll is the guarantee.

A session can go deaf without an error anywhere, so the listener sends itself a notification now and then and starts
anew when that does not come back. After each LISTEN it wakes once, because what was told before was not heard.
"""

import asyncio
import time
from collections.abc import Callable
from typing import Any, Final
from uuid import uuid4

import psycopg
import structlog
from prometheus_client import Gauge
from psycopg.conninfo import make_conninfo

from sql.loader import Queries

PROBE_INTERVAL_S: Final = 10.0
PROBE_ANSWER_S: Final = 5.0
RECONNECT_FIRST_S: Final = 0.1
RECONNECT_MAX_S: Final = 5.0

_QUERIES: Final = Queries("wake")
log = structlog.get_logger(__name__)


class Listener:
    """Wakes a worker when there may be work.

    Args:
        url: Session-mode address of the ledger.
        wake: Called for every notification and after every LISTEN.
        connected: 1 while the session is known to hear.
    """

    def __init__(self, url: str, wake: Callable[[], None], connected: Gauge) -> None:
        self._url = make_conninfo(url, connect_timeout="5", application_name="saga listener")
        self._wake = wake
        self._connected = connected

    async def run(self) -> None:
        """Listen until cancelled, connecting again as often as it takes."""
        delay_s = RECONNECT_FIRST_S
        while True:
            began_s = time.monotonic()
            try:
                await self._listen()
            except (psycopg.Error, OSError, TimeoutError) as error:
                log.warning("listener_lost", error=(str(error).splitlines() or [type(error).__name__])[0])
            finally:
                self._connected.set(0)
            if time.monotonic() - began_s > RECONNECT_MAX_S:
                delay_s = RECONNECT_FIRST_S
            await asyncio.sleep(delay_s)
            delay_s = min(delay_s * 2, RECONNECT_MAX_S)

    async def _listen(self) -> None:
        conn = await psycopg.AsyncConnection.connect(self._url, autocommit=True)
        try:
            await self._limited(conn.execute(_QUERIES["listen"]))
            self._wake()
            while True:
                await self._prove(conn)
                self._connected.set(1)
                async for notification in conn.notifies(timeout=PROBE_INTERVAL_S):
                    self._hear(notification)
        finally:
            # Not `await conn.close()`: on a session whose other end is gone it could wait for ever.
            conn.pgconn.finish()

    async def _prove(self, conn: psycopg.AsyncConnection[Any]) -> None:
        """Send a notification to oneself and wait for it."""
        token = uuid4().hex
        await self._limited(conn.execute(_QUERIES["probe"], {"token": token}))
        async with asyncio.timeout(PROBE_ANSWER_S):
            async for notification in conn.notifies(timeout=PROBE_ANSWER_S):
                self._hear(notification)
                if notification.payload == token:
                    return
        raise TimeoutError("the listener's own notification did not come back")

    def _hear(self, notification: psycopg.Notify) -> None:
        if notification.channel == "order_events":
            self._wake()

    async def _limited(self, work: Any) -> None:
        async with asyncio.timeout(PROBE_ANSWER_S):
            await work
