"""The audit's queries: `sql/audit/*.sql`, each with a header that says where it runs and what a returned row means.

::

    -- title: The journal has no gaps
    -- database: ledger
    -- kind: invariant                     (or `question`)
    -- invariant: I7                       (where the specification numbers it)
    -- a row means: entries of this order are missing
    --     and a longer text goes on, indented
    select …;

The files have no parameters, so that people run them by `psql -f` and the audit runs the very same text.
"""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal, LiteralString, cast
from uuid import UUID

from psycopg import AsyncConnection, IsolationLevel
from psycopg.rows import dict_row, tuple_row

from sql.chain import limit_span
from sql.loader import Queries
from sql.models import Json

AUDIT: Final = Path(__file__).parent / "audit"
DATABASES: Final = ("ledger", "orders", "inventory", "payments", "shipping", "notifications")
TIMEOUT_S: Final = 300.0
"""Of one query. It may scan the whole journal, so it is given far longer than any other statement."""

Connection = AsyncConnection[Any]
Kind = Literal["invariant", "question"]

_QUERIES: Final = Queries("audit")
_HEADER_LINE: Final = re.compile(r"-- ([a-z][a-z ]*): (.+)")
_CONTINUATION: Final = re.compile(r"--     (\S.*)")
_FIELDS: Final = frozenset({"title", "database", "kind", "a row means"})
_FIELDS_KNOWN: Final = _FIELDS | {"invariant"}


class AuditFileError(LookupError):
    """A file of `sql/audit/` has no valid header; none of them was run."""


@dataclass(frozen=True, slots=True)
class AuditQuery:
    """One query of the audit.

    Attributes:
        name: Name of its file, without the ending.
        title: What it states or asks, in a sentence.
        database: `ledger`, or the participant whose database it runs on.
        kind: An invariant's rows are violations, a question's are its answer.
        meaning: What a returned row means.
        text: The SQL, without parameters.
        invariant: Number of the rule in the specification; None for none.
    """

    name: str
    title: str
    database: str
    kind: Kind
    meaning: str
    text: LiteralString
    invariant: str | None = None


@dataclass(frozen=True, slots=True)
class FinishedOrder:
    """A finished order, as far as the participants' effects follow from it.

    Attributes:
        order_ledger_id: The order.
        saga, saga_version: What it ran.
        status: How it ended.
        input: What it was started with, without personal data.
        steps_done: Names of the steps that succeeded.
        begun: What was begun on it, finished or not.
        family: Tells whether anything of that has changed since.
    """

    order_ledger_id: UUID
    saga: str
    saga_version: int
    status: str
    input: Json
    steps_done: list[str]
    begun: tuple["FinishedOrder", ...] = ()
    family: str = ""


def load_audit(folder: Path = AUDIT) -> tuple[AuditQuery, ...]:
    """Read every query, sorted by name.

    Raises:
        AuditFileError: A header is missing, incomplete or names what does not exist; the sentence names the file.
    """
    return tuple(_read(path) for path in sorted(folder.glob("*.sql")))


async def run(
    conn: Connection, query: AuditQuery, limit: int, *, timeout_s: float = TIMEOUT_S, span: tuple[UUID, UUID] | None = None
) -> list[Json]:
    """Run a query in a transaction of its own that can't write.

    Args:
        conn: Connection that is in no transaction, to the database that the query names.
        query: What to run.
        limit: Most rows to return, at least 1; further ones are not fetched.
        timeout_s: Seconds after which the server gives up.
        span: Ids of orders, after the one and up to the other, for a query that can look at these alone; None for all.

    Raises:
        psycopg.Error: The query did not run to its end.
    """
    await read_only(conn)
    async with conn.transaction():
        await limit_query(conn, timeout_s)
        if span is not None:
            await limit_span(conn, *span)
        # A cursor on the server, so that a query that finds millions of rows sends only those that are looked at.
        async with conn.cursor(name="audit", row_factory=dict_row) as cursor:
            await cursor.execute(query.text)
            return await cursor.fetchmany(limit)


async def read_only(conn: Connection) -> None:
    """Make every later transaction of a connection see one moment and change nothing."""
    await conn.set_read_only(True)
    await conn.set_isolation_level(IsolationLevel.REPEATABLE_READ)


