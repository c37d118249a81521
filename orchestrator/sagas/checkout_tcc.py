"""Check out by try, confirm, cancel: stock and money are held for a time, both at once, then both for good, or neither.

::

    try_stock   ┐               ┌ confirm_stock   ┐
                ├─ both tried ──┤                 ├─ both confirmed: COMPLETED
    try_payment ┘               └ confirm_payment ┘
         │ refused, or not in time      │ refused: its time was over
         └──────────────────────────────┴──▶ cancel both, a confirmed one by a real reversal: FAILED

A confirm is repeated until it is answered: a participant that was away for longer than the reservations last answers that the
time is over, and what the other one had confirmed is taken back.
"""

from typing import Final

from orchestrator.phases import CONFIRM, TRY
from orchestrator.saga import Invariant, Retry, Saga, Step, StepKind
from orchestrator.sagas.orders import PlaceOrder
from participants.contracts import inventory, payments

TRY_DEADLINE_S: Final = 120.0
"""Seconds from the first attempt of a try: all attempts of the default settings fit, and nobody stands at a till for longer."""
CONFIRM_RETRY: Final = Retry(first_s=1.0, factor=2.0, attempts_max=100, wait_max_s=60.0)
"""An hour and a half, six times as long as the reservations last: by then a participant that answers at all says yes or no."""

try_stock: Step[PlaceOrder, inventory.TryStock] = Step(
    name="try_stock",
    request=lambda ctx: inventory.TryStock(
        order_id=ctx.order_id,
        lines=tuple(inventory.StockLine(sku=item.sku, quantity=item.quantity) for item in ctx.input.items),
    ),
    action=inventory.try_stock,
    compensation=inventory.cancel_stock,
    group=TRY,
    deadline_s=TRY_DEADLINE_S,
    on_success="StockReserved",
    on_rejection="StockReservationFailed",
    on_undo="StockReleased",
)
try_payment: Step[PlaceOrder, payments.TryPayment] = Step(
    name="try_payment",
    request=lambda ctx: payments.TryPayment(
        reservation_id=ctx.id_of(try_payment),
        order_id=ctx.order_id,
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
confirm_stock: Step[PlaceOrder, inventory.ReservationRef] = Step(
    name="confirm_stock",
    request=lambda ctx: inventory.ReservationRef(order_id=ctx.order_id),
    action=inventory.confirm_stock,
    kind=StepKind.PIVOT,
    undone_by="try_stock",
    group=CONFIRM,
    retry=CONFIRM_RETRY,
)
confirm_payment: Step[PlaceOrder, payments.PaymentTryRef] = Step(
    name="confirm_payment",
    request=lambda ctx: payments.PaymentTryRef(reservation_id=ctx.id_of(try_payment), order_id=ctx.order_id),
    action=payments.confirm_payment,
    kind=StepKind.PIVOT,
    undone_by="try_payment",
    group=CONFIRM,
    retry=CONFIRM_RETRY,
    on_success="PaymentCaptured",
    on_rejection="PaymentFailed",
    on_undo="PaymentRefunded",
)

CHECKOUT_TCC = Saga(
    name="checkout_tcc",
    version=1,
    input=PlaceOrder,
    says="Try stock and payment at once; confirm both, or cancel both.",
    steps=(try_stock, try_payment, confirm_stock, confirm_payment),
    stands=lambda order: {"inventory.reserved": order.units, "payments.captured": order.total_minor},
    invariants=(
        Invariant("ledger_confirmed_both_or_neither", "nothing is confirmed on one side only once the order has ended"),
        Invariant("inventory_nothing_held_after_undo", "no stock is held by what was cancelled"),
        Invariant("inventory_nothing_held_past_its_time", "no stock is tried for longer than its time"),
        Invariant("payments_nothing_held_after_undo", "no money is held by what was cancelled"),
        Invariant("payments_nothing_held_past_its_time", "no money is tried for longer than its time"),
    ),
)
