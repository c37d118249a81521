"""`SAGA_ENABLED` on real processes: switched off with orders on their way nothing is lost; switched on again all of it ends.

The module's audit comes after these tests, and the replay of every journal after all.
"""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.acceptance.commands import call, saga
from tests.acceptance.stack import SETTINGS, Stack
from tests.acceptance.stack_shop import STANDS, Shop, eventually

pytestmark = pytest.mark.acceptance
OVERDUE = timedelta(seconds=2)
"""Four polls: whoever was going to claim it has done so."""


async def on_their_way(shop: Shop, name: str) -> tuple[str, str]:
    """Return an order whose replica died in the middle of a call, and one that nobody has begun with."""
    await shop.delay("orders", 1_000, "/orders")
    running = await shop.place(f"{name}-running")
    await shop.on_its_way(running, "create_order")
    for replica in shop.stack.replicas:
        replica.kill()
    return running, await shop.place(f"{name}-waiting")


async def refuses_what_is_new(shop: Shop, known: str, name: str) -> None:
    """What would begin is refused, what is known is answered."""
    refused = await shop.post(f"{name}-new")
    assert (refused.status, refused.json["type"].rpartition("/")[2]) == (503, "feature-disabled")
    assert int(refused.headers["Retry-After"]) > 0
    repeated = await shop.post(f"{name}-running")
    assert (repeated.status, repeated.order, repeated.headers["Idempotency-Replayed"]) == (202, known, "true")
    assert call(f"{shop.stack.edge_urls[0]}/readyz") == (200, {"status": "ready", "takes_orders": False})


async def is_left_alone(shop: Shop, order: str) -> None:
    """Wait until whoever was going to claim an order has done so; nobody has."""
    before = await shop.row(order)

    async def long_overdue() -> None:
        now = await shop.row(order)
        assert now["due_at"] is not None
        assert now["due_at"] + OVERDUE < datetime.now(UTC)

    await eventually(long_overdue)
    after = await shop.row(order)
    assert (after["lease_epoch"], after["last_seq"]) == (before["lease_epoch"], before["last_seq"])


async def test_what_has_begun_ends_and_what_has_not_waits_until_it_is_switched_on(shop: Shop) -> None:
    running, waiting = await on_their_way(shop, "finish")

    with shop.stack.only(SAGA_ENABLED="false"):
        await refuses_what_is_new(shop, running, "finish")
        assert (await shop.ends(running, 30.0))["status"] == "COMPLETED"
        await is_left_alone(shop, waiting)
        assert (await shop.get(waiting))["status"] == "PENDING"

    shop.stack.restore()
    assert (await shop.ends(waiting, 30.0))["status"] == "COMPLETED"
    assert await shop.stands(running) == await shop.stands(waiting) == STANDS
    assert (await shop.ends(await shop.place("finish-new")))["status"] == "COMPLETED"


async def test_what_has_begun_pauses_and_goes_on_where_it_stood(shop: Shop) -> None:
    running, waiting = await on_their_way(shop, "pause")

    with shop.stack.only(SAGA_ENABLED="false", SAGA_WHEN_DISABLED="pause"):
        await refuses_what_is_new(shop, running, "pause")
        assert (await shop.cancel(waiting)).status == 202
        await is_left_alone(shop, running)
        await is_left_alone(shop, waiting)

    shop.stack.restore()
    assert (await shop.ends(running, 30.0))["status"] == "COMPLETED"
    assert (await shop.ends(waiting, 30.0))["status"] == "CANCELLED"
    assert await shop.stands(running) == STANDS
    assert await shop.stands(waiting) == {}


def test_health_says_that_it_is_switched_off(stack: Stack, tmp_path: Path) -> None:
    with stack.only(SAGA_ENABLED="false"):
        port = stack.edge_urls[0].rpartition(":")[2]
        settings = {**SETTINGS, "SAGA_DATABASE_URL": stack.databases["ledger"], "SAGA_PORT": port}
        done = saga("health", "--only", "edge", "--json", cwd=tmp_path, **settings)

    assert done.returncode == 0, done.stderr
    (part,) = json.loads(done.stdout)["parts"]
    assert "switched off (SAGA_ENABLED)" in part["detail"]
