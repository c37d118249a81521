"""The payments service: authorize, capture, void, refund, against a mock bank.

::

    authorize ─▶ authorized ─capture─▶ captured ─refund─▶ refunded
                     └──void──▶ voided

By try, confirm, cancel: `payment_tries`.
"""

from dataclasses import dataclass
from typing import Final, Literal

from psycopg.rows import class_row

from participants.calls import Action, Compensation, Done, Route
from participants.contracts.endpoint import Wire
from participants.contracts.payments import AuthorizationRef, Authorize, Capture, Payment, Reversal, TryPayment
from participants.database import Connection
from participants.idempotency import Posting
from participants.problems import Problem, invalid_member
from sql.loader import Queries

DECLINED_METHOD: Final = "pm_declined"

_queries = Queries("payments")
_AUTHORIZE_PAYMENT = _queries["authorize_payment"]
_LOCK_PAYMENT = _queries["lock_payment"]
_CAPTURE_PAYMENT = _queries["capture_payment"]
_VOID_PAYMENT = _queries["void_payment"]
_REFUND_PAYMENT = _queries["refund_payment"]


class ReverseRequest(Wire):
    """What a void or a refund needs: the contract's reference, of which the order may be left out.

    Attributes:
        authorization_id: The authorization.
        order_id: The order it is for; compared when given.
    """

    authorization_id: str
    order_id: str | None = None


@dataclass(frozen=True, slots=True)
class Money:
    """Where the money of an authorization is.

    Attributes:
        is_try: Whether it was set aside for a time.
    """

    authorization_id: str
    order_id: str
    amount_minor: int
    status: Literal["authorized", "captured", "voided", "refunded", "expired"]
    is_try: bool


async def authorize(connection: Connection, order: Authorize) -> Done:
    """Set money aside.

    Raises:
        Problem: 402 when the payment method is declined, 422 when the currency is no code.
    """
    check_bank(order)
    await connection.execute(_AUTHORIZE_PAYMENT, order.model_dump(exclude={"payment_method"}))
    effect = Posting(order.order_id, "authorized", {"authorized": order.amount_minor})
    return Done(_payment(order, order.amount_minor, "authorized"), effect, 201)


async def capture(connection: Connection, order: Capture) -> Done:
    """Take the money that was set aside.

    Raises:
        Problem: 422 when there is no such authorization or it is for another order or amount, 409 when it is voided, or a try.
    """
    money = await lock_money(connection, order.authorization_id, order.order_id)
    if money is None:
        raise Problem(422, "unknown-authorization", "There is no such authorization.")
    if money.amount_minor != order.amount_minor:
        raise Problem(422, "amount-mismatch", "Not the amount that was authorized.")
    if money.status != "authorized":
        raise Problem(409, f"authorization-{money.status}", f"The authorization is {money.status}.")
    if money.is_try:
        raise Problem(409, "authorization-tried", "The money was set aside for a time: confirm it.")
    await connection.execute(_CAPTURE_PAYMENT, {"authorization_id": order.authorization_id})
    amounts = {"authorized": -money.amount_minor, "captured": money.amount_minor}
    return Done(_payment(order, money.amount_minor, "captured"), Posting(money.order_id, "captured", amounts))


async def void(connection: Connection, order: ReverseRequest) -> Done:
    """Let go of money that was set aside; of money given back already there is nothing to let go.

    Raises:
        Problem: 409 when the money was taken: that is for a refund; 422 when it is for another order.
    """
    money = await lock_money(connection, order.authorization_id, order.order_id)
    if money is None:
        return _reversed(order, "none")
    if money.status == "captured":
        raise Problem(409, "authorization-captured", "The money was captured: refund it.")
    if money.status != "authorized":
        return _reversed(order, "refunded" if money.status == "refunded" else "voided")
    return _reversed(order, "voided", await let_go(connection, money))


async def refund(connection: Connection, order: ReverseRequest) -> Done:
    """Give back money that was taken; what was only set aside stays so.

    Raises:
        Problem: 422 when the authorization is for another order.
    """
    money = await lock_money(connection, order.authorization_id, order.order_id)
    if money is None or money.status == "authorized":
        return _reversed(order, "none")
    if money.status != "captured":
        return _reversed(order, "refunded" if money.status == "refunded" else "voided")
    return _reversed(order, "refunded", await give_back(connection, money))


def check_bank(order: Authorize | TryPayment) -> None:
    """Ask the mock bank.

    Raises:
        Problem: 402 when the payment method is declined, 422 when the currency is no code.
    """
    if not (len(order.currency) == 3 and order.currency.isascii() and order.currency.isupper()):
        raise invalid_member("/currency", "Not an ISO 4217 code")
    if order.payment_method == DECLINED_METHOD:
        raise Problem(402, "payment-declined", "The payment method was declined.")


async def let_go(connection: Connection, money: Money) -> Posting:
    """Let go of money that is locked and set aside."""
    await connection.execute(_VOID_PAYMENT, {"authorization_id": money.authorization_id})
    return Posting(money.order_id, "voided", {"authorized": -money.amount_minor})


async def give_back(connection: Connection, money: Money) -> Posting:
    """Give back money that is locked and taken."""
    await connection.execute(_REFUND_PAYMENT, {"authorization_id": money.authorization_id})
    return Posting(money.order_id, "refunded", {"captured": -money.amount_minor})


async def lock_money(connection: Connection, authorization_id: str, order_id: str | None) -> Money | None:
    """Read where the money is and keep it there until the transaction ends; None when there never was any.

    Raises:
        Problem: 422 when it is for another order than the one that is named.
    """
    async with connection.cursor(row_factory=class_row(Money)) as cursor:
        await cursor.execute(_LOCK_PAYMENT, {"authorization_id": authorization_id})
        money = await cursor.fetchone()
    if money is not None and order_id not in (None, money.order_id):
        raise invalid_member("/order_id", "The authorization is for another order")
    return money


def _payment(order: AuthorizationRef, amount_minor: int, status: Literal["authorized", "captured"]) -> Payment:
    return Payment(authorization_id=order.authorization_id, order_id=order.order_id, amount_minor=amount_minor, status=status)


def _reversed(order: ReverseRequest, status: Literal["voided", "refunded", "none"], effect: Posting | None = None) -> Done:
    return Done(Reversal(authorization_id=order.authorization_id, status=status), effect)


def _authorization(order: AuthorizationRef | ReverseRequest) -> str:
    return f"authorization/{order.authorization_id}"


def _capture(order: AuthorizationRef | ReverseRequest) -> str:
    return f"capture/{order.authorization_id}"


ROUTES: Final[tuple[Route, ...]] = (
    Action("POST", "/payments/authorize", Authorize, _authorization, authorize),
    Action("POST", "/payments/capture/{authorization_id}", Capture, _capture, capture),
    Compensation(
        "POST",
        "/payments/void/{authorization_id}",
        ReverseRequest,
        lambda order: (_authorization(order),),
        void,
    ),
    Compensation("POST", "/payments/refund/{authorization_id}", ReverseRequest, lambda order: (_capture(order),), refund),
)
