"""A file of invoices as orders: every line becomes part of an order, or is refused or cancelled for a stated reason.

The columns are those of the Online Retail data set (UCI Machine Learning Repository). Nothing here does IO.
"""

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from enum import StrEnum
from typing import Any, Final

from orchestrator.sagas.orders import ITEMS_MAX, QUANTITY_MAX, UNIT_PRICE_MINOR_MAX

COLUMNS: Final = ("InvoiceNo", "StockCode", "Description", "Quantity", "InvoiceDate", "UnitPrice", "CustomerID", "Country")
CURRENCY: Final = "GBP"
GUEST: Final = "guest"
CANCELLATION: Final = "cancellation of an earlier purchase"

Line = Mapping[str, str]


class Fate(StrEnum):
    """What became of a line of the file."""

    PLACED = "placed"
    """It is a line of an order that completed."""
    MERGED = "merged"
    """Its quantity was added to the line of the same product at the same price, in an order that completed."""
    REFUSED = "refused"
    """It is no purchase of a product that can be sold."""
    CANCELLED = "cancelled"
    """It takes back an earlier purchase."""
    UNDONE = "undone"
    """It is a line of an order that did not complete."""


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
class Replay:
    """A whole file, read.

    Attributes:
        lines: Lines of the file, without its header.
        invoices: Those that are orders, in the file's order.
        refused: Lines that are in no order, by reason.
        cancelled: Lines that take back an earlier purchase.
        invoices_refused: Invoices of which no line is left.
        invoices_cancelled: Invoices that are cancellations.
    """

    lines: int
    invoices: tuple[Invoice, ...]
    refused: Mapping[str, int]
    cancelled: int
    invoices_refused: int
    invoices_cancelled: int

    @property
    def stock(self) -> dict[str, tuple[str, int]]:
        """Name and needed pieces of every product that is ordered, by SKU."""
        pieces: Counter[str] = Counter()
        names: dict[str, str] = {}
        for item in (item for invoice in self.invoices for item in invoice.items):
            pieces[item.sku] += item.quantity
            names.setdefault(item.sku, item.description)
        return {sku: (names[sku], quantity) for sku, quantity in pieces.items()}


class _Refused(Exception):
    """A line can't be part of an order."""


def read_replay(lines: Iterable[Line]) -> Replay:
    """Sort the lines of a file into orders, refusals and cancellations."""
    count = cancelled = 0
    refused: Counter[str] = Counter()
    invoices: dict[str, _Draft] = {}
    cancellations: set[str] = set()
    for count, line in enumerate(lines, start=1):  # noqa: B007  (the number of lines is what is wanted)
        number = line["InvoiceNo"].strip()
        if number.upper().startswith("C"):
            cancelled += 1
            cancellations.add(number)
            continue
        draft = invoices.setdefault(number, _Draft(line))
        try:
            draft.add(_read_item(line))
        except _Refused as refusal:
            refused[str(refusal)] += 1
    orders = []
    for number, draft in invoices.items():
        reason = draft.refusal()
        if draft.items and reason:
            refused[reason] += draft.lines
        elif draft.items:
            orders.append(draft.invoice(number))
    return Replay(count, tuple(orders), refused, cancelled, len(invoices) - len(orders), len(cancellations))


class _Draft:
    """An invoice of which lines are still being read."""

    def __init__(self, first: Line) -> None:
        self.items: dict[tuple[str, int], OrderItem] = {}
        self.lines = 0
        self._first = first

    def add(self, item: OrderItem) -> None:
        # The same product at another price (a rebate on part of it) stays a line of its own: the total is the invoice's.
        key = (item.sku, item.unit_price_minor)
        earlier = self.items.get(key)
        quantity = item.quantity + (earlier.quantity if earlier else 0)
        if quantity > QUANTITY_MAX:
            raise _Refused(f"quantity above {QUANTITY_MAX:,}")
        self.items[key] = OrderItem(
            item.sku, earlier.description if earlier else item.description, quantity, item.unit_price_minor
        )
        self.lines += 1

    def refusal(self) -> str | None:
        """Say why the invoice as a whole is no order; None when it is one."""
        if len(self.items) > ITEMS_MAX:
            return f"invoice of more than {ITEMS_MAX:,} products"
        return None

    def invoice(self, number: str) -> Invoice:
        line = self._first
        # The data set holds ids as floats: 17850.0 is customer 17850.
        customer = line["CustomerID"].strip().removesuffix(".0") or GUEST
        return Invoice(number, customer, line["InvoiceDate"], line["Country"], tuple(self.items.values()), self.lines)


def _read_item(line: Line) -> OrderItem:
    # Lower and upper case of a code name the same product in this data: 85123A and 85123a, described alike.
    sku = line["StockCode"].strip().upper()
    reason = _no_product(sku)
    if reason:
        raise _Refused(f"no product: {reason}")
    quantity, price_minor = _read_quantity(line["Quantity"]), _read_price(line["UnitPrice"])
    description = line["Description"].strip()
    if quantity <= 0:
        raise _Refused("stock correction: quantity not above zero")
    if not description:
        raise _Refused("no description")
    if price_minor <= 0:
        raise _Refused("price not above zero")
    if quantity > QUANTITY_MAX:
        raise _Refused(f"quantity above {QUANTITY_MAX:,}")
    if price_minor > UNIT_PRICE_MINOR_MAX:
        raise _Refused("price above the limit")
    return OrderItem(sku, description[:500], quantity, price_minor)


_SERVICES: Final = {
    "POST": "postage or carriage",
    "DOT": "postage or carriage",
    "C2": "postage or carriage",
    "C3": "postage or carriage",
    "D": "discount",
    "M": "manual entry",
    "S": "samples",
    "B": "bad debt",
    "BANK CHARGES": "bank or marketplace fee",
    "AMAZONFEE": "bank or marketplace fee",
    "CRUK": "bank or marketplace fee",
}
# Goods have five digits and at most a few letters for the variant; DCGS and PADS are goods outside the numbering.
_GOODS: Final = re.compile(r"\d{5}[A-Z]{0,3}|DCGS\w+|PADS")


def _no_product(sku: str) -> str | None:
    """Say what a code that is no product stands for; None for a product."""
    if sku in _SERVICES:
        return _SERVICES[sku]
    if sku.startswith("GIFT_"):
        # It is sold, but there is no stock of it: what it gives is credit.
        return "gift voucher"
    return None if _GOODS.fullmatch(sku) else "code of no known kind"


def _read_quantity(text: str) -> int:
    try:
        return int(text.strip())
    except ValueError:
        raise _Refused("quantity is no whole number") from None


def _read_price(text: str) -> int:
    try:
        minor = Decimal(text.strip()) * 100
    except InvalidOperation:
        raise _Refused("price is no number") from None
    if not minor.is_finite() or minor != minor.to_integral_value():
        raise _Refused("price is no whole number of pence")
    return int(minor)
