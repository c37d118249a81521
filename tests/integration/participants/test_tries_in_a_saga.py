"""The saga of tries and confirms, on a real ledger with the real inventory and payments."""

from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest
from psycopg_pool import AsyncConnectionPool

from orchestrator.identity import order_id
from orchestrator.opening import Request, open_order
from orchestrator.progress import Progress, StepState
from orchestrator.saga import Retry, Saga
from orchestrator.sagas.checkout_tcc import CHECKOUT_TCC, confirm_payment, confirm_stock, try_payment, try_stock
from orchestrator.sagas.orders import Item, PlaceOrder
from sql import ledger
from sql.connect import open_pool
from sql.models import SagaRow, Status
from sql.registry import register_participants
from tests.integration.orchestrator.shop import Shop, open_replica, until
from tests.integration.participants.service import Participant, StartParticipant
from tests.integration.participants.tries import violations

LONG_S, SHORT_S = 900.0, 0.05

ORDER = PlaceOrder(customer_id="17850", currency="GBP", items=(Item(sku="mug", quantity=2, unit_price_minor=250),))


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

    async def run(self, *ends: Status, saga: Saga[PlaceOrder] = CHECKOUT_TCC, order: PlaceOrder = ORDER) -> SagaRow:
        async with open_replica(self.pool, self.ledger_url, Shop(url=self.stock.url), saga) as replica:
            request = Request(order_id("tests", "key"), "tests", "key", b"hash", order, {}, "correlation")
            async with self.pool.connection() as conn:
                assert await ledger.insert_order(conn, open_order(replica.definitions.named(saga.name), request).order)
            replica.worker.wake()
            return await until(self.pool, request.order_ledger_id, *ends, timeout_s=30.0)

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


async def test_a_confirm_of_which_nobody_knows_is_neither_taken_back_nor_forgotten(checkout: Checkout) -> None:
    await checkout.open(LONG_S)
    await checkout.money.post("/test/fail-next", {"count": 3, "mode": "error_after", "path": "/payments/confirm"})
    impatient = [replace(step, retry=Retry(0.01, 1.0, 3)) for step in (confirm_stock, confirm_payment)]

    row = await checkout.run(Status.STUCK, saga=replace(CHECKOUT_TCC, steps=(try_stock, try_payment, *impatient)))

    progress = Progress.from_json(row.progress)
    assert progress.stuck is not None
    assert "confirm_payment is out of attempts" in progress.stuck
    assert progress.of("confirm_stock").state is StepState.SUCCEEDED
    assert await checkout.stands() == {"reserved": 2, "captured": 500}


async def test_a_try_that_does_not_end_in_time_is_cancelled_on_both_sides(checkout: Checkout) -> None:
    await checkout.open(LONG_S)
    await checkout.money.post("/test/fail-next", {"count": 1000, "mode": "error", "path": "/payments/try"})
    limited = [replace(step, deadline_s=0.4, retry=Retry(0.1, 1.0, 1000)) for step in (try_stock, try_payment)]

    row = await checkout.run(Status.FAILED, saga=replace(CHECKOUT_TCC, steps=(*limited, confirm_stock, confirm_payment)))

    assert row.last_error == "try_payment did not end within 0.4 s"
    assert await checkout.stands() == {}
    assert await checkout.stock.kinds() == ["stock_tried", "stock_released"]
    assert await checkout.money.kinds() == []


async def test_a_try_that_is_refused_gives_back_the_other(checkout: Checkout) -> None:
    await checkout.open(LONG_S)
    await checkout.money.post("/test/fail-next", {"count": 1, "mode": "reject", "path": "/payments/try"})

    await checkout.run(Status.FAILED)

    assert await checkout.stands() == {}
    assert await checkout.stock.kinds() == ["stock_tried", "stock_released"]
    assert await checkout.money.kinds() == []
