"""From figures to words: tables and a plot, written between the marks of README.md."""

import statistics
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final
from xml.sax.saxutils import escape

from bench.job import ROOT

README: Final = ROOT / "bench" / "README.md"
PLOT: Final = ROOT / "bench" / "throughput.svg"
BEGIN: Final = "<!-- bench: written by make bench -->"
END: Final = "<!-- bench: end -->"

Results = Mapping[str, Any]
"""As `__main__.py` gathers them, and as they are stored as JSON."""


class NoMarks(Exception):
    """The README has lost the marks that figures are written between; nothing was changed."""


def write(results: Results) -> None:
    """Write tables and plot.

    Raises:
        NoMarks: There is no place for them.
    """
    before, _, rest = README.read_text(encoding="utf-8").partition(BEGIN)
    _, mark, after = rest.partition(END)
    if not mark:
        raise NoMarks(f"{README.name} has lost its marks {BEGIN} and {END}")
    README.write_text(f"{before}{BEGIN}\n\n{rendered(results)}\n\n{END}{after}", encoding="utf-8")
    PLOT.write_text(plotted(results), encoding="utf-8")


def rendered(results: Results) -> str:
    """Return everything as Markdown."""
    parts = [_drains(results), f"![Sagas a second]({PLOT.name})", _singles(results), _targets(results)]
    parts += [_tunings(results), _latency(results), _footprint(results), _room(results), _facts(results)]
    return "\n\n".join(part for part in parts if part)


# --- tables -----------------------------------------------------------------------------------------------------------


