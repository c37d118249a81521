"""An afternoon in a shop: orders that went well and orders in trouble, a breaker on hold, a change that is pending."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import cycle
from typing import Any

from tests.acceptance.stack_shop import Answer, Json, Shop, eventually

GOODS = (
    ("85123A", "White hanging heart T-light holder", 255),
    ("71053", "White metal lantern", 339),
    ("84406B", "Cream cupid hearts coat hanger", 275),
    ("22752", "Set of 7 nesting boxes", 765),
    ("21730", "Glass star frosted T-light holder", 425),
    ("22728", "Alarm clock bakelike pink", 375),
)
CUSTOMERS = ("17850", "13047", "12583", "13748", "15100", "15291", "14688", "17809")
BY = {"actor": "ann", "reason": "the carrier is moving house until six"}
WENT_WELL = 24
DEAD_S = 40.0


@dataclass(frozen=True)
class Scene:
    """Orders to look at, by what is to be seen of them.

    Attributes:
        undone: It was tried again, and then undone.
        stuck: It waits for a person, as others do.
        held: It is on hold.
        waiting: It waits for a participant that is left alone.
    """

    undone: str
    stuck: str
    held: str
    waiting: str


@asynccontextmanager
async def furnished(shop: Shop) -> AsyncIterator[Scene]:
    """Make a scene, and put everything right when it was looked at."""
    admin = Admin(shop)
    for sku, name, _ in GOODS:
        product = {"sku": sku, "name": name, "initial_stock": 10_000}
        url = f"{shop.stack.participants['inventory']}/inventory/products"
        assert (await shop.call("POST", url, product, **{"Idempotency-Key": f"product-{sku}"})).status in (200, 201)
    for customer in CUSTOMERS:
        url = f"{shop.stack.participants['orders']}/customers"
        await shop.call("POST", url, {"customer_id": customer, "active": True}, **{"Idempotency-Key": f"scene-{customer}"})
    # Nobody is there. After a failure one is called once at a time, so with more events the first would be dead late.
    points = {"name": "loyalty", "url": "http://127.0.0.1:9/points", "types": ["OrderStuck"], "reason": "points wait"}
    await admin.post("/admin/webhooks", **points)
    # Replicas keep to it from two seconds later on at the latest; until an order comes to it, that is.
    await admin.post("/admin/breakers/shipping/hold", **BY)
    try:
        bodies = cycle(_bodies())
        undone = await _undone(shop, next(bodies))
        orders = [await shop.place(f"scene-{number}", **next(bodies)) for number in range(WENT_WELL)]
        await asyncio.gather(*(shop.ends(order) for order in orders))
        stuck = [await _stuck(shop, f"scene-stuck-{number}", next(bodies)) for number in range(3)]
        assert (await shop.post("scene-declined", **next(bodies), payment_method="pm_declined")).status == 402
        to_deliver: Json = {"saga": "deliver_order", **next(bodies)}
        waiting, held = [await _waits(shop, f"scene-delivered-{number}", to_deliver) for number in range(2)]
        await admin.post(f"/admin/orders/{held}/pause", **{**BY, "reason": "the customer rang: the address is wrong"})
        change = {"retry": {"attempts_max": 7}, "steps": {"capture_payment": {"timeout_s": 1.2}}}
        said = {"configuration": change, **BY, "reason": "payments are slow"}
        changed = await admin.call("PUT", "/admin/config/place_order", **said)
        assert changed.status == 200, changed.body

        async def dead() -> None:
            assert (await admin.call("GET", "/admin/outbox/dead")).json["total"] > 0

        await eventually(dead, DEAD_S)
        yield Scene(undone, stuck[0], held, waiting)
    finally:
        await admin.call("DELETE", "/admin/webhooks/loyalty")
        await admin.call("DELETE", "/admin/config/place_order?actor=ann&reason=over")
        await admin.post("/admin/breakers/shipping/reset", **BY)
    await admin.post(f"/admin/orders/{held}/resume", **BY)
    for order in stuck:
        await admin.post(f"/admin/orders/{order}/retry", **BY)
    for order in (*stuck, waiting, held):
        await shop.ends(order, 30.0)


class Admin:
    """Asks the stack's own admin listener, which wants no token."""

    def __init__(self, shop: Shop) -> None:
        self._shop = shop

    async def call(self, method: str, path: str, **body: Any) -> Answer:
        return await self._shop.call(method, f"{self._shop.stack.admin_urls[0]}{path}", body or None)

    async def post(self, path: str, **body: Any) -> Json:
        answer = await self.call("POST", path, **body)
        assert answer.status in (200, 201), answer
        return answer.json


async def slowly(shop: Shop) -> None:
    """Have the next order take its time: each call is a little quicker than its time limit."""
    for participant, path in (
        ("orders", "/orders"),
        ("inventory", "/reservations"),
        ("payments", "/capture"),
        ("orders", "/confirm"),
    ):
        await shop.delay(participant, 1_000, path)


async def stuck_order(shop: Shop, key: str, **changes: Any) -> str:
    """Have an order STUCK: there is no stock, and the orders service refuses, once, to cancel what it recorded."""
    return await _stuck(shop, key, changes)


async def _stuck(shop: Shop, key: str, body: Json) -> str:
    await shop.fail("inventory", "reject", "/inventory/reservations")
    await shop.fail("orders", "reject", f"/orders/{shop.id_of(key)}/cancel")
    order = await shop.place(key, **body)

    async def look() -> None:
        assert (await shop.get(order))["status"] == "STUCK"

    await eventually(look)
    return order


async def _undone(shop: Shop, body: Json) -> str:
    """Have money taken whose answer is lost twice, and the order refused after that: it was cancelled in the shop meanwhile."""
    order = shop.id_of("scene-undone")
    await shop.fail("payments", "drop_after", "/payments/capture", 2)
    for participant, path in (("orders", "/orders"), ("inventory", "/inventory/reservations"), ("payments", "/refund")):
        await shop.delay(participant, 120, path)
    await shop.delay("payments", 250, "/payments/capture")
    assert await shop.place("scene-undone", **body) == order
    await shop.on_its_way(order, "capture_payment")
    url = f"{shop.stack.participants['orders']}/orders/{order}/cancel"
    assert (await shop.call("PUT", url, **{"Idempotency-Key": "cancelled-in-the-shop"})).status == 200
    assert (await shop.ends(order))["status"] == "FAILED"
    return order


async def _waits(shop: Shop, key: str, body: Json) -> str:
    """Have an order wait for the shipping service."""
    order = await shop.place(key, **body)

    async def look() -> None:
        row = await shop.row(order)
        assert row["next_retry_at"] is not None, row["status"]
        assert "confirm_order" in row["results"]

    await eventually(look)
    return order


def _bodies() -> Iterator[Json]:
    for number, customer in enumerate(CUSTOMERS):
        items = [
            {"sku": sku, "quantity": 1 + (number * place) % 9, "unit_price_minor": price, "description": name}
            for place, (sku, name, price) in enumerate(GOODS[number % 5 : number % 5 + 2], start=1)
        ]
        yield {"customer_id": customer, "items": items, "metadata": {"channel": ("web", "phone", "app")[number % 3]}}
