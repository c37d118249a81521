"""Stock by try, confirm, cancel: held for a time, and for good once it is confirmed.

::

    try ─▶ tried ─confirm─▶ held ─cancel─▶ released
             ├──cancel──▶ released
             └───time───▶ expired

A try is the order's reservation: it has the fence, the rows and the stock of a plain one, which is `held` from the start and
can be released in the same way. Whether a confirm or its time comes first is decided by one conditional write on its row.
"""

from typing import Any

from psycopg.rows import scalar_row

from participants.calls import Action, Compensation, Done, Route
from participants.contracts.inventory import ReservationRef, StockConfirmation, StockTry, TryStock
from participants.database import Connection
from participants.expiry import BATCH
from participants.idempotency import Posting
from participants.inventory import count_units, lock_wanted, release_stock, reservation_of
from participants.problems import Problem
from sql.loader import Queries

_queries = Queries("stock_tries")
_TRY_STOCK = _queries["try_stock"]
_CONFIRM_STOCK = _queries["confirm_stock"]
_GET_HELD_LINES = _queries["get_held_lines"]
_TRY_HELD_STOCK = _queries["try_held_stock"]
_GET_STANDING = _queries["get_standing"]
_LOCK_DUE_TRIES = _queries["lock_due_tries"]
_LOCK_TRIED_STOCK = _queries["lock_tried_stock"]
_EXPIRE_STOCK = _queries["expire_stock"]


async def try_stock(connection: Connection, order: TryStock, lifetime_s: float) -> Done:
    """Hold all lines of an order for a time, or none.

    Raises:
        Problem: 422 with the lines that failed, or when what is said to hold them holds other goods, or none.
    """
    if order.held_for is not None:
        return await _try_held_stock(connection, order, lifetime_s)
    wanted = await lock_wanted(connection, order)
    fields = {
        "order_id": order.order_id,
        "skus": list(wanted),
        "quantities": list(wanted.values()),
        "lifetime_s": lifetime_s,
    }
    effect = Posting(order.order_id, "stock_tried", {"tried": wanted.total()})
    return _tried(order, await (await connection.execute(_TRY_STOCK, fields)).fetchone(), effect)


async def confirm_stock(connection: Connection, order: ReservationRef) -> Done:
    """Hold for good what was tried.

    Raises:
        Problem: 409 when nothing was tried, or it was given back; 410 when its time is over.
    """
    confirmed = await (await connection.execute(_CONFIRM_STOCK, order.model_dump())).fetchone()
    if confirmed is None:
        raise await _unconfirmable(connection, order)
    units = confirmed[0]
    effect = Posting(order.order_id, "stock_confirmed", {"tried": -units, "reserved": units}) if units else None
    return Done(StockConfirmation(order_id=order.order_id, status="held"), effect)


async def expire_stock(connection: Connection) -> int:
    """Give back the stock of tries whose time is over.

    Returns:
        How many tries expired, at most BATCH.
    """
    async with connection.cursor(row_factory=scalar_row) as cursor:
        await cursor.execute(_LOCK_DUE_TRIES, {"limit": BATCH})
        due = {"order_ids": await cursor.fetchall()}
        if due["order_ids"]:
            await cursor.execute(_LOCK_TRIED_STOCK, due)
            await cursor.execute(_EXPIRE_STOCK, due)
    return len(due["order_ids"])


async def _try_held_stock(connection: Connection, order: TryStock, lifetime_s: float) -> Done:
    held = await (await connection.execute(_GET_HELD_LINES, {"held_for": order.held_for})).fetchall()
    if not held:
        raise Problem(422, "not-held", "The order that is named holds nothing.")
    if dict(held) != count_units(order):
        raise Problem(422, "other-goods-held", "The order that is named holds other goods.")
    fields = {"order_id": order.order_id, "held_for": order.held_for, "lifetime_s": lifetime_s}
    return _tried(order, await (await connection.execute(_TRY_HELD_STOCK, fields)).fetchone(), None)


def _tried(order: TryStock, made: tuple[Any, ...] | None, effect: Posting | None) -> Done:
    assert made is not None, "an insert returns its row"
    return Done(StockTry(order_id=order.order_id, status="tried", expires_at=made[0]), effect, 201)


async def _unconfirmable(connection: Connection, order: ReservationRef) -> Problem:
    status, has_time = await (await connection.execute(_GET_STANDING, order.model_dump())).fetchone() or (None, None)
    if status in (None, "held"):
        return Problem(409, "not-tried", "Nothing was tried that could be confirmed.")
    if status == "released" or (status == "tried" and has_time):
        return Problem(409, "reservation-released", "What was tried was given back.")
    return Problem(410, "expired", "The time of the try is over.")


def _confirmation(order: ReservationRef) -> str:
    return f"confirmation/{order.order_id}"


def routes(lifetime_s: float) -> tuple[Route, ...]:
    """Return the operations, for tries that last so many seconds."""
    return (
        Action(
            "POST",
            "/inventory/stock/try",
            TryStock,
            reservation_of,
            lambda connection, order: try_stock(connection, order, lifetime_s),
        ),
        Action("POST", "/inventory/stock/confirm/{order_id}", ReservationRef, _confirmation, confirm_stock),
        # A cancel takes a confirm with it, the one that is still on its way too.
        Compensation(
            "POST",
            "/inventory/stock/cancel/{order_id}",
            ReservationRef,
            lambda order: (reservation_of(order), _confirmation(order)),
            release_stock,
        ),
    )
