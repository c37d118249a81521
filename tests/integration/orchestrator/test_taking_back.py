"""A completed order and the saga that takes it back, on a real ledger: both ends or neither, whoever comes between."""

import asyncio
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
from aiohttp import web
from psycopg_pool import AsyncConnectionPool

from orchestrator import cancelling, mending, operating
from orchestrator.definitions import Definitions
from orchestrator.identity import order_id
from orchestrator.opening import Request, open_order
from orchestrator.paying import NotPayable, insert_payment
from orchestrator.retrace import retrace
from orchestrator.saga import Demand, Saga, StepKind
from orchestrator.sagas import SHIPPED
from orchestrator.sagas.orders import Item, PlaceOrder
from orchestrator.sagas.pay_order import PayOrder
from orchestrator.verdict import Busy, NotAllowed, NotCancellable
from participants.contracts import Wire
from participants.contracts.inventory import StockLine
from sql import ledger, reading
from sql.histories import page_histories
from sql.ledger import OrderNotFound
from sql.models import Direction, Status
from sql.retention import purge_orders
from tests.integration.orchestrator.mended_histories import LATER, WHY
from tests.integration.orchestrator.shop import (
    ERRAND,
    Replica,
    Shop,
    open_replica,
    place,
    row_of,
    settings_for,
    step,
    until,
)

Pool = AsyncConnectionPool[Any]
BLOCKED = "select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'"

END_THE_WRITER = """select pg_terminate_backend(pid) from pg_stat_activity
    where datname = current_database() and wait_event_type = 'Lock'
        and query like '%from saga_definition where definition_id%'"""
STATUSES = "select status from order_ledger where order_ledger_id in (%s, %s) order by status"


class Recall(Wire):
    """Input of the test's saga."""

    actor: str = "ann"
    reason: str = "asked by phone"


RECALL = Saga(
    name="recall",
    version=1,
    input=Recall,
    steps=(step("call-back", kind=StepKind.PIVOT, compensation=None),),
    startable=False,
    takes_back=lambda recall: Demand(recall.actor, recall.reason),
)


@pytest.fixture
async def done(pool: Pool, ledger_url: str, shop: Shop) -> UUID:
    """An order that has completed; the replica that it ran on is gone."""
    async with open_replica(pool, ledger_url, shop) as replica:
        order = await place(replica)
        await until(pool, order, Status.COMPLETED)
    return order


async def recall(replica: Replica, parent: UUID) -> UUID:
    """Begin to take an order back."""
    key = uuid4().hex
    asked = Request(order_id("tests", key), "tests", key, b"hash", Recall(), {}, "correlation", parent_id=parent)
    async with replica.pool.connection() as conn:
        assert await ledger.insert_order(conn, open_order(replica.definitions.named("recall"), asked).order)
    replica.worker.wake()
    return asked.order_ledger_id


async def rows(pool: Pool, statement: Any, *parameters: Any) -> list[tuple[Any, ...]]:
    async with pool.connection() as conn:
        return await (await conn.execute(statement, parameters)).fetchall()


async def test_both_ends_are_written_in_one_transaction(pool: Pool, ledger_url: str, shop: Shop, done: UUID) -> None:
    # This replica does not know the code that the order ran on: that may be gone by then.
    async with open_replica(pool, ledger_url, shop, RECALL) as replica:
        run = await recall(replica, done)
        await until(pool, run, Status.COMPLETED)

    row = await row_of(pool, done)
    assert (row.status, row.direction, row.lease_owner) == (Status.CANCELLED, Direction.ACTION, None)
    ends = await rows(
        pool,
        "select distinct xmin::text from ledger_journal where outcome in ('cancel', 'CANCELLED') and order_ledger_id = %s"
        " or outcome = 'COMPLETED' and order_ledger_id = %s",
        done,
        run,
    )
    assert len(ends) == 1
    told = "select type from outbox where aggregateid = %s order by transaction_id, ordinal"
    assert await rows(pool, told, done) == [("OrderReceived",), ("OrderCompleted",), ("OrderCancelled",)]
    ((later,),) = await rows(
        pool, "select p.finished_at >= c.created_at from order_ledger p, order_ledger c"
        " where p.order_ledger_id = %s and c.order_ledger_id = %s", done, run,
    )  # fmt: skip
    assert later, "it is kept for as long after this end as any other"


