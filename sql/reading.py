"""What clients and operators read of orders: one async function per query of `sql/queries/reading.sql`, of the same name.

Rows are dicts of the public columns: ids are UUIDs, times are aware datetimes, money is integer minor units. Leases,
request hashes and frozen answers are never among them. A `client_id` of None stands for an operator, who sees the orders
of all clients; another client's order is as absent as one that does not exist. Functions need no transaction.
"""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Collection, Mapping
from datetime import UTC, datetime, timedelta
from struct import Struct
from struct import error as StructError
from typing import Any, Final, NamedTuple
from uuid import UUID

import orjson
from psycopg import AsyncConnection
from psycopg.types.json import set_json_loads

from sql.loader import Queries
from sql.models import TERMINAL, Json, Status

Connection = AsyncConnection[Any]
Position = tuple[datetime, UUID]
"""Where a page of orders ends: time of creation and id of its last one."""

WINDOW_S: Final = 3_600.0
WINDOW_MAX_S: Final = 86_400.0
SAMPLE: Final = 10_000
"""Orders whose journals statistics look into: a second's work at most, and enough for a 99th percentile."""

LOOK_MAX: Final = 10_000
"""Orders that are looked at one by one for a page: some hundredths of a second of the server."""
CLIENTS_MAX: Final = 1_000
"""Clients among whose keys one is looked for."""

# Prepared, a statement may get one plan for all its filters, and a list by customer would read the whole ledger.
_QUERIES: Final = Queries("reading", prepare=False)
_BY_ID: Final = Queries("reading")
"""Of statements that read one order: its id leaves nothing to choose, and planning them takes longer than running them."""
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_CURSOR: Final = Struct(">q16s")
"""Microseconds since 1970, which is all the precision that the database has, and the id."""
CURSOR_LENGTH: Final = 32
"""Characters of an encoded position. Base64 needs no padding for so many bytes, so any text of its letters is one."""
_FIRST: Final = datetime.min.replace(tzinfo=UTC)
_LAST: Final = datetime.max.replace(tzinfo=UTC)

set_json_loads(orjson.loads)


async def get_order(conn: Connection, order_ledger_id: UUID, client_id: str | None) -> Json | None:
    """Return an order with its `items` and `steps`; None when there is none that this client may see.

    A step has `name`, `state` (of `orchestrator.progress.StepState`), `attempts` (calls of its action), `started_at`
    (None before the first call), `finished_at` (None while its state is not final) and `error` (the last one; None once
    the step has succeeded).
    """
    rows = await _BY_ID.fetch(conn, "get_order", {"order_ledger_id": order_ledger_id, "client_id": client_id})
    if not rows:
        return None
    for step in rows[0]["steps"]:
        for name in ("started_at", "finished_at"):
            step[name] = step[name] and datetime.fromisoformat(step[name])
    return rows[0]


async def list_orders(conn: Connection, *, cursor: Position | None = None, limit: int, **filters: Any) -> list[Json]:
    """Return orders, newest first, without items, steps and results, however far has to be looked for them.

    Args:
        conn: Any connection to the ledger.
        cursor: Position after which the page starts; None for the first page. See `position_of`.
        limit: Most orders, at least 1.
        filters: As `look_for_orders` takes them.
    """
    return (await look_for_orders(conn, cursor=cursor, limit=limit, look_max=None, **filters)).orders


class Look(NamedTuple):
    """What a look for orders found.

    Attributes:
        orders: Newest first.
        reached: The position to which it looked, where it stopped for having looked at so many; None where the page is full, or
            all was looked at.
    """

    orders: list[Json]
    reached: Position | None


