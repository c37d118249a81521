"""Orders on which the code raises, loops or dies: they are counted before the work, end STUCK, and hold up no other."""

import asyncio
import contextlib
import json
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from psycopg_pool import AsyncConnectionPool

from orchestrator.definitions import Definitions
from orchestrator.identity import order_id
from orchestrator.opening import Request, open_order
from orchestrator.retrace import retrace
from orchestrator.watchdog import EXIT_CODE
from sql import ledger, reading
from sql.models import Status
from tests.acceptance.commands import clean_environment
from tests.integration.orchestrator.past import history_of
from tests.integration.orchestrator.poison import POISON
from tests.integration.orchestrator.shop import Basket, Shop, settings_for, until

Pool = AsyncConnectionPool[Any]
HERE = Path(__file__).parent
LEASE_S = 2.5
STEP_S = 1.0
ENDS_S = 90.0
NAPS_MAX = 5
PATIENT = {"SAGA_LEASE_S": "60"}
"""Nothing runs out, on a machine as slow as may be."""


class Supervised:
    """A replica that is started again whenever it ends.

    Attributes:
        exits: Codes of those that ended.
    """

    def __init__(self, url: str, shop: Shop, errors: Path, **settings: str) -> None:
        self.exits: list[int] = []
        self._errors = errors
        self._environment = clean_environment(
            **{
                "SAGA_DATABASE_URL": url,
                "SAGA_ORDERS_URL": shop.url,
                "SAGA_LEASE_S": str(LEASE_S),
                "SAGA_STEP_TIMEOUT_S": str(STEP_S),
                "SAGA_POLL_INTERVAL_S": "0.2",
                "SAGA_RETRY_FIRST_S": "0.02",
                **settings,
            }
        )

    async def run(self) -> None:
        while True:
            with self._errors.open("a") as errors:
                process = await asyncio.create_subprocess_exec(
                    sys.executable, "-m", "tests.integration.orchestrator.poison",
                    env=self._environment, stdout=subprocess.DEVNULL, stderr=errors,
                )  # fmt: skip
            try:
                self.exits.append(await process.wait())
            finally:
                if process.returncode is None:
                    process.kill()
                    await process.wait()

    def lines(self, event: str) -> list[dict[str, Any]]:
        """What the replicas logged of one event."""
        lines = [json.loads(line) for line in self._errors.read_text().splitlines() if line.startswith("{")]
        return [line for line in lines if line["event"] == event]


@asynccontextmanager
async def supervised(url: str, shop: Shop, folder: Path, name: str = "errors", **settings: str) -> AsyncIterator[Supervised]:
    replica = Supervised(url, shop, folder / f"{name}.txt", **settings)
    task = asyncio.create_task(replica.run())
    try:
        yield replica
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def place(pool: Pool, url: str, *whats: str) -> list[UUID]:
    """Record orders in one transaction, so that one claim finds them all."""
    definitions = Definitions(
        [POISON], settings_for(url, lease_s=LEASE_S, step_timeout_s=STEP_S, retry_first_s=0.02, retry_factor=4.0)
    )
    orders = []
    async with pool.connection() as conn, conn.transaction():
        await definitions.register(conn)
        for what in whats:
            key = uuid4().hex
            request = Request(order_id("tests", key), "tests", key, b"hash", Basket(what=what), {}, "correlation")
            order = open_order(definitions.named("poison"), request).order
            assert await ledger.insert_order(conn, order)
            orders.append(order.order_ledger_id)
    return orders


async def test_what_kills_its_owners_ends_stuck_and_takes_no_other_along(
    pool: Pool, ledger_url: str, shop: Shop, tmp_path: Path
) -> None:
    others = ["fine"] * 20
    # The deadly ones are the first of each claim, so that everything that is claimed with them is lost with them.
    poisoned = await place(pool, ledger_url, "dies", "dies when it is read")
    sound = await place(pool, ledger_url, *others)

    async with supervised(ledger_url, shop, tmp_path) as replica:
        for order in sound:
            await until(pool, order, Status.COMPLETED, timeout_s=ENDS_S)
        rows = [await until(pool, order, Status.STUCK, timeout_s=ENDS_S) for order in poisoned]
        exits = list(replica.exits)

    assert exits.count(9) == len(exits) >= 5, "each was tried until it had lapsed five times"
    assert [row.lapses for row in rows] == [5, 5]
    assert {row.progress["stuck"] for row in rows} == {"its claims ran out too often"}
    assert {key for path, key in shop.calls if path == "/second"} == {f"{order}:second:action" for order in sound}
    assert [retrace(await history_of(pool, order)) for order in (*poisoned, *sound)] == [()] * 22


