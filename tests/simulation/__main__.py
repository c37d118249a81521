"""`python -m tests.simulation`: many schedules over all processors, or one by its seed, told as a story."""

import argparse
import os
import signal
import sys
import time
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from multiprocessing import get_context
from typing import Final

from tests.simulation.scheduler import Ran, run
from tests.simulation.shrinking import shortest
from tests.simulation.tally import SOMETIMES, Tally, run_many

CHUNK: Final = 2_000
FULL_RUN: Final = 200_000
"""From so many schedules on, what was never seen is a failure."""
REPORT_EVERY_S: Final = 10.0
INTERRUPTED: Final = 130
"""The exit code of what Ctrl-C has ended."""


def main() -> int:
    """Run what the command line asks for; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--schedules", type=int, default=1_000_000, help="how many (default: %(default)s)")
    parser.add_argument("--first", type=int, default=1, help="seed of the first one (default: %(default)s)")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1, help="default: one a processor")
    parser.add_argument("--seed", type=int, help="run this one only, and tell its story")
    asked = parser.parse_args()
    if asked.seed is not None:
        return tell(asked.seed)
    return simulate(asked.schedules, asked.first, asked.processes)


def tell(seed: int) -> int:
    """Tell the story of one schedule, and the shortest that breaks the same rule if it breaks one."""
    ran = run(seed, story=True)
    print("\n".join(ran.story))
    if ran.broken is None:
        print(f"\nseed {seed} is sound: {ran.status} after {ran.steps} steps")
        return 0
    _tell_broken(ran)
    return 1


def simulate(schedules: int, first: int, processes: int) -> int:
    """Run many schedules and report; return the exit code."""
    began_s = reported_s = time.monotonic()
    total = Tally()
    try:
        for tally in _tallies(schedules, first, processes):
            total.add(tally)
            if total.broken:
                break
            if time.monotonic() - reported_s >= REPORT_EVERY_S:
                reported_s = time.monotonic()
                print(_line(total, reported_s - began_s), flush=True)
    except KeyboardInterrupt:
        print(f"interrupted after {total.schedules:,} of {schedules:,} schedules")
        _report(total, time.monotonic() - began_s, processes)
        return INTERRUPTED
    if total.broken:
        seed, rule = min(total.broken)
        print(f"seed {seed}: {rule}")
        _tell_broken(run(seed))
        return 1
    return _report(total, time.monotonic() - began_s, processes)


def _tallies(schedules: int, first: int, processes: int) -> Iterator[Tally]:
    """Run chunks of schedules in other processes, as each becomes free."""
    starts = iter(range(first, first + schedules, CHUNK))
    # Ctrl-C reaches every process of a terminal: this one alone answers it.
    pool = ProcessPoolExecutor(processes, get_context("spawn"), signal.signal, (signal.SIGINT, signal.SIG_IGN))
    try:
        running: set[Future[Tally]] = set()
        while True:
            while len(running) < 2 * processes and (start := next(starts, None)) is not None:
                running.add(pool.submit(run_many, start, min(CHUNK, first + schedules - start)))
            if not running:
                return
            done, running = wait(running, return_when=FIRST_COMPLETED)
            for future in done:
                yield future.result()
    finally:
        pool.shutdown(cancel_futures=True)


def _line(total: Tally, took_s: float) -> str:
    return (
        f"{total.schedules:>11,} schedules {total.schedules / took_s:>7,.0f}/s {total.steps:>13,} steps"
        f" {len(total.states):>10,} states {len(total.histories):>9,} histories"
    )


def _report(total: Tally, took_s: float, processes: int) -> int:
    for what in SOMETIMES:
        print(f"{total.counts.get(what, 0):>11,} {what}")
    print(_line(total, took_s))
    print(f"every rule held after every step; {took_s:,.0f} s on {processes} processes")
    missing = total.missing()
    if missing and total.schedules >= FULL_RUN:
        print(f"never seen, so nothing was shown: {'; '.join(missing)}")
        return 1
    return 0


def _tell_broken(broken: Ran) -> None:
    short = shortest(broken)
    print(f"\nthe shortest history that breaks it ({short.steps} steps):\n")
    print("\n".join(short.story))
    print(f"\nbroken: {short.broken}\nrun it again with: make simulate SEED={broken.seed}")


if __name__ == "__main__":
    sys.exit(main())
