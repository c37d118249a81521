"""The orders of a run: a seeded mix, meant to be as unpleasant as orders can be. Pure."""

import json
import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

Json = dict[str, Any]

CLIENTS: Final = ("shop", "rival")
ORDINARY: Final = tuple(f"ordinary-{number}" for number in range(20))
UNPLEASANT: Final = (
    "Ünï-çødé 🧦",
    "'; drop table order_ledger; --",
    "<img src=x onerror=alert(1)>",
    '\r\n{"level":"error"}',
    "\u202egnp.exe",
    "\x1b[31mred\x1b[0m",
    "\x01\x02\x7f",
    "{{7*7}} ${x} %s",
    "\U0001d4b3" * 16,
    " leading and trailing ",
)
PLENTY: Final = 10**15
KNOWN: Final = tuple(f"customer-{number}" for number in range(40))
"""Customers that the orders service knows, of the fifty who order: goods are delivered to them alone."""
FLOWS: Final = {"place_order": 70, "deliver_order": 15, "checkout_tcc": 15}
"""Which saga an order asks for, in hundredths."""
RARE_BUYERS: Final = 8
"""Orders that fight over one last unit."""
SCARCE_BUYERS: Final = 16
SCARCE_STOCK: Final = 10
REFUSED_BODIES: Final = (
    b"",
    b"{",
    b"[]",
    b'{"customer_id": "\\u0000", "currency": "GBP", "items": []}',
    b'{"customer_id": "\\ud800", "currency": "GBP", "items": []}',
    b'{"customer_id": "1", "customer_id": "2"}',
    b'{"customer_id": NaN}',
    b"[" * 5_000,
    b"\xff\xfe",
)


@dataclass(frozen=True, slots=True)
class Plan:
    """What one client wants, and how it goes about it.

    Attributes:
        number: Of the order in this run, from 0.
        client: Who.
        key: Idempotency key.
        body: The order.
        payable: Whether its payment method is accepted.
        twins: Copies of the request that are sent at once.
        repeats_after_s: Waits before each later repeat.
        other_body: Sent under the same key; None for never.
        refused_first: Bytes that are no order, sent first under the same key; None for none.
        hangs_up_after_s: The first request is broken off after this; None for not.
        gives_up: Whether an answer that does not come is not asked for again.
        cancel_after_s: The order is cancelled this long after it is acknowledged; None for never.
        waits: Whether the client prefers to wait for the end.
        rare: The last unit that it fights over; None for none.
    """

    number: int
    client: str
    key: str
    body: Json
    payable: bool = True
    twins: int = 1
    repeats_after_s: tuple[float, ...] = ()
    other_body: Json | None = None
    refused_first: bytes | None = None
    hangs_up_after_s: float | None = None
    gives_up: bool = False
    cancel_after_s: float | None = None
    waits: bool = False
    rare: str | None = None


