"""The shipping service: a shipment for an order.

::

    scheduled ─▶ shipped          the carrier has the goods: they can't be called off any more
        └──────▶ cancelled
"""

from typing import Final
from uuid import uuid4

from psycopg.rows import class_row
from psycopg.types.json import Jsonb

from participants.calls import Action, Change, Compensation, Done, Lookup, Route
from participants.contracts.endpoint import Wire
from participants.contracts.shipping import ScheduleShipment, Shipment, ShipmentCancellation
from participants.database import Connection
from participants.idempotency import Posting
from participants.problems import Problem
from sql.loader import Queries

_queries = Queries("shipping")
_SCHEDULE_SHIPMENT = _queries["schedule_shipment"]
_GET_SHIPMENT = _queries["get_shipment"]
_LOCK_SHIPMENT = _queries["lock_shipment"]
_CANCEL_SHIPMENT = _queries["cancel_shipment"]
_SHIP = _queries["ship"]


class ShipmentName(Wire):
    """What the path of a shipment says.

    Attributes:
        shipment_id: The shipment.
    """

    shipment_id: str


async def schedule_shipment(connection: Connection, order: ScheduleShipment) -> Done:
    """Order the carriage of an order's goods."""
    # A mock of the number that a carrier gives: nobody can tell it from the order.
    tracking = f"SL{uuid4().hex[:14].upper()}"
    answer = Shipment(shipment_id=order.shipment_id, order_id=order.order_id, status="scheduled", tracking=tracking)
    address = order.address and Jsonb(order.address.model_dump())
    await connection.execute(_SCHEDULE_SHIPMENT, {**answer.model_dump(exclude={"status"}), "address": address})
    return Done(answer, Posting(order.order_id, "shipment_scheduled", {"shipments": 1}), 201)


async def cancel_shipment(connection: Connection, order: ShipmentName) -> Done:
    """Call a shipment off.

    Raises:
        Problem: 409 when the goods have left.
    """
    answer = ShipmentCancellation(shipment_id=order.shipment_id, status="cancelled")
    shipment = await _lock(connection, order)
    if shipment is None or shipment.status == "cancelled":
        return Done(answer)
    if shipment.status == "shipped":
        raise Problem(409, "already-shipped", "The goods have left.")
    await connection.execute(_CANCEL_SHIPMENT, order.model_dump())
    return Done(answer, Posting(shipment.order_id, "shipment_cancelled", {"shipments": -1}))


async def ship(connection: Connection, order: ShipmentName, _key: str) -> Done:
    """Record that the carrier has the goods.

    Raises:
        Problem: 404 when there is no such shipment, 409 when it was called off.
    """
    shipment = await _lock(connection, order)
    if shipment is None:
        raise _unknown()
    if shipment.status == "cancelled":
        raise Problem(409, "shipment-cancelled", "The shipment was called off.")
    await connection.execute(_SHIP, order.model_dump())
    return Done(shipment.model_copy(update={"status": "shipped"}))


async def get_shipment(connection: Connection, order: ShipmentName) -> Shipment:
    """Read a shipment.

    Raises:
        Problem: 404 when there is none.
    """
    async with connection.cursor(row_factory=class_row(Shipment)) as cursor:
        await cursor.execute(_GET_SHIPMENT, order.model_dump())
        found = await cursor.fetchone()
    if found is None:
        raise _unknown()
    return found


async def _lock(connection: Connection, order: ShipmentName) -> Shipment | None:
    async with connection.cursor(row_factory=class_row(Shipment)) as cursor:
        await cursor.execute(_LOCK_SHIPMENT, order.model_dump())
        return await cursor.fetchone()


def _unknown() -> Problem:
    return Problem(404, "unknown-shipment", "There is no such shipment.")


def _shipment(order: ScheduleShipment | ShipmentName) -> str:
    return f"shipment/{order.shipment_id}"


ROUTES: Final[tuple[Route, ...]] = (
    Action("POST", "/shipments", ScheduleShipment, _shipment, schedule_shipment),
    Lookup("/shipments/{shipment_id}", ShipmentName, get_shipment),
    Change("/shipments/{shipment_id}/ship", ShipmentName, ship),
    Compensation("DELETE", "/shipments/{shipment_id}", ShipmentName, lambda order: (_shipment(order),), cancel_shipment),
)
