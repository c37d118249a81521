"""Who is let in now: so many requests of one client, and new orders while the work that waits has an end in sight."""

import asyncio
import math
import time
from typing import Final, NoReturn

import psycopg
import structlog
from aiohttp import web
from aiohttp.typedefs import Handler, Middleware
from psycopg_pool import PoolClosed

from edge_api import keys
from edge_api.connections import address_of
from edge_api.problems import Problem, ProblemType
from edge_api.rates import Rates
from sql import reading
from sql.connect import ALL_CLIENTS, OUTAGE, Pool

BACKLOG_LOOK_S: Final = 1.0
"""Seconds between two looks at the backlog; orders of so long come in before it is noticed."""
BACKLOG_RETRY_S: Final = 5
"""Seconds after which it is worth asking again: a backlog is not gone in one."""
REFUSALS_PER_S: Final = 50
"""Refusals of one name that are answered at once. Who asks on all the same is answered at this pace, one after the other: it
ties up its own connections, and not the edge, whose time is everybody's."""
REFUSAL_WAIT_S: Final = 3.0
"""Seconds for which a refusal is held back at most: a client gives up hardly sooner, and a stop need not wait longer."""
PROBE_PATHS: Final = frozenset({"/healthz", "/readyz"})

log = structlog.get_logger(__name__)


def limit_rate(per_s: float, burst: int) -> Middleware:
    """Return the middleware that answers only so many requests of one client, repeats among them.

    Who asks for what is open to everybody is counted by address. Probes of health are not counted: behind a proxy they share
    theirs with strangers, whose requests would have the edge taken for dead.

    Args:
        per_s: Requests a second; 0 for any number.
        burst: Requests that may come at once.
    """
    rates = Rates(per_s, burst) if per_s else None
    refusals = Refusals()

    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        if rates is not None and request.path not in PROBE_PATHS:
            wait_s = rates.take(_name_of(request), time.monotonic())
            if wait_s:
                await refusals.refuse(_name_of(request), "There were too many requests of this client.", wait_s)
        return await handler(request)

    return middleware


class Refusals:
    """Refuses who asks too often, and slows down who asks on all the same."""

    def __init__(self) -> None:
        self._rates = Rates(REFUSALS_PER_S, REFUSALS_PER_S)

    async def refuse(self, name: str, detail: str, wait_s: float) -> NoReturn:
        """Refuse a request, when it is its turn.

        Args:
            name: Who asks.
            detail: Of what there were too many.
            wait_s: Seconds until one is answered again.

        Raises:
            Problem: 429, always.
        """
        held_s = self._rates.take_turn(name, time.monotonic(), wait_max_s=REFUSAL_WAIT_S)
        if held_s:
            await asyncio.sleep(held_s)
        raise too_many(detail, wait_s - held_s)


def too_many(detail: str, wait_s: float) -> Problem:
    """Return the answer to one request too many.

    Args:
        detail: Of what there were too many.
        wait_s: Seconds until one is answered again.
    """
    return Problem(ProblemType.RATE_LIMITED, detail, headers={"Retry-After": str(max(1, math.ceil(wait_s)))})


class Backlog:
    """Whether more orders are due than replicas get done.

    Args:
        pool: Autocommit connections to the ledger.
        most: Due orders from which on no new ones are taken; 0 for any number, and then nobody looks.

    Attributes:
        full: Whether there were so many at the last look.
    """

    def __init__(self, pool: Pool, most: int) -> None:
        self.full = False
        self._pool = pool
        self._most = most

    async def run(self) -> None:
        """Look again and again, until cancelled; while the ledger is away or refuses, what was known stands."""
        while self._most:
            try:
                await self.look()
            except (*OUTAGE, psycopg.Error, PoolClosed) as error:
                log.warning("backlog_not_seen", error=type(error).__name__)
            await asyncio.sleep(BACKLOG_LOOK_S)

    async def look(self) -> None:
        """Count what is due, no further than the limit.

        Raises:
            psycopg.OperationalError, psycopg_pool.PoolTimeout: The ledger is away; what was known stands.
        """
        async with self._pool.acting_for(ALL_CLIENTS) as conn:
            full = await reading.count_due(conn, most=self._most) >= self._most
        if full != self.full:
            log.warning("backlog_full" if full else "backlog_gone", most=self._most)
        self.full = full


BACKLOG: Final = web.AppKey("backlog", Backlog)


def overloaded() -> Problem:
    """Return the answer to a new order while the backlog is full; orders that are there are worked on, read and cancelled."""
    return Problem(
        ProblemType.OVERLOADED,
        "More orders wait than can be worked on now; repeat the request later with the same Idempotency-Key.",
        headers={"Retry-After": str(BACKLOG_RETRY_S)},
    )


def _name_of(request: web.Request) -> str:
    client: str | None = request.get(keys.CLIENT_ID)
    if client is not None:
        return client
    # No client's id has a space.
    return f"address {address_of(request.transport.get_extra_info('peername') if request.transport else None)}"
