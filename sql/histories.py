"""What was decided on an order, from its first entry to the row's state: what replaying a journal needs, and no more.

As JSON it is also the form in which journals of earlier releases are kept, so nothing in it may lose its meaning.
"""

from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

from msgspec import structs
from psycopg import AsyncConnection
from psycopg.rows import scalar_row

from sql.loader import Queries
from sql.models import Direction, Entry, Json, Kind

Connection = AsyncConnection[Any]

_QUERIES: Final = Queries("histories")


@dataclass(frozen=True, slots=True)
class Recorded:
    """A journal entry as it stands, without request, answer and duration.

    Attributes:
        seq: Its position.
        lease_epoch: Claim under which it was written.
        entry: What it says.
    """

    seq: int
    lease_epoch: int
    entry: Entry

    @staticmethod
    def from_json(stored: Json) -> "Recorded":
        """Read the stored form.

        Raises:
            KeyError, ValueError: It is none.
        """
        direction = stored["direction"]
        plain = {name: stored[name] for name in ("step", "round", "attempt", "outcome", "error", "actor", "reason")}
        entry = Entry(Kind(stored["kind"]), direction=Direction(direction) if direction else None, **plain)
        return Recorded(stored["seq"], stored["lease_epoch"], entry)


@dataclass(frozen=True, slots=True)
class History:
    """An order's journal and what its row says.

    Attributes:
        order_ledger_id: The order.
        definition_id, definition: The snapshot that it runs on.
        status, step, direction, retry_count, progress, lapses, lease_epoch, last_seq: As in the row.
        results: Names of the steps whose answers the row keeps, sorted.
        journal: All entries, in order.
    """

    order_ledger_id: UUID
    definition_id: UUID
    definition: Json
    status: str
    step: str | None
    direction: str
    retry_count: int
    progress: Json
    results: list[str]
    lapses: int
    lease_epoch: int
    last_seq: int
    journal: tuple[Recorded, ...]

    @staticmethod
    def from_json(stored: Json) -> "History":
        """Read the stored form.

        Raises:
            KeyError, TypeError, ValueError: It is none.
        """
        ids = {name: UUID(stored[name]) for name in ("order_ledger_id", "definition_id")}
        journal = tuple(Recorded.from_json(entry) for entry in stored["journal"])
        return History(**{**stored, **ids, "journal": journal})

    def to_json(self) -> Json:
        """Return the stored form, of plain JSON values."""
        journal = []
        for recorded in self.journal:
            entry = structs.asdict(recorded.entry)
            for left_out in ("request", "response", "duration_ms"):
                del entry[left_out]
            journal.append({"seq": recorded.seq, "lease_epoch": recorded.lease_epoch, **entry})
        ids = {"order_ledger_id": str(self.order_ledger_id), "definition_id": str(self.definition_id)}
        return {**{name: getattr(self, name) for name in self.__slots__}, **ids, "journal": journal}


async def page_histories(
    conn: Connection, *, order_ledger_id: UUID | None = None, after: UUID | None = None, limit: int
) -> list[History]:
    """Read one order's history, or a page of all, each of one moment.

    Args:
        conn: Any connection to the ledger.
        order_ledger_id: Of which order; None for all.
        after: Id of the last order of the page before; None for the first page.
        limit: Most orders to return.
    """
    parameters = {"order_ledger_id": order_ledger_id, "after": after, "limit": limit}
    async with conn.cursor(row_factory=scalar_row) as cursor:
        # Prepared, it may get one plan for one order and for all of them.
        await cursor.execute(_QUERIES["page_histories"], parameters, prepare=False)
        return [History.from_json(stored) for stored in await cursor.fetchall()]
