"""API keys: what they are made of, and what operators do with them.

A key is `sgl_ID.SECRET`. The id tells which key it is, in lists and logs; the secret is 256 random bits, shown once, of which
only the SHA-256 is stored: nothing has to be slow about a hash of what nobody can guess.
"""

import base64
import hashlib
import re
import secrets
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final

from sql import acts, api_keys
from sql.api_keys import Connection
from sql.ledger import LedgerError
from sql.models import Json

CLIENT: Final = r"[A-Za-z0-9._:@-]{1,64}"
EXPIRES_DAYS_MAX: Final = 36_500
OVERLAP_S_MAX: Final = 31_536_000.0
_ID_BYTES: Final = 10
_SECRET_BYTES: Final = 32
_KEY: Final = re.compile(r"(sgl_[a-z0-9]{16})\.([A-Za-z0-9_-]{43})")


class Scope(StrEnum):
    """What a key allows."""

    ORDERS = "orders"
    EVENTS = "events"
    ADMIN = "admin"


class NoKey(LedgerError):
    """There is no key of this id; nothing was changed."""


class KeyEnded(LedgerError):
    """The key is revoked or has expired; nothing was changed."""


class KeyReplaced(LedgerError):
    """Another key has taken the place of this one already; nothing was changed."""


@dataclass(frozen=True, slots=True)
class NewKey:
    """A key that was just made.

    Attributes:
        key_id: Which it is.
        key: What its owner sends; nothing shows it again.
        client_id: Whose it is.
        scopes: What it allows, in the order of their names.
        expires_at: When it ends, aware; None for never.
    """

    key_id: str
    key: str
    client_id: str
    scopes: tuple[str, ...]
    expires_at: datetime | None


def split_key(text: str) -> tuple[str, str] | None:
    """Return the id and the secret of a key; None for a text that can be none."""
    found = _KEY.fullmatch(text)
    return (found[1], found[2]) if found else None


def hash_secret(secret: str) -> bytes:
    """Return what is stored of a secret."""
    return hashlib.sha256(secret.encode(errors="surrogateescape")).digest()


async def create(
    conn: Connection,
    client_id: str,
    scopes: Collection[Scope],
    *,
    expires_days: float | None,
    note: str,
    actor: str,
    reason: str,
) -> NewKey:
    """Make a key; every edge takes it at once.

    Args:
        conn: To the ledger, autocommit.
        client_id: Whose it is; fits `CLIENT`.
        scopes: What it allows, at least one.
        expires_days: Days for which it holds; None for ever.
        note: What it is for, for people.
        actor: Who makes it.
        reason: Why; may be empty.
    """
    lasts_s = None if expires_days is None else expires_days * 86_400
    async with conn.transaction():
        made = await _insert(conn, client_id, [*sorted(set(scopes))], lasts_s, note, None)
        details = {"client_id": client_id, "scopes": made.scopes, "expires_at": made.expires_at}
        await acts.insert_act(conn, "create_key", made.key_id, actor=actor, reason=reason, details=details)
    return made


async def rotate(conn: Connection, key_id: str, *, overlap_s: float, actor: str, reason: str) -> NewKey:
    """Make a key of the same client and scopes that takes the place of another; for some time both hold.

    Args:
        conn: To the ledger, autocommit.
        key_id: The one that ends; if it was to end sooner anyway, then.
        overlap_s: Seconds until it does; 0 for at once.
        actor: Who does it.
        reason: Why; may be empty.

    Returns:
        The new key; it holds for as long as the other was made for, if that had an end.

    Raises:
        NoKey: There is none of this id.
        KeyEnded: It does not hold any more; who needs a new one makes one.
        KeyReplaced: It was rotated already: its end is that of the overlap, not the one it was made for.
    """
    async with conn.transaction():
        before = await _in_force(conn, key_id)
        successor = await api_keys.find_replacement(conn, key_id)
        if successor is not None:
            raise KeyReplaced(f"key {key_id} was rotated to {successor} already: rotate that one, or create a key")
        made = await _insert(conn, before["client_id"], before["scopes"], before["lasts_s"], before["note"], key_id)
        ends_at = await api_keys.end_key(conn, key_id, overlap_s=overlap_s)
        details = {"by": made.key_id, "expires_at": ends_at}
        await acts.insert_act(conn, "rotate_key", key_id, actor=actor, reason=reason, details=details)
    return made


async def revoke(conn: Connection, key_id: str, *, actor: str, reason: str) -> None:
    """End a key for good; edges that reach the ledger refuse it within two seconds.

    Raises:
        NoKey: There is none of this id.
        KeyEnded: It is revoked, or has expired.
    """
    async with conn.transaction():
        await _in_force(conn, key_id)
        await api_keys.revoke_key(conn, key_id)
        await acts.insert_act(conn, "revoke_key", key_id, actor=actor, reason=reason)


async def _insert(
    conn: Connection, client_id: str, scopes: list[str], lasts_s: float | None, note: str, replaces: str | None
) -> NewKey:
    key_id = f"sgl_{base64.b32encode(secrets.token_bytes(_ID_BYTES)).decode().lower()}"
    secret = secrets.token_urlsafe(_SECRET_BYTES)
    expires_at = await api_keys.insert_key(
        conn, key_id, hash_secret(secret), client_id, scopes, lasts_s=lasts_s, note=note, replaces=replaces
    )
    return NewKey(key_id, f"{key_id}.{secret}", client_id, tuple(scopes), expires_at)


async def _in_force(conn: Connection, key_id: str) -> Json:
    row = await api_keys.lock_key(conn, key_id)
    if row is None:
        raise NoKey(f"there is no key {key_id}: see `saga keys list`")
    if not row["in_force"]:
        raise KeyEnded(f"key {key_id} {'is revoked' if row['revoked'] else 'has expired'} already")
    return row
