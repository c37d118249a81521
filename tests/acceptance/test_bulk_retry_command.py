"""Many orders retried at once against real processes: broken off by Ctrl-C, gone on with, each retried once."""

import asyncio
import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.commands import assert_told, clean_environment, saga
from tests.acceptance.stack_shop import Shop, eventually

pytestmark = pytest.mark.acceptance
ORDERS = 4
ERROR = "could not be undone: create_order, reserve_inventory"
SET = ("--all", "--status", "STUCK", "--error-like", ERROR.upper(), "--reason", "both services mended", "--actor", "ann")


async def stuck(shop: Shop, key: str) -> str:
    """Have an order STUCK in a way of its own: the money is refused, and neither stock nor order can be undone."""
    order = shop.id_of(key)
    await shop.fail("payments", "reject", "/payments/capture")
    await shop.fail("inventory", "reject", f"/inventory/reservations/{order}")
    await shop.fail("orders", "reject", f"/orders/{order}/cancel")
    assert await shop.place(key) == order

    async def look() -> None:
        shown = await shop.get(order)
        assert (shown["status"], shown["last_error"]) == ("STUCK", ERROR)

    await eventually(look)
    return order


async def test_many_orders_are_retried_and_a_run_that_is_broken_off_is_gone_on_with(shop: Shop, tmp_path: Path) -> None:
    orders = [await stuck(shop, f"bulk-{number}") for number in range(ORDERS)]
    url = shop.stack.databases["ledger"]

    async def told(*options: str) -> Any:
        answer = await asyncio.to_thread(saga, "ledger", "retry", *options, "--json", cwd=tmp_path, SAGA_DATABASE_URL=url)
        assert answer.returncode == 0, answer.stdout + answer.stderr
        return json.loads(answer.stdout)

    shown = await told(*SET, "--dry-run")
    before = [(await shop.get(order))["status"] for order in orders]
    broken_off = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "cli", "ledger", "retry", *SET, "--canary", "1", "--rate", "0.2",
        cwd=tmp_path, env=clean_environment(SAGA_DATABASE_URL=url), stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    await shop.ends(orders[0], 60.0)
    broken_off.send_signal(signal.SIGINT)
    out, err = (text.decode() for text in await asyncio.wait_for(broken_off.communicate(), 30))
    (run,) = [run for run in (await told("--runs"))["runs"] if run["reason"] == "both services mended"]
    number = str(run["run_id"])
    ended = await told("--resume", number, "--rate", "0", "--actor", "bob")
    kept = await told("--run", number)

    assert (shown["orders"], shown["value"], shown["reasons"][0]["error"]) == (ORDERS, {"GBP": ORDERS * 1530}, ERROR)
    assert before == ["STUCK"] * ORDERS
    assert out.splitlines()[0] == f"run {number}: {ORDERS} orders to retry, 0.2 a second, 1 of them first"
    assert "\x1b" not in out
    result = subprocess.CompletedProcess([], broken_off.returncode or 0, out, err)
    assert_told(result, 130, f"go on with `saga ledger retry --resume {number}`")
    assert (run["outstanding"] > 0, ended["outstanding"], ended["went_wrong"], ended["ended"]) == (
        True, 0, 0, {"FAILED": ORDERS},
    )  # fmt: skip
    assert [(order["order_ledger_id"], order["ended_as"]) for order in kept["set"]] == [(order, "FAILED") for order in orders]
    for order in orders:
        asked = [entry for entry in await shop.journal(order) if entry["kind"] == "operator"]
        assert [(entry["outcome"], entry["reason"]) for entry in asked] == [("retry", "both services mended")]
        assert await shop.stands(order) == {}
    nothing_left = await asyncio.to_thread(saga, "ledger", "retry", *SET, cwd=tmp_path, SAGA_DATABASE_URL=url)
    assert_told(nothing_left, 1, "no order is STUCK as it is asked for")
