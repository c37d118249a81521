"""Reconciliation: on what ledger and participants disagree, what is at risk by it, and what mends it. Nothing is changed.

It compares as the audit does (`audit_sides`) and leaves orders that are on their way be; an order that waits for an operator is
on no way, so it is told too.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Final
from uuid import UUID

import orjson
import psycopg
from rich.console import Console

from orchestrator.money import money
from orchestrator.operations.audit_compare import differences
from orchestrator.operations.audit_log import UNASKED, Asking
from orchestrator.operations.audit_report import Unreachable
from orchestrator.operations.audit_sides import Comparison, open_audited, sentence
from orchestrator.operations.audit_spool import Expected, Logged
from orchestrator.operations.reconcile_drift import UNKNOWN, Difference, Drift, ValueAtRisk, drifts_of, standing, stuck
from orchestrator.operations.render import print_table, say
from orchestrator.saga import Saga
from participants.contracts.effects import Effect
from sql import auditing
from sql.models import Json

DRIFTS_MAX: Final = 10_000
"""Drift that is kept; where there is more, what is to be done is not to be done order by order."""
_STUCK: Final = "ledger_stuck_orders"
"""The audit's question after orders that need an operator."""


@dataclass(frozen=True, slots=True)
class Reconciliation:
    """What was found.

    Attributes:
        drifts: At most `DRIFTS_MAX`, those of one order together.
        truncated: Whether there is more.
        unreachable: Parts that were not compared.
        orders_compared: Finished orders whose balances were compared.
    """

    drifts: tuple[Drift, ...]
    truncated: bool
    unreachable: tuple[Unreachable, ...]
    orders_compared: int

    @property
    def exit_code(self) -> int:
        """0 when both sides agree on everything, 1 on drift or a part that could not be compared; as of `saga audit`."""
        return 1 if self.drifts or self.unreachable else 0

    @property
    def value_at_risk(self) -> ValueAtRisk:
        """Of what is in `drifts`."""
        return ValueAtRisk.of(self.drifts)

    def to_json(self) -> Json:
        """Return it with plain JSON values only."""
        shown = {"agree": self.exit_code == 0, **asdict(self), "value_at_risk": asdict(self.value_at_risk)}
        document: Json = orjson.loads(orjson.dumps(shown))
        return document


async def reconcile(
    ledger_url: str, participants: Mapping[str, str], sagas: Sequence[Saga[Any]], asking: Asking = UNASKED
) -> Reconciliation:
    """Compare the ledger with what every participant did.

    Args:
        ledger_url: Database of the ledger.
        participants: Base URL of each participant, by name.
        sagas: Definitions that finished orders are compared with.
        asking: How participants are asked.

    Returns:
        What was found. A part that has no address or can't be reached is in it as unreachable; nothing of that raises.
    """
    urls = {name: participants.get(name) for name in {*participants, *auditing.DATABASES} - {"ledger"}}
    judge = _Judge(urls)
    comparison = Comparison(sagas, judge, asking)
    await comparison.run(ledger_url, urls)
    unreachable = list(comparison.unreachable)
    try:
        drifts = [*await _valued(ledger_url, judge.drifts), *await _stuck(ledger_url)]
    except psycopg.Error as error:
        drifts = judge.drifts
        unreachable.append(Unreachable("database ledger", sentence(error)))
    truncated = len(drifts) > DRIFTS_MAX
    kept = sorted(drifts, key=lambda drift: (drift.order, drift.kind))[:DRIFTS_MAX]
    return Reconciliation(tuple(kept), truncated, tuple(unreachable), comparison.counts.orders_compared)