@pytest.mark.parametrize("what", ["raises", "raises what has no text", "leaves", "recurs"])
async def test_what_raises_backs_off_and_ends_stuck_while_others_are_done(
    pool: Pool, ledger_url: str, shop: Shop, tmp_path: Path, what: str
) -> None:
    poisoned, *sound = await place(pool, ledger_url, what, *["fine"] * 5)

    async with supervised(ledger_url, shop, tmp_path, SAGA_LAPSES_MAX="1", **PATIENT) as replica:
        for order in sound:
            await until(pool, order, Status.COMPLETED, timeout_s=ENDS_S)
        row = await until(pool, poisoned, Status.STUCK, timeout_s=ENDS_S)
        assert replica.exits == [], "the replica lives on"

    assert row.last_error
    assert retrace(await history_of(pool, poisoned)) == ()


async def test_what_takes_all_memory_ends_stuck_while_others_are_done(
    pool: Pool, ledger_url: str, shop: Shop, tmp_path: Path
) -> None:
    poisoned, *sound = await place(pool, ledger_url, "gulps", *["fine"] * 5)

    async with supervised(ledger_url, shop, tmp_path, SAGA_LAPSES_MAX="1", POISON_BYTES_MORE=str(400 * 1024**2), **PATIENT):
        for order in (*sound, poisoned):
            await until(pool, order, Status.STUCK if order == poisoned else Status.COMPLETED, timeout_s=ENDS_S)

    assert retrace(await history_of(pool, poisoned)) == ()


@pytest.mark.parametrize("what", ["blocks", pytest.param("loops", marks=pytest.mark.slow)])
async def test_what_blocks_the_event_loop_ends_its_replicas_and_then_stuck(
    pool: Pool, ledger_url: str, shop: Shop, tmp_path: Path, what: str
) -> None:
    poisoned, *sound = await place(pool, ledger_url, what, *["fine"] * 5)

    async with supervised(ledger_url, shop, tmp_path, SAGA_LAPSES_MAX="3") as replica:
        for order in (*sound, poisoned):
            await until(pool, order, Status.STUCK if order == poisoned else Status.COMPLETED, timeout_s=ENDS_S)
        exits, told = list(replica.exits), replica.lines("loop_stalled")

    assert exits == [EXIT_CODE] * 3
    assert {f"_{what[:-1]}" in line["stack"] for line in told} == {True}, "the log says where the loop stands"


async def test_a_replica_whose_loop_stood_still_past_its_lease_is_fenced_and_goes_on(
    pool: Pool, ledger_url: str, shop: Shop, tmp_path: Path
) -> None:
    folder = {"POISON_FOLDER": str(tmp_path)}
    async with (
        supervised(ledger_url, shop, tmp_path, "one", **folder) as one,
        supervised(ledger_url, shop, tmp_path, "two", **folder) as two,
    ):
        async with asyncio.timeout(ENDS_S), pool.connection() as conn:
            while await reading.count_replicas(conn) < 2:
                await asyncio.sleep(0.05)
        # On a slow machine the nap may be over before the other replica has looked: then there is another.
        for naps in range(1, NAPS_MAX + 1):
            (order,) = await place(pool, ledger_url, "naps once")
            await until(pool, order, Status.COMPLETED, timeout_s=ENDS_S)
            async with asyncio.timeout(ENDS_S):
                while len(one.lines("loop_stood_still") + two.lines("loop_stood_still")) < naps:
                    await asyncio.sleep(0.05)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LEASE_S):
                    while not (one.lines("claim_lost") or two.lines("claim_lost")):
                        await asyncio.sleep(0.05)
                    break
        late = [replica for replica in (one, two) if replica.lines("claim_lost")]

        assert late
        assert all(replica.lines("loop_stood_still") for replica in late)
        assert one.exits == two.exits == []
    assert set(shop.paths()) == {"/first", "/second"}


async def test_a_replica_that_meets_what_it_can_not_expect_ends_and_the_next_one_goes_on(
    pool: Pool, ledger_url: str, shop: Shop, tmp_path: Path
) -> None:
    async with supervised(ledger_url, shop, tmp_path) as replica:
        (first,) = await place(pool, ledger_url, "fine")
        await until(pool, first, Status.COMPLETED, timeout_s=ENDS_S)
        async with pool.connection() as conn:
            await conn.execute("alter table order_ledger rename column lapses to gone")
        async with asyncio.timeout(ENDS_S):
            while not replica.exits:
                await asyncio.sleep(0.05)
        async with pool.connection() as conn:
            await conn.execute("alter table order_ledger rename column gone to lapses")
        (second,) = await place(pool, ledger_url, "fine")
        await until(pool, second, Status.COMPLETED, timeout_s=ENDS_S)

    assert set(replica.exits) == {1}
    assert "the worker failed: " in (tmp_path / "errors.txt").read_text()
