"""What the conformance kit tries of each contract: its actions, what undoes them, what makes them stand. Data, no IO."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final, Literal

from pydantic import BaseModel

from participants.contracts import Endpoint, inventory, notifications, orders, payments, shipping

CUSTOMER: Final = "conform"
"""Stands in everything that the kit makes, so that it can be told from a shop's own."""

Contract = Literal["orders", "inventory", "payments", "shipping", "notifications"]


@dataclass(frozen=True, slots=True)
class Names:
    """Fresh names of one trial.

    Attributes:
        order_id, thing_id: UUIDs that nobody has seen.
        sku: A product that the kit has added; empty where a contract has none.
    """

    order_id: str
    thing_id: str
    sku: str


@dataclass(frozen=True, slots=True)
class Operation:
    """An action of a contract with what belongs to it.

    Attributes:
        name: As the report names it.
        action: The endpoint under trial.
        request: Builds its request; another number makes another request for the same thing.
        invalid: Members that no participant may take.
        undo: Its compensation, which takes the same request; None when it can't be undone.
        confirm: Makes it stand; the undo comes after it too, and must then reverse. It takes the same request.
        after: What must have been done before; undone with it.
        leaves: What stays behind of a trial, in words.
    """

    name: str
    action: Endpoint[Any, BaseModel]
    request: Callable[[Names, int], BaseModel]
    invalid: Mapping[str, Any]
    undo: Endpoint[Any, BaseModel] | None = None
    confirm: Endpoint[Any, BaseModel] | None = None
    after: "Operation | None" = None
    leaves: str = ""


def _order(names: Names, number: int) -> orders.CreateOrder:
    line = orders.OrderLine(sku=CUSTOMER, quantity=number, unit_price_minor=5)
    return orders.CreateOrder(
        order_ledger_id=names.order_id, customer_id=CUSTOMER, currency="GBP", total_minor=5 * number, lines=(line,)
    )


def _stock(names: Names, number: int) -> inventory.ReserveStock:
    return inventory.ReserveStock(order_id=names.order_id, lines=(inventory.StockLine(sku=names.sku, quantity=number),))


def _stock_try(names: Names, number: int) -> inventory.TryStock:
    return inventory.TryStock(order_id=names.order_id, lines=(inventory.StockLine(sku=names.sku, quantity=number),))


def _authorization(names: Names, number: int) -> payments.Authorize:
    return payments.Authorize(
        authorization_id=names.thing_id,
        order_id=names.order_id,
        amount_minor=number,
        currency="GBP",
        payment_method="pm_card",
    )


def _capture(names: Names, number: int) -> payments.Capture:
    return payments.Capture(authorization_id=names.thing_id, order_id=names.order_id, amount_minor=number)


def _payment_try(names: Names, number: int) -> payments.TryPayment:
    return payments.TryPayment(
        reservation_id=names.thing_id,
        order_id=names.order_id,
        amount_minor=number,
        currency="GBP",
        payment_method="pm_card",
    )


def _shipment(names: Names, number: int) -> shipping.ScheduleShipment:
    street = (f"{number} Trial Street",)
    address = shipping.Address(name=CUSTOMER, lines=street, city="Nowhere", country="GB")
    return shipping.ScheduleShipment(shipment_id=names.thing_id, order_id=names.order_id, address=address)


def _message(names: Names, number: int) -> notifications.Notify:
    return notifications.Notify(
        notification_id=names.thing_id,
        order_id=names.order_id,
        customer_id=CUSTOMER,
        template=f"{CUSTOMER}-{number}",
    )


_CREATE: Final = Operation(
    name="create",
    action=orders.create,
    request=_order,
    invalid={"total_minor": -5},
    undo=orders.cancel,
    confirm=orders.confirm,
    leaves="cancelled orders",
)
_RESERVE: Final = Operation(
    name="reserve",
    action=inventory.reserve,
    request=_stock,
    invalid={"lines": []},
    undo=inventory.release,
    leaves="released reservations",
)
_TRY_STOCK: Final = Operation(
    name="try",
    action=inventory.try_stock,
    request=_stock_try,
    invalid={"lines": []},
    undo=inventory.cancel_stock,
    confirm=inventory.confirm_stock,
    leaves="cancelled tries",
)
_AUTHORIZE: Final = Operation(
    name="authorize",
    action=payments.authorize,
    request=_authorization,
    invalid={"amount_minor": -5},
    undo=payments.void,
    leaves="voided authorizations",
)
_CAPTURE: Final = Operation(
    name="capture",
    action=payments.capture,
    request=_capture,
    invalid={"amount_minor": -5},
    undo=payments.refund,
    after=_AUTHORIZE,
    leaves="refunded payments",
)
_TRY_PAYMENT: Final = Operation(
    name="try",
    action=payments.try_payment,
    request=_payment_try,
    invalid={"amount_minor": -5},
    undo=payments.cancel_payment,
    confirm=payments.confirm_payment,
    leaves="cancelled tries",
)
_SCHEDULE: Final = Operation(
    name="schedule",
    action=shipping.schedule,
    request=_shipment,
    invalid={"address": "nowhere"},
    undo=shipping.cancel,
    leaves="cancelled shipments",
)
_SEND: Final = Operation(
    name="send",
    action=notifications.send,
    request=_message,
    invalid={"template": 5},
    leaves="messages to the customer `conform`, which can't be unsent",
)

OPERATIONS: Final[Mapping[Contract, tuple[Operation, ...]]] = MappingProxyType(
    {
        "orders": (_CREATE,),
        "inventory": (_RESERVE, _TRY_STOCK),
        "payments": (_AUTHORIZE, _CAPTURE, _TRY_PAYMENT),
        "shipping": (_SCHEDULE,),
        "notifications": (_SEND,),
    }
)
