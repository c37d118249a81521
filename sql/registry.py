"""The run-time registry of participants, as commands and the local stack use it: synchronously, once."""

from collections.abc import Mapping
from typing import Final

import orjson
import psycopg

from sql.loader import Queries
from sql.models import Json

_QUERIES: Final = Queries("registry")
CONNECT_TIMEOUT_S: Final = 5


def register_participants(ledger_url: str, addresses: Mapping[str, str], limits: Json | None = None) -> None:
    """Note where participants are.

    Args:
        ledger_url: The ledger, migrated.
        addresses: Base URL of each participant, by name.
        limits: Their limits; `concurrency`: most calls of a replica at once. None leaves them as they are.

    Raises:
        psycopg.Error: The ledger can't be written; nothing was noted.
    """
    with psycopg.connect(ledger_url, connect_timeout=CONNECT_TIMEOUT_S) as conn:
        for name, address in addresses.items():
            parameters = {"name": name, "address": address, "limits": limits and orjson.dumps(limits).decode()}
            conn.execute(_QUERIES["register_participant"], parameters)


def unregister_participant(ledger_url: str, name: str) -> bool:
    """Forget where a participant is; tell whether it was known.

    Raises:
        psycopg.Error: The ledger can't be written.
    """
    with psycopg.connect(ledger_url, connect_timeout=CONNECT_TIMEOUT_S) as conn:
        return bool(conn.execute(_QUERIES["unregister_participant"], {"name": name}).fetchall())


def list_participants(ledger_url: str) -> dict[str, str]:
    """Return the base URL of each participant that is registered, by name.

    Returns:
        Empty where none is, and where the ledger can't be asked: what needs it will say so itself.
    """
    try:
        with psycopg.connect(ledger_url, connect_timeout=CONNECT_TIMEOUT_S) as conn:
            return dict(conn.execute(_QUERIES["list_participants"]).fetchall())
    except psycopg.Error:
        return {}
