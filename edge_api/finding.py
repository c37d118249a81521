"""`GET /admin/orders`, `/admin/stuck`, `/admin/fleet`: which orders there are, which need a person, who is at work on them."""

from typing import Any, Final, Literal

from aiohttp import web

from edge_api.reading import PARAMETERS, Parameter, bad_query, json_response, moment, read_query, text
from edge_api.requests import parameters_of, whole_number
from edge_api.rows import visible_rows
from orchestrator import wakes
from sql import fleet, halted, reading, webhooks
from sql.models import Status

STUCK_DEFAULT: Final = 100
STUCK_MAX: Final = 500
DUE_MAX: Final = 10_000
"""As many as are counted of what is due: more is a backlog, however long."""


def _flag(name: str, value: str) -> bool:
    if value not in ("true", "false"):
        raise bad_query(f"{name!r} must be true or false.")
    return value == "true"


FILTERS: Final[dict[str, Parameter]] = {
    **PARAMETERS,
    "client_id": ("client_id", text),
    "error": ("error", text),
    "until": ("until", moment),
    "stuck": ("stuck", _flag),
    "paused": ("paused", _flag),
}
"""What operators may ask of the list, beside labels."""


async def list_orders(request: web.Request) -> web.Response:
    """Answer `GET /admin/orders`: a page of every client's orders, newest first.

    What no index tells is looked for in a bounded number of orders: a page may then hold fewer than asked for, or none, though
    there is a `next_cursor`. `reached_at` says how far was looked; null where the page is full or there is nothing further.
    """
    filters = read_query(request.query.items(), FILTERS)
    limit: int = filters.pop("limit")
    if filters.pop("stuck", False):
        filters["statuses"] = [Status.STUCK]
    async with visible_rows(request) as conn:
        # One more than is shown tells whether there is a next page.
        found = await reading.look_for_orders(conn, limit=limit + 1, look_max=reading.LOOK_MAX, **filters)
    page = found.orders[:limit]
    reached = None if len(found.orders) > limit else found.reached
    next_position = reading.position_of(page[-1]) if len(found.orders) > limit else reached
    return json_response(
        {
            "orders": page,
            "next_cursor": reading.encode_cursor(next_position) if next_position else None,
            "reached_at": reached[0] if reached else None,
        }
    )


async def list_stuck(request: web.Request) -> web.Response:
    """Answer `GET /admin/stuck?by=&limit=`: what needs a person, which is what is STUCK or on hold.

    `orders` by age or by value, `totals` at risk by currency, `groups` by saga, step and reason. `complete` is false where
    there are more than were looked at, which are then the oldest.
    """
    asked = parameters_of(request.query, ["by", "limit"])
    by = asked.get("by", "age")
    if by not in ("age", "value"):
        raise bad_query("'by' must be age or value.")
    order: Literal["age", "value"] = "value" if by == "value" else "age"
    limit = whole_number("limit", asked.get("limit", str(STUCK_DEFAULT)), STUCK_MAX)
    async with visible_rows(request) as conn:
        sums = await halted.sum_halted(conn)
        orders = await halted.list_halted(conn, by=order, limit=limit)
    return json_response({**sums, "orders": orders})


async def show_fleet(request: web.Request) -> web.Response:
    """Answer `GET /admin/fleet`: the orchestrators that are connected, how they are woken, and how much is due for them.

    `claims` is what those that listen have told of themselves, of the time since they started until half a minute ago at most.
    `due` is counted to `due_max`. `deliveries` of events to webhooks: those that wait, and those that were given up.
    """
    parameters_of(request.query, [])
    async with visible_rows(request) as conn:
        sessions = await fleet.list_orchestrators(conn)
        due = await reading.count_due(conn, most=DUE_MAX)
        pending, dead = await webhooks.count_deliveries(conn)
    told: dict[str, Any] = wakes.summed(sessions)
    return json_response({**told, "due": due, "due_max": DUE_MAX, "deliveries": {"pending": pending, "dead": dead}})


ROUTES: Final = [
    web.get("/admin/orders", list_orders, allow_head=False),
    web.get("/admin/stuck", list_stuck, allow_head=False),
    web.get("/admin/fleet", show_fleet, allow_head=False),
]
