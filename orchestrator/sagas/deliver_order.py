"""Deliver an order: place it for a customer who may order, then have it shipped, and tell the customer.

The goods are called off, the money refunded, the stock released, the order cancelled as long as they have not left. A message
can't be taken back, and an order is not undone because its customer could not be told.
"""

from typing import Any

from orchestrator.saga import Invariant, Saga, Step, StepKind
from orchestrator.sagas.orders import DeliverOrder
from orchestrator.sagas.place_order import authorize_payment, capture_payment, confirm_order, create_order, reserve_inventory
from participants.contracts import notifications, orders, shipping

validate_customer: Step[DeliverOrder, orders.CustomerRef] = Step(
    name="validate_customer",
    request=lambda ctx: orders.CustomerRef(customer_id=ctx.input.customer_id),
    action=orders.validate_customer,
    kind=StepKind.READ_ONLY,
    on_rejection="CustomerRefused",
)
schedule_shipping: Step[DeliverOrder, shipping.ScheduleShipment] = Step(
    name="schedule_shipping",
    request=lambda ctx: shipping.ScheduleShipment(
        shipment_id=ctx.id_of(schedule_shipping), order_id=ctx.order_id, address=ctx.input.shipping_address
    ),
    action=shipping.schedule,
    compensation=shipping.cancel,
    after=("capture_payment",),
    on_success="ShipmentScheduled",
    on_rejection="ShipmentRefused",
    on_undo="ShipmentCancelled",
)
send_notification: Step[DeliverOrder, notifications.Notify] = Step(
    name="send_notification",
    request=lambda ctx: notifications.Notify(
        notification_id=ctx.id_of(send_notification),
        order_id=ctx.order_id,
        customer_id=ctx.input.customer_id,
        template="shipment_scheduled",
        reference=ctx.results[schedule_shipping.name]["tracking"],
    ),
    action=notifications.send,
    optional=True,
)

# Of any input for the type checker: the steps that it shares are of `PlaceOrder`, which its input is too.
DELIVER_ORDER: Saga[Any] = Saga(
    name="deliver_order",
    version=1,
    input=DeliverOrder,
    says="Place the order of a customer who may order, have it shipped, and tell the customer.",
    steps=(
        authorize_payment,
        validate_customer,
        create_order,
        reserve_inventory,
        capture_payment,
        confirm_order,
        schedule_shipping,
        send_notification,
    ),
    stands=lambda order: {
        "orders.created": 1,
        "orders.confirmed": 1,
        "inventory.reserved": order.units,
        "payments.captured": order.total_minor,
        "shipping.shipments": 1,
    },
    open_accounts=frozenset({"notifications.notifications"}),
    invariants=(
        Invariant("ledger_shipped_after_payment", "no goods are sent for before their payment was taken"),
        Invariant("shipping_one_shipment_stands", "at most one shipment of an order stands"),
        Invariant("shipping_nothing_sent_after_undo", "no shipment stands that was called off"),
        Invariant("notifications_told_once", "a customer is told once that an order is on its way"),
    ),
)
