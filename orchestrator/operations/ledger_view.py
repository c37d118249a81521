"""What commands show of the ledger."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from uuid import UUID

from orchestrator.operations.asking import Connection, ask, connected
from orchestrator.operations.render import open_console, print_journal, print_json, print_order, print_orders, print_stuck, say
from orchestrator.settings import SettingsError
from sql import halted, oncall, reading
from sql.ledger import OrderNotFound
from sql.models import Json, Status

if TYPE_CHECKING:
    from orchestrator.operations.parameters import Beginning


def show_list(
    database_url: str,
    *,
    as_json: bool,
    status: str | None,
    saga: str | None,
    customer: str | None,
    since: datetime | None,
    error_like: str | None,
    stuck: bool,
    paused: bool,
    limit: int,
    cursor: str | None,
    thorough: bool,
) -> None:
    """Print a page of orders, newest first, or of STUCK ones, oldest first.

    Raises:
        SettingsError: A filter is none.
    """
    since = since and since.replace(tzinfo=since.tzinfo or UTC)
    position = _position(cursor) if cursor else None
    if stuck:
        if paused or status not in (None, Status.STUCK):
            raise SettingsError("--stuck is said without --paused and another --status: no such order is STUCK")
        asked = {"saga": saga, "customer_id": customer, "error": error_like, "since": since, "cursor": position}
        _show_stuck(database_url, asked, limit=limit, as_json=as_json)
        return
    statuses = [Status(status)] if status else []
    filters: dict[str, Any] = {
        "statuses": statuses,
        "saga": saga,
        "customer_id": customer,
        "error": error_like,
        "since": since,
        "paused": paused,
        "cursor": position,
        "look_max": None if thorough else reading.LOOK_MAX,
    }
    # One more than is shown tells whether there is another page.
    found = ask(database_url, lambda conn: reading.look_for_orders(conn, **filters, limit=limit + 1))
    page, reached = found.orders[:limit], found.reached
    if len(found.orders) > limit:
        reached = reading.position_of(page[-1])
    next_cursor = reading.encode_cursor(reached) if reached else None
    if as_json:
        print_json({"orders": page, "next_cursor": next_cursor})
        return
    console = open_console()
    print_orders(console, page)
    if found.reached is not None:
        say(console, f"looked at {reading.LOOK_MAX:,} orders; further back: --cursor {next_cursor}, or all at once: --thorough")
    elif next_cursor:
        say(console, f"more: --cursor {next_cursor}")
    elif not page:
        console.print("no orders")


def _show_stuck(database_url: str, asked: Mapping[str, Any], *, limit: int, as_json: bool) -> None:
    found = ask(database_url, lambda conn: halted.list_stuck(conn, **asked, limit=limit + 1))
    page = found[:limit]
    next_cursor = reading.encode_cursor(reading.position_of(page[-1])) if len(found) > limit else None
    if as_json:
        print_json({"orders": page, "next_cursor": next_cursor})
        return
    console = open_console()
    print_stuck(console, page)
    if next_cursor:
        say(console, f"more: --cursor {next_cursor}")
    elif not page:
        console.print("no orders")


def show_order(database_url: str, order_ledger_id: UUID, *, as_json: bool) -> None:
    """Print everything about one order.

    Raises:
        OrderNotFound: There is none.
    """
    from orchestrator.operations.timeline_view import draw
    from orchestrator.timeline import timeline

    async def read(conn: Connection) -> tuple[Json | None, list[Json] | None, Json | None]:
        order = await reading.get_order(conn, order_ledger_id, None)
        if order is not None:
            order["notified_at"] = await oncall.find_notified(conn, order_ledger_id)
        return order, await reading.get_journal(conn, order_ledger_id), await reading.get_snapshot(conn, order_ledger_id)

    order, journal, snapshot = ask(database_url, read)
    if order is None or journal is None or snapshot is None:
        raise OrderNotFound(f"the ledger has no order {order_ledger_id}")
    course = timeline(order, journal, snapshot["body"], snapshot["age_s"])
    if as_json:
        print_json({**order, "journal": journal, "timeline": course.document()})
        return
    console = open_console()
    since = {"stuck_since": order["updated_at"]} if order["status"] == Status.STUCK else {}
    print_order(console, {**order, **since})
    console.print("\nTimeline", style="bold")
    for line in draw(course, console.width):
        console.print(line, soft_wrap=True)
    print_journal(console, journal)


def show_statistics(database_url: str, *, window_s: float, as_json: bool) -> None:
    """Print what the ledger is doing, and what it did in the seconds before."""
    from orchestrator.operations.stats_view import print_stats

    statistics = ask(database_url, lambda conn: reading.statistics(conn, window_s=window_s))
    if as_json:
        print_json(statistics)
    else:
        print_stats(open_console(), statistics)


def find_order(database_url: str, beginning: "Beginning") -> UUID:
    """Return the one order whose id begins so.

    Raises:
        OrderNotFound: There is none, or more than one.
    """
    found = ask(database_url, lambda conn: reading.list_ids(conn, *beginning.span, limit=2))
    if len(found) != 1:
        what = "no order" if not found else "more than one order"
        raise OrderNotFound(f"the ledger has {what} whose id begins with {beginning.digits}")
    return found[0]


async def client_of(database_url: str, order_ledger_id: UUID) -> str:
    """Return the client for which an order is recorded.

    Raises:
        OrderNotFound: There is none.
    """
    async with connected(database_url) as conn:
        order = await reading.get_order(conn, order_ledger_id, None)
    if order is None:
        raise OrderNotFound(f"the ledger has no order {order_ledger_id}")
    return str(order["client_id"])


def _position(cursor: str) -> reading.Position:
    try:
        return reading.decode_cursor(cursor)
    except ValueError:
        raise SettingsError("--cursor is none that `saga ledger list` gave: leave it out to start anew") from None
