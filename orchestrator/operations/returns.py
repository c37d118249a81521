"""Which orders the cancellations of a file belong to. Nothing here does IO.

A cancellation names its customer and what comes back, never the invoice that it takes back. It belongs to earlier invoices of
that customer: to the one of which it takes back all that is left, or else, line by line, to the newest of which enough of the
product is left. An order is cancelled with the cancellation that takes back the last of it: orders are cancelled whole.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

from orchestrator.operations.invoices import Invoice, Returned, Reversal

NO_CUSTOMER: Final = "cancellation: without a customer there is no purchase to look for"
NOT_BOUGHT: Final = "cancellation: the customer bought none of it earlier in the file"
NOT_SO_MANY: Final = "cancellation: of no earlier order are so many pieces left"
PART: Final = "cancellation: of a part of an order, and orders are cancelled whole"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a line of a cancellation comes to.

    Attributes:
        refusal: Why it cancels nothing, in the words that are the same for all such lines; empty where its order is cancelled.
        detail: What was found of it: which line of which invoice, and how much is left.
        invoice: Number of the invoice whose order is cancelled for it; empty where none is.
    """

    refusal: str
    detail: str
    invoice: str = ""


@dataclass(frozen=True, slots=True)
class Cancellation:
    """A cancellation with what was found of it.

    Attributes:
        number: Of the invoice.
        cancels: Numbers of the invoices whose orders are cancelled with it: it takes back the last of them.
        lines: One verdict for each of its lines.
    """

    number: str
    cancels: tuple[str, ...]
    lines: tuple[Verdict, ...]


def match_returns(invoices: Iterable[Invoice | Reversal]) -> tuple[Cancellation, ...]:
    """Find out what each cancellation belongs to.

    Args:
        invoices: Orders and cancellations, in the order in which they were written.
    """
    orders: dict[str, list[_Order]] = defaultdict(list)
    found = []
    for invoice in invoices:
        if isinstance(invoice, Reversal):
            found.append(_match(invoice, orders.get(invoice.customer_id or "", [])))
        else:
            orders[invoice.customer_id].append(_Order(invoice))
    return tuple(_judged(*match) for match in found)


def explain(cancellation: Cancellation) -> Iterator[tuple[str, int, str, str]]:
    """Say why lines of a cancellation cancel nothing: for each reason its number, the lines, the reason, what was found."""
    for reason in dict.fromkeys(line.refusal for line in cancellation.lines if line.refusal):
        found = [line.detail for line in cancellation.lines if line.refusal == reason]
        more = f", and {len(found) - 1} more" if len(found) > 1 else ""
        yield cancellation.number, len(found), reason.removeprefix("cancellation: "), found[0] + more


@dataclass(eq=False)
class _Order:
    """An order, and how much of it was not taken back so far."""

    invoice: Invoice
    left: Counter[str] = field(init=False)

    def __post_init__(self) -> None:
        self.left = Counter()
        for item in self.invoice.items:
            self.left[item.sku] += item.quantity

    @property
    def is_gone(self) -> bool:
        return not +self.left

    def line_of(self, sku: str) -> int:
        return next(line for line, item in enumerate(self.invoice.items, start=1) if item.sku == sku)


_Match = tuple[Reversal, tuple[str, ...], "list[_Order | Verdict]"]
"""A cancellation, what it cancels, and of each line its order or why it has none."""


def _match(reversal: Reversal, orders: Sequence[_Order]) -> _Match:
    goods: Counter[str] = Counter()
    for line in reversal.lines:
        goods[line.sku] += 0 if line.refusal else line.quantity
    whole = next((order for order in reversed(orders) if +order.left == +goods), None)
    lines: list[_Order | Verdict] = []
    touched: dict[str, _Order] = {}
    for line in reversal.lines:
        place = _place(line, reversal.customer_id, orders if whole is None else [whole])
        if isinstance(place, _Order):
            place.left[line.sku] -= line.quantity
            touched[place.invoice.number] = place
        lines.append(place)
    return reversal, tuple(number for number, order in touched.items() if order.is_gone), lines


def _place(line: Returned, customer_id: str | None, orders: Sequence[_Order]) -> "_Order | Verdict":
    """Return the order that a line takes something back of, or why there is none."""
    if line.refusal:
        return Verdict(line.refusal, line.sku)
    if customer_id is None:
        return Verdict(NO_CUSTOMER, f"{line.quantity} x {line.sku}")
    bought = [order for order in reversed(orders) if line.sku in order.left]
    if not bought:
        return Verdict(NOT_BOUGHT, f"{line.quantity} x {line.sku}")
    for order in bought:
        if order.left[line.sku] >= line.quantity:
            return order
    most = max(bought, key=lambda order: order.left[line.sku])
    return Verdict(
        NOT_SO_MANY, f"{line.quantity} x {line.sku}, of which {_where(most, line.sku)} has {most.left[line.sku]} left"
    )


def _judged(reversal: Reversal, cancels: tuple[str, ...], lines: Sequence["_Order | Verdict"]) -> Cancellation:
    """Tell, when all cancellations have been seen, which of its lines are of orders that are cancelled."""
    return Cancellation(
        reversal.number,
        cancels,
        tuple(
            place if isinstance(place, Verdict) else _verdict(line, place)
            for line, place in zip(reversal.lines, lines, strict=True)
        ),
    )


def _verdict(line: Returned, order: _Order) -> Verdict:
    of = f"{line.quantity} x {line.sku} of {_where(order, line.sku)}"
    if order.is_gone:
        return Verdict("", of, order.invoice.number)
    pieces = sum(item.quantity for item in order.invoice.items)
    return Verdict(PART, f"{of}; {sum((+order.left).values())} of its {pieces} pieces stay bought")


def _where(order: _Order, sku: str) -> str:
    return f"line {order.line_of(sku)} of invoice {order.invoice.number}"
