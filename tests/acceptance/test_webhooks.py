"""Choreography by real processes: the loyalty service of the documents, with receivers and replicas that die."""

import asyncio
import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest
from aiohttp.test_utils import unused_port
from psycopg import sql as pgsql
from psycopg.rows import dict_row

from sql.embedded import with_database
from tests.acceptance.commands import ROOT, call, saga, wait_for
from tests.acceptance.stack_shop import TOTAL_MINOR, Json, Shop, eventually

pytestmark = pytest.mark.acceptance
SERVICE = ROOT / "docs/examples/loyalty/loyalty.py"
CUSTOMER = "17850"
POINTS = TOTAL_MINOR // 100


class Loyalty:
    """The service: started, killed and frozen; its inbox and its points. Its webhook is there from the start."""

    def __init__(self, shop: Shop, folder: Path, database_url: str) -> None:
        self.port = unused_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._folder = folder
        self._ledger_url = shop.stack.databases["ledger"]
        self._database_url = database_url
        self._process: subprocess.Popen[bytes] | None = None
        types = ("--type", "OrderCompleted", "--type", "OrderCancelled")
        self.secret = str(self.saga("webhooks", "add", "loyalty", f"{self.url}/webhook", *types, "--json")["secret"])

    def saga(self, *arguments: str) -> Json:
        """Run a command on the stack; what it printed."""
        done = saga(*arguments, cwd=self._folder, SAGA_DATABASE_URL=self._ledger_url)
        assert done.returncode == 0, done.stderr
        printed: Json = json.loads(done.stdout) if "--json" in arguments else {}
        return printed

    def start(self, *secrets: str) -> None:
        self.stop()
        environment = {"LOYALTY_DATABASE_URL": self._database_url, "LOYALTY_SECRETS": " ".join(secrets or (self.secret,))}
        with (self._folder / "loyalty.txt").open("ab") as log:
            command = [sys.executable, "-P", str(SERVICE), str(self.port)]
            self._process = subprocess.Popen(command, env=environment, cwd=self._folder, stdout=log, stderr=log)
        wait_for(lambda: call(f"{self.url}/customers/{CUSTOMER}")[0] == 200)

    def stop(self) -> None:
        """Kill it, if it runs."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(10)
            self._process = None

    @contextmanager
    def frozen(self) -> Iterator[None]:
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self._process.send_signal(signal.SIGCONT)

    def points(self) -> int:
        return int(call(f"{self.url}/customers/{CUSTOMER}")[1]["points"])

    def inbox(self) -> list[Json]:
        with psycopg.connect(self._database_url, row_factory=dict_row) as conn:
            return conn.execute("select * from inbox order by received_at").fetchall()

    def deliveries(self) -> list[Json]:
        with psycopg.connect(self._ledger_url, row_factory=dict_row) as conn:
            return conn.execute(
                "select d.* from event_delivery d join event_subscription s using (subscription_id) where s.name = 'loyalty'"
            ).fetchall()


@pytest.fixture
async def loyalty(shop: Shop, tmp_path: Path, server_url: str) -> Any:
    name = "saga_acceptance_loyalty"
    with _database(server_url, name) as url:
        service = await asyncio.to_thread(Loyalty, shop, tmp_path, url)
        try:
            yield service
        finally:
            service.stop()
            service.saga("webhooks", "remove", "loyalty")


@contextmanager
def _database(server_url: str, name: str) -> Iterator[str]:
    def run(statement: str) -> None:
        with psycopg.connect(server_url, autocommit=True) as conn:
            conn.execute(pgsql.SQL(statement).format(pgsql.Identifier(name)))  # type: ignore[arg-type]

    run("drop database if exists {} with (force)")
    run("create database {}")
    try:
        yield with_database(server_url, name)
    finally:
        run("drop database if exists {} with (force)")


def forged() -> dict[str, str]:
    """Headers of a delivery of now that nobody signed who may."""
    return {"webhook-id": "1", "webhook-timestamp": str(int(time.time())), "webhook-signature": "v1,Zm9yZ2Vk"}


def of(order: str, loyalty: Loyalty, *types: str) -> Callable[[], None]:
    """Look until the inbox holds these events of an order, in whatever order they came."""

    def look() -> None:
        assert sorted(row["type"] for row in loyalty.inbox() if str(row["order_ledger_id"]) == order) == sorted(types)

    return look


def has(loyalty: Loyalty, look: Callable[[Json], object]) -> Callable[[], None]:
    """Look until there are deliveries and each is so."""

    def looked() -> None:
        found = loyalty.deliveries()
        assert found
        assert all(look(delivery) for delivery in found), found

    return looked


async def test_a_service_in_no_sagas_steps_reacts_to_orders_that_complete_or_are_cancelled(
    shop: Shop, loyalty: Loyalty
) -> None:
    loyalty.start()
    completed = await shop.place("loyal-completed")
    await eventually(of(completed, loyalty, "OrderCompleted"), 30.0)  # or its call would be the one that is delayed
    await shop.delay("inventory", 1000, "/inventory/reservations")
    cancelled = await shop.place("loyal-cancelled")
    await shop.on_its_way(cancelled, "reserve_inventory")
    await shop.cancel(cancelled)
    await eventually(of(cancelled, loyalty, "OrderCancelled"), 30.0)

    assert loyalty.points() == POINTS
    assert await asyncio.to_thread(call, f"{loyalty.url}/webhook", {"type": "OrderCompleted"}, **forged()) == (
        401,
        b'{"detail": "no signature is right"}',
    )
    assert len(loyalty.inbox()) == 2


async def test_an_order_that_is_taken_back_loses_its_points(shop: Shop, loyalty: Loyalty) -> None:
    loyalty.start()
    order = await shop.place("loyal-taken-back")
    await eventually(of(order, loyalty, "OrderCompleted"), 30.0)
    assert loyalty.points() == POINTS

    await shop.cancel(order)
    await eventually(of(order, loyalty, "OrderCancelled", "OrderCompleted"), 30.0)
    await eventually(has(loyalty, lambda delivery: delivery["delivered_at"]), 30.0)

    # The cancellation has completed too, and has a customer and a total of its own.
    assert [row["type"] for row in loyalty.inbox() if str(row["order_ledger_id"]) != order] == ["OrderCompleted"]
    assert loyalty.points() == 0


async def test_a_receiver_that_is_dead_hears_of_it_when_it_is_back(shop: Shop, loyalty: Loyalty) -> None:
    order = await shop.place("loyal-dead")
    await eventually(has(loyalty, lambda delivery: delivery["attempts"] and "no connection" in (delivery["error"] or "")), 30.0)
    await asyncio.to_thread(loyalty.start)
    await eventually(of(order, loyalty, "OrderCompleted"), 30.0)

    assert loyalty.points() == POINTS
    await eventually(has(loyalty, lambda delivery: delivery["delivered_at"]))


async def test_a_delivery_that_is_repeated_has_one_effect(shop: Shop, loyalty: Loyalty) -> None:
    loyalty.start()
    order = await shop.place("loyal-repeated")
    await eventually(has(loyalty, lambda delivery: delivery["delivered_at"]), 30.0)
    with psycopg.connect(shop.stack.databases["ledger"]) as conn:  # as if its answer had been lost
        conn.execute("update event_delivery set delivered_at = null, next_retry_at = now()")
    await eventually(has(loyalty, lambda delivery: delivery["delivered_at"] and delivery["attempts"] > 1), 30.0)

    of(order, loyalty, "OrderCompleted")()
    assert loyalty.points() == POINTS


async def test_nothing_is_lost_with_a_replica_that_is_killed_in_the_middle_of_a_delivery(shop: Shop, loyalty: Loyalty) -> None:
    loyalty.start()
    with loyalty.frozen():
        orders = [await shop.place(f"loyal-killed-{number}") for number in range(4)]
        await eventually(has(loyalty, lambda delivery: delivery["attempts"]), 30.0)
        for order in orders:
            await shop.ends(order, 30.0)
        for replica in list(shop.stack.replicas):
            replica.kill()
    shop.stack.restore()
    for order in orders:
        await eventually(of(order, loyalty, "OrderCompleted"), 60.0)

    await eventually(has(loyalty, lambda delivery: delivery["delivered_at"]), 60.0)
    assert len(loyalty.deliveries()) == 4
    assert loyalty.points() == 4 * POINTS


async def test_what_was_given_up_is_listed_with_its_reason_and_replayed(shop: Shop, loyalty: Loyalty) -> None:
    loyalty.start("whsec_d3Jvbmcgd3Jvbmcgd3Jvbmcgd3Jvbmcgd3Jvbmc=")
    orders = [await shop.place(f"loyal-refused-{number}") for number in range(3)]
    await eventually(lambda: _equal(sum(bool(row["dead_at"]) for row in loyalty.deliveries()), 3), 60.0)
    dead = await asyncio.to_thread(loyalty.saga, "outbox", "dead", "--webhook", "loyalty", "--json")

    assert {row["order_ledger_id"] for row in dead["dead"]} == set(orders)
    assert {row["error"] for row in dead["dead"]} == {'answered 401: {"detail": "no signature is right"}'}
    assert loyalty.inbox() == []
    await asyncio.to_thread(loyalty.start)
    one = dead["dead"][0]
    assert (await asyncio.to_thread(loyalty.saga, "outbox", "replay", one["event_id"], "--json")) == {"replayed": 1}
    await eventually(of(one["order_ledger_id"], loyalty, "OrderCompleted"), 30.0)
    assert len(loyalty.inbox()) == 1
    assert (await asyncio.to_thread(loyalty.saga, "outbox", "replay", "--all", "--rate", "5", "--json")) == {"replayed": 2}
    for order in orders:
        await eventually(of(order, loyalty, "OrderCompleted"), 30.0)
    assert loyalty.points() == 3 * POINTS


async def test_while_a_secret_is_rotated_both_are_good(shop: Shop, loyalty: Loyalty) -> None:
    loyalty.start()
    new = str((await asyncio.to_thread(loyalty.saga, "webhooks", "rotate", "loyalty", "--json"))["secret"])
    first = await shop.place("loyal-rotated-first")
    await eventually(of(first, loyalty, "OrderCompleted"), 30.0)
    await asyncio.to_thread(loyalty.start, new)
    second = await shop.place("loyal-rotated-second")
    await eventually(of(second, loyalty, "OrderCompleted"), 30.0)

    assert [delivery["attempts"] for delivery in loyalty.deliveries()] == [1, 1]


def _equal(left: object, right: object) -> None:
    assert left == right