def _drains(results: Results) -> str:
    lines = [
        "| draining a backlog, one worker process | sagas/s | least to most | worker CPU s of 1,000 | server CPU s of 1,000 |"
        " transactions | fsyncs | WAL KB | memory MB |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for name, drains in _ranked(results["drains"]):
        rates = [drain["sagas_s"] for drain in drains]
        cells = [
            f"{statistics.median(rates):,.0f}",
            f"{min(rates):,.0f} to {max(rates):,.0f}",
            _cell(drains, "worker_cpu_s", ".2f"),
            _cell(drains, "server_cpu_s", ".2f"),
            _cell(drains, "transactions", ".2f"),
            _cell(drains, "fsyncs", ".2f"),
            _cell(drains, "wal_bytes", ".1f", 1 / 1024),
            _cell(drains, "memory_mb", ".0f"),
        ]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _singles(results: Results) -> str:
    lines = [
        "| one saga on an idle system, milliseconds | p50 | p99 | p50 of each round |",
        "| --- | ---: | ---: | ---: |",
    ]
    for name, rounds in results["singles"].items():
        every = [time_ms for times_ms in rounds for time_ms in times_ms]
        medians = ", ".join(f"{statistics.median(times_ms):.1f}" for times_ms in rounds)
        p99 = statistics.quantiles(every, n=100, method="inclusive")[98]
        lines.append(f"| {name} | {median_p50(rounds):.1f} | {p99:.1f} | {medians} |")
    return "\n".join(lines)


def median_p50(rounds: Sequence[Sequence[float]]) -> float:
    """Return the median of the rounds' medians."""
    return statistics.median(statistics.median(times_ms) for times_ms in rounds)


def _targets(results: Results) -> str:
    named, drains, singles = results["named"], results["drains"], results["singles"]
    rows: list[tuple[str, str, float | None, Callable[[float], bool]]] = []

    def row(what: str, target: str, measured: float | None, reached: Callable[[float], bool]) -> None:
        rows.append((what, target, measured, reached))

    for peer, times in (("DBOS", 25), ("absurd", 8), ("PgQueuer", 3), ("pgbench, six transactions a saga, 32 clients", 1)):
        row(f"throughput against {peer}", f"at least {times} times", _times(drains, peer), lambda x, t=times: x >= t)  # type: ignore[misc]
    if "DBOS" in singles:
        ratio = median_p50(singles["Sagaledger"]) / median_p50(singles["DBOS"])
        row("p50 on an idle system against DBOS", "at most 0.25", ratio, lambda x: x <= 0.25)
    transactions = statistics.median(drain["transactions"] for drain in drains["Sagaledger"])
    row("transactions a saga when draining", "at most 0.2", transactions, lambda x: x <= 0.2)
    two, full, clients = named.get("two_workers"), named.get("full_ledger"), named.get("many_clients")
    if two:
        what = f"two workers against one, {two['at_once']} sagas at once each, answers after 20 ms"
        row(what, "at least 1.8", two["ratio"], lambda x: x >= 1.8)
        row("their CPU of 1,000 sagas against one's", "at most 1.1", two["cpu_ratio"], lambda x: x <= 1.1)
    if full:
        rows_ = f"{full['finished']:,} finished rows against none"
        row(f"time of a saga, {rows_}", "at most 1.2", full["time_ratio"], lambda x: x <= 1.2)
        row(f"server CPU of a saga, {rows_}", "at most 1.2", full["server_cpu_ratio"], lambda x: x <= 1.2)
    if claim := named.get("claims"):
        what = f"claim of {claim['rows']} with {claim['due']:,} due, p99 ms (p50 {claim['p50_ms']:.1f})"
        row(what, "at most 10", claim["p99_ms"], lambda x: x <= 10)
    if told := named.get("notify"):
        what = f"`POST /orders` a second with NOTIFY ({told['on_posts_s']:.0f}) against without ({told['off_posts_s']:.0f})"
        row(what, "at least 0.9", told["ratio"], lambda x: x >= 0.9)
    if quiet := named.get("idle"):
        row("idle replica, queries a minute", "at most 20", quiet["queries_a_minute"], lambda x: x <= 20)
        row("idle replica, rows written", "0", quiet["rows_written"], lambda x: x == 0)
    if clients:
        at_once = f"{clients['clients']} clients at once"
        row(f"{at_once}, POST p95 ms", "at most 500", clients["post_p95_ms"], lambda x: x <= 500)
        row(f"{at_once}, from POST to COMPLETED p95 ms", "at most 2000", clients["completed_p95_ms"], lambda x: x <= 2000)
        row(f"{at_once}, errors", "0", clients["errors"], lambda x: x == 0)
    if fair := named.get("fairness"):
        what = f"`POST /orders` p95 of a client beside one that floods over {fair['connections']} connections (limit of each:"
        what += f" {fair['rate']} a second) against alone ({fair['alone_p95_ms']:.1f} ms)"
        row(what, "at most 1.2", fair["p95_ratio"], lambda x: x <= 1.2)
    if tcc := named.get("phases"):
        at_once = f"`checkout_tcc`, {tcc['clients']} payments of {tcc['products']} products at once"
        row(f"{at_once}, try p95 s (p50 {tcc['try_p50_s']:.3f})", "below 0.5", tcc["try_p95_s"], lambda x: x < 0.5)
        row(f"{at_once}, confirm p95 s (p50 {tcc['confirm_p50_s']:.3f})", "below 1", tcc["confirm_p95_s"], lambda x: x < 1)
        row(f"{at_once}, errors", "0", tcc["errors"], lambda x: x == 0)
        hot = tcc["of_one_product"]
        row(f"the same of one product, try p95 s (p50 {hot['try_p50_s']:.3f})", "", hot["try_p95_s"], lambda _: True)
    if feed := named.get("feed"):
        what = f"{feed['events']:,} events written at once: seconds until a consumer has all"
        row(what, "at most 1", feed["all_in_feed_s"], lambda x: x <= 1)
        what = f"{feed['events_s']} events a second: events that the consumer lacks at most"
        row(what, "below 100", feed["lag_max"], lambda x: x < 100)
    if room := named.get("room"):
        what, slowest = max(room["requests"].items(), key=lambda item: float(item[1]["p95_ms"]))
        row(f"slowest of the operators' page with {room['orders']:,} orders ({what}), p95 ms", "at most 200", slowest["p95_ms"],
            lambda x: x <= 200)  # fmt: skip
        what, slowest = max(room["commands"].items(), key=lambda item: float(item[1]["p50_ms"]))
        row(f"slowest command that reads, its start included ({what}), p50 ms", "at most 300", slowest["p50_ms"],
            lambda x: x <= 300)  # fmt: skip
    if memory := named.get("waiting_memory"):
        row(f"memory of a worker while {memory['waiting']:,} sagas wait, MB", "", memory["memory_mb"], lambda _: True)
    lines = ["| figure | must be | is | |", "| --- | --- | ---: | --- |"]
    for what, target, measured, reached in rows:
        told = "" if not target or measured is None else "reached" if reached(measured) else "**missed**"
        lines.append(f"| {what} | {target} | {_short(measured)} | {told} |")
    return "\n".join(lines)


def _times(drains: Mapping[str, Sequence[Mapping[str, Any]]], other: str) -> float | None:
    """Return the median of the ratios within each round; None where the other was not measured."""
    pairs = zip(drains["Sagaledger"], drains.get(other, ()), strict=False)
    ratios = [ours["sagas_s"] / theirs["sagas_s"] for ours, theirs in pairs]
    return statistics.median(ratios) if ratios else None


def _tunings(results: Results) -> str:
    lines = ["What was set, as each one's own documentation advises:", ""]
    return "\n".join([*lines, *(f"- **{name}**: {tuning}." for name, tuning in results["tuning"].items())])


def _latency(results: Results) -> str:
    latency = results["named"].get("latency")
    if not latency:
        return ""
    lines = [
        "| one order through edge and participants, milliseconds | p50 | p95 | p99 | greatest |",
        "| --- | ---: | ---: | ---: | ---: |",
    ]
    lines += [f"| {name} | {' | '.join(f'{t:.0f}' for t in times)} |" for name, times in latency["times_ms"].items()]
    lines += ["", f"| what one order costs, of {latency['orders']} | |", "| --- | ---: |"]
    lines += [f"| {name} | {cost:.1f} |" for name, cost in latency["costs"].items()]
    return "\n".join(lines)


def _footprint(results: Results) -> str:
    left = results["named"].get("footprint")
    if not left:
        return ""
    lines = [
        f"| what one order of one line leaves in the ledger, bytes, of {left['orders']:,} | rows | indexes |",
        "| --- | ---: | ---: |",
    ]
    lines += [f"| {table} | {size['rows']:,.0f} | {size['indexes']:,.0f} |" for table, size in left["tables"].items()]
    lines.append(f"| in all | {left['bytes']:,.0f} | |")
    lines.append(
        f"| written ahead (WAL) by the whole server, the participants' databases on it too | {left['wal_bytes']:,.0f} | |"
    )
    return "\n".join(lines)


def _room(results: Results) -> str:
    asked = results["named"].get("room")
    if not asked:
        return ""
    lines = [f"| what the operators' page asks of {asked['orders']:,} orders, milliseconds | p50 | p95 |"]
    lines.append("| --- | ---: | ---: |")
    lines += [f"| {what} | {took['p50_ms']:.1f} | {took['p95_ms']:.1f} |" for what, took in asked["requests"].items()]
    lines += ["", "| commands of `saga`, each a process, milliseconds | p50 | p95 |", "| --- | ---: | ---: |"]
    lines += [f"| {what} | {took['p50_ms']:.0f} | {took['p95_ms']:.0f} |" for what, took in asked["commands"].items()]
    return "\n".join(lines)


def _facts(results: Results) -> str:
    lines = ["| measured | |", "| --- | --- |"]
    return "\n".join([*lines, *(f"| {name} | {fact} |" for name, fact in results["facts"].items())])


def _ranked(drains: Mapping[str, Sequence[Mapping[str, Any]]]) -> list[tuple[str, Sequence[Mapping[str, Any]]]]:
    return sorted(drains.items(), key=lambda item: -statistics.median(drain["sagas_s"] for drain in item[1]))


def _cell(drains: Sequence[Mapping[str, Any]], figure: str, form: str, factor: float = 1.0) -> str:
    found = [drain[figure] * factor for drain in drains if drain.get(figure) is not None]
    return format(statistics.median(found), form) if found else "-"


def _short(figure: float | None) -> str:
    if figure is None:
        return "not measured"
    return f"{figure:,.0f}" if abs(figure) >= 100 or figure == int(figure) else f"{figure:.2f}"


# --- the plot ---------------------------------------------------------------------------------------------------------

_WIDTH, _BAR, _LEFT, _RIGHT = 720, 26, 270, 90


def plotted(results: Results) -> str:
    """Return a bar for each contestant, as SVG."""
    ranked = [(name, statistics.median(drain["sagas_s"] for drain in drains)) for name, drains in _ranked(results["drains"])]
    most = max(rate for _, rate in ranked)
    height = _BAR * len(ranked) + 40
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" font-family="sans-serif" font-size="13">',
        f'<rect width="{_WIDTH}" height="{height}" fill="white"/>',
        '<text x="12" y="20" font-weight="bold">Sagas a second, one worker process (medians)</text>',
    ]
    for number, (name, rate) in enumerate(ranked):
        top = 32 + number * _BAR
        length = max(rate / most * (_WIDTH - _LEFT - _RIGHT), 1)
        colour = "#1f6feb" if name == "Sagaledger" else "#c9c9c9" if name.startswith("pgbench") else "#8b949e"
        lines += [
            f'<text x="{_LEFT - 8}" y="{top + 16}" text-anchor="end">{escape(_brief(name))}</text>',
            f'<rect x="{_LEFT}" y="{top + 3}" width="{length:.1f}" height="{_BAR - 8}" fill="{colour}"/>',
            f'<text x="{_LEFT + length + 6:.1f}" y="{top + 16}">{rate:,.0f}</text>',
        ]
    return "\n".join([*lines, "</svg>", ""])


def _brief(name: str) -> str:
    return name.replace(" transactions a saga", " a saga").replace("pgbench, ", "pgbench: ")


def stored(folder: Path) -> Path:
    """Return where the figures are kept as JSON, outside of version control."""
    folder.mkdir(parents=True, exist_ok=True)
    return folder / "results.json"
