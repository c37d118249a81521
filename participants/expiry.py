"""What is held for a time is given back when the time is over, by every process of a participant."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

import structlog

from participants.database import Connection, Pool, transaction

BATCH: Final = 100
"""Tries given back in one transaction: few enough that nobody waits long for the rows of their stock."""
SWEEP_INTERVAL_S: Final = 5.0
"""A hold outlives its time by this long at most, while a process and its database are up."""

Expire = Callable[[Connection], Awaitable[int]]

_log = structlog.get_logger("participants")


async def expire_for_ever(pool: Pool, expire: Expire, lifetime_s: float) -> None:
    """Give back whatever's time is over, again and again, until cancelled.

    Args:
        pool: Of the participant.
        expire: Gives back at most BATCH in one transaction, and returns how many.
        lifetime_s: How long a try lasts.
    """
    interval_s = min(SWEEP_INTERVAL_S, lifetime_s)
    while True:
        try:
            await sweep(pool, expire)
        except Exception as error:  # whatever it is, the next round may do better, and holds must not outlive their time
            _log.warning("expiry postponed", error=type(error).__name__)
        await asyncio.sleep(interval_s)


async def sweep(pool: Pool, expire: Expire) -> int:
    """Give back everything whose time is over now.

    Returns:
        How many tries expired.

    Raises:
        psycopg.Error, PoolTimeout: The database is away; what was given back by then stays so.
    """
    expired = 0
    while True:
        async with transaction(pool) as connection:
            count = await expire(connection)
        expired += count
        if count < BATCH:
            return expired