async def look_for_orders(
    conn: Connection,
    *,
    client_id: str | None = None,
    statuses: Collection[str] = (),
    saga: str | None = None,
    customer_id: str | None = None,
    client_request_id: str | None = None,
    metadata: Mapping[str, str] | None = None,
    error: str | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
    paused: bool = False,
    cursor: Position | None = None,
    limit: int,
    look_max: int | None,
) -> Look:
    """Return orders, newest first, without items, steps and results, having looked at a bounded number of them.

    Args:
        conn: Any connection to the ledger.
        client_id: Whose orders; None for everybody's.
        statuses: Orders in one of them; empty for every status.
        saga: Orders of this saga; None for any.
        customer_id: Orders of this customer; None for any.
        client_request_id: Orders under this key of a client's; None for any.
        metadata: Orders with every one of these labels; values are compared as text.
        error: Orders whose last error holds this text, in whichever case; None for any.
        since: Aware time; orders recorded then or later.
        until: Aware time; orders recorded before.
        paused: Whether only orders that an operator has on hold.
        cursor: Position after which the page starts; None for the first page. See `position_of`.
        limit: Most orders, at least 1.
        look_max: Most orders that are looked at one by one for what no index tells (labels, errors, sagas, how they ended);
            None for as many as it takes.
    """
    after_at, after_id = cursor or (None, None)
    # A key is unique with its client's name only, and so it stands in the index.
    clients = await list_clients(conn) if client_request_id is not None and client_id is None else None
    parameters = {
        "client_id": client_id,
        "client_ids": clients,
        "statuses": [str(status) for status in statuses] or None,
        "unfinished": paused or (bool(statuses) and TERMINAL.isdisjoint(statuses)),
        "halted": paused or set(statuses) == {Status.STUCK},
        "paused": paused,
        "saga": saga,
        "customer_id": customer_id,
        "client_request_id": client_request_id,
        "metadata": orjson.dumps(dict(metadata)).decode() if metadata else None,
        "error": error,
        "since": since,
        "until": until,
        "after_at": after_at,
        "after_id": after_id,
        "limit": limit,
    }
    if look_max is None or client_request_id is not None or not (statuses or paused or saga or metadata or error):
        return Look(await _list_orders(conn, parameters, None), None)
    async with conn.transaction():
        await _QUERIES.fetch(conn, "read_in_order", {})
        found = await _QUERIES.fetch(conn, "find_last_to_look_at", {**parameters, "look_max": look_max})
        last = position_of(found[0]) if found else None
        orders = await _list_orders(conn, parameters, last)
    return Look(orders, last if len(orders) < limit else None)


async def _list_orders(conn: Connection, parameters: Json, last: Position | None) -> list[Json]:
    last_at, last_id = last or (None, None)
    return await _QUERIES.fetch(conn, "list_orders", {**parameters, "last_at": last_at, "last_id": last_id})


async def list_clients(conn: Connection) -> list[str]:
    """Return the clients that have orders, by name, at most `CLIENTS_MAX`."""
    return [row["client_id"] for row in await _QUERIES.fetch(conn, "list_clients", {"limit": CLIENTS_MAX})]


async def list_ids(conn: Connection, first: UUID, last: UUID, *, limit: int) -> list[UUID]:
    """Return the ids of orders from one to another."""
    rows = await _QUERIES.fetch(conn, "list_ids", {"first": first, "last": last, "limit": limit})
    return [row["order_ledger_id"] for row in rows]


async def get_journal(conn: Connection, order_ledger_id: UUID, client_id: str | None = None) -> list[Json] | None:
    """Return an order's journal from its first entry on; None when there is no order that this client may see.

    Entries have every column of the journal; `hash` is hexadecimal.
    """
    rows = await _BY_ID.fetch(conn, "get_journal", {"order_ledger_id": order_ledger_id, "client_id": client_id})
    return [row for row in rows if row["seq"] is not None] if rows else None


async def get_snapshot(conn: Connection, order_ledger_id: UUID) -> Json | None:
    """Return what an order runs on, for operators; None when there is no such order.

    It has `definition_id` and `body` of the snapshot, and `age_s`: seconds since the order was recorded.
    """
    rows = await _BY_ID.fetch(conn, "get_snapshot", {"order_ledger_id": order_ledger_id})
    return rows[0] if rows else None


async def count_replicas(conn: Connection) -> int:
    """Return how many orchestrators are connected to this ledger now."""
    rows = await _QUERIES.fetch(conn, "count_replicas", {})
    return int(rows[0]["replicas"])