async def test_what_was_taken_back_replays(pool: Pool, ledger_url: str, shop: Shop, done: UUID) -> None:
    async with open_replica(pool, ledger_url, shop, RECALL) as replica:
        await until(pool, await recall(replica, done), Status.COMPLETED)

    async with pool.connection() as conn:
        histories = await page_histories(conn, limit=10)
    assert [retrace(history) for history in histories] == [(), ()]
    (parent,) = [history for history in histories if history.order_ledger_id == done]
    assert parent.journal[-1].entry.outcome == "CANCELLED"


async def test_how_long_an_order_took_does_not_grow_when_it_is_taken_back(
    pool: Pool, ledger_url: str, shop: Shop, done: UUID
) -> None:
    await rows(
        pool, "update order_ledger set created_at = created_at - interval '9 days' where order_ledger_id = %s returning 1", done
    )
    async with open_replica(pool, ledger_url, shop, RECALL) as replica:
        await until(pool, await recall(replica, done), Status.COMPLETED)

    async with pool.connection() as conn:
        told = await reading.statistics(conn)
    assert told["finished"] == {"CANCELLED": 1, "COMPLETED": 1}
    assert told["p99_s"] < 60


async def test_neither_end_is_written_while_somebody_holds_the_other_order(
    pool: Pool, ledger_url: str, shop: Shop, done: UUID
) -> None:
    async with open_replica(pool, ledger_url, shop, RECALL) as replica:
        async with pool.connection() as conn, conn.transaction():
            await conn.execute("select from order_ledger where order_ledger_id = %s for update", (done,))
            run = await recall(replica, done)
            async with asyncio.timeout(5):
                while "/call-back" not in shop.paths():
                    await asyncio.sleep(0.01)
            seen = {(await row_of(pool, run)).status for _ in range(50)}
        await until(pool, run, Status.COMPLETED)

    assert seen == {Status.RUNNING}
    assert (await row_of(pool, done)).status is Status.CANCELLED
    assert shop.paths().count("/call-back") == 1, "it is only written again, not done again"


async def test_a_connection_that_breaks_between_the_two_ends_leaves_neither_and_later_both(
    pool: Pool, ledger_url: str, shop: Shop, done: UUID
) -> None:
    called, go_on = asyncio.Event(), asyncio.Event()

    async def held(request: web.Request) -> web.StreamResponse:
        called.set()
        await go_on.wait()
        return web.json_response({"order_id": (await request.json())["order_id"]})

    shop.behaviours["/call-back"] = [held]
    async with (
        open_replica(pool, ledger_url, shop, RECALL) as replica,
        await psycopg.AsyncConnection.connect(ledger_url) as other,
        await psycopg.AsyncConnection.connect(ledger_url, autocommit=True) as looker,
    ):
        run = await recall(replica, done)
        await asyncio.wait_for(called.wait(), 5)
        # The one end is written when the definition of the other order is asked for.
        await other.execute("lock table saga_definition in access exclusive mode")
        go_on.set()
        ended: list[Any] = []
        async with asyncio.timeout(5):
            while not ended:
                ended = await (await looker.execute(END_THE_WRITER)).fetchall()
                await asyncio.sleep(0.01)
        assert (await (await looker.execute(STATUSES, (run, done))).fetchall()) == [("COMPLETED",), ("RUNNING",)]
        await other.rollback()
        await until(pool, run, Status.COMPLETED)

    assert (await row_of(pool, done)).status is Status.CANCELLED
    assert shop.paths().count("/call-back") == 1


