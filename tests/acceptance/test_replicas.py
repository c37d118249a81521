"""Replicas that are killed, frozen, stopped or deaf: their orders are finished by others, once, and no two owners overlap."""

import asyncio
import time
from collections import Counter
from datetime import timedelta

import pytest

from tests.acceptance.stack import LEASE_S, STOP_S, Process
from tests.acceptance.stack_shop import ACTIONS, STANDS, Json, Shop, attempts, eventually, succeeded

pytestmark = pytest.mark.acceptance

TAKEN_OVER_AT_CAPTURE = [*succeeded(*ACTIONS[:3]), "capture_payment unknown", *succeeded(*ACTIONS[3:])]


async def test_an_order_whose_replica_was_killed_between_effect_and_write_is_finished_by_another(shop: Shop) -> None:
    order, victim = await _frozen_between_effect_and_write(shop)

    victim.kill()

    assert (await shop.ends(order))["status"] == "COMPLETED"
    journal = await shop.journal(order)
    assert attempts(journal) == TAKEN_OVER_AT_CAPTURE
    _assert_taken_over(journal, victim, shop.stack.other_than(victim))
    assert await shop.stands(order) == STANDS


async def test_a_replica_that_wakes_after_its_lease_writes_nothing_and_goes_on_healthy(shop: Shop) -> None:
    await shop.delay("payments", 600, "/payments/capture")
    order = await shop.place("zombie")
    zombie = await shop.holder(order, "capture_payment")
    other = shop.stack.other_than(zombie)
    with zombie.frozen():
        assert (await shop.ends(order))["status"] == "COMPLETED"
        journal = await shop.journal(order)

    async def refused() -> None:
        assert await shop.metric(zombie, "saga_lease_lost_total") >= 1

    await eventually(refused)
    assert await shop.journal(order) == journal
    assert attempts(journal) == TAKEN_OVER_AT_CAPTURE
    _assert_taken_over(journal, zombie, other)
    assert await shop.stands(order) == STANDS
    with other.frozen():
        new = await shop.place("after-the-zombie")
        assert (await shop.ends(new))["status"] == "COMPLETED"
    assert shop.stack.replica_of((await shop.journal(new))[-1]["replica"]) is zombie


async def test_no_order_is_lost_and_no_effect_doubled_when_a_replica_is_killed_under_load(shop: Shop) -> None:
    await shop.delay("payments", 200, "/payments/capture", 60)
    answers = await asyncio.gather(*(shop.post(f"load-{number}", edge=number % 2) for number in range(60)))
    assert Counter(answer.status for answer in answers) == {202: 60}
    orders = [answer.order for answer in answers]

    async def held_by_a_frozen() -> Process:
        victim = shop.stack.replicas[0]
        victim.freeze()
        owners = [(await shop.row(order))["lease_owner"] or "" for order in orders]
        if not any(f"-{victim.pid}-" in owner for owner in owners):
            victim.thaw()
            raise AssertionError("the victim holds no order")
        return victim

    victim = await eventually(held_by_a_frozen)
    victim.kill()

    ended = await asyncio.gather(*(shop.ends(order, 30) for order in orders))
    assert Counter(shown["status"] for shown in ended) == {"COMPLETED": 60}
    journals = [await shop.journal(order) for order in orders]  # each is checked for owners that overlap
    assert any(entry["kind"] == "takeover" for journal in journals for entry in journal), "the victim held no order"
    for order in orders:
        assert await shop.stands(order) == STANDS


async def test_a_replica_that_is_told_to_stop_ends_its_calls_and_hands_its_orders_on_at_once(shop: Shop) -> None:
    await shop.delay("payments", 500, "/payments/capture", 4)
    orders = await asyncio.gather(*(shop.place(f"stopped-{number}") for number in range(4)))
    stopped = await shop.holder(orders[0], "capture_payment")
    began_s = time.monotonic()

    assert await asyncio.to_thread(stopped.stop) == 0

    assert time.monotonic() - began_s < STOP_S
    for order in orders:
        assert (await shop.ends(order))["status"] == "COMPLETED"
        assert attempts(await shop.journal(order)) == succeeded(*ACTIONS), "a call on its way was given up"
        assert await shop.stands(order) == STANDS
    journal = await shop.journal(orders[0])
    place = max(number for number, entry in enumerate(journal) if f"-{stopped.pid}-" in entry["replica"])
    last, first = journal[place], journal[place + 1]
    assert (last["kind"], last["step"], last["outcome"]) == ("outcome", "capture_payment", "succeeded")
    assert first["at"] - last["at"] < timedelta(seconds=LEASE_S / 2), "the order waited for the lease to run out"


async def test_orders_are_served_by_the_poll_where_notify_is_off(shop: Shop) -> None:
    with shop.stack.only_replica(SAGA_NOTIFY="off") as replica:
        order = await shop.place("polled")

        assert (await shop.ends(order))["status"] == "COMPLETED"
        assert await shop.metric(replica, "saga_claims_total", woken_by="notify") == 0
        assert await shop.metric(replica, "saga_claims_total", woken_by="poll") == 1
    assert attempts(await shop.journal(order)) == succeeded(*ACTIONS)
    assert await shop.stands(order) == STANDS


async def _frozen_between_effect_and_write(shop: Shop) -> tuple[str, Process]:
    """Freeze a replica whose call has had its effect but not its record; on a busy machine that takes a few orders."""
    for number in range(10):
        await shop.delay("payments", 600, "/payments/capture")
        order = await shop.place(f"killed-{number}")
        victim = await shop.holder(order, "capture_payment")
        victim.freeze()
        await eventually(lambda order=order: _is_captured(shop, order))  # type: ignore[misc]
        if (await shop.journal(order))[-1]["kind"] == "intent":
            return order, victim
        victim.thaw()
    raise AssertionError("every outcome was written before its replica was frozen")


async def _is_captured(shop: Shop, order: str) -> None:
    assert "captured" in [effect.kind for effect in await shop.effects(order)]


def _assert_taken_over(journal: list[Json], before: Process, after: Process) -> None:
    """Assert that one replica wrote nothing after another had taken its order over, under a later epoch."""
    (place,) = [number for number, entry in enumerate(journal) if entry["kind"] == "takeover"]
    taken = journal[place]
    assert (taken["step"], taken["outcome"]) == ("capture_payment", "unknown")
    assert taken["lease_epoch"] > journal[place - 1]["lease_epoch"]
    assert f"-{before.pid}-" in journal[place - 1]["replica"]
    assert all(f"-{after.pid}-" in entry["replica"] for entry in journal[place:])