class _Judge:
    """Says of each order what drifted, as the comparison comes to it."""

    def __init__(self, participants: Mapping[str, str | None]) -> None:
        self.drifts: list[Drift] = []
        self._participants = participants

    def of_key(self, _participant: str, _effect: Effect, _parents: Mapping[UUID, UUID]) -> Iterable[Drift]:
        return ()  # under which key something was done is the audit's business; here only what stands counts

    def of_finished(self, order: Expected, effects: Sequence[Logged], read: frozenset[str]) -> Iterable[Drift]:
        found = [Difference(*difference) for difference in differences(order, effects, read)]
        return drifts_of(order.order, order.status, found, effects, self._participants)

    def of_unfinished(self, _effects: Sequence[Logged]) -> Iterable[Drift]:
        return ()

    def of_unknown(self, effects: Sequence[Logged]) -> Iterable[Drift]:
        ours = [effect for effect in effects if effect.ours]  # what others ask of the participants is their own affair
        return drifts_of(effects[0].order, None, standing(ours), ours, self._participants)

    def found(self, finding: Drift) -> None:
        if len(self.drifts) <= DRIFTS_MAX:
            self.drifts.append(finding)


async def _valued(ledger_url: str, drifts: Sequence[Drift]) -> list[Drift]:
    """Say of each drift what the ledger knows of its order; what is not money is worth what the order is."""
    async with await open_audited(ledger_url) as conn:
        worth = await auditing.list_worth(conn, list({UUID(drift.order) for drift in drifts if drift.status}))
    valued = []
    for drift in drifts:
        of = worth.get(UUID(drift.order)) if drift.status else None
        if of is not None:
            value_minor = of["total_minor"] if drift.value_minor is None else drift.value_minor
            drift = replace(drift, saga=of["saga"], currency=of["currency"], value_minor=value_minor)
        valued.append(drift)
    return valued


async def _stuck(ledger_url: str) -> list[Drift]:
    (query,) = (query for query in auditing.load_audit() if query.name == _STUCK)
    async with await open_audited(ledger_url) as conn:
        rows = await auditing.run(conn, query, DRIFTS_MAX + 1)
    return [stuck(str(row["order_ledger_id"]), row["saga"], row["reason"], row["total_minor"], row["currency"]) for row in rows]


def render_reconciliation(report: Reconciliation, console: Console) -> None:
    """Print it: each drift with what mends it, parts that were not compared, the value at risk, the verdict."""
    told: dict[str, str] = {}
    for drift in report.drifts:
        about = f"{drift.order} {drift.saga or ''} {drift.status or 'unknown'}"
        value = f", {money(drift.value_minor, drift.currency or UNKNOWN)}" if drift.value_minor is not None else ""
        say(console, f"DRIFT {drift.kind}: {about}{value}")
        say(console, f"  {drift.meaning}")
        if drift.differences:
            print_table(
                console,
                ("  ACCOUNT", "EXPECTED#", "FOUND#"),
                [(f"  {each.account}", each.expected, each.found) for each in drift.differences],
            )
        for command in drift.mend or ("nothing mends it by itself: see what was done in the participant's log",):
            # Orders that are STUCK for one cause are mended by one command.
            first = told.setdefault(command, drift.order) if drift.mend else drift.order
            how = command if first == drift.order else f"with order {first}"
            say(console, f"  {'mend: ' if drift.mend else ''}{how}")
    for part in report.unreachable:
        say(console, f"NOT COMPARED {part.part}: {part.reason}")
    at_risk = report.value_at_risk
    sums = ", ".join(money(value, currency) for currency, value in sorted(at_risk.by_currency.items())) or "none"
    unvalued = f"; {at_risk.orders_unvalued} orders of unknown value" if at_risk.orders_unvalued else ""
    say(console, f"orders compared: {report.orders_compared}; value at risk: {sums}{unvalued}")
    say(console, _verdict(report))


def _verdict(report: Reconciliation) -> str:
    if report.exit_code == 0:
        return "Ledger and participants agree."
    more = " or more" if report.truncated else ""
    return f"They do not agree: {len(report.drifts)}{more} differences, {len(report.unreachable)} parts not compared."
