"""When a retry of many orders goes on, waits and stops."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from orchestrator.operations.bulk_pace import ENDED_MIN, Next, Terms, decide
from sql.retrying import Run

TERMS = Terms(canary=0, rate=0, stop_at_failures=0.2, wait_s=1)
BEGUN = datetime(2026, 3, 1, tzinfo=UTC)


def run(outstanding: int, retried: int, ended: int, wrong: int) -> Run:
    """A run that somebody goes on with who has retried so many."""
    return Run(
        run_id=1, begun_at=BEGUN, actor="ann", reason="mended", asked={}, stopped_at=None, stopped_why=None,
        orders=outstanding + retried, outstanding=outstanding, retried=retried, refused=0, went_wrong=wrong,
        retried_since=retried, ended_since=ended, wrong_since=wrong, ended={},
    )  # fmt: skip


@pytest.mark.parametrize(
    ("canary", "at", "what"),
    [
        (0, run(50, 0, 0, 0), Next.RETRY),
        (3, run(50, 0, 0, 0), Next.RETRY),
        (3, run(50, 2, 2, 0), Next.RETRY),
        (3, run(50, 3, 2, 0), Next.WAIT),
        (3, run(50, 3, 3, 0), Next.RETRY),
        (3, run(50, 2, 1, 1), Next.STOP),
        (3, run(50, 3, 3, 1), Next.STOP),
        (3, run(50, 9, 9, 1), Next.RETRY),
        (3, run(0, 3, 2, 1), Next.WAIT),
        (3, run(0, 3, 3, 1), Next.END),
        (0, run(0, 40, 39, 0), Next.WAIT),
        (0, run(0, 0, 0, 0), Next.END),
    ],
)
def test_the_others_are_retried_only_when_the_canary_has_ended_well(canary: int, at: Run, what: Next) -> None:
    assert decide(at, replace(TERMS, canary=canary))[0] is what


@pytest.mark.parametrize(
    ("at", "what"),
    [
        (run(50, 5, 1, 1), Next.RETRY),
        (run(50, 5, 2, 2), Next.RETRY),
        (run(50, 5, 3, 3), Next.STOP),
        (run(50, 100, 100, 20), Next.RETRY),
        (run(50, 100, 100, 21), Next.STOP),
        (run(0, 100, 100, 100), Next.END),
    ],
)
def test_it_stops_where_more_than_the_share_of_those_that_have_ended_went_wrong(at: Run, what: Next) -> None:
    assert decide(at, TERMS)[0] is what


def test_the_first_that_goes_wrong_stops_it_where_none_may() -> None:
    what, why = decide(run(50, 5, ENDED_MIN, 1), replace(TERMS, stop_at_failures=0))

    assert (what, why) == (Next.STOP, "1 of 10 that have ended went wrong")
