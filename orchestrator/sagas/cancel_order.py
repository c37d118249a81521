"""Take a completed order back: call its shipment off, give the money back, release the stock, tell the customer.

It is begun on an order that has completed (`orchestrator/cancelling.py`), as a row of its own, and undoes nothing of itself:
goods that were called off and money that was given back do not come again. So whatever changes something is a pivot: a
refusal before anything was done leaves the order as it was (a shipped order stays COMPLETED, and this saga is FAILED); from the
first change on it only goes forward, for a quarter of an hour by itself and then by an operator's `retry` (STUCK). The shipment
comes first, since that is what may be refused; then the money, then the stock, and no configuration changes that.
"""

from typing import Final

from pydantic import BaseModel, ConfigDict

from orchestrator.saga import Demand, Invariant, Retry, Saga, Step, StepKind
from participants.contracts import inventory, notifications, orders, payments, shipping

PATIENT: Final = Retry(first_s=1.0, factor=2.0, attempts_max=20, wait_max_s=60.0)
"""A quarter of an hour of attempts, besides the time for which the participant is known to be away."""


class CancelOrder(BaseModel):
    """Input of `cancel_order`: what the ledger has of the order that is taken back.

    Attributes:
        order: Id of the order, by which the participants know it.
        customer_id: Who is told; None for nobody.
        currency, total_minor: Of the order; None where it has none.
        shipment_id: Its shipment; None for none.
        authorization_id: Of the money that was set aside or taken for it, its try for one; None for none.
        captured: Whether the money was taken.
        holds_stock: Whether stock is held for it.
        recorded: Whether the orders service knows it.
        actor, reason: Who asked for it, and why.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    order: str
    customer_id: str | None
    currency: str | None
    total_minor: int | None
    shipment_id: str | None
    authorization_id: str | None
    captured: bool
    holds_stock: bool
    recorded: bool
    actor: str
    reason: str


check_cancellable: Step[CancelOrder, shipping.ShipmentRef] = Step(
    name="check_cancellable",
    request=lambda ctx: shipping.ShipmentRef(shipment_id=ctx.input.shipment_id or "", order_id=ctx.input.order),
    action=shipping.check_not_shipped,
    kind=StepKind.READ_ONLY,
    when=lambda ctx: ctx.input.shipment_id is not None,
)
cancel_shipment: Step[CancelOrder, shipping.ShipmentRef] = Step(
    name="cancel_shipment",
    request=lambda ctx: shipping.ShipmentRef(shipment_id=ctx.input.shipment_id or "", order_id=ctx.input.order),
    action=shipping.cancel,
    kind=StepKind.PIVOT,
    when=lambda ctx: ctx.input.shipment_id is not None,
    retry=PATIENT,
    on_success="ShipmentCancelled",
    after=("check_cancellable",),
)
refund_payment: Step[CancelOrder, payments.AuthorizationRef] = Step(
    name="refund_payment",
    request=lambda ctx: payments.AuthorizationRef(authorization_id=ctx.input.authorization_id or "", order_id=ctx.input.order),
    action=payments.refund,
    kind=StepKind.PIVOT,
    when=lambda ctx: ctx.input.captured,
    retry=PATIENT,
    on_success="PaymentRefunded",
    after=("cancel_shipment",),
)
void_payment: Step[CancelOrder, payments.AuthorizationRef] = Step(
    name="void_payment",
    request=lambda ctx: payments.AuthorizationRef(authorization_id=ctx.input.authorization_id or "", order_id=ctx.input.order),
    action=payments.void,
    kind=StepKind.PIVOT,
    when=lambda ctx: ctx.input.authorization_id is not None and not ctx.input.captured,
    retry=PATIENT,
    on_success="PaymentVoided",
    after=("cancel_shipment",),
)
release_inventory: Step[CancelOrder, inventory.ReservationRef] = Step(
    name="release_inventory",
    request=lambda ctx: inventory.ReservationRef(order_id=ctx.input.order),
    action=inventory.release,
    kind=StepKind.PIVOT,
    when=lambda ctx: ctx.input.holds_stock,
    retry=PATIENT,
    on_success="StockReleased",
    after=("refund_payment", "void_payment"),
)
send_cancellation_notice: Step[CancelOrder, notifications.Notify] = Step(
    name="send_cancellation_notice",
    request=lambda ctx: notifications.Notify(
        notification_id=ctx.id_of(send_cancellation_notice),
        order_id=ctx.input.order,
        customer_id=ctx.input.customer_id or "",
        template="order_cancelled",
    ),
    action=notifications.send,
    optional=True,
    when=lambda ctx: ctx.input.customer_id is not None,
    after=("refund_payment", "void_payment"),
)
mark_cancelled: Step[CancelOrder, orders.OrderRef] = Step(
    name="mark_cancelled",
    request=lambda ctx: orders.OrderRef(order_ledger_id=ctx.input.order),
    action=orders.cancel,
    kind=StepKind.PIVOT,
    when=lambda ctx: ctx.input.recorded,
    retry=PATIENT,
    after=("release_inventory",),
)

CANCEL_ORDER = Saga(
    name="cancel_order",
    version=1,
    input=CancelOrder,
    says="Take a completed order back: call its shipment off, give the money back, release the stock, tell the customer.",
    steps=(
        check_cancellable,
        cancel_shipment,
        refund_payment,
        void_payment,
        release_inventory,
        send_cancellation_notice,
        mark_cancelled,
    ),
    stands=lambda _: {},
    open_accounts=frozenset({"notifications.notifications"}),
    invariants=(
        Invariant("ledger_cancelled_whole", "a cancelled order was turned round itself, or one saga took all of it back"),
        Invariant("ledger_shipped_stays_completed", "an order whose goods have left is never cancelled"),
        Invariant("shipping_nothing_sent_after_undo", "no shipment stands that was called off"),
        Invariant("payments_nothing_held_after_undo", "no money is kept that was given back"),
    ),
    startable=False,
    takes_back=lambda order: Demand(order.actor, order.reason),
)
