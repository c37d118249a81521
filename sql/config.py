"""What sagas are configured to be: one async function per query of `sql/queries/config.sql`, of the same name.

The caller owns the transaction; whatever changes something belongs into one that began with `lock_config`.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import orjson
from psycopg import AsyncConnection

from sql.loader import Queries
from sql.models import Json

Connection = AsyncConnection[Any]

_QUERIES: Final = Queries("config")


async def list_config(conn: Connection, sagas: Sequence[str]) -> dict[str, Json]:
    """Return what new orders of sagas start on, by saga; one that was never configured is missing.

    Returns:
        `seq` of the newest entry of its history; `revision` and `body` of the active revision, `canary_revision`,
        `canary_body` and `canary_percent` of the one that is tried, None where there is none.
    """
    return {row["saga"]: row for row in await _QUERIES.fetch(conn, "list_config", {"sagas": list(sagas)})}


async def lock_config(conn: Connection, saga: str) -> None:
    """Keep others from acting on a saga's configuration until the end of the transaction."""
    await conn.execute(_QUERIES["lock_config"], {"saga": saga})


async def list_revisions(conn: Connection, saga: str) -> dict[str, Json]:
    """Return the revisions in the states `active`, `pending` and `canary`, by state; at most one is in each."""
    return {row["state"]: row for row in await _QUERIES.fetch(conn, "list_revisions", {"saga": saga})}


async def insert_revision(conn: Connection, saga: str, body: Json, *, actor: str, reason: str) -> int:
    """Insert a pending revision where none is pending, and return its number."""
    parameters = {"saga": saga, "body": _json(body), "actor": actor, "reason": reason}
    return int((await _QUERIES.fetch(conn, "insert_revision", parameters))[0]["revision"])


async def move_revision(conn: Connection, saga: str, revision: int, state: str) -> None:
    """Move a revision to another state."""
    await conn.execute(_QUERIES["move_revision"], {"saga": saga, "revision": revision, "state": state})


async def try_revision(
    conn: Connection, saga: str, revision: int, *, percent: float, for_s: float, failure_rate_max: float, orders_min: int
) -> None:
    """Have a share of new orders start on a revision.

    Args:
        conn: In the transaction that locked the configuration.
        saga: Of which saga.
        revision: Which; pending until now.
        percent: The share, in percent.
        for_s: Seconds from now after which it is decided at the latest.
        failure_rate_max: Share of its finished orders that may fail, 0 to 1.
        orders_min: Finished orders below which that share says nothing.
    """
    parameters = {
        "saga": saga,
        "revision": revision,
        "percent": percent,
        "for_s": for_s,
        "failure_rate_max": failure_rate_max,
        "orders_min": orders_min,
    }
    await conn.execute(_QUERIES["try_revision"], parameters)


async def note_act(
    conn: Connection, saga: str, act: str, revision: int, *, actor: str, reason: str, figures: Json | None = None
) -> None:
    """Append to the history what was done with a revision, and on which figures."""
    parameters = {
        "saga": saga,
        "act": act,
        "revision": revision,
        "actor": actor,
        "reason": reason,
        "figures": _json(figures or {}),
    }
    await conn.execute(_QUERIES["note_act"], parameters)


async def list_history(conn: Connection, saga: str, *, limit: int) -> list[Json]:
    """Return what was done, newest first: `seq`, `at`, `act`, `revision`, `actor`, `reason`, `figures`, and its `body`."""
    return await _QUERIES.fetch(conn, "list_history", {"saga": saga, "limit": limit})


async def take_canary(conn: Connection, sagas: Sequence[str], *, every_s: float) -> Json | None:
    """Take a canary that is due to be judged; None when none is.

    Args:
        conn: Autocommit connection, so that others know at once that it is taken.
        sagas: Of which sagas.
        every_s: Seconds between two judgements of one canary; at its end it is due once more.

    Returns:
        `saga`, `revision`, `body`, the terms (`canary_…`), and `is_over`: whether its time has passed.
    """
    rows = await _QUERIES.fetch(conn, "take_canary", {"sagas": list(sagas), "every_s": every_s})
    return rows[0] if rows else None


async def count_share(conn: Connection, saga: str, revision: int, since: datetime) -> Json:
    """Return how orders went that began since a time.

    Returns:
        `started`, `ended` and `failed` of those on the revision; `others_ended` and `others_failed` of the saga's others.
    """
    parameters = {"saga": saga, "revision": revision, "since": since}
    return (await _QUERIES.fetch(conn, "count_share", parameters))[0]


async def list_share(conn: Connection, saga: str, revision: int, order_ledger_ids: Sequence[UUID]) -> set[UUID]:
    """Tell which of these orders run or ran on a revision."""
    parameters = {"saga": saga, "revision": revision, "order_ledger_ids": list(order_ledger_ids)}
    return {row["order_ledger_id"] for row in await _QUERIES.fetch(conn, "list_share", parameters)}


async def count_unfinished(conn: Connection, saga: str, version: int) -> list[Json]:
    """Return what is still on a version of a saga, by `status`: the number of `orders`, the `oldest` and its `oldest_at`."""
    return await _QUERIES.fetch(conn, "count_unfinished", {"saga": saga, "version": version})


def _json(value: Json) -> str:
    return orjson.dumps(value).decode()
