"""`saga stats` for people: what is wrong stands in it, and no line is wider than a terminal."""

import io
from typing import Any

import pytest
from rich.console import Console

from orchestrator.operations.stats_view import lasting, print_stats, share

STEP = {
    "saga": "place_order",
    "step": "authorize_payment",
    "direction": "action",
    "attempts": 1_234_567,
    "succeeded": 1_234_000,
    "rejected": 500,
    "unknown": 67,
    "succeeded_per_s": 342.7777,
    "p50_ms": 1.5,
    "p95_ms": 23.456,
    "p99_ms": 12_345.6,
}
TOLD: dict[str, Any] = {
    "orders": 1_234_567,
    "active": {"place_order": {"RUNNING": 12_345, "STUCK": 1}},
    "unfinished": {"RUNNING": 12_345, "STUCK": 1},
    "active_at": [
        {
            "saga": "place_unpaid_order",
            "status": "COMPENSATING",
            "step": "reserve_inventory",
            "orders": 12_345,
            "oldest_age_s": 90,
        }
    ],
    "oldest_unfinished_age_s": 90_000,
    "stuck": 1,
    "paused": 0,
    "window_s": 3600,
    "started_per_s": 12.3456,
    "finished_per_s": 1.5,
    "finished": {"COMPLETED": 5_000, "FAILED": 400},
    "sagas": [
        {"saga": "place_unpaid_order", "finished": 5_400, "completed": 5_000, "p50_s": 0.0123, "p95_s": 1.5, "p99_s": None}
    ],
    "steps": [STEP, {**STEP, "direction": "compensation", "p50_ms": None, "p95_ms": None, "p99_ms": None}],
    "failure_points": [{**STEP, "outcome": "rejected", "orders": 400}],
    "compensation": {"operations": 1_000, "succeeded": 999, "success_share": 0.999},
    "outbox_rows": 7,
    "outbox_pending": 0,
}


def shown(told: dict[str, Any]) -> list[str]:
    out = io.StringIO()
    print_stats(Console(file=out, width=80, color_system=None), told)
    return out.getvalue().splitlines()


def test_statistics_are_told_within_a_terminal() -> None:
    lines = shown(TOLD)

    tables = [line for line in lines if not line.startswith(("In the last", "1,234,567 orders"))]
    assert max(map(len, tables)) <= 80
    said = [" ".join(line.split()) for line in lines]
    assert said[:4] == [
        "1,234,567 orders in the ledger, 12,346 unfinished, the oldest for 25 h, 1 STUCK",
        "In the last 60 min: 12.3 a second begun, 1.5 ended (5,000 COMPLETED, 400 FAILED)",
        "Undone: 999 of 1,000 steps that had to be",
        "Events in the outbox: 7, to be delivered: 0",
    ]
    assert "place_unpaid_order COMPENSATING reserve_inventory 12,345 90 s" in said
    assert "place_unpaid_order 5,400 92.59 % 12.3 ms 1.5 s -" in said
    assert "authorize_payment 1,234,000 500 67 343 1.5 ms 23.5 ms 12.3 s" in said
    assert "undo authorize_payment 1,234,000 500 67 343 - - -" in said
    assert "place_order authorize_payment rejected 400" in said


def test_what_there_is_none_of_has_no_table() -> None:
    nothing = {name: type(value)() for name, value in TOLD.items()}

    lines = shown({**nothing, "window_s": 60, "compensation": {"operations": 0, "succeeded": 0, "success_share": None}})

    assert [line for line in lines if line] == [
        "0 orders in the ledger, 0 unfinished, 0 STUCK",
        "In the last 60 s: 0 a second begun, 0 ended (none)",
        "Events in the outbox: 0, to be delivered: 0",
    ]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, "-"),
        (0.00123, "1.23 ms"),
        (0.5, "500 ms"),
        (59.94, "59.9 s"),
        (600, "10 min"),
        (86_400, "24 h"),
        (864_000, "10 d"),
    ],
)
def test_a_duration_has_two_or_three_digits(seconds: float | None, text: str) -> None:
    assert lasting(seconds) == text


@pytest.mark.parametrize(
    ("part", "whole", "text"), [(0, 0, "-"), (3, 3, "100 %"), (99_999, 100_000, "99.99 %"), (0, 5, "0.00 %")]
)
def test_a_share_is_never_rounded_up_to_all(part: int, whole: int, text: str) -> None:
    assert share(part, whole) == text
