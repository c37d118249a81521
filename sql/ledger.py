"""The ledger's store: one async function per query of `sql/queries/ledger.sql`, of the same name.

The caller owns the transaction: functions take the connection first and never commit. On an autocommit connection each
is a transaction of its own, which is how the orchestrator uses them: none needs a second statement to be whole.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, LiteralString
from uuid import UUID

import msgspec
import orjson
from msgspec.structs import replace
from psycopg import AsyncConnection, DataError
from psycopg.rows import tuple_row
from psycopg.types.json import set_json_loads

from sql.loader import Queries
from sql.models import (
    Claim,
    Claims,
    Direction,
    Json,
    NewOrder,
    SagaRow,
    Status,
    Transition,
)

Connection = AsyncConnection[Any]

_QUERIES: Final = Queries("ledger")
_ENCODER: Final = msgspec.json.Encoder()
_SAGA_ROW_FIELDS: Final = SagaRow.__struct_fields__

set_json_loads(orjson.loads)


class LedgerError(Exception):
    """The ledger did not do what was asked."""


class ClaimLost(LedgerError):
    """Another replica holds the row now; nothing was written."""


class OrderNotFound(LedgerError):
    """The ledger has no such row."""


@dataclass(frozen=True, slots=True)
class RepeatedRequest:
    """What the ledger knows of a key that was used before.

    Attributes:
        order_ledger_id: The row.
        request_hash: Of the first request.
        status: Where it stands.
        response_status, response_body: The frozen answer; None while there is none.
        held: Whether the first request is still being handled.
        lease_epoch, last_seq, saga, created_at: As in the row.
        personal: What the first request said of a person; None where it said nothing, or that was erased.
    """

    order_ledger_id: UUID
    request_hash: bytes
    status: Status
    response_status: int | None
    response_body: str | None
    held: bool
    lease_epoch: int
    last_seq: int
    saga: str
    created_at: datetime
    personal: Json | None = None


async def insert_order(conn: Connection, order: NewOrder) -> Any | None:
    """Insert a row with everything that belongs to it.

    Returns:
        The row's time of creation; None when nothing was written: the key was used before, or the saga was configured anew.
    """
    rows = await _QUERIES.fetch(conn, "insert_order", {"order": _written(order)})
    return rows[0]["created_at"] if rows else None


async def claim_due(
    conn: Connection,
    *,
    owner: str,
    lease_s: float,
    limit: int,
    fingerprints: Sequence[str],
    suspects: int = 1,
    begun: bool = False,
) -> Claims:
    """Take due rows for a replica.

    Args:
        conn: Autocommit connection, so that the claim is committed before any call is made.
        owner: Name of the replica, for people; authority is the epoch.
        lease_s: Seconds for which the rows are held.
        limit: Most rows to take beside suspects, at least 1.
        fingerprints: Of the definitions that the replica can run.
        suspects: Most rows to take of which owner after owner let the lease run out.
        begun: Take only rows of which a step after the edge's own has begun.
    """
    parameters = {
        "owner": owner,
        "lease_s": lease_s,
        "limit": limit,
        "fingerprints": list(fingerprints),
        "suspects": suspects,
        "begun": begun,
    }
    # Tuples, in the order of the query's columns: this and the next are what a busy replica reads of the ledger.
    rows = await _fetch_tuples(conn, "claim_due", parameters)
    claims = [Claim(_saga_row(row[6:]), *row[1:6]) for row in rows if row[6] is not None]
    # A row is as new as its lock, what was joined to it as old as the statement: a signal's personal part, which came with the
    # signal, could be missing beside it. A row may hold anything, and is put aside by who works on it.
    signalled = [
        claim.row.order_ledger_id
        for claim in claims
        if isinstance(claim.row.progress, dict) and "signals" in claim.row.progress
    ]
    if signalled:
        now = await get_rows(conn, signalled)
        claims = [replace(claim, row=now.get(claim.row.order_ledger_id, claim.row)) for claim in claims]
    return Claims(tuple(claims), rows[0][0])


async def get_rows(conn: Connection, order_ledger_ids: Sequence[UUID]) -> dict[UUID, SagaRow]:
    """Read rows as they are now; one that does not exist is missing from the answer."""
    rows = await _fetch_tuples(conn, "get_rows", {"order_ledger_ids": list(order_ledger_ids)})
    return {row[0]: _saga_row(row) for row in rows}


async def write_transitions(conn: Connection, transitions: Iterable[Transition]) -> dict[UUID, int]:
    """Write transitions of different rows in one statement.

    Returns:
        The new journal position of each row that was written. A row that is missing was changed by another since it
        was read, and nothing of its transition was written.

    Raises:
        psycopg.DataError: One of them can't be stored; nothing was written.
        psycopg.OperationalError: The connection is gone; whether anything was written is not known.
    """
    return dict(await _fetch_tuples(conn, "write_transitions", {"transitions": _written(list(transitions))}))


async def list_written(conn: Connection, transitions: Sequence[Transition]) -> set[UUID]:
    """Tell which of a replica's transitions stand in the journal, after the answer to a commit was lost."""
    with_entries = [transition for transition in transitions if transition.entries]
    if not with_entries:
        return set()
    parameters = {
        "order_ledger_ids": [t.order_ledger_id for t in with_entries],
        "seqs": [t.last_seq + 1 for t in with_entries],
        "epochs": [t.lease_epoch for t in with_entries],
        "kinds": [t.entries[0].kind.value for t in with_entries],
        "replica": with_entries[0].replica,
    }
    return {row["order_ledger_id"] for row in await _QUERIES.fetch(conn, "list_written", parameters)}


