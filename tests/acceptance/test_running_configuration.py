"""`saga config` and `saga drain` on a stack of real processes: what is applied holds at once, what is tried ends by itself."""

import json
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.commands import assert_told, saga
from tests.acceptance.stack import SETTINGS, Stack
from tests.acceptance.stack_shop import Shop, eventually

pytestmark = pytest.mark.acceptance
WHY = ("--reason", "payments are slow", "--actor", "ops")
STEPS = ["authorize_payment", "create_order", "reserve_inventory", "capture_payment", "confirm_order"]
TURNED = ["authorize_payment", "reserve_inventory", "create_order", "capture_payment", "confirm_order"]
JUDGED_S = 60.0
"""A replica judges every few seconds, and rests between on a machine that is busy."""

Ask = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def ask(stack: Stack, tmp_path: Path) -> Iterator[Ask]:
    """Run a command on the stack's ledger; what it configured is taken back."""
    settings = {**SETTINGS, "SAGA_DATABASE_URL": stack.databases["ledger"]}

    def asked(*arguments: str) -> subprocess.CompletedProcess[str]:
        return saga(*arguments, cwd=tmp_path, **settings)

    yield asked
    asked("config", "discard", "place_order", *WHY)
    if asked("config", "set", "place_order", "--reset", *WHY).returncode == 0:
        assert asked("config", "apply", "place_order", *WHY).returncode == 0


def told(result: subprocess.CompletedProcess[str]) -> Any:
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout)


def history(ask: Ask) -> list[Any]:
    found: list[Any] = told(ask("config", "history", "place_order", "--json"))["history"]
    return found


async def done(shop: Shop, order: str) -> list[str]:
    """Steps of an order in the order in which they were done."""
    return [e["step"] for e in await shop.journal(order) if e["direction"] == "action" and e["outcome"] == "succeeded"]


async def test_what_is_applied_holds_for_the_next_order_on_every_edge_and_not_for_those_on_their_way(
    shop: Shop, ask: Ask
) -> None:
    await shop.delay("orders", 1_500, "/orders")
    before = await shop.place("begun-before")
    told(ask("config", "set", "place_order", f"order={','.join(TURNED)}", "retry.attempts_max=4", *WHY, "--json"))
    diff = told(ask("config", "diff", "place_order", "--json"))
    assert {"key": "order", "before": STEPS, "after": TURNED} in diff["differences"]
    assert told(ask("config", "apply", "place_order", "--revision", str(diff["next"]["revision"]), *WHY, "--json"))["active"]

    orders = [(await shop.post(f"applied-{edge}", edge=edge)).order for edge in range(len(shop.stack.edges))]

    for order in orders:
        assert (await shop.ends(order))["status"] == "COMPLETED"
        assert await done(shop, order) == TURNED
    assert (await shop.ends(before))["status"] == "COMPLETED"
    assert await done(shop, before) == STEPS
    newest = history(ask)[0]
    assert (newest["act"], newest["actor"], newest["reason"]) == ("apply", "ops", "payments are slow")


async def test_an_order_that_fails_on_what_was_applied_is_undone_in_that_order(shop: Shop, ask: Ask) -> None:
    told(ask("config", "set", "place_order", f"order={','.join(TURNED)}", *WHY, "--json"))
    told(ask("config", "apply", "place_order", *WHY, "--json"))
    await shop.fail("orders", "reject", "/orders")

    order = await shop.place("rejected-when-turned")

    assert (await shop.ends(order))["status"] == "FAILED"
    journal = await shop.journal(order)
    undone = [e["step"] for e in journal if e["direction"] == "compensation" and e["outcome"] == "succeeded"]
    assert undone == ["reserve_inventory", "authorize_payment"]
    assert await shop.stands(order) == {}


