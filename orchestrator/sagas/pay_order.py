"""Orders that are placed first and paid later: `place_unpaid_order`, then `pay_order` on it by try, confirm, cancel.

`pay_order` is begun on an order that `place_unpaid_order` has completed, as a row of its own. It sets the money aside and
keeps the goods that the order holds already from being given away meanwhile, and takes the money only if they are still
there. When the money is refused the order stands as it did, unpaid, and can be paid in another way.
"""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from orchestrator.phases import CONFIRM, TRY
from orchestrator.saga import Invariant, Saga, Step, StepKind
from orchestrator.sagas.checkout_tcc import CONFIRM_RETRY, TRY_DEADLINE_S
from orchestrator.sagas.orders import PlaceOrder
from orchestrator.sagas.place_order import confirm_order, create_order, reserve_inventory
from participants.contracts import PERSONAL, inventory, payments

PLACE_UNPAID_ORDER = Saga(
    name="place_unpaid_order",
    version=1,
    input=PlaceOrder,
    says="Record the order, hold the stock, confirm; it is paid later.",
    steps=(create_order, reserve_inventory, confirm_order),
    stands=lambda order: {"orders.created": 1, "orders.confirmed": 1, "inventory.reserved": order.units},
    invariants=(Invariant("ledger_paid_once", "an order is paid at most once, and the whole of it"),),
)


class PayOrder(BaseModel):
    """Input of `pay_order`: what the ledger has of the order, and how it is paid.

    Attributes:
        order: Id of the order that is paid.
        customer_id, currency, total_minor: Of that order.
        lines: Its goods.
        payment_method: Token of the payment method.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    order: str
    customer_id: str
    currency: str
    total_minor: int = Field(ge=1)
    lines: tuple[inventory.StockLine, ...] = Field(min_length=1)
    payment_method: Annotated[str, PERSONAL] = Field(min_length=1, max_length=128)

    @staticmethod
    def of(order: str, placed: PlaceOrder, payment_method: str) -> "PayOrder":
        """Return what pays an order.

        Args:
            order: Its id.
            placed: What it was placed with.
            payment_method: Token of the payment method.
        """
        lines = tuple(inventory.StockLine(sku=item.sku, quantity=item.quantity) for item in placed.items)
        return PayOrder(
            order=order,
            customer_id=placed.customer_id,
            currency=placed.currency,
            total_minor=placed.total_minor,
            lines=lines,
            payment_method=payment_method,
        )


# The goods are tried under an id of their own, since the order has its plain reservation under its own; nothing more is held.
try_stock: Step[PayOrder, inventory.TryStock] = Step(
    name="try_stock",
    request=lambda ctx: inventory.TryStock(order_id=ctx.order_id, lines=ctx.input.lines, held_for=ctx.input.order),
    action=inventory.try_stock,
    compensation=inventory.cancel_stock,
    group=TRY,
    deadline_s=TRY_DEADLINE_S,
    on_rejection="StockReservationFailed",
)
try_payment: Step[PayOrder, payments.TryPayment] = Step(
    name="try_payment",
    request=lambda ctx: payments.TryPayment(
        reservation_id=ctx.id_of(try_payment),
        order_id=ctx.input.order,
        amount_minor=ctx.input.total_minor,
        currency=ctx.input.currency,
        payment_method=ctx.input.payment_method,
    ),
    action=payments.try_payment,
    compensation=payments.cancel_payment,
    group=TRY,
    deadline_s=TRY_DEADLINE_S,
    on_success="PaymentAuthorized",
    on_rejection="PaymentDeclined",
    on_undo="PaymentVoided",
)
confirm_stock: Step[PayOrder, inventory.ReservationRef] = Step(
    name="confirm_stock",
    request=lambda ctx: inventory.ReservationRef(order_id=ctx.order_id),
    action=inventory.confirm_stock,
    kind=StepKind.PIVOT,
    undone_by="try_stock",
    group=CONFIRM,
    retry=CONFIRM_RETRY,
)
confirm_payment: Step[PayOrder, payments.PaymentTryRef] = Step(
    name="confirm_payment",
    request=lambda ctx: payments.PaymentTryRef(reservation_id=ctx.id_of(try_payment), order_id=ctx.input.order),
    action=payments.confirm_payment,
    kind=StepKind.PIVOT,
    undone_by="try_payment",
    group=CONFIRM,
    retry=CONFIRM_RETRY,
    on_success="OrderPaid",
    on_rejection="PaymentFailed",
    on_undo="PaymentRefunded",
)

PAY_ORDER = Saga(
    name="pay_order",
    version=1,
    input=PayOrder,
    says="Take the money for an order that was placed without it, while its goods are held.",
    steps=(try_stock, try_payment, confirm_stock, confirm_payment),
    stands=lambda payment: {"payments.captured": payment.total_minor},
    invariants=(
        Invariant("ledger_confirmed_both_or_neither", "nothing is confirmed on one side only once the payment has ended"),
        Invariant("ledger_paid_once", "an order is paid at most once, and the whole of it"),
        Invariant("payments_one_capture_stands", "the money for an order is taken once"),
    ),
    startable=False,
)