class Active(NamedTuple):
    """Unfinished orders of one saga in one status.

    Attributes:
        orders: How many.
        oldest_s: Seconds since the oldest of them was recorded.
    """

    orders: int
    oldest_s: float


async def count_active(conn: Connection) -> dict[tuple[str, str], Active]:
    """Return how many unfinished orders there are of each saga and status that one has."""
    rows = await _QUERIES.fetch(conn, "count_active", {})
    return {(row["saga"], row["status"]): Active(row["orders"], row["oldest_s"]) for row in rows}


async def count_due(conn: Connection, *, most: int) -> int:
    """Return how many orders are due and nobody works on, counted no further than `most`."""
    rows = await _QUERIES.fetch(conn, "count_due", {"most": most})
    return int(rows[0]["orders"])


async def statistics(conn: Connection, *, window_s: float = WINDOW_S, sample: int | None = None) -> Json:
    """Return what the ledger is doing; what it costs does not depend on how many orders the ledger holds.

    Args:
        conn: Any connection to the ledger.
        window_s: Seconds to look back for what ended and what was tried, at most a day; where more than `sample` orders ended
            in them, as far back as the newest of these reach.
        sample: Most orders whose journals are looked into; None for 10,000.

    Returns:
        Now: `orders` (in the ledger), `active` (unfinished ones by saga and status), `unfinished` (the same by status),
        `active_at` (the same by step: `saga`, `status`, `step`, `orders`, `oldest_age_s`), `oldest_unfinished_age_s` (None when
        all are finished), `stuck`, `paused`, `outbox_rows`, `outbox_pending`. Numbers of rows are estimates above 100,000.

        In the last `window_s` seconds, the length that was really looked at: `started_per_s`, `finished_per_s`, `finished` (by
        status), `p50_s`, `p95_s` and `p99_s` (from record to end; None when nothing ended), `sagas` (`saga`, `finished`,
        `completed` and its percentiles), `steps` (`saga`, `step`, `direction`, `attempts`, of which `succeeded`, `rejected`,
        `unknown`, `succeeded_per_s`, `p50_ms`, `p95_ms` and `p99_ms` of a call), `failure_points` (`saga`, `step`, `direction`,
        `outcome`, `orders`: at which step orders turned round or could not be undone) and `compensation` (`operations`,
        `succeeded`, `success_share`, None without any). With more unfinished ones than `sample` the calls of the newest count.
    """
    async with conn.transaction():
        await _QUERIES.fetch(conn, "read_in_order", {})
        return (await _QUERIES.fetch(conn, "statistics", {"window_s": window_s, "sample": sample or SAMPLE}))[0]


async def ping(conn: Connection) -> None:
    """Prove that the ledger answers."""
    await _QUERIES.fetch(conn, "ping", {})


def position_of(row: Json) -> Position:
    """Return the position of an order in the list: as the last one of a page, the next page's `cursor`."""
    return row["created_at"], row["order_ledger_id"]


def encode_cursor(position: Position) -> str:
    """Return a position as an opaque text, safe in a URL."""
    at, order_ledger_id = position
    packed = _CURSOR.pack((at - _EPOCH) // timedelta(microseconds=1), order_ledger_id.bytes)
    return urlsafe_b64encode(packed).decode()


def decode_cursor(text: str) -> Position:
    """Return the position that a text of `encode_cursor` stands for.

    Raises:
        ValueError: It is not such a text.
    """
    try:
        packed = urlsafe_b64decode(text.encode("ascii"))
        microseconds, id_bytes = _CURSOR.unpack(packed)
    except (ValueError, StructError):
        raise ValueError("this is no cursor of a list of orders") from None
    # Base64 decoding passes over what it does not know, so only a text that comes back the same is a cursor.
    if urlsafe_b64encode(packed).decode() != text:
        raise ValueError("this is no cursor of a list of orders")
    try:
        at = _EPOCH + timedelta(microseconds=microseconds)
    except OverflowError:
        # Before or behind all times that there are, and so before or behind every order.
        at = _FIRST if microseconds < 0 else _LAST
    return at, UUID(bytes=id_bytes)