def test_what_is_unsafe_or_unknown_is_refused_in_a_sentence(stack: Stack, ask: Ask) -> None:
    off = ask("config", "set", "place_order", "off=capture_payment", *WHY)
    assert_told(off, 1, "step capture_payment can't be off", "neither optional nor read-only")
    assert_told(ask("config", "set", "place_order", "timeout_s=3000", *WHY), 1, "leases of", "run out during slow calls")
    assert_told(ask("config", "set", "place_order", "retry.attempts_max=0", *WHY), 1, "retry.attempts_max", "greater than")
    assert_told(ask("config", "set", "place_order", "participants.orders=x", *WHY), 1, "`saga participants`")
    assert_told(ask("config", "show", "place_odrer"), 1, "there is no saga place_odrer")
    assert_told(ask("config", "apply", "place_order", *WHY), 1, "nothing is pending for saga place_order")
    assert_told(ask("config", "apply", "place_order", "--canary", "5", *WHY), 2, "--canary and --for go together")
    assert_told(ask("config", "set", "place_order", "timeout_s=2"), 2, "--reason")
    assert_told(ask("config", "set", "place_order", *WHY), 2, "nothing is to be set")


def test_what_people_read_fits_the_terminal(stack: Stack, ask: Ask) -> None:
    changed = ask("config", "set", "place_order", "steps.capture_payment.retry.first_s=2", "deadline_s=7200", *WHY)
    shown = ask("config", "show", "place_order")

    assert shown.returncode == changed.returncode == 0, shown.stderr + changed.stderr
    assert "deadline_s" in changed.stdout
    assert "as code and settings have it" in shown.stdout or "is active" in shown.stdout
    assert "steps.capture_payment.retry.first_s" in shown.stdout
    assert stack.participants["payments"].rpartition(":")[0] in shown.stdout
    assert ask("config", "discard", "place_order", *WHY).returncode == 0


async def test_a_canary_survives_the_death_of_all_replicas_and_becomes_active(shop: Shop, ask: Ask) -> None:
    told(ask("config", "set", "place_order", f"order={','.join(TURNED)}", *WHY, "--json"))
    told(ask("config", "apply", "place_order", "--canary", "50", "--for", "1s", *WHY, "--json"))
    for replica in shop.stack.replicas:
        replica.kill()

    shop.stack.restore()

    async def promoted() -> Any:
        newest = history(ask)[0]
        assert newest["act"] == "promote", newest
        return newest

    newest = await eventually(promoted, JUDGED_S)
    assert newest["actor"].startswith("replica ")
    assert newest["reason"].startswith("its time is over; ")
    assert {"started", "ended", "failed", "others_ended", "others_failed"} <= newest["figures"].keys()
    order = await shop.place("after-the-trial")
    await shop.ends(order)
    assert await done(shop, order) == TURNED


async def test_a_canary_whose_orders_fail_is_taken_back(shop: Shop, ask: Ask) -> None:
    told(ask("config", "set", "place_order", f"order={','.join(TURNED)}", *WHY, "--json"))
    terms = ("--canary", "99.9", "--for", "10m", "--failure-rate-max", "0.5", "--orders-min", "3")
    told(ask("config", "apply", "place_order", *terms, *WHY, "--json"))
    await shop.fail("inventory", "reject", "/inventory/reservations", count=4)
    for number in range(4):
        assert (await shop.ends(await shop.place(f"fails-{number}")))["status"] == "FAILED"

    async def withdrawn() -> Any:
        newest = history(ask)[0]
        assert newest["act"] == "withdraw", newest
        return newest

    newest = await eventually(withdrawn, JUDGED_S)
    assert "orders failed, more than 50.0%" in newest["reason"]
    order = await shop.place("after-it-was-taken-back")
    await shop.ends(order)
    assert await done(shop, order) == STEPS


async def test_what_is_left_on_a_version_is_told_and_waited_for(shop: Shop, ask: Ask) -> None:
    version = ("drain", "--saga", "place_order", "--version", "1")
    assert ask("breaker", "hold", "inventory", *WHY).returncode == 0
    try:
        order = await shop.place("still-on-it")
        left = told(ask(*version, "--json"))
        assert (left["orders"], left["by_status"][0]["oldest"]) == (1, order)
        assert_told(ask(*version, "--wait", "--timeout", "0.01s"), 1, "1 orders are still on version 1 of saga place_order")
    finally:
        assert ask("breaker", "reset", "inventory", *WHY).returncode == 0

    misspelt = ask("drain", "--saga", "plcae_order", "--version", "1")
    assert_told(misspelt, 1, "no process has ever run version 1 of a saga plcae_order")
    waited = told(ask(*version, "--wait", "--timeout", "50s", "--json"))
    assert waited == {"saga": "place_order", "version": 1, "orders": 0, "by_status": []}
    assert (await shop.get(order))["status"] == "COMPLETED"