async def renew_leases(conn: Connection, held: Sequence[tuple[UUID, int]], *, lease_s: float) -> set[UUID]:
    """Extend the leases of rows (id and epoch); one that is missing from the answer was lost."""
    ids, epochs = _split(held)
    parameters = {"order_ledger_ids": ids, "epochs": epochs, "lease_s": lease_s}
    return {row["order_ledger_id"] for row in await _QUERIES.fetch(conn, "renew_leases", parameters)}


async def release_leases(conn: Connection, held: Sequence[tuple[UUID, int]]) -> set[UUID]:
    """End the leases of rows (id and epoch) now; the next claim takes them over as lapsed."""
    ids, epochs = _split(held)
    rows = await _QUERIES.fetch(conn, "release_leases", {"order_ledger_ids": ids, "epochs": epochs})
    return {row["order_ledger_id"] for row in rows}


async def keep_personal(conn: Connection, order_ledger_id: UUID, step: str, personal: Json) -> None:
    """Keep what an answer for a step says of a person, apart from the answer."""
    parameters = {"order_ledger_id": order_ledger_id, "step": step, "personal": _written(personal)}
    await conn.execute(_QUERIES["keep_personal"], parameters)


async def register_definition(
    conn: Connection, *, definition_id: UUID, saga: str, version: int, hash: bytes, fingerprint: str, body: Json
) -> None:
    """Store a snapshot; one that is there already is left alone."""
    parameters = {
        "definition_id": definition_id,
        "saga": saga,
        "version": version,
        "hash": hash,
        "fingerprint": fingerprint,
        "body": _written(body),
    }
    await conn.execute(_QUERIES["register_definition"], parameters)


async def list_fingerprints(conn: Connection, *, saga: str, version: int) -> set[str]:
    """Return every fingerprint that a version of a saga was registered with."""
    rows = await _QUERIES.fetch(conn, "list_fingerprints", {"saga": saga, "version": version})
    return {row["fingerprint"] for row in rows}


async def get_definition(conn: Connection, definition_id: UUID) -> Json | None:
    """Return a snapshot's `saga`, `version`, `fingerprint` and `body`; None when there is none."""
    rows = await _QUERIES.fetch(conn, "get_definition", {"definition_id": definition_id})
    return rows[0] if rows else None


async def find_repeat(conn: Connection, order_ledger_id: UUID) -> RepeatedRequest | None:
    """Count and describe a repeat of a request; None when the key is new."""
    rows = await _QUERIES.fetch(conn, "find_repeat", {"order_ledger_id": order_ledger_id})
    return RepeatedRequest(**{**rows[0], "status": Status(rows[0]["status"])}) if rows else None


async def get_request(conn: Connection, order_ledger_id: UUID) -> Json | None:
    """Return a row's `client_id`, `client_request_id`, `request_hash` and `metadata`; None when there is no such row."""
    rows = await _QUERIES.fetch(conn, "get_request", {"order_ledger_id": order_ledger_id})
    return rows[0] if rows else None


async def freeze_answer(conn: Connection, order_ledger_id: UUID, status: int, body: str) -> tuple[int, str]:
    """Freeze the answer to every repeat of a request.

    Returns:
        The answer that stands: this one, or the one that was frozen before.

    Raises:
        OrderNotFound: There is no such row.
    """
    parameters = {"order_ledger_id": order_ledger_id, "response_status": status, "response_body": body}
    rows = await _QUERIES.fetch(conn, "freeze_answer", parameters)
    if not rows:
        raise OrderNotFound(f"the ledger has no order {order_ledger_id}")
    return rows[0]["response_status"], rows[0]["response_body"]


async def wake_orchestrators(conn: Connection) -> None:
    """Tell listeners that there may be work; best effort, the poll is the guarantee."""
    await conn.execute(_QUERIES["wake_orchestrators"])


async def list_finished(conn: Connection, order_ledger_ids: Sequence[UUID]) -> set[UUID]:
    """Tell which of these rows are finished."""
    rows = await _QUERIES.fetch(conn, "list_finished", {"order_ledger_ids": list(order_ledger_ids)})
    return {row["order_ledger_id"] for row in rows}


async def _fetch_tuples(conn: Connection, name: LiteralString, parameters: dict[str, Any]) -> list[tuple[Any, ...]]:
    async with conn.cursor(row_factory=tuple_row) as cursor:
        await cursor.execute(_QUERIES[name], parameters)
        return await cursor.fetchall()


def _saga_row(row: tuple[Any, ...]) -> SagaRow:
    """Return a row whose columns stand in the order of the fields."""
    values = dict(zip(_SAGA_ROW_FIELDS, row, strict=True))
    return SagaRow(**{**values, "status": Status(values["status"]), "direction": Direction(values["direction"])})


def _split(held: Sequence[tuple[UUID, int]]) -> tuple[list[UUID], list[int]]:
    return [order_ledger_id for order_ledger_id, _ in held], [epoch for _, epoch in held]


def _written(value: object) -> str:
    """Return a value as JSON; what is as it is by default is left out, where its type says so."""
    try:
        return _ENCODER.encode(value).decode()
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        # A surrogate, an integer of more than 64 bits, too deep a nesting: as little to be stored as what the server refuses.
        raise DataError(f"a value is no JSON: {error}") from None
