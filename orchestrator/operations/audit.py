"""The audit: every invariant on its database, and the ledger compared with what the participants really did.

::

    each database ──sql/audit/*.sql──▶ violations
    ledger: finished orders ──┐
                              ├──▶ spool, by order ──▶ compare ──▶ violations
    GET /effects of each ─────┘

Neither writes anything. How the two sides are read: `audit_sides`.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from uuid import UUID

import psycopg

from orchestrator.operations.audit_compare import MEANINGS, Finding, check_doubled, check_key, check_order, check_unknown
from orchestrator.operations.audit_log import UNASKED, Asking
from orchestrator.operations.audit_render import render_audit
from orchestrator.operations.audit_report import (
    ROWS_MAX,
    Answer,
    AuditReport,
    Counts,
    Findings,
    Unreachable,
    Violation,
)
from orchestrator.operations.audit_sides import Comparison, open_audited, sentence
from orchestrator.operations.audit_spool import Expected, Logged
from orchestrator.saga import Saga
from participants.contracts.effects import Effect
from sql import auditing
from sql.auditing import AuditQuery, Connection

__all__ = ["Answer", "AuditReport", "Counts", "Unreachable", "Violation", "render_audit", "run_audit"]


async def run_audit(
    ledger_url: str,
    participants: Mapping[str, str],
    participant_databases: Mapping[str, str],
    sagas: Sequence[Saga[Any]],
    *,
    questions: bool = False,
    queries: Sequence[AuditQuery] | None = None,
    asking: Asking = UNASKED,
) -> AuditReport:
    """Audit a whole installation; nothing is changed.

    Args:
        ledger_url: Database of the ledger.
        participants: Base URL of each participant, by name.
        participant_databases: Database of each participant, by name.
        sagas: Definitions that finished orders are compared with.
        questions: Whether the questions are answered too.
        queries: Every query, a team's own among them; None for those that ship.
        asking: How participants are asked.

    Returns:
        What was found. A part that is not named or can't be reached is in it as unreachable; nothing of that raises.

    Raises:
        AuditFileError: A file of `sql/audit/` is not valid; nothing was audited.
    """
    queries = auditing.load_audit() if queries is None else queries
    audit = _Audit()
    comparison = Comparison(sagas, audit, asking)
    names = {*participants, *participant_databases, *auditing.DATABASES} - {"ledger"}
    for name in ("ledger", *sorted(names)):
        url = ledger_url if name == "ledger" else participant_databases.get(name)
        if name in auditing.DATABASES:
            await audit.query(name, url, [q for q in queries if q.database == name and (questions or q.kind == "invariant")])
    await comparison.run(ledger_url, {name: participants.get(name) for name in names})
    return audit.report(comparison)


class _Audit:
    """One run: what queries and the comparison found so far."""

    def __init__(self) -> None:
        self._queries: dict[str, int] = {}
        self._findings = Findings()
        self._unreachable: list[Unreachable] = []
        self._answers: list[Answer] = []

    def report(self, comparison: Comparison[Finding]) -> AuditReport:
        comparison.counts.queries = self._queries
        return AuditReport(
            tuple(self._findings.violations),
            self._findings.truncated,
            (*self._unreachable, *comparison.unreachable),
            tuple(self._answers),
            comparison.counts,
        )

    async def query(self, name: str, url: str | None, queries: Sequence[AuditQuery]) -> None:
        """Run queries on their database."""
        part = f"database {name}"
        self._queries[name] = 0
        if url is None:
            self._unreachable.append(Unreachable(part, "no address of it is given"))
            return
        try:
            async with await open_audited(url) as conn:
                for query in queries:
                    await self._run(conn, query)
        except psycopg.Error as error:
            self._unreachable.append(Unreachable(part, sentence(error)))

    async def _run(self, conn: Connection, query: AuditQuery) -> None:
        try:
            rows = await auditing.run(conn, query, ROWS_MAX + 1)
        except psycopg.Error as error:
            if conn.closed:
                raise
            # A schema that is behind, or a query that ran out of time: the others may still run.
            self._unreachable.append(Unreachable(f"query {query.name} on database {query.database}", sentence(error)))
            return
        if query.kind == "question":
            self._answers.append(Answer(query.name, query.database, query.title, tuple(rows[:ROWS_MAX])))
            return
        self._queries[query.database] += 1
        for row in rows:
            self._findings.add(query.name, query.database, query.meaning, row)

    # As the judge of the comparison.

    def of_key(self, participant: str, effect: Effect, parents: Mapping[UUID, UUID]) -> Iterable[Finding]:
        return check_key(participant, effect, parents)

    def of_finished(self, order: Expected, effects: Sequence[Logged], read: frozenset[str]) -> Iterable[Finding]:
        return (*check_doubled(effects), *check_order(order, effects, read))

    def of_unfinished(self, effects: Sequence[Logged]) -> Iterable[Finding]:
        return check_doubled(effects)

    def of_unknown(self, effects: Sequence[Logged]) -> Iterable[Finding]:
        return (*check_doubled(effects), *check_unknown(effects))

    def found(self, finding: Finding) -> None:
        name, row = finding
        self._findings.add(name, "effects", MEANINGS[name], row)
