"""What every participant is asked for when a person's data are to be erased."""

from typing import Any, Final

from pydantic import Field

from participants.contracts.endpoint import Answer, Endpoint, Wire

NOT_OFFERED: Final = "it offers no erasing"
"""How a refusal ends that says so."""
ORDERS_MAX: Final = 500
"""Orders of one call: each is looked up, and a call is to take far less than its limit."""


class ErasePersonal(Wire):
    """Asks that nothing personal be kept of a customer and of these orders, which have ended.

    Attributes:
        customer_id: The shop's id of the customer, at most 255 characters; it stays, as the orders do.
        order_ids: The ledger's ids of orders of the customer; there may be more than one call for one customer.
    """

    customer_id: str = Field(min_length=1, max_length=255)
    order_ids: tuple[str, ...] = Field(max_length=ORDERS_MAX)


class PersonalErased(Answer):
    """Nothing personal of them is kept any more.

    Attributes:
        erased: Of how many things something was erased; 0 where nothing was left.
    """

    customer_id: str
    erased: int = Field(ge=0)


def _is_not_offered(status: int, _answer: dict[str, Any]) -> str | None:
    return NOT_OFFERED if status in (404, 405) else None


def erasure_at(participant: str) -> Endpoint[ErasePersonal, PersonalErased]:
    """Return where a participant is asked."""
    return Endpoint(participant, "POST", "/personal/erase", ErasePersonal, PersonalErased, _is_not_offered)
