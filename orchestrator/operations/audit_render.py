"""An audit's report for people."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from rich.console import Console
from rich.table import Table
from rich.text import Text

from orchestrator.operations.audit_report import Answer, AuditReport, Counts, Violation

CELL_CHARACTERS_MAX: Final = 120


def render_audit(report: AuditReport, console: Console) -> None:
    """Print a report: violations by query, parts that were not audited, how much was checked, the verdict."""
    by_query: dict[str, list[Violation]] = {}
    for violation in report.violations:
        by_query.setdefault(violation.query, []).append(violation)
    for query, violations in by_query.items():
        first = violations[0]
        more = " (more than these)" if query in report.truncated else ""
        _line(console, f"VIOLATION {query} ({first.database}): {len(violations)}{more}", "bold red")
        _line(console, f"  a row means: {first.meaning}")
        _rows(console, [violation.row for violation in violations])
    for part in report.unreachable:
        _line(console, f"NOT AUDITED {part.part}: {part.reason}", "bold red")
    for answer in report.answers:
        _answer(console, answer)
    _counts(console, report.counts)
    _line(console, _verdict(report), "bold green" if report.clean else "bold red")


def _verdict(report: AuditReport) -> str:
    if report.clean:
        return "The audit is clean."
    found = f"{len(report.violations)}{' or more' if report.truncated else ''} violations"
    return f"The audit failed: {found}, {len(report.unreachable)} parts not audited."


def _counts(console: Console, counts: Counts) -> None:
    queries = ", ".join(f"{name} {count}" for name, count in counts.queries.items())
    _line(console, f"invariants checked: {sum(counts.queries.values())} ({queries})")
    if counts.orders_finished == 0:
        _line(console, "finished orders: 0 orders: nothing to check")
    else:
        unchecked = "".join(f"; {count} not: {reason}" for reason, count in counts.orders_unchecked.items())
        changed = f"; {counts.orders_changed} changed meanwhile" if counts.orders_changed else ""
        _line(
            console,
            f"finished orders: {counts.orders_finished}, compared with effects: {counts.orders_compared}{unchecked}{changed}",
        )
    effects = ", ".join(f"{name} {count}" for name, count in counts.effects.items()) or "none"
    _line(
        console,
        f"effects read: {sum(counts.effects.values())} ({effects}); of unfinished orders {counts.effects_unfinished},"
        f" of other callers {counts.effects_foreign}",
    )
    if counts.unlogged:
        _line(console, f"keep no log of effects, so nothing was compared with them: {', '.join(counts.unlogged)}")


def _answer(console: Console, answer: Answer) -> None:
    _line(console, f"{answer.title} [{answer.query}, {answer.database}]", "bold")
    if answer.rows:
        _rows(console, answer.rows)
    else:
        _line(console, "  none")


def _rows(console: Console, rows: Sequence[Mapping[str, Any]]) -> None:
    table = Table(*rows[0], show_edge=False, pad_edge=False)
    for row in rows:
        table.add_row(*(_cell(value) for value in row.values()))
    console.print(table)


def _cell(value: object) -> Text:
    text = "" if value is None else str(value)
    # What stands in a row may come from a client: nothing of it is taken for markup or a control sequence.
    shown = "".join(character if character.isprintable() else " " for character in text)
    return Text(shown if len(shown) <= CELL_CHARACTERS_MAX else f"{shown[:CELL_CHARACTERS_MAX]}…")


def _line(console: Console, text: str, style: str = "") -> None:
    console.print(Text(text, style=style))
