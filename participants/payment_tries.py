"""Money by try, confirm, cancel: set aside for a time, and taken once it is confirmed.

::

    try ─▶ authorized ─confirm─▶ captured ─cancel─▶ refunded
             ├───cancel───▶ voided
             └────time────▶ expired

A try is an authorization with an end, whose id is the reservation's, and the fence takes it for one. Whether a confirm or
its time comes first is decided by one conditional write on its row.
"""

from typing import Literal

from participants.calls import Action, Compensation, Done, Route
from participants.contracts.endpoint import Wire
from participants.contracts.payments import (
    PaymentCancellation,
    PaymentConfirmation,
    PaymentTry,
    TryPayment,
)
from participants.database import Connection
from participants.expiry import BATCH
from participants.idempotency import Posting
from participants.payments import check_bank, give_back, let_go, lock_money
from participants.problems import Problem
from sql.loader import Queries

_queries = Queries("payment_tries")
_TRY_PAYMENT = _queries["try_payment"]
_CONFIRM_PAYMENT = _queries["confirm_payment"]
_EXPIRE_PAYMENTS = _queries["expire_payments"]


class TryName(Wire):
    """What a confirm or a cancel needs: the contract's reference, of which the order may be left out.

    Attributes:
        reservation_id: The try.
        order_id: The order it is for; compared when given.
    """

    reservation_id: str
    order_id: str | None = None


async def try_payment(connection: Connection, order: TryPayment, lifetime_s: float) -> Done:
    """Set money aside for a time.

    Raises:
        Problem: 402 when the payment method is declined, 422 when the currency is no code.
    """
    check_bank(order)
    fields = {**order.model_dump(exclude={"payment_method"}), "lifetime_s": lifetime_s}
    (expires_at,) = await (await connection.execute(_TRY_PAYMENT, fields)).fetchone() or ()
    known = order.model_dump(include={"reservation_id", "order_id", "amount_minor"})
    answer = PaymentTry(**known, status="tried", expires_at=expires_at)
    return Done(answer, Posting(order.order_id, "authorized", {"authorized": order.amount_minor}), 201)


async def confirm_payment(connection: Connection, order: TryName) -> Done:
    """Take the money that was tried.

    Raises:
        Problem: 409 when nothing was tried, or it was let go; 410 when its time is over; 422 when it is for another order.
    """
    taken = await (await connection.execute(_CONFIRM_PAYMENT, order.model_dump())).fetchone()
    if taken is None:
        raise await _unconfirmable(connection, order)
    order_id, amount_minor = taken
    answer = PaymentConfirmation(
        reservation_id=order.reservation_id, order_id=order_id, amount_minor=amount_minor, status="captured"
    )
    return Done(answer, Posting(order_id, "captured", {"authorized": -amount_minor, "captured": amount_minor}))


async def cancel_payment(connection: Connection, order: TryName) -> Done:
    """Let go of money that was tried, or give it back when it was taken.

    Raises:
        Problem: 422 when it is for another order.
    """
    money = await lock_money(connection, order.reservation_id, order.order_id)
    if money is None:
        return _cancelled(order, "none")
    match money.status:
        case "authorized":
            return _cancelled(order, "voided", await let_go(connection, money))
        case "captured":
            return _cancelled(order, "refunded", await give_back(connection, money))
        case ended:
            return _cancelled(order, ended)


async def expire_payments(connection: Connection) -> int:
    """Let go of money whose time is over.

    Returns:
        How many tries expired, at most BATCH.
    """
    return (await connection.execute(_EXPIRE_PAYMENTS, {"limit": BATCH})).rowcount


async def _unconfirmable(connection: Connection, order: TryName) -> Problem:
    money = await lock_money(connection, order.reservation_id, order.order_id)
    if money is None or not money.is_try:
        return Problem(409, "not-tried", "Nothing was tried that could be confirmed.")
    if money.status in ("voided", "refunded", "captured"):
        return Problem(409, f"reservation-{money.status}", f"What was tried is {money.status}.")
    return Problem(410, "expired", "The time of the try is over.")


def _cancelled(order: TryName, status: Literal["voided", "refunded", "expired", "none"], effect: Posting | None = None) -> Done:
    return Done(PaymentCancellation(reservation_id=order.reservation_id, status=status), effect)


def _authorization(order: TryPayment | TryName) -> str:
    return f"authorization/{order.reservation_id}"


def _capture(order: TryName) -> str:
    return f"capture/{order.reservation_id}"


def routes(lifetime_s: float) -> tuple[Route, ...]:
    """Return the operations, for tries that last so many seconds."""
    return (
        Action(
            "POST",
            "/payments/try",
            TryPayment,
            _authorization,
            lambda connection, order: try_payment(connection, order, lifetime_s),
        ),
        Action("POST", "/payments/confirm/{reservation_id}", TryName, _capture, confirm_payment),
        # A cancel takes a confirm with it, the one that is still on its way too. It is known by a name of its own: a void
        # of the same authorization is another operation, with another answer.
        Compensation(
            "POST",
            "/payments/cancel/{reservation_id}",
            TryName,
            lambda order: (f"reservation/{order.reservation_id}", _authorization(order), _capture(order)),
            cancel_payment,
        ),
    )
