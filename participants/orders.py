"""The orders service: customers, and the shop's own record of an order."""

from typing import Final, Literal

from psycopg.rows import class_row, dict_row, scalar_row

from participants.calls import Action, Change, Compensation, Done, Lookup, Route
from participants.contracts.orders import (
    CreateOrder,
    Customer,
    CustomerRef,
    OrderDetail,
    OrderLine,
    OrderRecord,
    OrderRef,
    PutCustomer,
)
from participants.database import Connection
from participants.idempotency import Posting
from participants.problems import Problem, invalid_member
from sql.loader import Queries

Status = Literal["created", "confirmed", "cancelled"]

_queries = Queries("orders")
_PUT_CUSTOMER = _queries["put_customer"]
_NOTE_CHANGE = _queries["note_change"]
_GET_CUSTOMER = _queries["get_customer"]
_CREATE_ORDER = _queries["create_order"]
_GET_ORDER = _queries["get_order"]
_LIST_ORDER_LINES = _queries["list_order_lines"]
_LOCK_ORDER = _queries["lock_order"]
_CONFIRM_ORDER = _queries["confirm_order"]
_CANCEL_ORDER = _queries["cancel_order"]


async def create_order(connection: Connection, order: CreateOrder) -> Done:
    """Record an order.

    Raises:
        Problem: 422 when the total is not the sum of the lines, or the currency is no code.
    """
    if order.total_minor != sum(line.quantity * line.unit_price_minor for line in order.lines):
        raise invalid_member("/total_minor", "The total is not the sum of the lines")
    if not (len(order.currency) == 3 and order.currency.isascii() and order.currency.isupper()):
        raise invalid_member("/currency", "Not an ISO 4217 code")
    fields = {
        **order.model_dump(exclude={"lines"}),
        "skus": [line.sku for line in order.lines],
        "quantities": [line.quantity for line in order.lines],
        "unit_prices_minor": [line.unit_price_minor for line in order.lines],
    }
    await connection.execute(_CREATE_ORDER, fields)
    return _done(order, "created", Posting(order.order_ledger_id, "order_created", {"created": 1}), status=201)


async def confirm_order(connection: Connection, order: OrderRef) -> Done:
    """Confirm an order.

    Raises:
        Problem: 422 when there is no such order, 409 when it is cancelled.
    """
    status = await _lock(connection, order)
    if status is None:
        raise Problem(422, "unknown-order", "There is no such order.")
    if status == "cancelled":
        raise Problem(409, "order-cancelled", "The order is cancelled.")
    await connection.execute(_CONFIRM_ORDER, order.model_dump())
    return _done(order, "confirmed", Posting(order.order_ledger_id, "order_confirmed", {"confirmed": 1}))


async def cancel_order(connection: Connection, order: OrderRef) -> Done:
    """Cancel an order, a confirmed one too."""
    status = await _lock(connection, order)
    if status in (None, "cancelled"):
        return _done(order, "cancelled", None)
    await connection.execute(_CANCEL_ORDER, order.model_dump())
    amounts = {"created": -1, "confirmed": -1} if status == "confirmed" else {"created": -1}
    return _done(order, "cancelled", Posting(order.order_ledger_id, "order_cancelled", amounts))


async def get_order(connection: Connection, order: OrderRef) -> OrderDetail:
    """Read an order.

    Raises:
        Problem: 404 when there is none.
    """
    async with connection.cursor(row_factory=dict_row) as cursor:
        await cursor.execute(_GET_ORDER, order.model_dump())
        found = await cursor.fetchone()
    if found is None:
        raise Problem(404, "unknown-order", "There is no such order.")
    async with connection.cursor(row_factory=class_row(OrderLine)) as lines:
        await lines.execute(_LIST_ORDER_LINES, order.model_dump())
        return OrderDetail.model_validate({**found, "lines": tuple(await lines.fetchall())})


async def put_customer(connection: Connection, customer: PutCustomer, key: str) -> Done:
    """Add a customer or replace what is known of one."""
    async with connection.cursor(row_factory=class_row(Customer)) as cursor:
        await cursor.execute(_PUT_CUSTOMER, customer.model_dump())
        kept = await cursor.fetchone()
    assert kept is not None, "an upsert returns its row"
    await connection.execute(_NOTE_CHANGE, {"key": key, "customer_id": customer.customer_id})
    return Done(kept, status=201)


async def get_customer(connection: Connection, customer: CustomerRef) -> Customer:
    """Read a customer.

    Raises:
        Problem: 404 when there is none.
    """
    async with connection.cursor(row_factory=class_row(Customer)) as cursor:
        await cursor.execute(_GET_CUSTOMER, customer.model_dump())
        found = await cursor.fetchone()
    if found is None:
        raise Problem(404, "unknown-customer", "There is no such customer.")
    return found


async def _lock(connection: Connection, order: OrderRef) -> Status | None:
    async with connection.cursor(row_factory=scalar_row) as cursor:
        await cursor.execute(_LOCK_ORDER, order.model_dump(include={"order_ledger_id"}))
        status: Status | None = await cursor.fetchone()
    return status


def _done(order: OrderRef, order_status: Status, effect: Posting | None, *, status: int = 200) -> Done:
    return Done(OrderRecord(order_ledger_id=order.order_ledger_id, status=order_status), effect, status)


def _order(order: OrderRef) -> str:
    return f"order/{order.order_ledger_id}"


def _confirmation(order: OrderRef) -> str:
    return f"confirmation/{order.order_ledger_id}"


ROUTES: Final[tuple[Route, ...]] = (
    Change("/customers", PutCustomer, put_customer),
    Lookup("/customers/{customer_id}", CustomerRef, get_customer),
    Action("POST", "/orders", CreateOrder, _order, create_order),
    Lookup("/orders/{order_ledger_id}", OrderRef, get_order),
    Action("PUT", "/orders/{order_ledger_id}/confirm", OrderRef, _confirmation, confirm_order),
    # Cancelling takes a confirmation with it, the one that is still on its way too.
    Compensation(
        "PUT", "/orders/{order_ledger_id}/cancel", OrderRef, lambda order: (_order(order), _confirmation(order)), cancel_order
    ),
)