async def test_what_is_not_completed_any_more_is_left_to_an_operator(
    pool: Pool, ledger_url: str, shop: Shop, done: UUID
) -> None:
    await rows(pool, "update order_ledger set status = 'FAILED' where order_ledger_id = %s returning 1", done)
    async with open_replica(pool, ledger_url, shop, RECALL, lapses_max=1) as replica:
        run = await recall(replica, done)
        stuck = await until(pool, run, Status.STUCK)

    assert "only what is completed is taken back" in str(stuck.last_error)
    assert (await row_of(pool, done)).status is Status.FAILED
    ((ended,),) = await rows(pool, "select count(*) from ledger_journal where order_ledger_id = %s and kind = 'outcome'", run)
    assert ended == 0, "nothing of the end is written without the other"


# --- beginning it -----------------------------------------------------------------------------------------------------

COMPLETED = """update order_ledger set status = 'COMPLETED', finished_at = clock_timestamp(), results = %s
    where order_ledger_id = %s returning 1"""


@pytest.fixture
def definitions(ledger_url: str) -> Definitions:
    return Definitions(SHIPPED, settings_for(ledger_url))


async def completed(pool: Pool, definitions: Definitions, saga: str = "place_order", results: str = "{}") -> UUID:
    """Record an order as if it had completed."""
    key = uuid4().hex
    asked = PlaceOrder(customer_id="c", currency="GBP", items=(Item(sku="tea", quantity=1, unit_price_minor=100),))
    request = Request(order_id("tests", key), "tests", key, b"hash", asked, {}, "correlation")
    async with pool.connection() as conn:
        await definitions.register(conn)
        assert await ledger.insert_order(conn, open_order(definitions.named(saga), request).order)
    await rows(pool, COMPLETED, results, request.order_ledger_id)
    return request.order_ledger_id


async def cancel(pool: Pool, definitions: Definitions, order: UUID, **options: Any) -> cancelling.Verdict:
    async with pool.connection() as conn:
        return await cancelling.cancel(conn, definitions, order, actor="ann", reason="asked by phone", **options)


async def pay(pool: Pool, definitions: Definitions, order: UUID) -> UUID:
    """Begin to pay for an order."""
    key = uuid4().hex
    asked = PayOrder(
        order=str(order),
        customer_id="c",
        currency="GBP",
        total_minor=100,
        lines=(StockLine(sku="tea", quantity=1),),
        payment_method="pm_card",
    )
    request = Request(order_id("tests", key), "tests", key, b"hash", asked, {}, "correlation", parent_id=order)
    async with pool.connection() as conn:
        assert await insert_payment(conn, open_order(definitions.named("pay_order"), request).order)
    return request.order_ledger_id


async def until_blocked(pool: Pool) -> None:
    async with asyncio.timeout(5):
        while await rows(pool, BLOCKED) == [(0,)]:
            await asyncio.sleep(0.01)


async def test_what_has_to_be_taken_back_is_read_off_what_was_done(pool: Pool, definitions: Definitions) -> None:
    order = await completed(
        pool, definitions, results='{"authorize_payment": {"authorization_id": "money"}, "create_order": {}}'
    )

    verdict = await cancel(pool, definitions, order)

    row = await row_of(pool, verdict.order_ledger_id)
    assert row.parent_id == order
    assert row.client_request_id == f"cancel:{order}"
    assert (row.customer_id, row.currency, row.total_minor) == ("c", "GBP", 100)
    assert row.input == {
        "order": str(order),
        "customer_id": "c",
        "currency": "GBP",
        "total_minor": 100,
        "shipment_id": None,
        "authorization_id": "money",
        "captured": False,
        "holds_stock": False,
        "recorded": True,
        "actor": "ann",
        "reason": "asked by phone",
    }
    assert verdict.calls == (
        "void_payment: POST /payments/void/money at payments",
        "send_cancellation_notice: POST /notifications at notifications",
        f"mark_cancelled: PUT /orders/{order}/cancel at orders",
    )


async def test_asked_for_twice_it_is_begun_once(pool: Pool, definitions: Definitions) -> None:
    order = await completed(pool, definitions)

    verdicts = await asyncio.gather(*(cancel(pool, definitions, order) for _ in range(6)))

    assert sorted(verdict.done for verdict in verdicts) == [False] * 5 + [True]
    assert len({verdict.order_ledger_id for verdict in verdicts}) == 1


