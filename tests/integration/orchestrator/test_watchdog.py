"""The watchdog counts its own looks: it ends a process whose loop stands still, and none that was only frozen."""

import asyncio
import os
import signal
import sys
import time

from orchestrator.metrics import Metrics
from orchestrator.watchdog import EXIT_CODE, LEASES, watch_loop
from tests.acceptance.commands import clean_environment

LEASE_S = 0.4
WATCHED = f"""
import asyncio, sys, threading
from orchestrator.metrics import Metrics
from orchestrator.watchdog import watch_loop

async def main():
    watch = asyncio.create_task(watch_loop({LEASE_S}, Metrics()))
    print("ready", flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline)
    if "block" in sys.argv:
        threading.Event().wait()
    watch.cancel()

asyncio.run(main())
"""


async def watched(*arguments: str) -> asyncio.subprocess.Process:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", WATCHED, *arguments,
        env=clean_environment(), stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert process.stdout is not None
    assert await process.stdout.readline() == b"ready\n"
    return process


async def test_a_process_whose_loop_stands_still_is_ended() -> None:
    process = await watched("block")

    await asyncio.wait_for(process.communicate(b"\n"), 60)

    assert process.returncode == EXIT_CODE


async def test_a_process_that_was_frozen_goes_on_when_it_thaws() -> None:
    process = await watched()
    os.kill(process.pid, signal.SIGSTOP)
    until_s = time.monotonic() + LEASE_S * LEASES * 2
    while time.monotonic() < until_s:
        await asyncio.sleep(0.05)
    os.kill(process.pid, signal.SIGCONT)

    await asyncio.wait_for(process.communicate(b"\n"), 60)

    assert process.returncode == 0


async def test_a_loop_that_came_round_late_shows_it() -> None:
    metrics = Metrics()
    watch = asyncio.create_task(watch_loop(60.0, metrics))
    await asyncio.sleep(0)
    lag = metrics.loop_lag._value
    assert lag.get() == 0

    watch.cancel()
    watch = asyncio.create_task(watch_loop(0.4, metrics))
    await asyncio.sleep(0)
    time.sleep(0.1)  # noqa: ASYNC251 - what must not be done is what is tested
    async with asyncio.timeout(10):
        while lag.get() < 0.04:
            await asyncio.sleep(0.01)
    watch.cancel()
