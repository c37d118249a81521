"""Checks the invariants all the time: those of `sql/audit/` that must hold at every moment."""

import asyncio
import time
from dataclasses import dataclass, field
from typing import Any, Final

from sql import auditing
from sql.auditing import AuditQuery
from tests.chaos.direct import AWAY, Direct

PERIOD_S: Final = 1.0
REST: Final = 3
"""A round of the audit is followed by so many times its length without one: when a large ledger makes rounds long, the audit
must not become the load."""
ROWS_MAX: Final = 5
NOT_AT_EVERY_MOMENT: Final = frozenset({"ledger_nothing_overdue"})


@dataclass(frozen=True, slots=True)
class Violation:
    """Something that must not be.

    Attributes:
        what: In a sentence.
        order: The order that it is about; None when it is about none.
    """

    what: str
    order: str | None = None


@dataclass
class _Standing:
    """A query that runs again and again."""

    query: AuditQuery
    runs: int = 0
    longest_pause_s: float = 0.0
    last_s: float = field(default_factory=time.monotonic)


class Auditor:
    """Runs every invariant on its database until told to stop.

    Args:
        databases: The ledger's and the participants'.

    Attributes:
        violations: What was found.
        away: Rounds in which the server was away.
    """

    def __init__(self, databases: Direct) -> None:
        self.violations: list[Violation] = []
        self.away = 0
        self._databases = databases
        queries = [q for q in auditing.load_audit() if q.kind == "invariant" and q.name not in NOT_AT_EVERY_MOMENT]
        assert queries, "there is nothing to audit with"
        self._standing = [_Standing(query) for query in queries]

    @property
    def runs(self) -> int:
        """How often a query ran to its end."""
        return sum(standing.runs for standing in self._standing)

    @property
    def never_ran(self) -> list[str]:
        return [standing.query.name for standing in self._standing if not standing.runs]

    @property
    def longest_pause_s(self) -> float:
        """Longest time between two runs of one query."""
        return max(standing.longest_pause_s for standing in self._standing)

    async def run(self) -> None:
        """Audit until cancelled."""
        while True:
            began_s = time.monotonic()
            try:
                await self._round()
            except AWAY:
                self.away += 1
            took_s = time.monotonic() - began_s
            await asyncio.sleep(max(PERIOD_S - took_s, took_s * REST))

    async def _round(self) -> None:
        connections: dict[str, Any] = {}
        try:
            for standing in self._standing:
                name = standing.query.database
                if name not in connections:
                    connections[name] = await self._databases.new_connection(name)
                await self._look(connections[name], standing)
        finally:
            for conn in connections.values():
                await conn.close()

    async def _look(self, conn: Any, standing: _Standing) -> None:
        rows = await auditing.run(conn, standing.query, ROWS_MAX)
        ended_s = time.monotonic()
        if standing.runs:
            standing.longest_pause_s = max(standing.longest_pause_s, ended_s - standing.last_s)
        standing.runs, standing.last_s = standing.runs + 1, ended_s
        for row in rows:
            order = row.get("order_ledger_id") or row.get("order_id")
            violation = Violation(f"{standing.query.name}: {dict(row)}", str(order) if order else None)
            if violation not in self.violations:
                self.violations.append(violation)
