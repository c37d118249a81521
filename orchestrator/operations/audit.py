"""The audit: every invariant on its database, and the ledger compared with what the participants really did.

::

    each database ──sql/audit/*.sql──▶ violations
    ledger: finished orders ──┐
                              ├──▶ spool, by order ──▶ compare ──▶ violations
    GET /effects of each ─────┘

Finished orders are read before the effects, so that everything they stand for is in the logs that follow; whether the
ledger knows an order is asked after them, so that an order that began meanwhile is known.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final
from uuid import UUID

import psycopg

from orchestrator.operations.audit_compare import (
    MEANINGS,
    Finding,
    acting,
    check_doubled,
    check_key,
    check_order,
    check_unknown,
    expect,
    logged,
    order_id_of,
)
from orchestrator.operations.audit_log import UNASKED, Asking, LogUnreadable, NoLog, read_log
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
from orchestrator.operations.audit_spool import Expected, Partition, Spool
from orchestrator.saga import Saga
from sql import auditing
from sql.auditing import AuditQuery, Connection

__all__ = ["Answer", "AuditReport", "Counts", "Unreachable", "Violation", "render_audit", "run_audit"]

PAGE_ORDERS: Final = 1_000
CONNECT_TIMEOUT_S: Final = 5


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
    audit = _Audit(sagas)
    names = {*participants, *participant_databases, *auditing.DATABASES} - {"ledger"}
    for name in ("ledger", *sorted(names)):
        url = ledger_url if name == "ledger" else participant_databases.get(name)
        if name in auditing.DATABASES:
            await audit.query(name, url, [q for q in queries if q.database == name and (questions or q.kind == "invariant")])
    with Spool() as spool:
        if await audit.read_orders(ledger_url, spool):
            for name in sorted(names):
                await audit.read_effects(ledger_url, name, participants.get(name), spool, asking)
            await audit.compare(ledger_url, spool)
    return audit.report()


class _Audit:
    """One run: what was found and counted so far."""

    def __init__(self, sagas: Sequence[Saga[Any]]) -> None:
        self._sagas = {(saga.name, saga.version): saga for saga in sagas}
        self._counts = Counts()
        self._findings = Findings()
        self._unreachable: list[Unreachable] = []
        self._answers: list[Answer] = []
        self._read: set[str] = set()

    def report(self) -> AuditReport:
        return AuditReport(
            tuple(self._findings.violations),
            self._findings.truncated,
            tuple(self._unreachable),
            tuple(self._answers),
            self._counts,
        )

    async def query(self, name: str, url: str | None, queries: Sequence[AuditQuery]) -> None:
        """Run queries on their database."""
        part = f"database {name}"
        self._counts.queries[name] = 0
        if url is None:
            self._unreachable.append(Unreachable(part, "no address of it is given"))
            return
        try:
            async with await _connect(url) as conn:
                for query in queries:
                    await self._run(conn, query)
        except psycopg.Error as error:
            self._unreachable.append(Unreachable(part, _sentence(error)))

    async def _run(self, conn: Connection, query: AuditQuery) -> None:
        try:
            rows = await auditing.run(conn, query, ROWS_MAX + 1)
        except psycopg.Error as error:
            if conn.closed:
                raise
            # A schema that is behind, or a query that ran out of time: the others may still run.
            self._unreachable.append(Unreachable(f"query {query.name} on database {query.database}", _sentence(error)))
            return
        if query.kind == "question":
            self._answers.append(Answer(query.name, query.database, query.title, tuple(rows[:ROWS_MAX])))
            return
        self._counts.queries[query.database] += 1
        for row in rows:
            self._findings.add(query.name, query.database, query.meaning, row)

    async def read_orders(self, ledger_url: str, spool: Spool) -> bool:
        """Spool what every finished order must have left; False when the ledger can't be read."""
        try:
            async with await _connect(ledger_url) as conn:
                await auditing.read_only(conn)
                async with conn.transaction():
                    await auditing.limit_query(conn, auditing.TIMEOUT_S)
                    after: UUID | None = None
                    while page := await auditing.page_finished(conn, after=after, limit=PAGE_ORDERS):
                        after = page[-1].order_ledger_id
                        for order in page:
                            expected, unchecked = expect(order, self._sagas)
                            self._counts.orders_finished += 1
                            if unchecked:
                                self._counts.uncheck(unchecked)
                            spool.put(expected)
        except psycopg.Error as error:
            self._unreachable.append(Unreachable("comparison with effects", f"the ledger: {_sentence(error)}"))
            return False
        return True

    async def read_effects(self, ledger_url: str, name: str, base_url: str | None, spool: Spool, asking: Asking) -> None:
        """Spool a participant's log of effects, each for the order that it counts for."""
        if base_url is None:
            self._unreachable.append(Unreachable(f"effects {name}", "no address of it is given"))
            return
        self._counts.effects[name] = 0
        try:
            async with asking.session(name) as session, await _connect(ledger_url) as conn:
                await auditing.read_only(conn)
                async for page in read_log(session, base_url):
                    self._counts.effects[name] += len(page)
                    others = acting(page)
                    parents = await auditing.list_parents(conn, others) if others else {}
                    for effect in page:
                        self._found(*check_key(name, effect, parents))
                        spool.put(logged(name, effect, parents))
        except psycopg.Error as error:
            self._unreachable.append(Unreachable(f"effects {name}", f"the ledger: {_sentence(error)}"))
            return
        except LogUnreadable as error:
            if isinstance(error, NoLog) and name not in auditing.DATABASES:
                # A service of a team's own need not keep one; ours do, so one that does not is another service.
                del self._counts.effects[name]
                self._counts.unlogged.append(name)
                return
            self._unreachable.append(Unreachable(f"effects {name}", str(error)))
            return
        self._read.add(name)

    async def compare(self, ledger_url: str, spool: Spool) -> None:
        """Compare everything that was spooled."""
        try:
            async with await _connect(ledger_url) as conn:
                await auditing.read_only(conn)
                for partition in spool.partitions():
                    await self._compare_finished(conn, partition)
                    await self._compare_others(conn, partition)
        except psycopg.Error as error:
            self._unreachable.append(Unreachable("comparison with effects", f"the ledger: {_sentence(error)}"))

    async def _compare_finished(self, conn: Connection, partition: Partition) -> None:
        suspects: dict[UUID, tuple[Expected, list[Finding]]] = {}
        for order in partition.orders.values():
            effects = partition.effects.get(order.order, [])
            found = [*check_doubled(effects), *check_order(order, effects, frozenset(self._read))]
            if found:
                suspects[UUID(order.order)] = (order, found)
            if order.stands is not None:
                self._counts.orders_compared += 1
        # An order that was finished can be taken back or paid for; then what was read of it first no longer holds.
        statuses = await auditing.list_statuses(conn, list(suspects)) if suspects else {}
        families = await auditing.list_families(conn, list(suspects)) if suspects else {}
        for order_ledger_id, (order, found) in suspects.items():
            if (statuses.get(order_ledger_id), families.get(order_ledger_id, "")) == (order.status, order.family):
                self._found(*found)
            else:
                self._counts.orders_changed += 1

    async def _compare_others(self, conn: Connection, partition: Partition) -> None:
        others = {order: effects for order, effects in partition.effects.items() if order not in partition.orders}
        ids = {order_id for effects in others.values() if (order_id := order_id_of(effects[0]))}
        known = await auditing.list_statuses(conn, list(ids)) if ids else {}
        for effects in others.values():
            self._found(*check_doubled(effects))
            if order_id_of(effects[0]) in known:
                self._counts.effects_unfinished += len(effects)
            else:
                self._found(*check_unknown(effects))
                self._counts.effects_foreign += sum(not effect.ours for effect in effects)

    def _found(self, *findings: Finding) -> None:
        for name, row in findings:
            self._findings.add(name, "effects", MEANINGS[name], row)


async def _connect(url: str) -> Connection:
    return await psycopg.AsyncConnection.connect(
        url, autocommit=True, connect_timeout=CONNECT_TIMEOUT_S, application_name="saga audit"
    )


def _sentence(error: psycopg.Error) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
