"""Who may begin to pay for an order, and when: decided under the lock of the order's row, on the real ledger."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
from msgspec.structs import replace
from psycopg import AsyncConnection

from orchestrator.definitions import Definitions
from orchestrator.identity import order_id
from orchestrator.opening import Request, open_order
from orchestrator.paying import NotPayable, insert_payment, payment_of
from orchestrator.sagas import SHIPPED
from orchestrator.sagas.orders import Item, PlaceOrder
from orchestrator.settings import Settings
from participants.contracts.inventory import StockLine
from sql import ledger
from sql.families import lock_family
from sql.ledger import OrderNotFound
from sql.models import NewOrder, SagaRow, Status

Connection = AsyncConnection[Any]
DEFINITIONS = Definitions(SHIPPED, Settings())
PLACED = PlaceOrder(
    customer_id="17850",
    currency="GBP",
    items=(Item(sku="mug", quantity=2, unit_price_minor=250), Item(sku="mug", quantity=1, unit_price_minor=200)),
)


@pytest.fixture
async def conn(ledger_url: str) -> AsyncIterator[Connection]:
    async with await psycopg.AsyncConnection.connect(ledger_url, autocommit=True) as opened:
        await DEFINITIONS.register(opened)
        yield opened


@pytest.fixture
async def other(ledger_url: str) -> AsyncIterator[Connection]:
    async with await psycopg.AsyncConnection.connect(ledger_url, autocommit=True) as opened:
        yield opened


async def stand(conn: Connection, order_ledger_id: UUID, status: Status) -> None:
    """Have an order stand somewhere."""
    await conn.execute(
        "update order_ledger set status = %s, finished_at = case when %s then clock_timestamp() end where order_ledger_id = %s",
        (status.value, status not in (Status.RUNNING, Status.STUCK), order_ledger_id),
    )


async def place(conn: Connection, saga: str = "place_unpaid_order", status: Status = Status.COMPLETED) -> SagaRow:
    key = uuid4().hex
    ask = Request(order_id("tests", key), "tests", key, b"hash", PLACED, {}, "correlation")
    assert await ledger.insert_order(conn, open_order(DEFINITIONS.named(saga), ask).order)
    await stand(conn, ask.order_ledger_id, status)
    return (await ledger.get_rows(conn, [ask.order_ledger_id]))[ask.order_ledger_id]


def payment(row: SagaRow, key: str = "pay") -> NewOrder:
    paid = payment_of(row, "pm_card")
    id_ = order_id("tests", f"{key} {row.order_ledger_id}")
    ask = Request(id_, "tests", key + str(row.order_ledger_id), b"hash", paid, {}, "c", parent_id=row.order_ledger_id)
    return open_order(DEFINITIONS.named("pay_order"), ask).order


async def test_what_pays_an_order_is_what_the_ledger_has_of_it(conn: Connection) -> None:
    row = await place(conn)

    paid = payment_of(row, "pm_card")

    assert (paid.order, paid.customer_id, paid.currency, paid.total_minor) == (str(row.order_ledger_id), "17850", "GBP", 700)
    assert paid.lines == (StockLine(sku="mug", quantity=2), StockLine(sku="mug", quantity=1))
    assert payment_of(replace(row, personal={}), "pm_card") == paid, "its own personal data may be erased by then"
    order = payment(row)
    assert (order.personal, "payment_method" in order.input, order.items) == ({"payment_method": "pm_card"}, False, ())
    assert (order.total_minor, order.currency, order.customer_id) == (700, "GBP", "17850")


@pytest.mark.parametrize("saga", ["place_order", "checkout_tcc"])
async def test_an_order_that_pays_itself_is_not_paid_for_later(conn: Connection, saga: str) -> None:
    row = await place(conn, saga)

    with pytest.raises(NotPayable, match=f"its saga is {saga}"):
        payment_of(row, "pm_card")


@pytest.mark.parametrize("status", [Status.RUNNING, Status.STUCK, Status.FAILED, Status.CANCELLED])
async def test_only_what_is_completed_is_paid_for(conn: Connection, status: Status) -> None:
    row = await place(conn, status=status)

    with pytest.raises(NotPayable, match=f"is {status} and can't be paid for"):
        await insert_payment(conn, payment(row))

    assert await ledger.get_rows(conn, [payment(row).order_ledger_id]) == {}


async def test_an_order_that_is_gone_is_not_paid_for(conn: Connection) -> None:
    row = await place(conn)
    order = payment(row)
    await conn.execute("alter table order_ledger disable trigger order_ledger_no_delete")
    await conn.execute("delete from order_ledger_items")
    await conn.execute("delete from order_ledger")

    with pytest.raises(OrderNotFound):
        await insert_payment(conn, order)


async def test_a_payment_that_failed_leaves_room_for_another_and_one_that_did_not_for_none(conn: Connection) -> None:
    row = await place(conn)
    first, second = payment(row, "first"), payment(row, "second")

    assert await insert_payment(conn, first) is not None
    assert await insert_payment(conn, first) is None, "a repeat is no second payment, and no refusal"
    for status in (Status.RUNNING, Status.STUCK):
        await stand(conn, first.order_ledger_id, status)
        with pytest.raises(NotPayable, match=f"pay_order {first.order_ledger_id} on order .* has not ended"):
            await insert_payment(conn, second)
    await stand(conn, first.order_ledger_id, Status.FAILED)
    assert await insert_payment(conn, second) is not None
    await stand(conn, second.order_ledger_id, Status.COMPLETED)
    with pytest.raises(NotPayable, match="is paid for"):
        await insert_payment(conn, payment(row, "third"))
    async with conn.transaction():
        family = await lock_family(conn, row.order_ledger_id)
    assert family is not None
    assert [(child.order_ledger_id, child.status) for child in family.children] == [
        (first.order_ledger_id, Status.FAILED),
        (second.order_ledger_id, Status.COMPLETED),
    ]


async def test_who_pays_waits_for_who_cancels_and_sees_what_came_of_it(conn: Connection, other: Connection) -> None:
    row = await place(conn)
    async with conn.transaction():
        assert await lock_family(conn, row.order_ledger_id) is not None
        paying = asyncio.create_task(insert_payment(other, payment(row)))
        await waits_for_a_lock(conn, other.info.backend_pid)
        await stand(conn, row.order_ledger_id, Status.CANCELLED)

    with pytest.raises(NotPayable, match="is CANCELLED"):
        await paying


async def test_the_second_of_two_who_pay_at_once_sees_the_first(conn: Connection, other: Connection) -> None:
    row = await place(conn)
    async with conn.transaction():
        assert await insert_payment(conn, payment(row, "one")) is not None
        paying = asyncio.create_task(insert_payment(other, payment(row, "two")))
        await waits_for_a_lock(conn, other.info.backend_pid)

    with pytest.raises(NotPayable, match="has not ended"):
        await paying


async def test_the_database_itself_has_one_unfinished_child_of_an_order(conn: Connection) -> None:
    """Whoever forgets the lock inserts nothing."""
    row = await place(conn)
    assert await ledger.insert_order(conn, payment(row, "one")) is not None

    assert await ledger.insert_order(conn, payment(row, "two")) is None


async def waits_for_a_lock(conn: Connection, pid: int) -> None:
    async with asyncio.timeout(10):
        while True:
            query = "select wait_event_type from pg_stat_activity where pid = %s"
            found = await (await conn.execute(query, (pid,))).fetchone()
            if found == ("Lock",):
                return
            await asyncio.sleep(0.01)
