"""Judges what is tried on a share of new orders: takes it back when something is wrong, else makes it active in the end.

::

    saga_config 'canary' ── one replica at a time ──▶ figures of its orders, invariants of its saga
                                                        │ verdict
            go on ◀──nothing wrong, time left───────────┤
            withdraw (discarded) ◀──too many failed, ───┤
                                    a violation         │
            promote (active) ◀──time over───────────────┘

What is tried stands in the ledger, so it is judged whoever dies. A replica learns that there is something to judge with its
look at the fleet, so nothing is asked while nothing is tried.
"""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import psycopg
import structlog
from psycopg_pool import AsyncConnectionPool

from orchestrator import configuring
from orchestrator.configuration import Configuration, Unsafe
from orchestrator.definitions import Definitions
from orchestrator.fleet import Fleet
from orchestrator.saga import Saga
from sql import auditing, config
from sql.auditing import AuditFileError, AuditQuery
from sql.connect import OUTAGE
from sql.models import Json

EVERY_S: Final = 5.0
"""Between two judgements of one canary, whichever replicas make them."""
TICK_S: Final = 2.0
"""Between two looks for one that is due; while none is tried this costs no query."""
REST: Final = 10.0
"""A replica rests so many times as long as a judgement took it: on a large ledger they are dear."""
INVARIANT_TIMEOUT_S: Final = 60.0
"""Of one invariant; what takes longer can't be judged by."""
ROWS_MAX: Final = 1_000
"""Violations that are looked through for orders of the share; of so many older ones none tells anything."""
CONNECT_TIMEOUT_S: Final = 5

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Verdict:
    """How a trial ends.

    Attributes:
        keep: Whether the revision becomes active; else it is taken back.
        reason: Why, in a sentence.
    """

    keep: bool
    reason: str


def verdict(terms: Json, figures: Json) -> Verdict | None:
    """Judge a canary; None to go on with it. Pure.

    Args:
        terms: `canary_failure_rate_max`, `canary_orders_min`, and `is_over`: whether its time has passed.
        figures: `ended` and `failed` orders of the share; `violations`: what does not hold, a sentence each; `unchecked`: why
            it could not be found out whether all holds, None where it was.
    """
    ended, failed, limit = figures["ended"], figures["failed"], terms["canary_failure_rate_max"]
    if figures["violations"]:
        return Verdict(False, f"an invariant does not hold: {figures['violations'][0]}")
    if ended >= terms["canary_orders_min"] and failed / ended > limit:
        return Verdict(False, f"{failed} of {ended} orders failed, more than {limit:.1%}")
    if not terms["is_over"]:
        return None
    if figures["unchecked"]:
        return Verdict(False, f"its time is over and its invariants could not be checked: {figures['unchecked']}")
    if ended < terms["canary_orders_min"]:
        return Verdict(True, f"its time is over; only {ended} orders ended, too few to judge them by")
    return Verdict(True, f"its time is over; {failed} of {ended} orders failed")


class Judge:
    """Judges canaries for one replica.

    Args:
        pool: Autocommit connections to the ledger.
        ledger_url: For invariants, which get a connection of their own.
        definitions: What this replica can run; others' canaries are left to others.
        fleet: Knows whether there is a canary.
        replica: Stands in the history as who decided.
        queries: Audit queries that invariants may name, a team's own among them; None for those that ship.
    """

    def __init__(
        self,
        pool: AsyncConnectionPool[Any],
        ledger_url: str,
        definitions: Definitions,
        fleet: Fleet,
        replica: str,
        queries: Sequence[AuditQuery] | None = None,
    ) -> None:
        self._pool = pool
        self._ledger_url = ledger_url
        self._definitions = definitions
        self._fleet = fleet
        self._replica = replica
        self._queries = auditing.load_audit() if queries is None else queries

    async def run(self) -> None:
        """Judge what is tried, until cancelled."""
        while True:
            await asyncio.sleep(TICK_S)
            if not self._fleet.has_canary:
                continue
            began_s = time.monotonic()
            try:
                await self.run_once()
            except (*OUTAGE, psycopg.Error) as error:
                log.warning("canary_not_judged", error=str(error).splitlines()[0])
            await asyncio.sleep(REST * (time.monotonic() - began_s))

    async def run_once(self) -> Verdict | None:
        """Judge one canary, if one is due; return how it ended.

        Raises:
            psycopg.Error: The ledger did not answer; it is judged again soon, here or elsewhere.
        """
        async with self._pool.connection() as conn:
            taken = await config.take_canary(conn, self._definitions.names, every_s=EVERY_S)
        if taken is None:
            return None
        try:
            saga = self._definitions.fit(taken["saga"], Configuration.read(taken["saga"], taken["body"]), taken["revision"])
        except Unsafe as error:
            # A replica of another release, while they are being replaced: those that can run it judge it.
            log.warning("canary_left_to_others", error=str(error))
            return None
        figures = await self._figures(saga, taken)
        said = verdict(taken, figures)
        if said is None:
            return None
        async with self._pool.connection() as conn:
            done = await configuring.conclude(
                conn,
                taken["saga"],
                taken["revision"],
                keep=said.keep,
                actor=f"replica {self._replica}",
                reason=said.reason,
                figures=figures,
            )
        if not done:
            return None
        log.warning("canary_ended", saga=taken["saga"], revision=taken["revision"], kept=said.keep, reason=said.reason)
        await self._fleet.look()
        return said

    async def _figures(self, saga: Saga[Any], taken: Json) -> Json:
        async with self._pool.connection() as conn:
            figures = await config.count_share(conn, saga.name, saga.config, taken["canary_from"])
        violations: list[str] = []
        unchecked = None
        try:
            violations = await self._violations(saga)
        except (AuditFileError, OSError, psycopg.Error) as error:
            unchecked = (str(error).splitlines() or [type(error).__name__])[0]
            log.warning("invariants_not_checked", saga=saga.name, error=unchecked)
        return {**figures, "violations": violations, "unchecked": unchecked}

    async def _violations(self, saga: Saga[Any]) -> list[str]:
        """Return what does not hold of the share's orders, or of the ledger where a violation names no order."""
        wanted = {invariant.query for invariant in saga.invariants}
        queries = [query for query in self._queries if query.name in wanted and query.database == "ledger"]
        if not queries:
            return []
        async with await psycopg.AsyncConnection.connect(
            self._ledger_url, autocommit=True, connect_timeout=CONNECT_TIMEOUT_S, application_name="saga canary"
        ) as conn:
            found = [sentence for query in queries for sentence in await _violated(conn, query, saga)]
        return found


async def _violated(conn: auditing.Connection, query: AuditQuery, saga: Saga[Any]) -> Sequence[str]:
    rows = await auditing.run(conn, query, ROWS_MAX, timeout_s=INVARIANT_TIMEOUT_S)
    named = [row["order_ledger_id"] for row in rows if "order_ledger_id" in row]
    share = await config.list_share(conn, saga.name, saga.config, named) if named else set()
    concerned = [row for row in rows if "order_ledger_id" not in row or row["order_ledger_id"] in share]
    return [f"{query.name} ({len(concerned)}, for example {_shown(concerned[0])})"] if concerned else []


def _shown(row: Json) -> str:
    return ", ".join(f"{name} {value}" for name, value in row.items() if value is not None)
