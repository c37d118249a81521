"""A replica whose clock somebody moves: leases, waits and the order's end are as if nobody had."""

import pytest

from tests.acceptance.stack import STEP_TIMEOUT_S, Stack
from tests.acceptance.stack_shop import STANDS, Shop, attempts, eventually, succeeded
from tests.preloads import MovableClock

pytestmark = pytest.mark.acceptance
TWO_HOURS_S = 7200
PATH = "/inventory/reservations"


@pytest.fixture(scope="module")
def clock(tmp_path_factory: pytest.TempPathFactory) -> MovableClock:
    clock = MovableClock(tmp_path_factory.mktemp("clock"))
    before = clock.shown()
    clock.move(TWO_HOURS_S)
    assert clock.shown() - before >= TWO_HOURS_S - 1, "the library does not move this Python's clock"
    clock.move(0)
    return clock


async def test_a_replica_whose_clock_jumps_works_as_if_it_had_not(stack: Stack, shop: Shop, clock: MovableClock) -> None:
    with stack.only_replica(**clock.environment):
        orders = {}
        for seconds in (TWO_HOURS_S, -TWO_HOURS_S, 0):
            # One call is tried again after its wait; while another is on its way the clock jumps.
            await shop.fail("inventory", "error", PATH)
            await shop.delay("payments", int(STEP_TIMEOUT_S * 600), "/payments/capture")
            orders[seconds] = await shop.place(f"clock-{seconds}")
            await eventually(lambda order=orders[seconds]: _captures(shop, order))
            clock.move(seconds)
            assert (await shop.ends(orders[seconds]))["status"] == "COMPLETED"

    for order in orders.values():
        journal = await shop.journal(order)
        assert attempts(journal) == [
            *succeeded("authorize_payment", "create_order"),
            "reserve_inventory unknown",
            *succeeded("reserve_inventory", "capture_payment", "confirm_order"),
        ]
        assert {entry["kind"] for entry in journal} <= {"intent", "outcome", "status"}
        assert journal[-1]["at"] >= journal[0]["at"]
        assert await shop.stands(order) == STANDS


async def _captures(shop: Shop, order: str) -> None:
    assert (await shop.get(order))["step"] == "capture_payment"
