"""The payments service: authorize, capture, void, refund; or try, confirm, cancel."""

from typing import Annotated, Literal

from pydantic import AwareDatetime, Field

from participants.contracts.endpoint import Answer, Endpoint, Wire
from participants.contracts.personal import PERSONAL


class AuthorizationRef(Wire):
    """Names an authorization.

    Attributes:
        authorization_id: A UUID in its canonical form, chosen by the caller.
        order_id: The ledger's id of the order it is for.
    """

    authorization_id: str
    order_id: str


class Authorize(AuthorizationRef):
    """Asks for money to be set aside.

    Attributes:
        amount_minor: Amount in minor units.
        currency: ISO 4217 code.
        payment_method: Token of the payment method; `pm_declined` is declined.
    """

    amount_minor: int = Field(ge=1)
    currency: str
    payment_method: Annotated[str, PERSONAL]


class Capture(AuthorizationRef):
    """Takes money that was set aside; what is captured is the whole authorization.

    Attributes:
        amount_minor: Amount in minor units; must be the authorized amount.
    """

    amount_minor: int = Field(ge=1)


class Payment(Answer):
    """What the payments service knows of an authorization."""

    authorization_id: str
    order_id: str
    amount_minor: int
    status: Literal["authorized", "captured", "voided", "refunded"]


class Reversal(Answer):
    """The answer to a void or a refund.

    Attributes:
        status: State of the money after it; `none` when there never was any.
    """

    authorization_id: str
    status: Literal["voided", "refunded", "none"]


class PaymentTryRef(Wire):
    """Names money that was set aside for a time.

    Attributes:
        reservation_id: A UUID in its canonical form, chosen by the caller.
        order_id: The ledger's id of the order it is for.
    """

    reservation_id: str
    order_id: str


class TryPayment(PaymentTryRef):
    """Asks for money to be set aside until it is confirmed, cancelled, or its time is over.

    Attributes:
        amount_minor: Amount in minor units.
        currency: ISO 4217 code.
        payment_method: Token of the payment method; `pm_declined` is declined.
    """

    amount_minor: int = Field(ge=1)
    currency: str
    payment_method: Annotated[str, PERSONAL]


class PaymentTry(Answer):
    """Money that is set aside for a time.

    Attributes:
        expires_at: When it is let go unless it was confirmed, by the service's database clock.
    """

    reservation_id: str
    order_id: str
    amount_minor: int
    status: Literal["tried"]
    expires_at: AwareDatetime


class PaymentConfirmation(Answer):
    """Money that was tried, and taken."""

    reservation_id: str
    order_id: str
    amount_minor: int
    status: Literal["captured"]


class PaymentCancellation(Answer):
    """The answer to a cancel.

    Attributes:
        status: State of the money after it: let go, given back, let go before because its time was over; `none` when
            there never was any.
    """

    reservation_id: str
    status: Literal["voided", "refunded", "expired", "none"]


authorize = Endpoint("payments", "POST", "/payments/authorize", Authorize, Payment)
void = Endpoint("payments", "POST", "/payments/void/{authorization_id}", AuthorizationRef, Reversal)
capture = Endpoint("payments", "POST", "/payments/capture/{authorization_id}", Capture, Payment)
refund = Endpoint("payments", "POST", "/payments/refund/{authorization_id}", AuthorizationRef, Reversal)
try_payment = Endpoint("payments", "POST", "/payments/try", TryPayment, PaymentTry)
confirm_payment = Endpoint("payments", "POST", "/payments/confirm/{reservation_id}", PaymentTryRef, PaymentConfirmation)
cancel_payment = Endpoint("payments", "POST", "/payments/cancel/{reservation_id}", PaymentTryRef, PaymentCancellation)
