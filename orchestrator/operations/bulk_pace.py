"""What comes next in a retry of many orders, by what became of those that were retried: another one, a look later, or the end.

Pure: it knows no clock and does nothing.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from sql.retrying import Run

ENDED_MIN: Final = 10
"""Orders that a share of failures is taken of at the least: one of the first that goes wrong says nothing yet."""


@dataclass(frozen=True, slots=True)
class Terms:
    """How fast and how carefully a run goes on.

    Attributes:
        canary: Orders that must end well before the others are retried; 0 for none.
        rate: Orders a second; 0 for as fast as the ledger takes them.
        stop_at_failures: Share of the ended orders above which no more are retried.
        wait_s: Seconds to wait for the canary, and in the end for the last orders.
    """

    canary: int
    rate: float
    stop_at_failures: float
    wait_s: float


class Next(StrEnum):
    """What to do now."""

    RETRY = "retry"
    WAIT = "wait"
    STOP = "stop"
    END = "end"


def decide(run: Run, terms: Terms) -> tuple[Next, str]:
    """Return what comes next, and why where it is to stop.

    Whoever goes on with a run begins with a canary: so `..._since` of the run are to count from that moment.
    """
    retried, ended, wrong = run.retried_since, run.ended_since, run.wrong_since
    if not run.outstanding:
        return (Next.WAIT if ended < retried else Next.END), ""
    if wrong and retried <= terms.canary:
        return Next.STOP, f"of the first {retried:,}, {wrong:,} went wrong"
    if wrong > terms.stop_at_failures * max(ended, ENDED_MIN):
        return Next.STOP, f"{wrong:,} of {ended:,} that have ended went wrong"
    if ended < terms.canary <= retried:
        return Next.WAIT, ""
    return Next.RETRY, ""
