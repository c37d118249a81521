"""The orders service: customers, and the shop's own record of an order."""

from typing import Annotated, Any, Literal

from pydantic import Field

from participants.contracts.endpoint import Answer, Endpoint, Wire
from participants.contracts.personal import PERSONAL


class OrderRef(Wire):
    """Names an order.

    Attributes:
        order_ledger_id: The ledger's id of the order, a UUID in its canonical form; chosen by the caller.
    """

    order_ledger_id: str


class OrderLine(Wire):
    """One product of an order.

    Attributes:
        sku: The product's code.
        quantity: Units, at least 1.
        unit_price_minor: Price of one unit in minor units of the order's currency.
    """

    sku: str
    quantity: int = Field(ge=1)
    unit_price_minor: int = Field(ge=0)


class CreateOrder(OrderRef):
    """Records an order.

    Attributes:
        customer_id: The shop's id of the customer.
        currency: ISO 4217 code.
        total_minor: Sum over all lines, in minor units.
        lines: At least one line.
    """

    customer_id: str
    currency: str
    total_minor: int = Field(ge=1)
    lines: tuple[OrderLine, ...] = Field(min_length=1)


class OrderRecord(Answer):
    """What the orders service knows of an order."""

    order_ledger_id: str
    status: Literal["created", "confirmed", "cancelled"]


class OrderDetail(OrderRecord):
    """The whole record of an order."""

    customer_id: str
    currency: str
    total_minor: int
    lines: tuple[OrderLine, ...]


class CustomerRef(Wire):
    """Names a customer.

    Attributes:
        customer_id: The shop's id of the customer, at most 255 characters.
    """

    customer_id: str = Field(min_length=1, max_length=255)


class PutCustomer(CustomerRef):
    """Adds a customer or replaces what is known of one.

    Attributes:
        name: What the customer is called; None when unknown.
        active: Whether the customer may order.
    """

    name: Annotated[str | None, PERSONAL] = None
    active: bool = True


class Customer(Answer):
    """What the orders service knows of a customer."""

    customer_id: str
    name: Annotated[str | None, PERSONAL] = None
    active: bool


class CustomerStanding(Answer):
    """Whether a customer may order; what else an answer says of the customer is not read."""

    customer_id: str
    active: bool


def _may_not_order(status: int, answer: dict[str, Any]) -> str | None:
    if status == 404 and str(answer.get("type")).endswith("/unknown-customer"):
        return "there is no such customer"
    return "the customer is not active" if status == 200 and not answer["active"] else None


create = Endpoint("orders", "POST", "/orders", CreateOrder, OrderRecord)
cancel = Endpoint("orders", "PUT", "/orders/{order_ledger_id}/cancel", OrderRef, OrderRecord)
confirm = Endpoint("orders", "PUT", "/orders/{order_ledger_id}/confirm", OrderRef, OrderRecord)
get = Endpoint("orders", "GET", "/orders/{order_ledger_id}", OrderRef, OrderDetail)
put_customer = Endpoint("orders", "POST", "/customers", PutCustomer, Customer)
get_customer = Endpoint("orders", "GET", "/customers/{customer_id}", CustomerRef, Customer)
validate_customer = Endpoint("orders", "GET", "/customers/{customer_id}", CustomerRef, CustomerStanding, _may_not_order)
