"""A task is ended whatever it makes of being cancelled."""

import asyncio

import pytest

from sql.tasks import end_task


async def test_a_cancellation_that_got_lost_is_repeated() -> None:
    lost = 0

    async def goes_on() -> None:
        nonlocal lost
        while True:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                lost += 1
                if lost == 2:
                    raise

    task = asyncio.create_task(goes_on())
    await asyncio.sleep(0)

    async with asyncio.timeout(10):
        await end_task(task, again_s=0.01)

    assert (task.cancelled(), lost) == (True, 2)


@pytest.mark.parametrize("early", [True, False])
async def test_what_a_task_ends_with_is_left_in_it(early: bool) -> None:
    async def fails() -> None:
        try:
            await (asyncio.sleep(0) if early else asyncio.Event().wait())
        finally:
            raise OSError("away")

    task = asyncio.create_task(fails())
    await asyncio.sleep(0)

    await end_task(task)

    assert str(task.exception()) == "away"