async def test_a_preview_begins_nothing(pool: Pool, definitions: Definitions) -> None:
    order = await completed(pool, definitions)

    verdict = await cancel(pool, definitions, order, dry_run=True)

    assert (verdict.done, verdict.irreversible) == (False, cancelling.FINAL)
    assert await rows(pool, "select from order_ledger where parent_id = %s", order) == []


async def test_a_key_that_the_client_has_used_itself_is_passed_over(pool: Pool, definitions: Definitions) -> None:
    order = await completed(pool, definitions)
    key = f"cancel:{order}"
    asked = PlaceOrder(customer_id="c", currency="GBP", items=(Item(sku="tea", quantity=1, unit_price_minor=100),))
    own = Request(order_id("tests", key), "tests", key, b"hash", asked, {}, "correlation")
    async with pool.connection() as conn:
        assert await ledger.insert_order(conn, open_order(definitions.named("place_order"), own).order)

    shown = await cancel(pool, definitions, order, dry_run=True)
    verdict = await cancel(pool, definitions, order)

    assert shown.order_ledger_id == verdict.order_ledger_id == order_id("tests", f"retry:1:cancel:{order}")


async def test_what_nobody_knows_how_to_undo_is_not_cancelled(pool: Pool, ledger_url: str, shop: Shop, done: UUID) -> None:
    known = Definitions([*SHIPPED, ERRAND], settings_for(ledger_url))

    with pytest.raises(NotCancellable, match="nothing takes back what first did"):
        await cancel(pool, known, done)

    assert await rows(pool, "select from order_ledger where parent_id = %s", done) == []


async def test_an_order_is_not_cancelled_while_it_is_paid_for_nor_paid_for_while_it_is_cancelled(
    pool: Pool, definitions: Definitions
) -> None:
    first, second = [await completed(pool, definitions, "place_unpaid_order") for _ in range(2)]
    payment = await pay(pool, definitions, first)
    await cancel(pool, definitions, second)

    with pytest.raises(NotCancellable, match=f"before pay_order {payment} on it has ended"):
        await cancel(pool, definitions, first)
    with pytest.raises(NotPayable):
        await pay(pool, definitions, second)


async def test_money_that_was_paid_later_is_given_back_as_well(pool: Pool, definitions: Definitions) -> None:
    order = await completed(pool, definitions, "place_unpaid_order")
    payment = await pay(pool, definitions, order)
    paid = '{"try_payment": {"reservation_id": "tried"}, "confirm_payment": {}, "try_stock": {"order_id": "other"}}'
    await rows(pool, COMPLETED, paid, payment)

    verdict = await cancel(pool, definitions, order)

    row = await row_of(pool, verdict.order_ledger_id)
    assert (row.input["authorization_id"], row.input["captured"], row.input["holds_stock"]) == ("tried", True, False)


async def test_what_was_begun_on_an_order_is_cancelled_with_that_order_only(pool: Pool, definitions: Definitions) -> None:
    order = await completed(pool, definitions, "place_unpaid_order")
    payment = await pay(pool, definitions, order)
    await rows(pool, COMPLETED, "{}", payment)

    with pytest.raises(NotCancellable, match=f"is about order {order}"):
        await cancel(pool, definitions, payment)


async def test_an_order_is_kept_while_it_is_being_taken_back(pool: Pool, definitions: Definitions) -> None:
    order = await completed(pool, definitions)
    await cancel(pool, definitions, order)

    async with pool.connection() as conn:
        await purge_orders(conn, older_than_days=0, orders_max=10)

    assert (await row_of(pool, order)).status is Status.COMPLETED


async def test_nothing_is_begun_on_an_order_that_is_being_purged(pool: Pool, definitions: Definitions) -> None:
    order = await completed(pool, definitions)
    async with pool.connection() as conn:
        async with conn.transaction():
            assert await purge_orders(conn, older_than_days=0, orders_max=10) == 1
            asked = asyncio.create_task(cancel(pool, definitions, order))
            await until_blocked(pool)
        with pytest.raises(OrderNotFound):
            await asked

    assert await rows(pool, "select from order_ledger where parent_id = %s", order) == []


