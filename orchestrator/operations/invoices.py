"""Invoices of a file, read: orders, and cancellations that take something of an order back."""

from dataclasses import dataclass
from typing import Any, Final

CURRENCY: Final = "GBP"
GUEST: Final = "guest"


@dataclass(frozen=True, slots=True)
class OrderItem:
    """One line of an order, from one line of the file or several."""

    sku: str
    description: str
    quantity: int
    unit_price_minor: int


@dataclass(frozen=True, slots=True)
class Invoice:
    """An invoice that is an order.

    Attributes:
        number: As in the file.
        customer_id: The shop's id of the customer; `guest` where the file names none.
        date: As in the file.
        country: As in the file.
        items: What is ordered.
        lines: Lines of the file that are in it; more than `items` where some were merged.
    """

    number: str
    customer_id: str
    date: str
    country: str
    items: tuple[OrderItem, ...]
    lines: int

    @property
    def merged(self) -> int:
        """Lines that were added to another."""
        return self.lines - len(self.items)

    @property
    def body(self) -> dict[str, Any]:
        """The order as `POST /orders` takes it."""
        return {
            "customer_id": self.customer_id,
            "currency": CURRENCY,
            "items": [
                {
                    "sku": item.sku,
                    "quantity": item.quantity,
                    "unit_price_minor": item.unit_price_minor,
                    "description": item.description,
                }
                for item in self.items
            ],
            "payment_method": "pm_card",
            "metadata": {"invoice": self.number, "invoice_date": self.date, "country": self.country},
        }


@dataclass(frozen=True, slots=True)
class Returned:
    """A line of a cancellation.

    Attributes:
        sku: The product.
        quantity: Pieces that come back, at least 1.
        refusal: Why it takes back nothing that could have been ordered; empty where it does.
    """

    sku: str
    quantity: int = 1
    refusal: str = ""


@dataclass(frozen=True, slots=True)
class Reversal:
    """A cancellation as it stands in the file.

    Attributes:
        number: Of the invoice.
        customer_id: Whose it is; None where the file does not say.
        lines: All its lines.
    """

    number: str
    customer_id: str | None
    lines: tuple[Returned, ...]
