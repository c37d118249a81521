"""A file of invoices as orders: every line becomes part of an order, or is refused or cancelled for a stated reason.

The columns are those of the Online Retail data set (UCI Machine Learning Repository). Nothing here does IO.
"""

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from enum import StrEnum
from typing import Final

from orchestrator.operations.invoices import GUEST, Invoice, OrderItem, Returned, Reversal
from orchestrator.operations.returns import Cancellation, match_returns
from orchestrator.sagas.orders import ITEMS_MAX, QUANTITY_MAX, UNIT_PRICE_MINOR_MAX

COLUMNS: Final = ("InvoiceNo", "StockCode", "Description", "Quantity", "InvoiceDate", "UnitPrice", "CustomerID", "Country")

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
    """It takes back a line of an order that was cancelled for it."""
    UNDONE = "undone"
    """It is a line of an order that did not complete, or of a cancellation that was not carried out."""


@dataclass(frozen=True, slots=True)
class Replay:
    """A whole file, read.

    Attributes:
        lines: Lines of the file, without its header.
        invoices: Those that are orders, in the file's order.
        refused: Lines that are in no order and of no cancellation, by reason.
        cancellations: Invoices that are cancellations, in the file's order.
        invoices_refused: Invoices of which no line is left.
    """

    lines: int
    invoices: tuple[Invoice, ...]
    refused: Mapping[str, int]
    cancellations: tuple[Cancellation, ...]
    invoices_refused: int

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
    count = 0
    refused: Counter[str] = Counter()
    drafts: dict[str, _Draft | _Takeback] = {}
    for count, line in enumerate(lines, start=1):  # noqa: B007  (the number of lines is what is wanted)
        number = line["InvoiceNo"].strip()
        draft = drafts.setdefault(number, _Takeback(line) if number.upper().startswith("C") else _Draft(line))
        try:
            draft.add(line)
        except _Refused as refusal:
            refused[str(refusal)] += 1
    read: list[Invoice | Reversal] = []
    for number, draft in drafts.items():
        reason = draft.refusal()
        if reason:
            refused[reason] += draft.lines
        elif draft.lines:
            read.append(draft.read(number))
    invoices = tuple(invoice for invoice in read if isinstance(invoice, Invoice))
    return Replay(count, invoices, refused, match_returns(read), len(drafts) - len(read))


class _Draft:
    """An invoice of which lines are still being read."""

    def __init__(self, first: Line) -> None:
        self.items: dict[tuple[str, int], OrderItem] = {}
        self.lines = 0
        self._first = first

    def add(self, line: Line) -> None:
        item = _read_item(line)
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

    def read(self, number: str) -> Invoice:
        line, customer_id = self._first, _read_customer(self._first) or GUEST
        return Invoice(number, customer_id, line["InvoiceDate"], line["Country"], tuple(self.items.values()), self.lines)


class _Takeback:
    """A cancellation of which lines are still being read; each of its lines stays one, to be answered by itself."""

    def __init__(self, first: Line) -> None:
        self._first = first
        self._returned: list[Returned] = []

    @property
    def lines(self) -> int:
        return len(self._returned)

    def add(self, line: Line) -> None:
        sku = _read_sku(line)
        try:
            self._returned.append(Returned(sku, _read_return(line, sku)))
        except _Refused as refusal:
            self._returned.append(Returned(sku, 0, f"cancellation: {refusal}"))

    def refusal(self) -> None:
        """Refuse nothing as a whole."""

    def read(self, number: str) -> Reversal:
        return Reversal(number, _read_customer(self._first), tuple(self._returned))


def _read_return(line: Line, sku: str) -> int:
    """Return how many pieces come back."""
    _refuse_no_product(sku)
    quantity = -_read_quantity(line["Quantity"])
    if quantity <= 0:
        raise _Refused("quantity not below zero")
    return quantity


def _read_customer(line: Line) -> str | None:
    # The data set holds ids as floats: 17850.0 is customer 17850.
    return line["CustomerID"].strip().removesuffix(".0") or None


def _read_sku(line: Line) -> str:
    # Lower and upper case of a code name the same product in this data: 85123A and 85123a, described alike.
    return line["StockCode"].strip().upper()


def _read_item(line: Line) -> OrderItem:
    sku = _read_sku(line)
    _refuse_no_product(sku)
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


def _refuse_no_product(sku: str) -> None:
    """Refuse a code that is no product, and say what it stands for."""
    if sku in _SERVICES:
        raise _Refused(f"no product: {_SERVICES[sku]}")
    if sku.startswith("GIFT_"):
        # It is sold, but there is no stock of it: what it gives is credit.
        raise _Refused("no product: gift voucher")
    if not _GOODS.fullmatch(sku):
        raise _Refused("no product: code of no known kind")


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
