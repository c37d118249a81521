"""What clients read: an order, the list of their orders, an order's journal.

A client sees its own orders. Another client's order, an id of nothing and a text that is no id at all get one answer.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, Final

import orjson
from aiohttp import web

from edge_api import keys
from edge_api.problems import Problem, ProblemType, order_not_found
from edge_api.requests import order_id_of, whole_number
from edge_api.rows import visible_rows
from orchestrator.sagas.cancel_order import CANCEL_ORDER
from orchestrator.sagas.pay_order import PAY_ORDER
from sql import ledger, reading
from sql.models import SagaRow, Status

LIMIT_DEFAULT: Final = 50
LIMIT_MAX: Final = 200
METADATA_PREFIX: Final = "metadata."
Parameter = tuple[str, Callable[[str, str], Any]]
_RFC_3339: Final = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,9})?(Z|[+-][0-9]{2}:[0-9]{2})", re.IGNORECASE
)


async def get_order(request: web.Request) -> web.Response:
    """Answer `GET /orders/ID`."""
    order_ledger_id = order_id_of(request)
    async with visible_rows(request) as conn:
        row = await reading.get_order(conn, order_ledger_id, request[keys.CLIENT_ID])
    if row is None:
        raise order_not_found()
    return json_response(representation(row))


async def list_orders(request: web.Request) -> web.Response:
    """Answer `GET /orders`: one page, newest first, and the cursor of the next one."""
    filters = read_query(request.query.items())
    limit: int = filters.pop("limit")
    async with visible_rows(request) as conn:
        # One more than is shown tells whether there is a next page.
        rows = await reading.list_orders(conn, client_id=request[keys.CLIENT_ID], limit=limit + 1, **filters)
    page = rows[:limit]
    next_cursor = reading.encode_cursor(reading.position_of(page[-1])) if len(rows) > limit else None
    return json_response({"orders": [representation(row) for row in page], "next_cursor": next_cursor})


async def get_journal(request: web.Request) -> web.Response:
    """Answer `GET /orders/ID/journal`."""
    order_ledger_id = order_id_of(request)
    async with visible_rows(request) as conn:
        entries = await reading.get_journal(conn, order_ledger_id, request[keys.CLIENT_ID])
    if entries is None:
        raise order_not_found()
    return json_response({"order_ledger_id": order_ledger_id, "entries": entries})


async def own_row(request: web.Request, conn: ledger.Connection) -> SagaRow:
    """Return the ledger's row of the order that a request names, for what is to be done with it.

    Raises:
        Problem: 404: this client has no such order.
    """
    order_ledger_id = order_id_of(request)
    stored = await ledger.get_request(conn, order_ledger_id)
    rows = await ledger.get_rows(conn, [order_ledger_id])
    if stored is None or stored["client_id"] != request[keys.CLIENT_ID] or order_ledger_id not in rows:
        raise order_not_found()
    return rows[order_ledger_id]


ROUTES: Final = [
    web.get("/orders", list_orders, allow_head=False),
    web.get("/orders/{order_ledger_id}", get_order, allow_head=False),
    web.get("/orders/{order_ledger_id}/journal", get_journal, allow_head=False),
]


def representation(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return an order as clients get it: a row of `sql.reading` with its links, ready for JSON."""
    path = f"/orders/{row['order_ledger_id']}"
    shown = {name: value for name, value in row.items() if name != "client_id"}
    document: dict[str, Any] = orjson.loads(_dump(shown))
    links = {"self": path, "journal": f"{path}/journal"}
    if document["parent_id"]:
        links["parent"] = f"/orders/{document['parent_id']}"
    for child in document.get("children", ()):
        if (child["saga"], child["status"]) == (PAY_ORDER.name, Status.COMPLETED):
            links["payment"] = f"/orders/{child['order_ledger_id']}"
        if child["saga"] == CANCEL_ORDER.name:
            links["cancellation"] = f"/orders/{child['order_ledger_id']}"
    return {**document, "links": links}


def json_response(document: Any, *, status: int = 200, location: str | None = None) -> web.Response:
    """Return a document as an answer that nobody may keep; times are in UTC, marked `Z`.

    Args:
        document: What is answered.
        status: HTTP status.
        location: Path of what was made, or goes on; None for none.
    """
    headers = {"Cache-Control": "no-store"} | ({"Location": location} if location else {})
    return web.Response(status=status, body=_dump(document), content_type="application/json", headers=headers)


def read_query(pairs: Iterable[tuple[str, str]], known: Mapping[str, Parameter] | None = None) -> dict[str, Any]:
    """Read the query of a list of orders.

    Args:
        pairs: Names and values as they stand in the query.
        known: What may be asked, beside labels; None for what clients may.

    Returns:
        Arguments of `sql.reading.look_for_orders`, `limit` among them.

    Raises:
        Problem: 400; the detail names the parameter.
    """
    known = PARAMETERS if known is None else known
    found: dict[str, Any] = {"limit": LIMIT_DEFAULT, "statuses": [], "metadata": {}}
    seen: set[str] = set()
    for name, value in pairs:
        if "\0" in name or "\0" in value:
            raise bad_query("The query must not hold U+0000.")
        if name in seen and name != "status":
            raise bad_query(f"{name!r} may stand once.")
        seen.add(name)
        if name in known:
            argument, read = known[name]
            told = read(name, value)
            found[argument] = [*found["statuses"], *told] if argument == "statuses" else told
        elif name.startswith(METADATA_PREFIX) and name != METADATA_PREFIX:
            found["metadata"][name.removeprefix(METADATA_PREFIX)] = value
        else:
            raise bad_query(f"There is no parameter {name!r}; there are {', '.join(sorted(known))} and {METADATA_PREFIX}KEY.")
    return found


def moment(name: str, value: str) -> datetime:
    """Return the time that a parameter gives.

    Raises:
        Problem: 400; it is none, or has no zone.
    """
    try:
        if not _RFC_3339.fullmatch(value):
            raise ValueError(value)
        return datetime.fromisoformat(value.upper()).astimezone(UTC)
    except (ValueError, OverflowError):
        raise bad_query(
            f"{name!r} must be a time with its zone (RFC 3339), for example 2026-07-01T12:00:00Z; write a plus sign as %2B."
        ) from None


def text(_name: str, value: str) -> str:
    """Return what a parameter gives, whatever it is."""
    return value


def _statuses(_name: str, value: str) -> list[Status]:
    statuses = []
    for name in value.split(","):
        if name not in Status.__members__:
            raise bad_query(f"There is no status {name!r}; there are {', '.join(Status)}.")
        statuses.append(Status(name))
    return statuses


def _cursor(_name: str, value: str) -> reading.Position:
    try:
        return reading.decode_cursor(value)
    except ValueError:
        raise bad_query("'cursor' must be the `next_cursor` of an earlier answer.") from None


def _limit(name: str, value: str) -> int:
    return whole_number(name, value, LIMIT_MAX)


PARAMETERS: Final[Mapping[str, Parameter]] = {
    "saga": ("saga", text),
    "customer_id": ("customer_id", text),
    "client_request_id": ("client_request_id", text),
    "status": ("statuses", _statuses),
    "since": ("since", moment),
    "cursor": ("cursor", _cursor),
    "limit": ("limit", _limit),
}
"""What may be asked of a list of orders, each with the argument that it is and what reads it."""


def bad_query(detail: str) -> Problem:
    """Return the answer to a query that asks for what there is not."""
    return Problem(ProblemType.BAD_QUERY, detail)


def _dump(document: Any) -> bytes:
    return orjson.dumps(document, option=orjson.OPT_UTC_Z)
