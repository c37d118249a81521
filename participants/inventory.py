"""The inventory service: stock, and what is held of it for an order.

Rows of stock are always locked in the order of their codes, and quantities change by adding and subtracting in the
database, under its CHECK constraints.
"""

from collections import Counter
from typing import Final

from psycopg.rows import class_row, scalar_row

from participants.calls import Action, Change, Compensation, Done, Lookup, Route
from participants.contracts.inventory import (
    AddProduct,
    Availability,
    ProductRef,
    ReceiveStock,
    Reservation,
    ReservationRef,
    ReserveStock,
)
from participants.database import Connection
from participants.idempotency import Posting
from participants.problems import Problem, invalid_member
from sql.loader import Queries

LINE_MAX: Final = 10**12  # units; so that no sum over an order's lines leaves 64 bits

_queries = Queries("inventory")
_ADD_PRODUCT = _queries["add_product"]
_GET_FIRST_STOCK = _queries["get_first_stock"]
_RECEIVE_STOCK = _queries["receive_stock"]
_GET_AVAILABILITY = _queries["get_availability"]
_LOCK_STOCK = _queries["lock_stock"]
_HOLD_STOCK = _queries["hold_stock"]
_LOCK_RESERVATION = _queries["lock_reservation"]
_LOCK_HELD_STOCK = _queries["lock_held_stock"]
_RELEASE_STOCK = _queries["release_stock"]


async def reserve_stock(connection: Connection, order: ReserveStock) -> Done:
    """Hold all lines of an order, or none.

    Raises:
        Problem: 422 with the lines that failed.
    """
    wanted = await lock_wanted(connection, order)
    fields = {"order_id": order.order_id, "skus": list(wanted), "quantities": list(wanted.values())}
    await connection.execute(_HOLD_STOCK, fields)
    effect = Posting(order.order_id, "stock_reserved", {"reserved": wanted.total()})
    return Done(Reservation(order_id=order.order_id, status="held"), effect, 201)


async def release_stock(connection: Connection, order: ReservationRef) -> Done:
    """Give back what an order holds, tried or confirmed, if it holds anything."""
    answer = Reservation(order_id=order.order_id, status="released")
    async with connection.cursor(row_factory=scalar_row) as cursor:
        await cursor.execute(_LOCK_RESERVATION, order.model_dump())
        status = await cursor.fetchone()
        if status not in ("tried", "held"):
            return Done(answer)
        await cursor.execute(_LOCK_HELD_STOCK, order.model_dump())
        await cursor.execute(_RELEASE_STOCK, order.model_dump())
        released = sum(await cursor.fetchall())
    account = "tried" if status == "tried" else "reserved"
    # A try of goods that another reservation holds has held nothing itself.
    return Done(answer, Posting(order.order_id, "stock_released", {account: -released}) if released else None)


async def add_product(connection: Connection, product: AddProduct, key: str) -> Done:
    """Add a product; adding it again alike changes nothing.

    Raises:
        Problem: 409 when the product was added with another name or first stock.
    """
    async with connection.cursor(row_factory=class_row(Availability)) as cursor:
        await cursor.execute(_ADD_PRODUCT, {**product.model_dump(), "key": key})
        added = await cursor.fetchone()
    if added is not None:
        return Done(added, status=201)
    first = await (await connection.execute(_GET_FIRST_STOCK, {"sku": product.sku})).fetchone()
    if first != (product.name, product.initial_stock):
        raise Problem(409, "product-exists", "The product exists with another name or first stock.")
    return Done(await get_availability(connection, product))


async def receive_stock(connection: Connection, receipt: ReceiveStock, key: str) -> Done:
    """Add units to a product.

    Raises:
        Problem: 404 when there is no such product.
    """
    async with connection.cursor(row_factory=class_row(Availability)) as cursor:
        await cursor.execute(_RECEIVE_STOCK, {**receipt.model_dump(), "key": key})
        received = await cursor.fetchone()
    if received is None:
        raise _unknown_product()
    return Done(received)


async def get_availability(connection: Connection, product: ProductRef) -> Availability:
    """Read how much of a product there is.

    Raises:
        Problem: 404 when there is no such product.
    """
    async with connection.cursor(row_factory=class_row(Availability)) as cursor:
        await cursor.execute(_GET_AVAILABILITY, {"sku": product.sku})
        found = await cursor.fetchone()
    if found is None:
        raise _unknown_product()
    return found


def count_units(order: ReserveStock) -> Counter[str]:
    """Add up the lines of an order by product.

    Raises:
        Problem: 422 when a line is too large.
    """
    wanted: Counter[str] = Counter()
    for place, line in enumerate(order.lines):
        if line.quantity > LINE_MAX:
            raise invalid_member(f"/lines/{place}/quantity", "More than a line can hold")
        wanted[line.sku] += line.quantity
    return wanted


async def lock_wanted(connection: Connection, order: ReserveStock) -> Counter[str]:
    """Lock the stock of all products that an order wants.

    Returns:
        Units of each product.

    Raises:
        Problem: 422 when there is too little of one, with the lines that failed.
    """
    wanted = count_units(order)
    cursor = await connection.execute(_LOCK_STOCK, {"skus": list(wanted)})
    available: dict[str, int] = dict(await cursor.fetchall())
    failed = [
        {
            "sku": sku,
            "requested": quantity,
            "available": available.get(sku, 0),
            "reason": "insufficient-stock" if sku in available else "unknown-sku",
        }
        for sku, quantity in wanted.items()
        if quantity > available.get(sku, 0)
    ]
    if failed:
        raise Problem(422, "out-of-stock", "Not all lines can be held, so none is.", lines=failed)
    return wanted


def _unknown_product() -> Problem:
    return Problem(404, "unknown-sku", "There is no such product.")


def reservation_of(order: ReservationRef) -> str:
    """Name the reservation of an order, as the fence does."""
    return f"reservation/{order.order_id}"


ROUTES: Final[tuple[Route, ...]] = (
    Change("/inventory/products", AddProduct, add_product),
    Change("/inventory/products/{sku}/stock", ReceiveStock, receive_stock),
    Lookup("/inventory/products/{sku}/availability", ProductRef, get_availability),
    Action("POST", "/inventory/reservations", ReserveStock, reservation_of, reserve_stock),
    Compensation(
        "DELETE",
        "/inventory/reservations/{order_id}",
        ReservationRef,
        lambda order: (reservation_of(order),),
        release_stock,
    ),
)
