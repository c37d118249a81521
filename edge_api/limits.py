"""Limits of our own on how long the ledger is waited for: the server's don't hold when the network swallows everything."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


async def in_time(asking: Coroutine[Any, Any, T], timeout_s: float) -> T:
    """Return what is answered within some seconds.

    Raises:
        TimeoutError: Nothing was. The question ends by itself, which takes psycopg some seconds when the server hangs, so
            it must hold its connection itself; whether it had its effect is not known.
    """
    task = asyncio.create_task(asking)
    try:
        done, _ = await asyncio.wait({task}, timeout=timeout_s)
    finally:
        task.cancel()
    if not done:
        # Whatever it ends with is read, or asyncio would complain of an error that nobody looked at.
        task.add_done_callback(lambda ended: ended.cancelled() or ended.exception())
        raise TimeoutError
    return task.result()
