"""What `saga stats` shows to people: what there is now, what the window's calls came to, where orders failed."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any, Final

from rich.console import Console

from orchestrator.operations.render import plain, print_table, say

Row = Mapping[str, Any]
_NOTHING: Final = "-"


def print_stats(console: Console, told: Row) -> None:
    """Print statistics of `sql.reading.statistics` within 80 columns."""
    for sentence in _sentences(told):
        say(console, sentence)
    _print_part(
        console,
        "Unfinished now",
        ("SAGA", "STATUS", "STEP", "ORDERS#", "OLDEST#"),
        [(a["saga"], a["status"], a["step"], f"{a['orders']:,}", lasting(a["oldest_age_s"])) for a in told["active_at"]],
    )
    _print_part(
        console,
        "Finished",
        ("SAGA", "ORDERS#", "COMPLETED#", "P50#", "P95#", "P99#"),
        [(s["saga"], f"{s['finished']:,}", share(s["completed"], s["finished"]), *_percentiles(s, "s")) for s in told["sagas"]],
    )
    for saga, steps in groupby(told["steps"], key=lambda step: step["saga"]):
        _print_part(
            console,
            f"Calls of {saga}",
            ("STEP", "OK#", "REFUSED#", "UNCLEAR#", "OK/S#", "P50#", "P95#", "P99#"),
            [_step(step) for step in steps],
        )
    _print_part(
        console,
        "Where orders failed",
        ("SAGA", "STEP", "OUTCOME", "ORDERS#"),
        [(f["saga"], _name(f), f["outcome"], f"{f['orders']:,}") for f in told["failure_points"]],
    )


def lasting(seconds: float | None) -> str:
    """Return a duration in two or three digits; a dash for none."""
    if seconds is None:
        return _NOTHING
    if seconds < 1:
        return f"{seconds * 1000:.3g} ms" if seconds < 0.1 else f"{seconds * 1000:.0f} ms"
    for limit, length, unit in ((100, 1, "s"), (6_000, 60, "min"), (172_800, 3_600, "h")):
        if seconds < limit:
            return f"{seconds / length:.3g} {unit}"
    return f"{seconds / 86_400:,.0f} d"


def share(part: int, whole: int) -> str:
    """Return a part of a whole in per cent; a dash where there is no whole. Never 100 for less than all."""
    if not whole:
        return _NOTHING
    hundredths = part * 10_000 // whole
    return "100 %" if part == whole else f"{hundredths / 100:.2f} %"


def _sentences(told: Row) -> Iterator[str]:
    unfinished = sum(told["unfinished"].values())
    oldest = f", the oldest for {lasting(told['oldest_unfinished_age_s'])}" if unfinished else ""
    held = f", {told['paused']:,} on hold" if told["paused"] else ""
    yield f"{told['orders']:,} orders in the ledger, {unfinished:,} unfinished{oldest}, {told['stuck']:,} STUCK{held}"
    ended = ", ".join(f"{count:,} {status}" for status, count in sorted(told["finished"].items()))
    yield (
        f"In the last {lasting(told['window_s'])}: {told['started_per_s']:.3g} a second begun,"
        f" {told['finished_per_s']:.3g} ended ({ended or 'none'})"
    )
    undone = told["compensation"]
    if undone["operations"]:
        yield f"Undone: {undone['succeeded']:,} of {undone['operations']:,} steps that had to be"
    yield f"Events in the outbox: {told['outbox_rows']:,}, to be delivered: {told['outbox_pending']:,}"


def _print_part(console: Console, title: str, headings: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    if rows:
        console.print()
        console.print(plain(title), style="bold")
        print_table(console, headings, rows, gap=1)


def _step(step: Row) -> tuple[object, ...]:
    counts = (f"{step[outcome]:,}" for outcome in ("succeeded", "rejected", "unknown"))
    return (_name(step), *counts, f"{step['succeeded_per_s']:.3g}", *_percentiles(step, "ms"))


def _name(step: Row) -> str:
    return f"undo {step['step']}" if step["direction"] == "compensation" else str(step["step"])


def _percentiles(row: Row, unit: str) -> tuple[str, ...]:
    values = (row[f"{percentile}_{unit}"] for percentile in ("p50", "p95", "p99"))
    return tuple(lasting(value if value is None or unit == "s" else value / 1000) for value in values)
