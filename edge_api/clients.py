"""Clients and their keys: those of `SAGA_API_KEYS`, and those that `saga keys` put into the ledger.

The ledger's keys are kept in memory, so that a request costs no query. One statement a second asks whether any has changed: a
key that is revoked is refused within two seconds, and one that is not known is looked for before it is refused, so a new one
holds at once. While the ledger is away, keys that are known hold for `STALE_S`; then nobody's is believed until it is back.
"""

import asyncio
import hmac
import math
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import psycopg
import structlog
from psycopg_pool import AsyncConnectionPool, PoolClosed
from pydantic import SecretStr

from edge_api.errors import EdgeError
from edge_api.limits import in_time
from orchestrator.api_keys import CLIENT, Scope, hash_secret, split_key
from orchestrator.bearer import digest_of, same_token
from sql import api_keys
from sql.api_keys import StoredKey
from sql.connect import OUTAGE

LOOK_S: Final = 1.0
"""Between two looks for keys that changed."""
LOOK_APART_S: Final = 0.1
"""Between two looks for keys that are not known, whoever sends how many."""
LOOK_TIMEOUT_S: Final = 2.2
"""Of the ledger's answer, with the wait for a connection: a little more than the pool's own limit."""
STALE_S: Final = 30.0
"""For which keys are believed that could not be looked at: a failover of the ledger is over by then."""
TOUCH_S: Final = 60.0
"""Between two notes of which keys were used."""
CLIENT_SCOPES: Final = frozenset({Scope.ORDERS, Scope.EVENTS})
"""Of keys that `SAGA_API_KEYS` names."""
_CLIENT: Final = re.compile(CLIENT)
_KEY: Final = re.compile(r"[\x21-\x2b\x2d-\x7e]{1,256}")
"""Visible ASCII without the comma, which is what a header can carry and the setting can hold."""
_NO_HASH: Final = bytes(32)
_UNSEEN: Final = (*OUTAGE, psycopg.Error, PoolClosed, TimeoutError)
"""What a look raises that told nothing: the ledger is away, or refuses while somebody changes rights."""

log = structlog.get_logger(__name__)


class KeysUnknown(Exception):
    """Whether a key holds can't be told now, because the ledger has been away for too long."""


@dataclass(frozen=True, slots=True)
class Caller:
    """Who is asking.

    Attributes:
        client_id: The client.
        scopes: What its key allows.
    """

    client_id: str
    scopes: frozenset[str]


@dataclass(frozen=True, slots=True)
class _Known:
    stored: StoredKey
    caller: Caller
    until_s: float
    """Monotonic time."""


class KeyRing:
    """The keys of an installation, as one process knows them.

    Args:
        pool: Autocommit connections to the ledger.
        static: Client of each key of `SAGA_API_KEYS`.

    Attributes:
        has_client_keys: Whether there ever was a key that allows what clients do.
        has_admin_keys: Whether there ever was one that allows what operators do.
    """

    def __init__(self, pool: AsyncConnectionPool[Any], static: Mapping[str, str]) -> None:
        self.has_client_keys = bool(static)
        self.has_admin_keys = False
        self._pool = pool
        self._static = [(digest_of(key), Caller(client, CLIENT_SCOPES)) for key, client in static.items()]
        self._known: dict[str, _Known] = {}
        self._version: int | None = None
        self._seen_s = -math.inf  # monotonic time at which the last look began that was answered
        self._tried_s = -math.inf  # and the last one, whatever came of it
        self._looking = asyncio.Lock()
        self._used: set[str] = set()

    async def find(self, key: str) -> Caller | None:
        """Return whose key it is; None for nobody's, whatever is wrong with it.

        Raises:
            KeysUnknown: The ledger has been away for too long.
        """
        # Every one is compared, whatever was found, so that the time tells nothing.
        found = [caller for digest, caller in self._static if same_token(key, digest)]
        if found:
            return found[0]
        parts = split_key(key)
        if parts is None:
            return None
        key_id, secret = parts
        now_s = time.monotonic()
        if key_id not in self._known or now_s - self._seen_s > STALE_S:
            await self._look_since(now_s)
        known = self._known.get(key_id)
        is_right = hmac.compare_digest(hash_secret(secret), known.stored.secret_hash if known else _NO_HASH)
        if known is None or not is_right or time.monotonic() >= known.until_s:
            return None
        self._used.add(key_id)
        return known.caller

    async def look(self) -> None:
        """Read what changed.

        Raises:
            psycopg.OperationalError, psycopg_pool.PoolTimeout, TimeoutError: The ledger is away; what was known stands.
        """
        self._tried_s = began_s = time.monotonic()
        self._version, found = await in_time(self._read(), LOOK_TIMEOUT_S)
        self._seen_s = began_s
        if found is None:
            return
        self._known = {key_id: _known(stored, began_s) for key_id, stored in found.items()}
        scopes = {scope for stored in found.values() for scope in stored.scopes}
        # What was closed stays closed: the last key that ends must not open the door.
        self.has_client_keys |= bool(scopes & CLIENT_SCOPES)
        self.has_admin_keys |= Scope.ADMIN in scopes

    async def run(self) -> None:
        """Look again and again, and note which keys were used, until cancelled."""
        away, touched_s = False, time.monotonic()
        while True:
            await asyncio.sleep(LOOK_S)
            try:
                async with self._looking:
                    await self.look()
                if time.monotonic() - touched_s >= TOUCH_S:
                    touched_s = time.monotonic()
                    await self._touch()
                away = False
            except _UNSEEN as error:
                if not away:
                    log.warning("keys_not_seen", error=type(error).__name__)
                away = True

    async def _look_since(self, asked_s: float) -> None:
        """See what the keys are now or later; many who ask at once share a look."""
        async with self._looking:
            if self._seen_s >= asked_s:
                return
            if self._tried_s >= asked_s:
                raise KeysUnknown
            await asyncio.sleep(max(self._tried_s + LOOK_APART_S - time.monotonic(), 0))
            try:
                await self.look()
            except _UNSEEN:
                raise KeysUnknown from None

    async def _read(self) -> tuple[int, dict[str, StoredKey] | None]:
        async with self._pool.connection() as conn:
            return await api_keys.read_keys(conn, self._version)

    async def _touch(self) -> None:
        used, self._used = self._used, set()
        if used:
            async with self._pool.connection() as conn:
                await api_keys.touch_keys(conn, used, apart_s=TOUCH_S / 2)


def read_api_keys(setting: SecretStr | None) -> Mapping[str, str]:
    """Return the client of each key; a client may have several, so that keys can be changed one by one.

    Args:
        setting: `client=key,client=key`; None or empty for none.

    Raises:
        EdgeError: It is not of this form. The sentence shows no key.
    """
    text = setting.get_secret_value().strip() if setting is not None else ""
    found: dict[str, str] = {}
    for number, entry in enumerate(text.split(",") if text else [], start=1):
        client, _, key = entry.strip().partition("=")
        if not _CLIENT.fullmatch(client) or not _KEY.fullmatch(key):
            raise EdgeError(
                f"SAGA_API_KEYS: entry {number} must be client=key, the client of up to 64 letters, digits and any of '._:@-',"
                " the key of up to 256 visible ASCII characters without a comma"
            )
        if key in found:
            raise EdgeError(f"SAGA_API_KEYS: entry {number} repeats a key")
        found[key] = client
    return found


def _known(stored: StoredKey, now_s: float) -> _Known:
    until_s = math.inf if stored.lasts_s is None else now_s + stored.lasts_s
    return _Known(stored, Caller(stored.client_id, stored.scopes), until_s)
