"""A retry of many orders: chosen once and kept in the ledger, so that it can be broken off, stopped, and gone on with.

Each order is retried by the verb of a single one (`orchestrator/operating.py`), in one transaction with its row of the set:
what is committed is noted, what is not was not done. Several people may go on with a run at once; each order is one's alone.
"""

import asyncio
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import Any, Final
from uuid import UUID

import psycopg

from orchestrator import operating
from orchestrator.definitions import Definitions
from orchestrator.operations.asking import Connection
from orchestrator.operations.bulk_pace import Next, Terms, decide
from orchestrator.operations.runs import NoRun, find
from orchestrator.saga import DefinitionError
from orchestrator.verdict import Verdict
from sql import acts, ledger, retrying
from sql.ledger import LedgerError
from sql.models import Json, Status
from sql.retrying import Run

LOOK_S: Final = 0.5
"""Between two looks at what became of the orders: soon enough to stop, and next to nothing for the server."""
REASONS_MAX: Final = 10
FIRST: Final = 3
"""Orders of a preview whose calls are shown."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which orders are meant.

    Attributes:
        status: STUCK or FAILED.
        saga: Of this saga; None for any.
        error_like: With this in their last error; None for any.
        limit: Most of them, the oldest first; None for all.
    """

    status: Status
    saga: str | None
    error_like: str | None
    limit: int | None


@dataclass(frozen=True, slots=True)
class Preview:
    """What a run would be.

    Attributes:
        orders: In its set.
        value: What they are worth in minor units, by currency.
        reasons: The commonest reasons why they stand where they do: `error`, `step`, `orders`.
        first: What would follow for the first few: the verdict of each, or why it would be refused.
        earlier: Orders of the set that are still to be retried in earlier runs, by their numbers.
    """

    orders: int
    value: dict[str, int]
    reasons: list[Json]
    first: list[tuple[UUID, Verdict | str]]
    earlier: dict[int, int]


async def begin(conn: Connection, wanted: Wanted, terms: Terms, *, actor: str, reason: str) -> Run:
    """Choose a set and keep it; nothing is retried yet.

    Raises:
        NoRun: There is no such order.
    """
    async with conn.transaction():
        run_id = await _choose(conn, wanted, terms, actor=actor, reason=reason)
        run = await find(conn, run_id)
        await acts.insert_act(
            conn, "retry_run", str(run_id), actor=actor, reason=reason, details={**run.asked, "orders": run.orders}
        )
    return run


async def preview(
    conn: Connection, definitions: Definitions, wanted: Wanted, terms: Terms, *, actor: str, reason: str
) -> Preview:
    """Return what a run would be; nothing of it is kept.

    Raises:
        NoRun: There is no such order.
    """
    async with conn.transaction(force_rollback=True):
        run_id = await _choose(conn, wanted, terms, actor=actor, reason=reason)
        run = await find(conn, run_id)
        value, reasons = await retrying.sum_up_set(conn, run_id, reasons_max=REASONS_MAX)
        first: list[tuple[UUID, Verdict | str]] = []
        for order in await retrying.list_first(conn, run_id, limit=FIRST):
            first.append((order, await _retried(conn, definitions, order, actor=actor, reason=reason, dry_run=True)))
        earlier = await retrying.list_left_elsewhere(conn, run_id)
    return Preview(run.orders, value, reasons, first, earlier)