@dataclass
class Generator:
    """Makes the orders of a seed.

    Args:
        seed: Of the run.
        orders: How many.
    """

    seed: int
    orders: int
    _stock: dict[str, int] = field(default_factory=dict)

    def stock(self) -> dict[str, int]:
        """Return what has to be in stock, by product."""
        rares = {f"rare-{number}": 1 for number in range(self._groups(RARE_BUYERS))}
        scarce = {f"scarce-{number}": SCARCE_STOCK for number in range(self._groups(SCARCE_BUYERS))}
        return {**dict.fromkeys((*ORDINARY, *UNPLEASANT), PLENTY), **rares, **scarce}

    def plans(self) -> Iterator[Plan]:
        """Yield every order; each depends on the seed and its number alone."""
        for number in range(self.orders):
            yield self._plan(number, random.Random(f"{self.seed}/order/{number}"))

    def _groups(self, size: int) -> int:
        return max(1, self.orders // 20 // size)

    def _plan(self, number: int, dice: random.Random) -> Plan:
        rare = f"rare-{dice.randrange(self._groups(RARE_BUYERS))}" if dice.random() < 0.05 else None
        items = [_line(rare, 1, 500)] if rare else self._items(dice)
        payable = dice.random() >= 0.04
        body = {
            "customer_id": _text(dice, f"customer-{dice.randrange(50)}"),
            "currency": dice.choice(("GBP", "EUR", "JPY")),
            "items": items,
            "payment_method": "pm_card" if payable else "pm_declined",
            **({"metadata": {"note": _text(dice, "web"), "n": number}} if dice.random() < 0.3 else {}),
            **({"shipping_address": _address(dice)} if dice.random() < 0.3 else {}),
        }
        # Drawn apart, so that the other choices of a seed stay as they are.
        flow = random.Random(f"{self.seed}/flow/{number}")
        saga = flow.choices(list(FLOWS), list(FLOWS.values()))[0]
        if saga != "place_order":
            body |= {"saga": saga, "shipping_address": _address(flow)}
        return Plan(
            number,
            client=dice.choice(CLIENTS),
            key=f"chaos-{self.seed}-{number}"
            if dice.random() < 0.9
            else f"{number}!#$%&'()*+,-./:;<=>?@[]^_`{{|}}~" + "k" * 200,
            body=body,
            payable=payable,
            rare=rare,
            **_manners(dice, body),
        )

    def _items(self, dice: random.Random) -> list[Json]:
        kind = dice.random()
        if kind < 0.03:
            return [_line(f"scarce-{dice.randrange(self._groups(SCARCE_BUYERS))}", dice.randint(1, 4), 1)]
        if kind < 0.05:
            return [_line("no-such-product", 1, 100), _line(ORDINARY[0], 1, 100)]
        if kind < 0.06:
            return [_line(dice.choice(ORDINARY), 1_000_000, 10**9) for _ in range(3)]
        if kind < 0.08:
            return [_line(ORDINARY[0], 1, 0), _line(ORDINARY[0], 2, 1)]
        size = dice.choices((1, 3, 40, 300, 2_000), (60, 32, 7, 0.9, 0.1))[0]
        return [
            _line(dice.choice(UNPLEASANT if dice.random() < 0.1 else ORDINARY), dice.randint(1, 9), dice.randint(1, 9_999))
            | ({"description": _text(dice, "a thing")} if dice.random() < 0.2 else {})
            for _ in range(dice.randint(1, size))
        ]


def spelled(body: Json, dice: random.Random) -> bytes:
    """Return a body as bytes, in any of the spellings that mean the same."""
    members = list(body.items())
    dice.shuffle(members)
    return json.dumps(dict(members), ensure_ascii=dice.random() < 0.5, indent=dice.choice((None, None, 1))).encode()


def total_minor(body: Json) -> int:
    """Return what an order is worth, in minor units."""
    return sum(item["quantity"] * item["unit_price_minor"] for item in body["items"])


def _manners(dice: random.Random, body: Json) -> Json:
    manners: Json = {
        "twins": dice.randint(2, 5) if dice.random() < 0.08 else 1,
        "repeats_after_s": tuple(dice.uniform(0.0, 8.0) for _ in range(dice.randint(1, 3))) if dice.random() < 0.1 else (),
        "waits": dice.random() < 0.05,
        "gives_up": dice.random() < 0.03,
    }
    if dice.random() < 0.04:
        manners["other_body"] = {**body, "customer_id": "somebody else"}
    if dice.random() < 0.03:
        manners["refused_first"] = dice.choice(REFUSED_BODIES)
    if dice.random() < 0.08:
        manners["hangs_up_after_s"] = dice.uniform(0.0, 0.3)
    if dice.random() < 0.08:
        # While it is on its way, or when it may have been completed: then it is taken back.
        manners["cancel_after_s"] = dice.choice((0.0, dice.uniform(0.0, 0.2), dice.uniform(0.0, 2.0), dice.uniform(2.0, 6.0)))
    return manners


def _line(sku: str, quantity: int, unit_price_minor: int) -> Json:
    return {"sku": sku, "quantity": quantity, "unit_price_minor": unit_price_minor}


def _text(dice: random.Random, plain: str) -> str:
    return dice.choice(UNPLEASANT) if dice.random() < 0.1 else plain


def _address(dice: random.Random) -> Json:
    return {
        "name": _text(dice, "A. Customer"),
        "lines": [_text(dice, "1 High Street")],
        "city": _text(dice, "Leeds"),
        "postal_code": "LS1 1AA",
        "country": "GB",
    }