async def test_one_that_was_purged_with_its_order_is_still_known_to_be_about_it(pool: Pool, definitions: Definitions) -> None:
    order = await completed(pool, definitions)
    run = (await cancel(pool, definitions, order)).order_ledger_id
    await rows(pool, COMPLETED, "{}", run)

    async with pool.connection() as conn:
        purged = [await purge_orders(conn, older_than_days=0, orders_max=10) for _ in range(2)]
    assert purged == [1, 1], "it is kept as long as the order"

    assert await rows(pool, "select parent_id from purged_order where order_ledger_id = %s", run) == [(order,)]


async def waiting_recall(pool: Pool, ledger_url: str, shop: Shop, done: UUID) -> tuple[UUID, Definitions]:
    """Begin to take an order back, have it wait for its participant, and hold it; no replica runs any more."""
    shop.behaviours["/call-back"] = [LATER]
    async with open_replica(pool, ledger_url, shop, RECALL) as replica:
        run = await recall(replica, done)
        async with asyncio.timeout(10):
            while (await row_of(pool, run)).retry_count == 0:
                await asyncio.sleep(0.01)
        async with pool.connection() as conn:
            await mending.pause(conn, replica.definitions, run, **WHY)
    return run, replica.definitions


async def test_an_operator_who_says_that_it_is_taken_back_ends_both_orders(
    pool: Pool, ledger_url: str, shop: Shop, done: UUID
) -> None:
    run, definitions = await waiting_recall(pool, ledger_url, shop, done)

    async with pool.connection() as conn:
        shown = await mending.resolve(conn, definitions, run, ending=Status.COMPLETED, dry_run=True, **WHY)
        before = (await row_of(pool, done)).status
        resolved = await mending.resolve(conn, definitions, run, ending=Status.COMPLETED, **WHY)

        again = await operating.cancel(conn, Definitions([ERRAND], settings_for(ledger_url)), done, **WHY)

    assert (again.done, again.status, again.irreversible) == (False, Status.CANCELLED, ())
    assert (shown.irreversible, before) == (resolved.irreversible, Status.COMPLETED)
    assert resolved.irreversible[-1] == f"order {done} becomes CANCELLED"
    assert ((await row_of(pool, run)).status, (await row_of(pool, done)).status) == (Status.COMPLETED, Status.CANCELLED)
    written = "select distinct xmin::text from ledger_journal where kind = 'status' and outcome in ('COMPLETED', 'CANCELLED')"
    assert len(await rows(pool, f"{written} and seq > 2 and (order_ledger_id = %s or outcome = 'CANCELLED')", run)) == 1
    async with pool.connection() as conn:
        assert [retrace(history) for history in await page_histories(conn, limit=10)] == [(), ()]


async def test_an_operator_who_says_that_it_failed_leaves_the_other_order_as_it_is(
    pool: Pool, ledger_url: str, shop: Shop, done: UUID
) -> None:
    run, definitions = await waiting_recall(pool, ledger_url, shop, done)

    async with pool.connection() as conn:
        resolved = await mending.resolve(conn, definitions, run, ending=Status.FAILED, **WHY)

    assert resolved.irreversible == ("what call-back did, or may have done, stays",)
    assert (await row_of(pool, done)).status is Status.COMPLETED


async def test_neither_ends_by_a_word_while_the_other_is_not_completed_or_somebody_holds_it(
    pool: Pool, ledger_url: str, shop: Shop, done: UUID
) -> None:
    run, definitions = await waiting_recall(pool, ledger_url, shop, done)

    async with pool.connection() as conn:
        async with pool.connection() as other, other.transaction():
            await other.execute("select from order_ledger where order_ledger_id = %s for update", (done,))
            with pytest.raises(Busy):
                await mending.resolve(conn, definitions, run, ending=Status.COMPLETED, **WHY)
        await rows(pool, "update order_ledger set status = 'FAILED' where order_ledger_id = %s returning 1", done)
        with pytest.raises(NotAllowed, match="only what is completed is taken back"):
            await mending.resolve(conn, definitions, run, ending=Status.COMPLETED, **WHY)

    assert (await row_of(pool, run)).status is Status.RUNNING