async def go_on(
    conn: Connection,
    definitions: Definitions,
    run: Run,
    terms: Terms,
    *,
    actor: str,
    told: Callable[[Run], None],
) -> Run:
    """Retry what is outstanding of a run, until all has ended, or it is stopped, or the time to wait is over.

    Args:
        conn: Autocommit connection to the ledger.
        definitions: What this process knows.
        run: The run.
        terms: How.
        actor: Who does it, for the journal of each order.
        told: Given the run as it stands, now and then.

    Returns:
        The run as it stands then.

    Raises:
        NoRun: There is none of this number any more.
    """
    since = await retrying.resume_run(conn, run.run_id)
    if since is None:
        raise NoRun(f"there is no run {run.run_id}")
    loop = asyncio.get_running_loop()
    due_s = progressed_s = loop.time()
    looked_s = -LOOK_S
    while True:
        if loop.time() - looked_s >= LOOK_S:
            await retrying.note_ended(conn, run.run_id)
            before, run = run, await find(conn, run.run_id, since=since)
            looked_s = loop.time()
            if before.ended != run.ended:
                progressed_s = looked_s
            told(run)
        what, why = decide(run, terms)
        if what is Next.WAIT and loop.time() - progressed_s > terms.wait_s:
            what, why = Next.STOP, f"{run.retried - sum(run.ended.values()):,} had not ended after {terms.wait_s:g} s"
        if what is Next.END or run.stopped_at is not None:
            return run
        if what is Next.STOP:
            await retrying.stop_run(conn, run.run_id, why)
            return await find(conn, run.run_id, since=since)
        if what is Next.RETRY and loop.time() >= due_s:
            run = await _retry_next(conn, definitions, run, actor=actor)
            progressed_s = loop.time()
            due_s = max(due_s + 1 / terms.rate, progressed_s - LOOK_S) if terms.rate else progressed_s
        else:
            until_s = due_s if what is Next.RETRY else looked_s + LOOK_S
            await asyncio.sleep(min(max(until_s - loop.time(), 0.001), LOOK_S))


async def _choose(conn: Connection, wanted: Wanted, terms: Terms, *, actor: str, reason: str) -> int:
    run_id = await retrying.insert_run(conn, actor=actor, reason=reason, asked={**asdict(wanted), **asdict(terms)})
    if not await retrying.choose_orders(conn, run_id, **asdict(wanted)):
        raise NoRun(f"no order is {wanted.status} as it is asked for: see `saga ledger list --status {wanted.status}`")
    return run_id


async def _retry_next(conn: Connection, definitions: Definitions, run: Run, *, actor: str) -> Run:
    """Retry the next order of a run that nobody else is at; the run as far as it is known then."""
    async with conn.transaction():
        taken = await retrying.take_next(conn, run.run_id)
        if taken is None:
            # What is outstanding is being retried by others: the next look tells.
            return replace(run, outstanding=0, retried_since=run.retried_since + run.outstanding)
        order, was = taken
        status = await retrying.lock_order(conn, order)
        if status is was:
            answer = await _retried(conn, definitions, order, actor=actor, reason=run.reason)
        else:
            # The verb would do something else with it than what is asked for: place anew what has failed meanwhile.
            answer = f"it was {was}, and is {status or 'not in the ledger any more'}"
        if isinstance(answer, Verdict) and not answer.done:
            answer = f"it was placed anew before, as order {answer.order_ledger_id}, which is {answer.status}"
        refused = answer if isinstance(answer, str) else None
        goes_on_as = None if isinstance(answer, str) else answer.order_ledger_id
        await retrying.note_tried(conn, run.run_id, order, goes_on_as=goes_on_as, refused=refused)
    if refused is not None:
        return replace(run, outstanding=run.outstanding - 1, refused=run.refused + 1)
    await ledger.wake_orchestrators(conn)
    return replace(run, outstanding=run.outstanding - 1, retried=run.retried + 1, retried_since=run.retried_since + 1)


async def _retried(conn: Connection, definitions: Definitions, order: UUID, **asked: Any) -> Verdict | str:
    """Retry an order, or say why it is refused; nothing of it is written then."""
    try:
        async with conn.transaction():
            return await operating.retry(conn, definitions, order, wake=False, **asked)
    except (LedgerError, DefinitionError) as error:
        return str(error)
    except psycopg.DataError as error:
        # What the server says of it may quote what it was given.
        return f"the ledger can't store it ({error.sqlstate})"
