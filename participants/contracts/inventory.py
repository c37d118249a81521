"""The inventory service: stock, and what is held of it for an order."""

from typing import Literal

from pydantic import AwareDatetime, Field

from participants.contracts.endpoint import Answer, Endpoint, Wire


class ReservationRef(Wire):
    """Names the reservation of an order.

    Attributes:
        order_id: The ledger's id of the order; an order has one reservation.
    """

    order_id: str


class StockLine(Wire):
    """Units of one product.

    Attributes:
        sku: The product's code.
        quantity: Units, at least 1.
    """

    sku: str
    quantity: int = Field(ge=1)


class ReserveStock(ReservationRef):
    """Holds stock for an order: all lines or none.

    Attributes:
        lines: At least one line; a product may stand in several, which are added up.
    """

    lines: tuple[StockLine, ...] = Field(min_length=1)


class Reservation(Answer):
    """What is held for an order."""

    order_id: str
    status: Literal["held", "released"]


class TryStock(ReserveStock):
    """Holds stock for an order until it is confirmed, cancelled, or its time is over: all lines or none.

    Attributes:
        held_for: The order whose plain reservation holds these very goods already: nothing more is held then, confirm is
            refused once that one is released, and cancel and expiry leave it as it is. None for goods that nobody holds yet.
    """

    held_for: str | None = None


class StockTry(Answer):
    """What is held for an order until it is confirmed, cancelled, or its time is over.

    Attributes:
        expires_at: When it is given back unless it was confirmed, by the service's database clock.
    """

    order_id: str
    status: Literal["tried"]
    expires_at: AwareDatetime


class StockConfirmation(Answer):
    """What is held for an order until it is released or cancelled."""

    order_id: str
    status: Literal["held"]


class ProductRef(Wire):
    """Names a product.

    Attributes:
        sku: The product's code, at most 64 characters.
    """

    sku: str = Field(min_length=1, max_length=64)


class AddProduct(ProductRef):
    """Adds a product.

    Attributes:
        name: What it is called.
        initial_stock: Units on hand at the start.
    """

    name: str
    initial_stock: int = Field(default=0, ge=0)


class ReceiveStock(ProductRef):
    """Adds units of a product.

    Attributes:
        quantity: Units, at least 1.
    """

    quantity: int = Field(ge=1)


class Availability(Answer):
    """How much of a product there is, in units.

    Attributes:
        on_hand: In the warehouse.
        reserved: Of these, held for orders.
        available: The difference.
    """

    sku: str
    on_hand: int
    reserved: int
    available: int


reserve = Endpoint("inventory", "POST", "/inventory/reservations", ReserveStock, Reservation)
release = Endpoint("inventory", "DELETE", "/inventory/reservations/{order_id}", ReservationRef, Reservation)
try_stock = Endpoint("inventory", "POST", "/inventory/stock/try", TryStock, StockTry)
confirm_stock = Endpoint("inventory", "POST", "/inventory/stock/confirm/{order_id}", ReservationRef, StockConfirmation)
cancel_stock = Endpoint("inventory", "POST", "/inventory/stock/cancel/{order_id}", ReservationRef, Reservation)
add_product = Endpoint("inventory", "POST", "/inventory/products", AddProduct, Availability)
receive_stock = Endpoint("inventory", "POST", "/inventory/products/{sku}/stock", ReceiveStock, Availability)
get_availability = Endpoint("inventory", "GET", "/inventory/products/{sku}/availability", ProductRef, Availability)
