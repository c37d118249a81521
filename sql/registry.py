"""The run-time registry of participants, as commands and the local stack use it: synchronously, once."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import orjson
import psycopg

from sql.loader import Queries
from sql.models import Json

_QUERIES: Final = Queries("registry")
_INSERT_ACT: Final = Queries("acts")["insert_act"]
CONNECT_TIMEOUT_S: Final = 5


@dataclass(frozen=True, slots=True)
class By:
    """Who changes the registry by hand, for the record.

    Attributes:
        actor: Who.
        reason: Why; may be empty.
    """

    actor: str
    reason: str


def register_participants(
    ledger_url: str, addresses: Mapping[str, str], limits: Json | None = None, *, by: By | None = None
) -> None:
    """Note where participants are.

    Args:
        ledger_url: The ledger, migrated.
        addresses: Base URL of each participant, by name.
        limits: Their limits; `concurrency`: most calls of a replica at once. None leaves them as they are.
        by: Who does it; None for a stack that notes where its own are.

    Raises:
        psycopg.Error: The ledger can't be written; nothing was noted.
    """
    with psycopg.connect(ledger_url, connect_timeout=CONNECT_TIMEOUT_S) as conn:
        for name, address in addresses.items():
            parameters = {"name": name, "address": address, "limits": limits and orjson.dumps(limits).decode()}
            conn.execute(_QUERIES["register_participant"], parameters)
            if by is not None:
                _record(conn, "add_participant", name, by, {"address": address, "limits": limits})


def unregister_participant(ledger_url: str, name: str, *, by: By | None = None) -> bool:
    """Forget where a participant is; tell whether it was known.

    Args:
        ledger_url: The ledger, migrated.
        name: Which.
        by: Who does it; None for nobody who has to be recorded.

    Raises:
        psycopg.Error: The ledger can't be written.
    """
    with psycopg.connect(ledger_url, connect_timeout=CONNECT_TIMEOUT_S) as conn:
        known = bool(conn.execute(_QUERIES["unregister_participant"], {"name": name}).fetchall())
        if known and by is not None:
            _record(conn, "remove_participant", name, by, {})
        return known


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


def _record(conn: psycopg.Connection[Any], act: str, name: str, by: By, details: Json) -> None:
    told = {"act": act, "subject": name, "actor": by.actor, "reason": by.reason, "details": orjson.dumps(details).decode()}
    conn.execute(_INSERT_ACT, told)
