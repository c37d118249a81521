"""What the fleet shares of its participants: one async function per query of `sql/queries/fleet.sql`, of the same name."""

from typing import Any, Final

from psycopg import AsyncConnection

from sql.loader import Queries
from sql.models import Json

Connection = AsyncConnection[Any]

_QUERIES: Final = Queries("fleet")


async def list_fleet(conn: Connection) -> list[Json]:
    """Return every participant that is registered or has a breaker, by name.

    Returns:
        `participant`; `address` (None where it is not registered) and `limits`; of its breaker `state`, `recent`,
        `opened_for_s`, `trial_left_s`, `actor`, `reason` and `updated_at` (None where it was never reported on).
    """
    return (await see_fleet(conn))[0]


async def see_fleet(conn: Connection) -> tuple[list[Json], bool]:
    """Return what `list_fleet` does, and whether a configuration is being tried on a share of orders (`sql/config.py`)."""
    rows = await _QUERIES.fetch(conn, "list_fleet", {})
    return [row for row in rows if row["participant"] is not None], rows[0]["has_canary"]


async def list_orchestrators(conn: Connection) -> list[Json]:
    """Return the sessions of orchestrators that are connected now.

    Returns:
        `application_name`, one row a replica (`saga orchestrator NAME`) and one a session that listens (`saga listener` and
        what it tells, see `orchestrator.wakes`), and `age_s`, the seconds that the oldest of its sessions has stood.
    """
    return await _QUERIES.fetch(conn, "list_orchestrators", {})


async def lock_breaker(conn: Connection, participant: str) -> Json:
    """Lock a breaker's row until the end of the transaction, and return it.

    Returns:
        `state`, `recent`, `opened_for_s`, `trial_left_s`, `actor`, `reason`.
    """
    return (await _QUERIES.fetch(conn, "lock_breaker", {"participant": participant}))[0]


async def write_breaker(
    conn: Connection,
    participant: str,
    *,
    state: str,
    recent: str,
    trial_left_s: float,
    actor: str | None,
    reason: str | None,
) -> None:
    """Write what was decided on a locked row.

    Args:
        conn: In the transaction that locked the row.
        participant: Whose breaker.
        state: The new state.
        recent: The last calls.
        trial_left_s: Seconds from now after which a trial is given to another; read in the state half_open only.
        actor: Who said so; None for the breaker itself.
        reason: Why.
    """
    parameters = {
        "participant": participant,
        "state": state,
        "recent": recent,
        "trial_left_s": trial_left_s,
        "actor": actor,
        "reason": reason,
    }
    await conn.execute(_QUERIES["write_breaker"], parameters)
