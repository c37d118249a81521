"""Orders that needed an operator: whether the schedule injected what leads there, and the operator who retries them."""

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any, Final
from uuid import UUID

from orchestrator import operating
from orchestrator.definitions import Definitions
from sql.ledger import LedgerError
from tests.chaos import direct
from tests.chaos.auditor import Violation
from tests.chaos.direct import Direct
from tests.chaos.http_proxy import Bank
from tests.chaos.schedule import Disruption

STORIES: Final = """
    select order_ledger_id::text as order_id, seq, kind, step, direction, round, attempt, outcome, reason, error,
        extract(epoch from at)::float8 as at_s, duration_ms
    from ledger_journal
    where order_ledger_id in (select order_ledger_id from ledger_journal where kind = 'status' and outcome = 'STUCK')
    order by order_ledger_id, seq
"""
SLACK_S: Final = 3.0
"""Between something that is done to a process and the last of what follows from it, on a busy machine."""


class Operator:
    """Retries what is stuck, and now and then what failed, as people do.

    Args:
        ledger: The ledger.
        definitions: With the fleet's settings, so that what is placed again runs on a definition that it knows.
    """

    def __init__(self, ledger: Direct, definitions: Definitions) -> None:
        self.counts: Counter[str] = Counter()
        self._ledger = ledger
        self._definitions = definitions
        self._again: set[UUID] = set()
        self._retries: Counter[UUID] = Counter()

    async def retry_stuck(self, most: int | None = None) -> int:
        """Retry the orders that are stuck; how many there were.

        Args:
            most: How often one is retried: those whose fate it is to be stuck would come again and again, each time with
                a whole round of calls that fail. None for as often as it takes.

        Raises:
            psycopg.OperationalError: The ledger is away.
        """
        stuck = [row["order_ledger_id"] for row in await self._ledger.ask(direct.STUCK)]
        for order in stuck:
            if most is None or self._retries[order] < most:
                self._retries[order] += 1
                await self._retry(order, "stuck orders retried")
        return len(stuck)

    async def retry_failed(self, most: int) -> None:
        """Place some of the orders that failed again, once each.

        Raises:
            psycopg.OperationalError: The ledger is away.
        """
        failed = [row["order_ledger_id"] for row in await self._ledger.ask(direct.FAILED, 5 * most)]
        for order in [order for order in failed if order not in self._again][:most]:
            self._again.add(order)
            await self._retry(order, "failed orders placed again")

    async def _retry(self, order: UUID, name: str) -> None:
        conn: Any = await self._ledger.connection()
        try:
            verdict = await operating.retry(conn, self._definitions, order, actor="chaos", reason="look again")
        except LedgerError:
            # Somebody else was quicker, or the order went on meanwhile.
            return
        if verdict.done:
            self.counts[name] += 1


def unexplained(
    stories: Sequence[dict[str, Any]], bank: Bank, disruptions: Sequence[Disruption], timeout_s: float
) -> Iterator[Violation]:
    """Find orders that got stuck though nothing that was injected leads there.

    An attempt that took all the time it had is the machine's own fault: it was too busy to answer.

    Args:
        stories: As `STORIES` reads them.
        bank: Knows what each call met.
        disruptions: What was done to processes and networks.
        timeout_s: Time that an attempt has.
    """
    journals: dict[str, list[dict[str, Any]]] = {}
    for entry in stories:
        journals.setdefault(entry["order_id"], []).append(entry)
    for order, journal in journals.items():
        for place, entry in enumerate(journal):
            if (entry["kind"], entry["outcome"]) != ("status", "STUCK"):
                continue
            before = [e for e in journal[:place] if e["round"] == entry["round"]]
            failed = [e for e in before if e["kind"] == "outcome" and _is_failed_undo(e)]
            lapsed = [e for e in before if e["kind"] == "takeover"]
            slow = [e for e in failed if (e["duration_ms"] or 0.0) >= timeout_s * 900]
            strange = [e for e in failed if e not in slow and not _is_explained(e, order, bank, disruptions)]
            if strange or not (failed or any(_is_explained(e, order, bank, disruptions) for e in lapsed)):
                yield Violation(f"stuck ({entry['reason']}) though nothing that was injected leads there: {strange}", order)


def _is_failed_undo(entry: dict[str, Any]) -> bool:
    return (entry["direction"], entry["outcome"]) in (("compensation", "unknown"), ("compensation", "rejected"))


def _is_explained(attempt: dict[str, Any], order: str, bank: Bank, disruptions: Sequence[Disruption]) -> bool:
    ended_s = attempt["at_s"]
    began_s = ended_s - (attempt["duration_ms"] or 0.0) / 1000
    strikes = bank.strikes.get(f"{order}:{attempt['step']}:{attempt['direction']}", [])
    if any(strike.fault and began_s - SLACK_S <= strike.at_s <= ended_s + SLACK_S for strike in strikes):
        return True
    return any(d.began_s - SLACK_S <= ended_s and began_s <= d.ended_s + SLACK_S for d in disruptions)
