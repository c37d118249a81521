"""Ends a process whose event loop stands still.

Code that blocks the loop keeps every lease from being renewed, so other replicas take its orders over, and each that meets
the same order stands still as well. Its own writes would meet the fence; but it would hold connections, hear no signal, and
never be whole again. A thread that hears nothing of the loop for twice as long as a lease says where the loop stands, and
ends the process: whoever started it starts another.
"""

import asyncio
import os
import sys
import threading
import time
import traceback
from typing import Final

import structlog

from orchestrator.metrics import Metrics

LEASES: Final = 2
"""After one, others have taken over; by the second nothing of this process is waited for any more."""
TICKS: Final = 8
"""Looks of the thread within that time. It counts looks and not the clock: a process that was frozen (SIGSTOP, a suspended
machine) misses as many looks as beats, and goes on when it thaws."""
LATE_S: Final = 1.0
"""A loop that comes round this late was blocked by something, which somebody should know."""
FLUSH_S: Final = 1.0
EXIT_CODE: Final = 70

log = structlog.get_logger(__name__)


async def watch_loop(lease_s: float, metrics: Metrics) -> None:
    """Have the running loop watched, until cancelled.

    Args:
        lease_s: Seconds of a lease.
        metrics: Told how late the loop comes round.
    """
    beats = Beats()
    tick_s = lease_s * LEASES / TICKS
    watcher = threading.Thread(target=_watch, args=(beats, tick_s, threading.get_ident()), name="watchdog", daemon=True)
    watcher.start()
    try:
        while True:
            due_s = time.monotonic() + tick_s / 2
            await asyncio.sleep(tick_s / 2)
            beats.count += 1
            late_s = time.monotonic() - due_s
            metrics.loop_lag.set(late_s)
            if late_s >= LATE_S:
                log.warning("loop_stood_still", seconds=round(late_s, 3))
    finally:
        beats.ended.set()


class Beats:
    """What the loop tells the thread.

    Attributes:
        count: Grows each time that the loop comes round.
        ended: Set when nobody has to watch any more.
    """

    def __init__(self) -> None:
        self.count = 0
        self.ended = threading.Event()


def _watch(beats: Beats, tick_s: float, thread: int) -> None:
    seen, silent = beats.count, 0
    while not beats.ended.wait(tick_s):
        silent = silent + 1 if beats.count == seen else 0
        seen = beats.count
        if silent >= TICKS:
            _end(tick_s * TICKS, thread)


def _end(silent_s: float, thread: int) -> None:
    frame = sys._current_frames().get(thread)
    stack = "".join(traceback.format_stack(frame)) if frame else None
    log.critical("loop_stalled", seconds=silent_s, stack=stack, consequence="this process ends; others have its orders")
    # Lines are written by a thread of their own. Nothing else may end in good order: the loop would have to.
    time.sleep(FLUSH_S)
    os._exit(EXIT_CODE)
