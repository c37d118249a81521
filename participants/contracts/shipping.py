"""The shipping service: a shipment for an order."""

from typing import Annotated, Any, Literal

from pydantic import Field

from participants.contracts.endpoint import Answer, Endpoint, Wire
from participants.contracts.personal import PERSONAL


class ShipmentRef(Wire):
    """Names a shipment.

    Attributes:
        shipment_id: A UUID in its canonical form, chosen by the caller.
        order_id: The ledger's id of the order it carries.
    """

    shipment_id: str
    order_id: str


class Address(Wire):
    """Where goods go to.

    Attributes:
        name: Who receives them.
        lines: Street and house, one to six lines.
        city: Town.
        postal_code: Postal code; empty where a country has none.
        country: ISO 3166-1 alpha-2 code.
    """

    name: Annotated[str, PERSONAL]
    lines: Annotated[tuple[str, ...], PERSONAL] = Field(min_length=1, max_length=6)
    city: Annotated[str, PERSONAL]
    postal_code: Annotated[str, PERSONAL] = ""
    country: str


class ScheduleShipment(ShipmentRef):
    """Orders the carriage of an order's goods.

    Attributes:
        address: Where to; None for goods that are collected.
    """

    address: Annotated[Address | None, PERSONAL] = None


class Shipment(Answer):
    """What the shipping service knows of a shipment.

    Attributes:
        shipment_id: The shipment.
        order_id: The order it carries.
        status: Where it stands.
        tracking: Under what it can be followed, chosen by the service; None where it can't be.
    """

    shipment_id: str
    order_id: str
    status: Literal["scheduled", "shipped", "cancelled"]
    tracking: str | None = None


class ShipmentCancellation(Answer):
    """The answer to a cancellation; it names no order, for a shipment that never was has none."""

    shipment_id: str
    status: Literal["cancelled"]


def _has_left(status: int, answer: dict[str, Any]) -> str | None:
    return "the goods have left" if status == 200 and answer["status"] == "shipped" else None


schedule = Endpoint("shipping", "POST", "/shipments", ScheduleShipment, Shipment)
cancel = Endpoint("shipping", "DELETE", "/shipments/{shipment_id}", ShipmentRef, ShipmentCancellation)
get = Endpoint("shipping", "GET", "/shipments/{shipment_id}", ShipmentRef, Shipment)
check_not_shipped = Endpoint("shipping", "GET", "/shipments/{shipment_id}", ShipmentRef, Shipment, _has_left)
