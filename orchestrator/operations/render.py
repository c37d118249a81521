"""What the command line shows to people. Tables fit 80 columns on a terminal; piped, no line is wrapped or coloured."""

import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

import orjson
from rich.console import Console
from rich.table import Table
from rich.text import Text

from orchestrator.money import money
from orchestrator.operations.exits import printable
from orchestrator.operations.parameters import DIGITS_MIN

if TYPE_CHECKING:
    from rich.progress import Progress

    from orchestrator.operations.health import PartHealth

Row = Mapping[str, Any]
PIPE_WIDTH: Final = 10_000  # wider than any line: nothing is wrapped for a program that reads it
WIDE: Final = 120
STATUS_STYLES: Final = {
    "COMPLETED": "green",
    "FAILED": "red",
    "STUCK": "bold red",
    "CANCELLED": "yellow",
    "DECLINED": "yellow",
    "COMPENSATING": "magenta",
}


def open_console() -> Console:
    """Return a console on stdout that suits what stdout is."""
    if sys.stdout.isatty():
        return Console(highlight=False)
    return Console(highlight=False, width=PIPE_WIDTH, color_system=None, force_terminal=False)


def plain(value: object) -> Text:
    """Return a value as text; what stands in it is taken neither for markup nor for a terminal's control sequence."""
    shown = "" if value is None else printable(str(value))
    return Text(shown, style=STATUS_STYLES.get(shown, ""))


def say(console: Console, sentence: str) -> None:
    """Print a sentence on one line, which a terminal may wrap, so that what is copied of it is whole."""
    console.print(plain(sentence), soft_wrap=True)


def utc(moment: datetime | str) -> datetime:
    """Return a moment in UTC, in which all are shown; a session with the database may be in any zone."""
    return (moment if isinstance(moment, datetime) else datetime.fromisoformat(moment)).astimezone(UTC)


def short(moment: datetime | None) -> str:
    """Return a moment in UTC without its year, for narrow columns; empty for none."""
    return f"{utc(moment):%m-%d %H:%M:%S}" if moment else ""


def progress_bar(*, quiet: bool) -> "Progress":
    """Return a bar on stderr for what takes long; nothing of it is shown where stderr is no terminal, or when quiet."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    return Progress(
        TextColumn("{task.description}"),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("left"),
        console=Console(stderr=True),
        disable=quiet or not sys.stderr.isatty(),
        transient=True,
    )


def print_json(document: Any) -> None:
    """Print a document as JSON, one line of it if it is not shown on a terminal."""
    option = orjson.OPT_INDENT_2 if sys.stdout.isatty() else 0
    text = orjson.dumps(document, default=_encode, option=option | orjson.OPT_NON_STR_KEYS | orjson.OPT_UTC_Z).decode()
    print(text)


def print_table(console: Console, headings: Sequence[str], rows: Iterable[Sequence[object]], *, gap: int = 2) -> None:
    """Print a table; a heading that ends in a `#` is of a column of numbers."""
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, gap, 0, 0))
    for heading in headings:
        table.add_column(heading.rstrip("#"), justify="right" if heading.endswith("#") else "left", overflow="fold")
    for row in rows:
        table.add_row(*(plain(cell) for cell in row))
    console.print(table)


def print_orders(console: Console, orders: Sequence[Row]) -> None:
    """Print rows of the ledger, one line each; where there is room, with more of each."""
    if console.width < WIDE:
        narrow = [(o["order_ledger_id"], _status(o), o["step"], f"{utc(o['created_at']):%m-%d %H:%M}") for o in orders]
        print_table(console, ("ORDER", "STATUS", "STEP", "CREATED UTC"), narrow, gap=1)
        return
    rows = [
        (
            order["order_ledger_id"],
            _status(order),
            order["step"],
            order["retry_count"],
            _moment(order["created_at"]),
            order["customer_id"],
            order["saga"],
        )
        for order in orders
    ]
    print_table(console, ("ORDER", "STATUS", "STEP", "RETRIES#", "CREATED UTC", "CUSTOMER", "SAGA"), rows)


def print_stuck(console: Console, orders: Sequence[Row]) -> None:
    """Print STUCK orders; a narrow terminal has room for the beginning of an id, which commands take for the whole."""
    narrow = console.width < WIDE
    rows = [
        (
            str(order["order_ledger_id"])[: DIGITS_MIN if narrow else None],
            f"{utc(order['updated_at']):%m-%d %H:%M}" if narrow else _moment(order["updated_at"]),
            None if order["total_minor"] is None else money(order["total_minor"], order["currency"]),
            order["step"],
            order["last_error"],
        )
        for order in orders
    ]
    print_table(console, ("ORDER", "SINCE UTC", "VALUE#", "STUCK ON", "WHY"), rows, gap=1 if narrow else 2)


def _status(order: Row) -> str:
    return f"{order['status']} (paused)" if order.get("paused_at") else str(order["status"])


def print_order(console: Console, order: Row) -> None:
    """Print one order: the row, its items and its steps."""
    items, steps = order["items"], order["steps"]
    for name in _ORDER_FIELDS:
        if order.get(name) not in (None, "", {}):
            value = order[name]
            shown = f"{_moment(value)} UTC" if isinstance(value, datetime) else _compact(value)
            console.print(Text.assemble((f"{name:<18}", "bold"), plain(shown)), soft_wrap=True)
    if order.get("total_minor") is not None:
        console.print(Text.assemble((f"{'total':<18}", "bold"), plain(money(order["total_minor"], order["currency"]))))
    if items:
        console.print(Text("\nItems", style="bold"))
        rows = [
            (i["line"], i["sku"], i["quantity"], money(i["unit_price_minor"], order["currency"]), i.get("description"))
            for i in items
        ]
        print_table(console, ("LINE#", "SKU", "QUANTITY#", "PRICE#", "DESCRIPTION"), rows)
    if steps:
        console.print(Text("\nSteps", style="bold"))
        step_rows = [(s["name"], s["state"], s["attempts"], s.get("error")) for s in steps]
        print_table(console, ("STEP", "STATE", "ATTEMPTS#", "ERROR"), step_rows)


def print_journal(console: Console, journal: Sequence[Row]) -> None:
    """Print an order's journal, with the time since its first entry."""
    if journal:
        console.print(Text("\nJournal", style="bold"))
        start = utc(journal[0]["at"])
        print_table(console, ("SEQ#", "AFTER#", "WHAT", "STEP", "OUTCOME"), (_journal_row(e, start) for e in journal))


