"""Acts that hold for what was previewed: on a real ledger, with orders that move by themselves and orders that people move."""

import asyncio
from typing import Any

import pytest
from psycopg_pool import AsyncConnectionPool

from orchestrator import mending
from orchestrator.operating import cancel, retry
from orchestrator.verdict import Changed
from sql.models import Status
from tests.integration.orchestrator.mended_histories import LATER, act, goes_on, waits
from tests.integration.orchestrator.past import Past
from tests.integration.orchestrator.shop import Shop, row_of, status

Pool = AsyncConnectionPool[Any]


@pytest.fixture
def past(pool: Pool, ledger_url: str, shop: Shop) -> Past:
    return Past(pool, ledger_url, shop)


async def moved_on(past: Past, order: Any) -> None:
    """Have an order that waits for one step go on to wait for a later one."""
    before = await row_of(past.pool, order)
    await past.execute("update order_ledger set next_retry_at = now() where order_ledger_id = %s", order)
    async with past.replica(), asyncio.timeout(10):
        while (after := await row_of(past.pool, order)).step == before.step or after.lease_owner is not None:
            await asyncio.sleep(0.01)
    assert (after.status, after.last_seq > before.last_seq) == (before.status, True)


@pytest.mark.parametrize(("verb", "wanted"), [(mending.pause, Status.RUNNING), (cancel, Status.COMPENSATING)])
async def test_an_order_that_only_went_on_is_still_what_was_looked_at(past: Past, verb: Any, wanted: Status) -> None:
    order = await waits(past, "/create")
    previewed = await act(past, verb, order, dry_run=True)
    past.shop.behaviours["/confirm"] = [LATER]
    await moved_on(past, order)

    done = await act(past, verb, order, seen=previewed.seen)

    assert (done.done, done.status) == (True, wanted)


async def test_a_step_whose_turn_it_was_is_not_the_one_that_is_left_out_later(past: Past) -> None:
    order = await waits(past, "/create")
    previewed = await act(past, mending.skip_step, order, dry_run=True)
    past.shop.behaviours["/confirm"] = [LATER]
    await moved_on(past, order)
    before = await row_of(past.pool, order)

    with pytest.raises(Changed, match="look again"):
        await act(past, mending.skip_step, order, seen=previewed.seen)

    assert await row_of(past.pool, order) == before


async def test_an_order_that_somebody_put_on_hold_is_not_cancelled_as_one_that_goes_on(past: Past) -> None:
    order = await waits(past, "/create")
    previewed = await act(past, cancel, order, dry_run=True)
    await act(past, mending.pause, order)

    with pytest.raises(Changed):
        await act(past, cancel, order, seen=previewed.seen)


async def test_an_order_that_is_stuck_once_more_is_to_be_looked_at_once_more(past: Past) -> None:
    past.shop.behaviours["/undo-create"] = [status(409), status(409)]
    order = await past.scripted(Status.STUCK, hold=[status(422)])
    previewed = await act(past, retry, order, dry_run=True)
    await act(past, retry, order)
    await goes_on(past, order, Status.STUCK)

    with pytest.raises(Changed):
        await act(past, retry, order, seen=previewed.seen)
    again = await act(past, retry, order, dry_run=True)

    assert (await act(past, retry, order, seen=again.seen)).done
