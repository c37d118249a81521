"""What a demo places, and what each order must come to: pure data, decided before anything runs."""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from orchestrator.identity import order_id, resource_id

ORDERS_DEFAULT: Final = 40
SEED: Final = 1
STOCK: Final = 10_000
RARE_SKU: Final = "LAMP-RARE"

CATALOGUE: Final = (
    ("MUG-BLUE", "Blue enamel mug", 450),
    ("TEAPOT-1L", "Teapot, one litre", 1895),
    ("LANTERN-W", "White metal lantern", 339),
    ("CLOCK-OAK", "Oak wall clock", 4250),
    ("NOTEBOOK-A5", "Notebook A5, dotted", 625),
)
"""SKU, name, and price of a piece in pence."""


class Scenario(StrEnum):
    """What is done to an order, as people read it in the summary."""

    PLAIN = "nothing goes wrong"
    DECLINED = "payment method is declined"
    OUT_OF_STOCK = "too little stock"
    TRANSIENT = "confirm fails twice, then works"
    ANSWER_LOST = "capture works, its answer is lost"
    PERMANENT = "confirm fails for good: all is undone"
    CANCELLED = "cancelled while it runs"
    DELIVERED = "shipped, and the customer told"
    STRANGER = "to be shipped to an unknown customer"
    TRIED = "tried and confirmed, stock and money at once"
    TRY_REFUSED = "tried, too little stock: both are cancelled"
    PAID_LATER = "placed without payment, paid later"
    TAKEN_BACK = "completed, then cancelled: all goes back"
    RETURNED = "shipped order cancelled before it leaves"
    IN_FLIGHT = "held by a replica that is killed"


EXPECTED: Final = {
    Scenario.PLAIN: "COMPLETED",
    Scenario.DECLINED: "DECLINED",
    Scenario.OUT_OF_STOCK: "FAILED",
    Scenario.TRANSIENT: "COMPLETED",
    Scenario.ANSWER_LOST: "COMPLETED",
    Scenario.PERMANENT: "FAILED",
    Scenario.CANCELLED: "CANCELLED",
    Scenario.DELIVERED: "COMPLETED",
    Scenario.STRANGER: "FAILED",
    Scenario.TRIED: "COMPLETED",
    Scenario.TRY_REFUSED: "FAILED",
    Scenario.PAID_LATER: "COMPLETED",
    Scenario.TAKEN_BACK: "CANCELLED",
    Scenario.RETURNED: "CANCELLED",
    Scenario.IN_FLIGHT: "COMPLETED",
}

# One in so many orders, and one at least while there are orders left: rare things must be in a short demo too.
_SHARES: Final = (
    (Scenario.IN_FLIGHT, 10),
    (Scenario.DECLINED, 15),
    (Scenario.OUT_OF_STOCK, 15),
    (Scenario.TRANSIENT, 20),
    (Scenario.ANSWER_LOST, 20),
    (Scenario.PERMANENT, 20),
    (Scenario.CANCELLED, 20),
    (Scenario.DELIVERED, 20),
    (Scenario.STRANGER, 40),
    (Scenario.TRIED, 20),
    (Scenario.TRY_REFUSED, 40),
    (Scenario.PAID_LATER, 20),
    (Scenario.TAKEN_BACK, 20),
    (Scenario.RETURNED, 40),
)
_SAGAS: Final = {
    Scenario.DELIVERED: "deliver_order",
    Scenario.STRANGER: "deliver_order",
    Scenario.RETURNED: "deliver_order",
    Scenario.TRIED: "checkout_tcc",
    Scenario.TRY_REFUSED: "checkout_tcc",
    Scenario.PAID_LATER: "place_unpaid_order",
}
"""Which saga an order asks for; one that is missing asks for none, and gets `place_order`."""
_SHORT: Final = frozenset({Scenario.OUT_OF_STOCK, Scenario.TRY_REFUSED})
TAKEN_BACK: Final = frozenset({Scenario.TAKEN_BACK, Scenario.RETURNED})
"""Cancelled once they are completed."""
_ADDRESS: Final = {
    "name": "A. Customer",
    "lines": ["1 High Street"],
    "city": "London",
    "postal_code": "N1 1AA",
    "country": "GB",
}
CUSTOMER: Final = "17850"
"""Whom the orders service knows: who has something delivered must be."""


@dataclass(frozen=True, slots=True)
class Fault:
    """A fault to be scripted at a participant before the order is placed.

    Attributes:
        participant: Where.
        route: `fail-next` or `delay`.
        body: What.
    """

    participant: str
    route: str
    body: dict[str, Any]


@dataclass(frozen=True, slots=True)
class DemoOrder:
    """One order of a demo.

    Attributes:
        number: From 1.
        scenario: What is done to it.
    """

    number: int
    scenario: Scenario

    @property
    def key(self) -> str:
        """Idempotency key."""
        return f"demo-{self.number}"

    @property
    def body(self) -> dict[str, Any]:
        """The order as `POST /orders` takes it."""
        sku, name, price = CATALOGUE[self.number % len(CATALOGUE)]
        items = [{"sku": sku, "quantity": 1 + self.number % 4, "unit_price_minor": price, "description": name}]
        if self.scenario in _SHORT:
            items.append({"sku": RARE_SKU, "quantity": 2, "unit_price_minor": 99_00, "description": "The only lamp"})
        body: dict[str, Any] = {
            "customer_id": str(17_000 + self.number),
            "currency": "GBP",
            "items": items,
            "payment_method": "pm_declined" if self.scenario is Scenario.DECLINED else "pm_card",
            "metadata": {"channel": "demo"},
        }
        saga = _SAGAS.get(self.scenario)
        if saga is not None:
            body["saga"] = saga
        if saga == "deliver_order":
            body["customer_id"] = "a stranger" if self.scenario is Scenario.STRANGER else CUSTOMER
            body["shipping_address"] = _ADDRESS
        return body

    def faults(self, client_id: str) -> Iterator[Fault]:
        """Yield the faults that strike this order and no other: they name its ids, which are known beforehand."""
        order = order_id(client_id, self.key)
        confirm = f"/orders/{order}/confirm"
        capture = f"/payments/capture/{resource_id(order, 'authorize_payment')}"
        match self.scenario:
            case Scenario.TRANSIENT:
                yield Fault("orders", "fail-next", {"count": 2, "mode": "error", "path": confirm})
            case Scenario.ANSWER_LOST:
                yield Fault("payments", "fail-next", {"count": 1, "mode": "error_after", "path": capture})
            case Scenario.PERMANENT:
                yield Fault("orders", "fail-next", {"count": 1000, "mode": "error", "path": confirm})
            case Scenario.CANCELLED | Scenario.IN_FLIGHT:
                yield Fault("payments", "delay", {"count": 1, "ms": 1500, "path": capture})


def plan_orders(count: int) -> tuple[DemoOrder, ...]:
    """Return the orders of a demo; the first is always a plain one, the rest are mixed.

    Args:
        count: How many, at least 1.
    """
    scenarios: list[Scenario] = []
    for scenario, one_in in _SHARES:
        scenarios += [scenario] * max(1, count // one_in)
    rest = scenarios[: count - 1]
    rest += [Scenario.PLAIN] * (count - 1 - len(rest))
    # Mixed, so that everything meets ordinary traffic, and the same each time.
    random.Random(SEED).shuffle(rest)
    return tuple(DemoOrder(number, scenario) for number, scenario in enumerate((Scenario.PLAIN, *rest), start=1))
