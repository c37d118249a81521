"""Place an order: authorize the payment, record it, hold the stock, take the money, confirm.

Nothing in it is past undoing: a confirmed order is cancelled, captured money refunded.
"""

from orchestrator.saga import Invariant, Saga, Step
from orchestrator.sagas.orders import PlaceOrder
from participants.contracts import inventory, orders, payments

authorize_payment: Step[PlaceOrder, payments.Authorize] = Step(
    name="authorize_payment",
    request=lambda ctx: payments.Authorize(
        authorization_id=ctx.id_of(authorize_payment),
        order_id=ctx.order_id,
        amount_minor=ctx.input.total_minor,
        currency=ctx.input.currency,
        payment_method=ctx.input.payment_method,
    ),
    action=payments.authorize,
    compensation=payments.void,
    at_edge=True,
    declines=True,
    on_success="PaymentAuthorized",
    on_rejection="PaymentDeclined",
    on_undo="PaymentVoided",
)
create_order: Step[PlaceOrder, orders.CreateOrder] = Step(
    name="create_order",
    request=lambda ctx: orders.CreateOrder(
        order_ledger_id=ctx.order_id,
        customer_id=ctx.input.customer_id,
        currency=ctx.input.currency,
        total_minor=ctx.input.total_minor,
        lines=tuple(
            orders.OrderLine(sku=item.sku, quantity=item.quantity, unit_price_minor=item.unit_price_minor)
            for item in ctx.input.items
        ),
    ),
    action=orders.create,
    compensation=orders.cancel,
    on_success="OrderCreated",
)
reserve_inventory: Step[PlaceOrder, inventory.ReserveStock] = Step(
    name="reserve_inventory",
    request=lambda ctx: inventory.ReserveStock(
        order_id=ctx.order_id,
        lines=tuple(inventory.StockLine(sku=item.sku, quantity=item.quantity) for item in ctx.input.items),
    ),
    action=inventory.reserve,
    compensation=inventory.release,
    on_success="StockReserved",
    on_rejection="StockReservationFailed",
    on_undo="StockReleased",
)
capture_payment: Step[PlaceOrder, payments.Capture] = Step(
    name="capture_payment",
    request=lambda ctx: payments.Capture(
        authorization_id=ctx.id_of(authorize_payment), order_id=ctx.order_id, amount_minor=ctx.input.total_minor
    ),
    action=payments.capture,
    compensation=payments.refund,
    on_success="PaymentCaptured",
    on_rejection="PaymentFailed",
    on_undo="PaymentRefunded",
)
confirm_order: Step[PlaceOrder, orders.OrderRef] = Step(
    name="confirm_order",
    request=lambda ctx: orders.OrderRef(order_ledger_id=ctx.order_id),
    action=orders.confirm,
    undone_by="create_order",
    on_success="OrderConfirmed",
)

PLACE_ORDER = Saga(
    name="place_order",
    version=1,
    input=PlaceOrder,
    says="Authorize the payment, record the order, hold the stock, take the money, confirm.",
    steps=(authorize_payment, create_order, reserve_inventory, capture_payment, confirm_order),
    stands=lambda order: {
        "orders.created": 1,
        "orders.confirmed": 1,
        "inventory.reserved": order.units,
        "payments.captured": order.total_minor,
    },
    invariants=(
        Invariant("ledger_completed_whole", "every step of a completed order is done"),
        Invariant("ledger_undone_whole", "of an order that did not complete, all that was or may have been done is undone"),
        Invariant("orders_nothing_stands_after_undo", "the orders service has no order that was undone"),
        Invariant("inventory_nothing_held_after_undo", "no stock is held for an order that was undone"),
        Invariant("payments_nothing_held_after_undo", "no money is held for an order that was undone"),
        Invariant("payments_money_within_bounds", "no more is taken than was authorized, nor more given back than was taken"),
    ),
)