def print_health(console: Console, parts: "Sequence[PartHealth]") -> None:
    """Print how each part is."""
    rows = [
        (
            part.name,
            "ok" if part.healthy else "NOT OK",
            None if part.latency_ms is None else f"{part.latency_ms:.0f}",
            part.detail or part.address,
        )
        for part in parts
    ]
    print_table(console, ("PART", "STATE", "MS#", "DETAIL"), rows)


_ORDER_FIELDS: Final = (
    "order_ledger_id",
    "status",
    "step",
    "direction",
    "saga",
    "saga_version",
    "customer_id",
    "client_id",
    "client_request_id",
    "correlation_id",
    "parent_id",
    "paused_at",
    "notified_at",
    "retry_count",
    "next_retry_at",
    "last_error",
    "lease_owner",
    "lease_epoch",
    "metadata",
    "created_at",
    "updated_at",
    "stuck_since",
    "finished_at",
)


def _journal_row(entry: Row, start: datetime) -> tuple[object, ...]:
    what = entry["kind"]
    if entry.get("attempt") is not None:
        what += f" {entry['attempt']}"
        what += f"/{entry['round']}" if entry.get("round", 1) > 1 else ""
    step = entry.get("step") or ""
    if step and entry.get("direction") == "compensation":
        step = f"undo {step}"
    outcome = entry.get("outcome") or ""
    notes = [note for note in (entry.get("error"), entry.get("reason")) if note]
    if entry.get("actor"):
        notes.append(f"by {entry['actor']}")
    if entry.get("duration_ms") is not None:
        outcome += f" in {entry['duration_ms']:.0f} ms"
    after_s = (utc(entry["at"]) - start).total_seconds()
    return entry["seq"], f"{after_s:.3f} s", what, step, ": ".join(filter(None, (outcome, "; ".join(notes))))


def _moment(value: Any) -> str:
    return f"{utc(value):%Y-%m-%d %H:%M:%S}" if value else ""


def _compact(value: object) -> object:
    if isinstance(value, float):
        return f"{value:.3f}".rstrip("0").rstrip(".")
    if isinstance(value, dict | list):
        return orjson.dumps(value, default=_encode).decode()
    return value


def _encode(value: object) -> object:
    return value.hex() if isinstance(value, bytes) else str(value)
