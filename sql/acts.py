"""What operators do that is about no order, for the record: one async function per query of `sql/queries/acts.sql`."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

import orjson
from psycopg import AsyncConnection

from sql.loader import Queries
from sql.models import Json

Connection = AsyncConnection[Any]

NOTHING: Final[Mapping[str, Any]] = MappingProxyType({})
_QUERIES: Final = Queries("acts")


async def insert_act(
    conn: Connection, act: str, subject: str, *, actor: str, reason: str, details: Mapping[str, Any] = NOTHING
) -> None:
    """Record an act; to be called in the transaction that does it.

    Args:
        conn: To the ledger.
        act: What was done, as `create_key`.
        subject: With what: the name or id of it.
        actor: Who did it.
        reason: Why; empty where none was asked for.
        details: What else is to be known of it; never a secret.
    """
    parameters = {"act": act, "subject": subject, "actor": actor, "reason": reason}
    await conn.execute(_QUERIES["insert_act"], {**parameters, "details": orjson.dumps(dict(details)).decode()})


async def list_acts(conn: Connection, subject: str | None = None, *, limit: int) -> list[Json]:
    """Return acts, the newest first.

    Args:
        conn: To the ledger.
        subject: With this; None for all.
        limit: Most of them.

    Returns:
        `at`, `actor`, `act`, `subject`, `reason` and `details`.
    """
    return await _QUERIES.fetch(conn, "list_acts", {"subject": subject, "limit": limit})
