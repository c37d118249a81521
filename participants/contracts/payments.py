"""The payments service: authorize, capture, void, refund."""

from typing import Annotated, Literal

from pydantic import Field

from participants.contracts.endpoint import PERSONAL, Answer, Endpoint, Wire


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


authorize = Endpoint("payments", "POST", "/payments/authorize", Authorize, Payment)
void = Endpoint("payments", "POST", "/payments/void/{authorization_id}", AuthorizationRef, Reversal)
capture = Endpoint("payments", "POST", "/payments/capture/{authorization_id}", Capture, Payment)
refund = Endpoint("payments", "POST", "/payments/refund/{authorization_id}", AuthorizationRef, Reversal)
