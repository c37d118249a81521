"""The timer of the claim loop, on the loop that replicas run on."""

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
import uvloop

from orchestrator import worker as worker_module
from orchestrator.worker import Worker


def _worker() -> Worker:
    unused: Any = SimpleNamespace(poll_interval_s=5.0)
    return Worker(replica="r", pool=unused, definitions=unused, runner=unused, fleet=unused, settings=unused, metrics=unused)


def test_a_row_that_is_due_by_now_wakes_the_loop_and_the_next_one_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker_module, "DUE_SLACK_S", 0.0)

    async def wake_twice() -> None:
        worker = _worker()
        for _ in range(2):
            worker._wake_in(0.0)
            worker._wake_in(0.0)
            async with asyncio.timeout(5.0):
                await worker._wake.wait()
            worker._wake.clear()

    uvloop.run(wake_twice())


def test_a_later_row_does_not_put_off_the_wake_up_for_one_that_is_due() -> None:
    async def wake_once() -> None:
        worker = _worker()
        worker._wake_in(0.0)
        loop = asyncio.get_running_loop()
        due_s = loop.time() + 2 * worker_module.DUE_SLACK_S
        while loop.time() < due_s:  # the loop is busy meanwhile, so that the timer is due but has not rung
            pass
        worker._wake_in(4.0)
        async with asyncio.timeout(2.0):
            await worker._wake.wait()

    asyncio.run(wake_once())
