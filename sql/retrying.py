"""Retries of many orders at once: one async function per query of `sql/queries/retrying.sql`, of the same name."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import orjson
from psycopg import AsyncConnection

from sql.loader import Queries
from sql.models import Json, Status

Connection = AsyncConnection[Any]

# A set is chosen once by filters of which most are null: as in `reading`.
_QUERIES: Final = Queries("retrying", prepare=False)


@dataclass(frozen=True, slots=True)
class Run:
    """A run, and how far it is.

    Attributes:
        run_id: Its number.
        begun_at: When its set was chosen.
        actor, reason: Who began it, and why.
        asked: Which orders were meant, and how they were to be retried.
        stopped_at, stopped_why: When and why it was stopped before its end; None while it goes on, or when it has ended.
        orders: In its set.
        outstanding: Of these, still to be retried.
        retried: Retried; what of them is not in `ended` is on its way.
        refused: Those that could not be retried.
        went_wrong: Of the ended ones, those that are STUCK again, or were to be completed and are not.
        retried_since, ended_since, wrong_since: The same of those that were retried since the moment that was asked for.
        ended: Orders by the status in which they ended.
    """

    run_id: int
    begun_at: datetime
    actor: str
    reason: str
    asked: Json
    stopped_at: datetime | None
    stopped_why: str | None
    orders: int
    outstanding: int
    retried: int
    refused: int
    went_wrong: int
    retried_since: int
    ended_since: int
    wrong_since: int
    ended: dict[str, int]


async def insert_run(conn: Connection, *, actor: str, reason: str, asked: Mapping[str, Any]) -> int:
    """Begin a run, in the transaction in which its set is chosen.

    Returns:
        Its number.
    """
    parameters = {"actor": actor, "reason": reason, "asked": orjson.dumps(dict(asked)).decode()}
    return int((await _QUERIES.fetch(conn, "insert_run", parameters))[0]["run_id"])


async def choose_orders(
    conn: Connection, run_id: int, *, status: Status, saga: str | None, error_like: str | None, limit: int | None
) -> int:
    """Choose the set of a run.

    Args:
        conn: In the transaction in which the run was begun.
        run_id: The run.
        status: STUCK or FAILED.
        saga: Orders of this saga; None for any.
        error_like: Orders whose last error has this in it, in upper or lower case; None for any.
        limit: Most orders; None for all.

    Returns:
        How many.
    """
    parameters = {
        "run_id": run_id,
        "status": status.value,
        "halted": status is Status.STUCK,
        "saga": saga,
        "error_like": error_like,
        "limit": limit,
    }
    return (await conn.execute(_QUERIES["choose_orders"], parameters, prepare=False)).rowcount


async def sum_up_set(conn: Connection, run_id: int, *, reasons_max: int) -> tuple[dict[str, int], list[Json]]:
    """Return what a run's orders are worth, in minor units by currency, and the commonest reasons why they stand where they do.

    A reason has `error` and `step`, which may be None, and `orders`.
    """
    rows = await _QUERIES.fetch(conn, "sum_up_set", {"run_id": run_id, "reasons_max": reasons_max})
    value = {row["of"]: row["total_minor"] or 0 for row in rows if row["what"] == "value"}
    reasons = [{"error": r["of"], "step": r["step"], "orders": r["orders"]} for r in rows if r["what"] == "reason"]
    return value, reasons


async def list_left_elsewhere(conn: Connection, run_id: int) -> dict[int, int]:
    """Return how many orders that a run still has to retry are still to be retried in other runs, by their numbers."""
    rows = await _QUERIES.fetch(conn, "list_left_elsewhere", {"run_id": run_id})
    return {row["run_id"]: row["orders"] for row in rows}


async def list_first(conn: Connection, run_id: int, *, limit: int) -> list[UUID]:
    """Return the orders of a run that come first."""
    return [row["order_ledger_id"] for row in await _QUERIES.fetch(conn, "list_first", {"run_id": run_id, "limit": limit})]


async def take_next(conn: Connection, run_id: int) -> tuple[UUID, Status] | None:
    """Return the next order of a run that nobody else is at, and its status when the set was chosen; None where there is none.

    It is held until the transaction ends.
    """
    rows = await _QUERIES.fetch(conn, "take_next", {"run_id": run_id})
    return (rows[0]["order_ledger_id"], Status(rows[0]["status"])) if rows else None


async def lock_order(conn: Connection, order_ledger_id: UUID) -> Status | None:
    """Return an order's status, which nobody changes until the transaction ends; None where there is no such order."""
    rows = await _QUERIES.fetch(conn, "lock_order", {"order_ledger_id": order_ledger_id})
    return Status(rows[0]["status"]) if rows else None


async def note_tried(
    conn: Connection, run_id: int, order_ledger_id: UUID, *, goes_on_as: UUID | None, refused: str | None
) -> None:
    """Note what came of an order's retry, in its transaction: the order that goes on, or why none does."""
    parameters = {"run_id": run_id, "order_ledger_id": order_ledger_id, "goes_on_as": goes_on_as, "refused": refused}
    await conn.execute(_QUERIES["note_tried"], parameters)


async def note_ended(conn: Connection, run_id: int | None = None) -> None:
    """Note which orders of a run, or of all, have ended since the last look."""
    await conn.execute(_QUERIES["note_ended"], {"run_id": run_id})


async def list_runs(conn: Connection, run_id: int | None = None, *, since: datetime | None = None, limit: int = 1) -> list[Run]:
    """Return runs, the newest first.

    Args:
        conn: Any connection to the ledger.
        run_id: This one alone; None for all.
        since: From when on `retried_since` and the others count; None for the begin of each run.
        limit: Most of them.
    """
    rows = await _QUERIES.fetch(conn, "list_runs", {"run_id": run_id, "since": since, "limit": limit})
    return [Run(**row) for row in rows]


async def list_set(conn: Connection, run_id: int) -> list[Json]:
    """Return the orders of a run as they were when it began, in the order of their turns, with what came of each."""
    return await _QUERIES.fetch(conn, "list_set", {"run_id": run_id})


async def stop_run(conn: Connection, run_id: int, why: str) -> None:
    """Stop a run, for everybody who goes on with it."""
    await conn.execute(_QUERIES["stop_run"], {"run_id": run_id, "why": why})


async def resume_run(conn: Connection, run_id: int) -> datetime | None:
    """Have a run go on.

    Returns:
        When, by the database's clock; None where there is no such run.
    """
    rows = await _QUERIES.fetch(conn, "resume_run", {"run_id": run_id})
    return rows[0]["at"] if rows else None


async def forget_retried(conn: Connection, *, older_than_days: float, orders_max: int) -> int:
    """Remove which orders were in runs that began so many days ago, so many at a time; the runs themselves stay.

    Returns:
        How many were removed.
    """
    parameters = {"older_than_days": older_than_days, "orders_max": orders_max}
    return int((await _QUERIES.fetch(conn, "forget_retried", parameters))[0]["orders"])
