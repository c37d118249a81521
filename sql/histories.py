"""What was decided on an order, from its first entry to the row's state: what replaying a journal needs, and no more.

As JSON it is also the form in which journals of earlier releases are kept, so nothing in it may lose its meaning. A `Course`
is what traces tell of it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any, Final
from uuid import UUID

from msgspec import structs
from psycopg import AsyncConnection
from psycopg.rows import namedtuple_row, scalar_row

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


@dataclass(frozen=True, slots=True)
class Moment:
    """A journal entry as traces tell it.

    Attributes:
        seq: Its position.
        at_ns: When, in nanoseconds since 1970.
        kind, step, direction, round, attempt, outcome, replica, lease_epoch: As in the journal.
    """

    seq: int
    at_ns: int
    kind: Kind
    step: str | None
    direction: Direction | None
    round: int
    attempt: int | None
    outcome: str | None
    replica: str
    lease_epoch: int


@dataclass(frozen=True, slots=True)
class Course:
    """What traces tell of an order.

    Attributes:
        order_ledger_id, saga, traceparent, parent_id: As in the row.
        created_ns: When it was recorded, in nanoseconds since 1970.
        journal: All entries, in order; at least one.
    """

    order_ledger_id: UUID
    saga: str
    traceparent: str | None
    parent_id: UUID | None
    created_ns: int
    journal: tuple[Moment, ...]


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


async def list_courses(conn: Connection, order_ledger_ids: Sequence[UUID]) -> list[Course]:
    """Read the courses of orders; one without an entry is missing."""
    async with conn.cursor(row_factory=namedtuple_row) as cursor:
        await cursor.execute(_QUERIES["list_courses"], {"order_ledger_ids": list(order_ledger_ids)})
        rows: list[Any] = await cursor.fetchall()
    found = []
    for _, entries in groupby(rows, key=lambda row: row.order_ledger_id):
        journal = tuple(entries)
        row = journal[0]
        moments = tuple(_moment(entry) for entry in journal)
        found.append(Course(row.order_ledger_id, row.saga, row.traceparent, row.parent_id, row.created_ns, moments))
    return found


def _moment(row: Any) -> Moment:
    direction = Direction(row.direction) if row.direction else None
    of_attempt = (row.step, direction, row.round, row.attempt, row.outcome)
    return Moment(row.seq, row.at_ns, Kind(row.kind), *of_attempt, row.replica, row.lease_epoch)
