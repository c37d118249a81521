"""What the ledger knows of definitions: what was ever registered, and what is still on it."""

from dataclasses import dataclass
from typing import Any, Final

from psycopg import AsyncConnection

from sql.loader import Queries

_QUERIES: Final = Queries("definitions")


@dataclass(frozen=True, slots=True)
class Registered:
    """A version of a saga as some process had it.

    Attributes:
        saga, version: Which.
        fingerprint: Of its code.
        steps: Names of its steps, in order.
        unfinished: Number of orders that are still on it.
    """

    saga: str
    version: int
    fingerprint: str
    steps: list[str]
    unfinished: int


async def list_registered(conn: AsyncConnection[Any]) -> list[Registered]:
    """Return all that was ever registered, by saga and version."""
    return [Registered(**row) for row in await _QUERIES.fetch(conn, "list_registered", {})]
