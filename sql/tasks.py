"""Ending a task that waits for the database."""

import asyncio
from typing import Any, Final

AGAIN_S: Final = 1.0


async def end_task(task: asyncio.Task[Any], *, again_s: float = AGAIN_S) -> None:
    """Cancel a task until it has ended, and return then; an error that it ended with is left in it, unraised.

    Once is not enough: `asyncio.wait_for` before Python 3.12, by which psycopg's pool waits, loses a cancellation that
    comes in the moment of what it waits for (https://github.com/python/cpython/issues/86296). A loop that goes on whatever
    happens would then go on for ever, and whoever awaits its end with it.

    Args:
        task: What has to end; it may be at its end already.
        again_s: Seconds until it is cancelled once more.
    """
    while not task.done():
        task.cancel()
        await asyncio.wait({task}, timeout=again_s)
    task.cancelled() or task.exception()  # looked at, or asyncio complains of it
