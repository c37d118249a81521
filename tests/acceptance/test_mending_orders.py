"""An operator with a command line against a stack of real processes: hold an order, leave out what can't be undone, end one."""

import asyncio
import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.commands import assert_told, saga
from tests.acceptance.stack import Stack
from tests.acceptance.stack_shop import ACTIONS, Shop, attempts, eventually, open_shop, succeeded

pytestmark = pytest.mark.acceptance
WHY = ("--reason", "looked into it", "--actor", "ann")


async def run(shop: Shop, folder: Path, verb: str, order: str, *options: str) -> subprocess.CompletedProcess[str]:
    """Run `saga ledger VERB` on an order as an operator does."""
    url = shop.stack.databases["ledger"]
    return await asyncio.to_thread(saga, "ledger", verb, order, *options, *WHY, cwd=folder, SAGA_DATABASE_URL=url)


async def told(shop: Shop, folder: Path, verb: str, order: str, *options: str) -> Any:
    answer = await run(shop, folder, verb, order, *options, "--json")
    assert answer.returncode == 0, answer.stderr
    return json.loads(answer.stdout)


async def stuck(shop: Shop, key: str) -> str:
    """Have an order STUCK: there is no stock, and the orders service refuses to cancel what it recorded."""
    await shop.fail("inventory", "reject", "/inventory/reservations")
    await shop.fail("orders", "reject", f"/orders/{shop.id_of(key)}/cancel", 1)
    order = await shop.place(key)

    async def look() -> None:
        assert (await shop.get(order))["status"] == "STUCK"

    await eventually(look)
    return order


@pytest.fixture
def patient(stack: Stack) -> Iterator[None]:
    """Processes that wait long for an answer: a command starts and ends while a call is on its way."""
    with stack.only(SAGA_STEP_TIMEOUT_S="20", SAGA_LEASE_S="60"):
        yield


@pytest.mark.usefixtures("patient")
async def test_an_order_is_held_while_a_call_is_on_its_way_and_goes_on_when_it_is_resumed(stack: Stack, tmp_path: Path) -> None:
    async with open_shop(stack) as shop:
        await shop.delay("payments", 6_000, "/payments/capture")
        order = await shop.place("held")
        await shop.on_its_way(order, "capture_payment")

        paused = await told(shop, tmp_path, "pause", order)

        async def answered() -> None:
            row = await shop.row(order)
            assert "capture_payment" in row["results"]
            assert row["lease_owner"] is None

        await eventually(answered, 20.0)
        assert (await shop.ends(await shop.place("not-held")))["status"] == "COMPLETED"
        held = await shop.get(order)
        listed = await asyncio.to_thread(
            saga, "ledger", "list", "--paused", cwd=tmp_path, SAGA_DATABASE_URL=stack.databases["ledger"]
        )
        resumed = await told(shop, tmp_path, "resume", order)
        ended = await shop.ends(order)
        made = attempts(await shop.journal(order))

    assert paused["irreversible"] == ["capture_payment is on its way: its answer is waited for, and counts"]
    assert (held["status"], held["paused_at"] is not None, paused["paused"]) == ("RUNNING", True, True)
    assert f"{order} RUNNING (paused)" in " ".join(listed.stdout.split())
    assert resumed["calls"] == [f"confirm_order: PUT /orders/{order}/confirm at orders"]
    assert (ended["status"], made) == ("COMPLETED", succeeded(*ACTIONS))


async def test_what_could_not_be_undone_is_left_out_after_a_look_at_what_that_leaves(shop: Shop, tmp_path: Path) -> None:
    order = await stuck(shop, "left-standing")
    before = await shop.journal(order)

    shown = await run(shop, tmp_path, "skip-step", order, "--dry-run")
    wrong = await run(shop, tmp_path, "skip-step", order, "confirm_order")
    other = await run(shop, tmp_path, "skip-step", order, "create_order", "--seen", "STUCK-1-create_order")
    assert await shop.journal(order) == before
    mark = f"STUCK-{before[-1]['seq']}-create_order"
    skipped = await run(shop, tmp_path, "skip-step", order, "create_order", "--seen", mark)

    assert shown.stdout.splitlines() == [
        f"skip-step of order {order} would be followed by:",
        "      no calls",
        "can't be undone: what create_order did, or may have done, stays",
        f"nothing was changed; with --seen {mark} it is refused once the order has changed",
    ]
    assert_told(wrong, 1, "it is the turn of create_order")
    assert_told(other, 1, "look again")
    assert skipped.stdout.splitlines()[0] == f"skip-step of order {order} is recorded; it is FAILED, and goes on with:"
    states = {step["name"]: step["state"] for step in (await shop.get(order))["steps"]}
    assert (states["create_order"], states["authorize_payment"]) == ("skipped", "compensated")
    assert (await shop.events(order))[-2:] == ["OrderStuck", "OrderFailed"]
    # What stands is told of by every audit until somebody has mended it where it stands.
    (violation,) = await violations(shop)
    assert (violation["query"], violation["row"]["order_ledger_id"]) == ("effects_undone_net_zero", order)
    url = f"{shop.stack.participants['orders']}/orders/{order}/cancel"
    assert (await shop.call("PUT", url, **{"Idempotency-Key": "by-hand"})).status == 200
    assert await violations(shop) == []


async def violations(shop: Shop) -> list[Any]:
    audit = await asyncio.to_thread(shop.stack.audit)
    found: list[Any] = json.loads(audit.stdout)["violations"]
    return found


async def test_an_order_that_was_mended_by_hand_ends_as_the_operator_says(shop: Shop, tmp_path: Path) -> None:
    order = await stuck(shop, "by-hand")
    url = f"{shop.stack.participants['orders']}/orders/{order}/cancel"
    assert (await shop.call("PUT", url, **{"Idempotency-Key": "by-hand-too"})).status == 200

    resolved = await told(shop, tmp_path, "resolve", order, "--as", "failed")
    again = await told(shop, tmp_path, "resolve", order, "--as", "failed")
    other = await run(shop, tmp_path, "resolve", order, "--as", "completed")

    assert (resolved["status"], resolved["done"], again["done"], resolved["calls"]) == ("FAILED", True, False, [])
    assert_told(other, 1, "has ended: it is FAILED")
    assert [entry["outcome"] for entry in (await shop.journal(order))[-2:]] == ["resolve-failed", "FAILED"]
    assert [entry["actor"] for entry in (await shop.journal(order))[-2:]] == ["ann", None]
    assert await violations(shop) == []
