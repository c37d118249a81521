"""`saga watch` beside a stack of real processes: what it prints comes while it happens, and it ends as it should."""

import asyncio
import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.acceptance.commands import clean_environment
from tests.acceptance.stack_shop import Shop

pytestmark = pytest.mark.acceptance


async def watching(shop: Shop, folder: Path, *words: str) -> asyncio.subprocess.Process:
    environment = clean_environment(SAGA_DATABASE_URL=shop.stack.databases["ledger"])
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", "cli", "watch", *words,
        cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


async def test_who_watches_sees_the_orders_that_are_meant_until_ctrl_c(shop: Shop, tmp_path: Path) -> None:
    watch = await watching(shop, tmp_path, "--json", "--status", "completed", "--saga", "place_order")
    assert watch.stdout is not None
    orders: list[str] = []
    line = b""
    async with asyncio.timeout(60):
        while not line:
            # It tells what comes once it has begun, and does not say when that is.
            orders.append(await shop.place(f"watched-{len(orders)}"))
            await shop.ends(orders[-1])
            try:
                line = await asyncio.wait_for(watch.stdout.readline(), 0.5)
            except TimeoutError:
                continue
    watch.send_signal(signal.SIGINT)
    _, err = await asyncio.wait_for(watch.communicate(), 30)

    change = json.loads(line)
    assert (change["order_ledger_id"] in orders, change["status"], change["step"]) == (True, "COMPLETED", None)
    assert (watch.returncode, err) == (0, b"")


async def test_one_order_is_watched_to_its_end_and_the_exit_code_says_how(shop: Shop, tmp_path: Path) -> None:
    await shop.fail("inventory", "reject", "/inventory/reservations")
    await shop.delay("orders", 500, "/orders")
    order = await shop.place("watched-to-its-end")
    watch = await watching(shop, tmp_path, order)
    out, err = await asyncio.wait_for(watch.communicate(), 60)

    lines = [line.split(" ") for line in out.decode().splitlines()]
    journal = await shop.journal(order)
    assert (watch.returncode, err) == (3, b"")
    assert [int(line[2]) for line in lines] == [entry["seq"] for entry in journal]
    assert lines[-1][1:] == [order, str(journal[-1]["seq"]), "FAILED", "-", "-"]
