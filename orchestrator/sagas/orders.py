"""What starts the sagas of an order."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from participants.contracts import PERSONAL
from participants.contracts.shipping import Address

ITEMS_MAX = 2_000
QUANTITY_MAX = 1_000_000
UNIT_PRICE_MINOR_MAX = 10**9


class Item(BaseModel):
    """One line of an order.

    Attributes:
        sku: The product's code.
        quantity: Units.
        unit_price_minor: Price of one unit in minor units of the order's currency.
        description: Free text for people about the goods; shown with the order, so nothing of a person belongs there.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    sku: str = Field(min_length=1, max_length=64)
    quantity: int = Field(ge=1, le=QUANTITY_MAX)
    unit_price_minor: int = Field(ge=0, le=UNIT_PRICE_MINOR_MAX)
    description: str | None = Field(default=None, max_length=500)


class PlaceOrder(BaseModel):
    """Input of `place_order`.

    Attributes:
        customer_id: The shop's id of the customer.
        currency: ISO 4217 code.
        items: The goods; a product may stand in several lines.
        payment_method: Token of the payment method.
        shipping_address: Where the goods go; None when they are collected.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    customer_id: str = Field(min_length=1, max_length=128)
    currency: str = Field(pattern=r"^[A-Z]{3}$")
    items: tuple[Item, ...] = Field(min_length=1, max_length=ITEMS_MAX)
    payment_method: Annotated[str, PERSONAL] = Field(default="pm_card", min_length=1, max_length=128)
    shipping_address: Annotated[Address | None, PERSONAL] = None

    @property
    def total_minor(self) -> int:
        """Sum over all lines in minor units."""
        return sum(item.quantity * item.unit_price_minor for item in self.items)

    @property
    def units(self) -> int:
        """Number of pieces over all lines."""
        return sum(item.quantity for item in self.items)


class DeliverOrder(PlaceOrder):
    """Input of `deliver_order`: an order that goes somewhere.

    Attributes:
        shipping_address: Where the goods go.
    """

    shipping_address: Annotated[Address, PERSONAL]