async def limit_query(conn: Connection, timeout_s: float) -> None:
    """Give each statement of the present transaction so many seconds."""
    await conn.execute(_QUERIES["limit_query"], {"timeout_ms": int(timeout_s * 1000)})


async def page_finished(conn: Connection, *, after: UUID | None, limit: int) -> list[FinishedOrder]:
    """Read one page of finished orders.

    Args:
        conn: Connection to the ledger; within one transaction all pages are of one moment.
        after: Id of the last order of the page before; None for the first page.
        limit: Most orders to return.
    """
    async with conn.cursor(row_factory=dict_row) as cursor:
        await cursor.execute(_QUERIES["page_finished"], {"after": after, "limit": limit})
        return [FinishedOrder(**{**row, "begun": _begun(row["begun"])}) for row in await cursor.fetchall()]


async def list_statuses(conn: Connection, order_ledger_ids: list[UUID]) -> dict[UUID, str]:
    """Return where orders stand now; one that the ledger does not know is missing from the answer."""
    async with conn.cursor(row_factory=dict_row) as cursor:
        await cursor.execute(_QUERIES["list_statuses"], {"order_ledger_ids": order_ledger_ids})
        return {row["order_ledger_id"]: row["status"] for row in await cursor.fetchall()}


async def list_families(conn: Connection, order_ledger_ids: list[UUID]) -> dict[UUID, str]:
    """Return the `family` of orders as it is now; one on which nothing was begun is missing from the answer."""
    async with conn.cursor(row_factory=tuple_row) as cursor:
        await cursor.execute(_QUERIES["list_families"], {"order_ledger_ids": order_ledger_ids})
        return dict(await cursor.fetchall())


async def list_parents(conn: Connection, order_ledger_ids: list[UUID]) -> dict[UUID, UUID]:
    """Return which orders others are about; one that is about no other is missing from the answer."""
    async with conn.cursor(row_factory=tuple_row) as cursor:
        await cursor.execute(_QUERIES["list_parents"], {"order_ledger_ids": order_ledger_ids})
        return dict(await cursor.fetchall())


async def list_worth(conn: Connection, order_ledger_ids: list[UUID]) -> dict[UUID, Json]:
    """Return `saga`, `currency` and `total_minor` of orders; one that the ledger does not have is missing from the answer."""
    async with conn.cursor(row_factory=dict_row) as cursor:
        await cursor.execute(_QUERIES["list_worth"], {"order_ledger_ids": order_ledger_ids})
        return {row["order_ledger_id"]: row for row in await cursor.fetchall()}


def _begun(rows: list[Json]) -> tuple[FinishedOrder, ...]:
    return tuple(FinishedOrder(**{**row, "order_ledger_id": UUID(row["order_ledger_id"])}) for row in rows)


def _read(path: Path) -> AuditQuery:
    lines = path.read_text(encoding="utf-8").splitlines()
    fields: dict[str, str] = {}
    last = None
    for line in lines:
        if found := _HEADER_LINE.fullmatch(line):
            last, value = found[1], found[2]
            if last in fields or last not in _FIELDS_KNOWN:
                raise AuditFileError(f"sql/audit/{path.name} has a header line that is unknown or doubled: {last}")
            fields[last] = value.strip()
        elif last and (further := _CONTINUATION.fullmatch(line)):
            fields[last] += f" {further[1].strip()}"
        else:
            break
    if missing := _FIELDS - fields.keys():
        raise AuditFileError(f"sql/audit/{path.name} has no header line {sorted(missing)[0]!r}")
    if fields["database"] not in DATABASES:
        raise AuditFileError(f"sql/audit/{path.name} names no database of ours: {fields['database']}")
    if fields["kind"] not in ("invariant", "question"):
        raise AuditFileError(f"sql/audit/{path.name} is neither an invariant nor a question: {fields['kind']}")
    return AuditQuery(
        name=path.stem,
        title=fields["title"],
        database=fields["database"],
        kind=cast("Kind", fields["kind"]),
        meaning=fields["a row means"],
        text="\n".join(lines),
        invariant=fields.get("invariant"),
    )
