"""API keys as the ledger has them: one async function per query of `sql/queries/api_keys.sql`, of the same name.

Functions need no transaction, but who ends a key and says so wants both or neither.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from psycopg import AsyncConnection

from sql.loader import Queries
from sql.models import Json

Connection = AsyncConnection[Any]

_QUERIES: Final = Queries("api_keys")


@dataclass(frozen=True, slots=True)
class StoredKey:
    """A key as edges know it.

    Attributes:
        secret_hash: SHA-256 of its secret.
        client_id: Whose it is.
        scopes: What it allows.
        lasts_s: Seconds for which it holds from when it was read; 0 for one that does not, None for ever.
    """

    secret_hash: bytes
    client_id: str
    scopes: frozenset[str]
    lasts_s: float | None


async def insert_key(
    conn: Connection,
    key_id: str,
    secret_hash: bytes,
    client_id: str,
    scopes: Sequence[str],
    *,
    lasts_s: float | None,
    note: str,
    replaces: str | None,
) -> datetime | None:
    """Add a key.

    Args:
        conn: To the ledger.
        key_id: New.
        secret_hash: SHA-256 of its secret.
        client_id: Whose it is.
        scopes: What it allows.
        lasts_s: Seconds for which it holds; None for ever.
        note: What it is for.
        replaces: The key whose place it takes; None for none.

    Returns:
        When it ends; None for never.
    """
    parameters = {"key_id": key_id, "secret_hash": secret_hash, "client_id": client_id, "scopes": list(scopes)}
    rows = await _QUERIES.fetch(conn, "insert_key", {**parameters, "lasts_s": lasts_s, "note": note, "replaces": replaces})
    expires_at: datetime | None = rows[0]["expires_at"]
    return expires_at


async def lock_key(conn: Connection, key_id: str) -> Json | None:
    """Lock a key until the transaction ends.

    Returns:
        `client_id`, `scopes`, `note`, `revoked`, `in_force`, `lasts_s` (seconds it was made for; None for ever); None where
        there is none of this id.
    """
    rows = await _QUERIES.fetch(conn, "lock_key", {"key_id": key_id})
    return rows[0] if rows else None


async def find_replacement(conn: Connection, key_id: str) -> str | None:
    """Return the key that took the place of another, the first where there are several; None where none did."""
    rows = await _QUERIES.fetch(conn, "find_replacement", {"key_id": key_id})
    return rows[0]["key_id"] if rows else None


async def end_key(conn: Connection, key_id: str, *, overlap_s: float) -> datetime:
    """Have a key end in so many seconds, if it does not sooner; when."""
    ends_at: datetime = (await _QUERIES.fetch(conn, "end_key", {"key_id": key_id, "overlap_s": overlap_s}))[0]["expires_at"]
    return ends_at


async def revoke_key(conn: Connection, key_id: str) -> None:
    """Have a key end now."""
    await conn.execute(_QUERIES["revoke_key"], {"key_id": key_id})


async def list_keys(conn: Connection, client_id: str | None = None) -> list[Json]:
    """Return keys by client, of one or of all, without anything of their secrets.

    Returns:
        `key_id`, `client_id`, `scopes`, `note`, `created_at`, `replaces`, `expires_at`, `revoked_at`, `last_used_at` (within
        about a minute), `state` (in force, expired, revoked).
    """
    return await _QUERIES.fetch(conn, "list_keys", {"client_id": client_id})


async def read_keys(conn: Connection, version: int | None) -> tuple[int, dict[str, StoredKey] | None]:
    """Return every key by its id, those that have ended too, and their version.

    Args:
        conn: To the ledger.
        version: What was seen last; None for nothing.

    Returns:
        The version, and None in place of the keys where it is the one that was seen.
    """
    rows = await _QUERIES.fetch(conn, "read_keys", {"version": version})
    found: int = rows[0]["version"]
    return found, None if found == version else {row["key_id"]: _stored(row) for row in rows if row["key_id"] is not None}


async def touch_keys(conn: Connection, key_ids: Collection[str], *, apart_s: float) -> None:
    """Note that keys were used, each at most once in so many seconds."""
    await conn.execute(_QUERIES["touch_keys"], {"key_ids": list(key_ids), "apart_s": apart_s})


def _stored(row: Json) -> StoredKey:
    return StoredKey(row["secret_hash"], row["client_id"], frozenset(row["scopes"]), row["lasts_s"])
