"""A saga of tries and confirms, on a real ledger with the real inventory and payments."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from psycopg_pool import AsyncConnectionPool

from orchestrator.saga import Saga, Step
from participants.contracts import inventory, payments
from sql.connect import open_pool
from sql.models import SagaRow, Status
from sql.registry import register_participants
from tests.integration.orchestrator.shop import Basket, Shop, open_replica, place, until
from tests.integration.participants.service import Participant, StartParticipant
from tests.integration.participants.tries import violations

LONG_S, SHORT_S = 900.0, 0.05

try_stock: Step[Basket, inventory.TryStock] = Step(
    name="try_stock",
    request=lambda ctx: inventory.TryStock(order_id=ctx.order_id, lines=(inventory.StockLine(sku="mug", quantity=2),)),
    action=inventory.try_stock,
    compensation=inventory.cancel_stock,
)
try_payment: Step[Basket, payments.TryPayment] = Step(
    name="try_payment",
    request=lambda ctx: payments.TryPayment(
        reservation_id=ctx.id_of(try_payment),
        order_id=ctx.order_id,
        amount_minor=500,
        currency="GBP",
        payment_method="pm_card",
    ),
    action=payments.try_payment,
    compensation=payments.cancel_payment,
)
confirm_payment: Step[Basket, payments.PaymentTryRef] = Step(
    name="confirm_payment",
    request=lambda ctx: payments.PaymentTryRef(reservation_id=ctx.id_of(try_payment), order_id=ctx.order_id),
    action=payments.confirm_payment,
    undone_by="try_payment",
)
confirm_stock: Step[Basket, inventory.ReservationRef] = Step(
    name="confirm_stock",
    request=lambda ctx: inventory.ReservationRef(order_id=ctx.order_id),
    action=inventory.confirm_stock,
    undone_by="try_stock",
)
CHECKOUT = Saga(name="checkout", version=1, input=Basket, steps=(try_stock, try_payment, confirm_payment, confirm_stock))


class Checkout:
    """Two services and a ledger.

    Args:
        start: Starts the services.
        pool, ledger_url: The ledger.
    """

    def __init__(self, start: StartParticipant, pool: AsyncConnectionPool[Any], ledger_url: str) -> None:
        self.start, self.pool, self.ledger_url = start, pool, ledger_url

    async def open(self, reservation_s: float) -> None:
        self.stock: Participant = await self.start("inventory", reservation_s=reservation_s)
        self.money: Participant = await self.start("payments", reservation_s=LONG_S)
        await self.stock.post("/inventory/products", {"sku": "mug", "name": "Mug", "initial_stock": 10})
        register_participants(self.ledger_url, {"inventory": self.stock.url, "payments": self.money.url})

    async def run(self, *ends: Status) -> SagaRow:
        async with open_replica(self.pool, self.ledger_url, Shop(url=self.stock.url), CHECKOUT) as replica:
            return await until(self.pool, await place(replica, "checkout"), *ends, timeout_s=30.0)

    async def stands(self) -> dict[str, int]:
        assert await violations(self.stock, "inventory") | await violations(self.money, "payments") == set()
        return {**await self.stock.balance(), **await self.money.balance()}


@pytest.fixture
async def checkout(start: StartParticipant, ledger_url: str) -> AsyncIterator[Checkout]:
    async with open_pool(ledger_url, name="tests", connections_max=8) as pool:
        yield Checkout(start, pool, ledger_url)


async def test_what_is_tried_is_confirmed(checkout: Checkout) -> None:
    await checkout.open(LONG_S)

    await checkout.run(Status.COMPLETED)

    assert await checkout.stands() == {"reserved": 2, "captured": 500}


async def test_a_reservation_that_expires_in_the_middle_undoes_the_saga(checkout: Checkout) -> None:
    await checkout.open(SHORT_S)
    await checkout.money.post("/test/delay", {"count": 1, "ms": 500, "path": "/payments/try"})

    row = await checkout.run(Status.FAILED)

    assert row.last_error is not None
    assert "inventory answered 410" in row.last_error
    assert await checkout.stands() == {}
    assert await checkout.stock.kinds() == ["stock_tried", "stock_expired"]
    assert await checkout.money.kinds() == ["authorized", "captured", "refunded"], "what was confirmed is really reversed"


async def test_a_confirm_whose_answers_are_all_lost_is_reversed(checkout: Checkout) -> None:
    await checkout.open(LONG_S)
    await checkout.money.post("/test/fail-next", {"count": 5, "mode": "error_after", "path": "/payments/confirm"})

    await checkout.run(Status.FAILED)

    assert await checkout.stands() == {}
    assert await checkout.money.kinds() == ["authorized", "captured", "refunded"]


async def test_a_try_that_is_refused_gives_back_the_other(checkout: Checkout) -> None:
    await checkout.open(LONG_S)
    await checkout.money.post("/test/fail-next", {"count": 1, "mode": "reject", "path": "/payments/try"})

    await checkout.run(Status.FAILED)

    assert await checkout.stands() == {}
    assert await checkout.stock.kinds() == ["stock_tried", "stock_released"]
    assert await checkout.money.kinds() == []
