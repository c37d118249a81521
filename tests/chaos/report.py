"""What a run found and did, as values and as a page for people."""

import os
import platform
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from tests.chaos.auditor import Violation

REQUIRED: Final = (
    "orders taken over",
    "leases that a replica found lost",
    "commits whose answer was lost",
    "unknown turned out done",
    "undone before it was done (tombstones)",
    "late actions refused by a tombstone",
    "listeners that came back",
    "orders found by the poll",
    "repeats answered as the first time",
    "answers 409 while the first was on its way",
    "answers 422 to another order under the same key",
    "orders that got stuck",
    "stuck orders ended by a retry",
    "restarts of PostgreSQL",
    "breakers opened",
    "breakers closed after a trial",
    "expiries that beat a confirm",
    "confirms that beat the expiry",
)
"""What must have happened, or the run has shown nothing of it."""


@dataclass(frozen=True)
class Report:
    """A whole run.

    Attributes:
        seed: It is the same run again.
        orders: Orders that clients placed.
        versions: Of what it ran on.
        statuses: Orders in the ledger by how they ended.
        counters: What happened how often.
        details: Counts that explain these: faults, deeds, answers.
        figures: Durations and sizes, each with its unit.
        violations: What must not be; empty in a good run.
    """

    seed: int
    orders: int
    versions: Mapping[str, str]
    statuses: Mapping[str, int]
    counters: Mapping[str, int]
    details: Mapping[str, Counter[str]]
    figures: Mapping[str, str]
    violations: Sequence[Violation] = field(default_factory=tuple)

    @property
    def missing(self) -> list[str]:
        """What should have happened and did not."""
        return [name for name in REQUIRED if not self.counters.get(name)]

    @property
    def good(self) -> bool:
        """Whether nothing is wrong and everything happened."""
        return not self.violations and not self.missing

    def markdown(self) -> str:
        """Return the page."""
        verdict = "nothing lost, nothing doubled" if self.good else "NOT GOOD"
        lines = [
            f"# Chaos run {self.seed}: {self.orders:,} orders, {verdict}",
            "",
            f"`make chaos SEED={self.seed} CHAOS_ORDERS={self.orders}`, on "
            + ", ".join(f"{name} {version}" for name, version in self.versions.items())
            + ".",
            "",
            *_table("How the orders ended", "status", self.statuses),
            *_table("What happened, and must happen for the run to count", "event", self.counters),
            *_table("Figures", "figure", self.figures),
        ]
        for title, counts in self.details.items():
            lines += _table(title, "what", dict(counts.most_common()))
        if self.missing:
            lines += ["## Never happened", "", *(f"- {name}" for name in self.missing), ""]
        if self.violations:
            lines += ["## Violations", "", *(f"- {v.what}" for v in self.violations[:100]), ""]
        return "\n".join(lines)


def versions(server: str) -> dict[str, str]:
    """Return what the run is on."""
    return {"PostgreSQL": server.split()[0], "Python": platform.python_version(), "processors:": str(os.cpu_count())}


def _table(title: str, column: str, rows: Mapping[str, object]) -> list[str]:
    shown = {name: f"{value:,}" if isinstance(value, int) else str(value) for name, value in rows.items()}
    return [f"## {title}", "", f"| {column} | |", "| --- | ---: |", *(f"| {n} | {v} |" for n, v in shown.items()), ""]
