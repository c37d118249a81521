"""Both sides brought together, order by order: what the ledger says, and what the participants' logs say; a judge compares.

Finished orders are read before the effects, so that everything they stand for is in the logs that follow; whether the
ledger knows an order is asked after them, so that an order that began meanwhile is known.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, Generic, Protocol, TypeVar
from uuid import UUID

import psycopg

from orchestrator.operations.audit_compare import acting, expect, logged, order_id_of
from orchestrator.operations.audit_log import Asking, LogUnreadable, NoLog, read_log
from orchestrator.operations.audit_report import Counts, Unreachable
from orchestrator.operations.audit_spool import Expected, Logged, Partition, Spool
from orchestrator.saga import Saga
from participants.contracts.effects import Effect
from sql import auditing
from sql.auditing import Connection

PAGE_ORDERS: Final = 1_000
CONNECT_TIMEOUT_S: Final = 5
Found = TypeVar("Found")


class Judge(Protocol[Found]):
    """What is made of the two sides of the comparison; none of it does IO."""

    def of_key(self, participant: str, effect: Effect, parents: Mapping[UUID, UUID]) -> Iterable[Found]:
        """Judge an effect by itself; see `check_key`."""
        ...

    def of_finished(self, order: Expected, effects: Sequence[Logged], read: frozenset[str]) -> Iterable[Found]:
        """Judge a finished order and all effects of it; see `check_order`."""
        ...

    def of_unfinished(self, effects: Sequence[Logged]) -> Iterable[Found]:
        """Judge the effects of an order that has not finished."""
        ...

    def of_unknown(self, effects: Sequence[Logged]) -> Iterable[Found]:
        """Judge the effects of an order that the ledger does not know."""
        ...

    def found(self, finding: Found) -> None:
        """Take what was found and still held when it was looked at again."""
        ...


class Comparison(Generic[Found]):
    """One comparison of the ledger with the logs of the participants.

    Args:
        sagas: Definitions that finished orders are compared with.
        judge: Says what is wrong.
        asking: How participants are asked.

    Attributes:
        counts: How much was compared; of queries nothing.
        unreachable: Parts that were not compared.
    """

    def __init__(self, sagas: Sequence[Saga[Any]], judge: Judge[Found], asking: Asking) -> None:
        self.counts = Counts()
        self.unreachable: list[Unreachable] = []
        self._sagas = {(saga.name, saga.version): saga for saga in sagas}
        self._judge = judge
        self._asking = asking
        self._read: set[str] = set()

    async def run(self, ledger_url: str, participants: Mapping[str, str | None]) -> None:
        """Read both sides and compare them.

        Args:
            ledger_url: Database of the ledger.
            participants: Base URL of each participant; one without is said to be unreachable.
        """
        with Spool() as spool:
            if await self.read_orders(ledger_url, spool):
                for name, url in sorted(participants.items()):
                    await self.read_effects(ledger_url, name, url, spool)
                await self.compare(ledger_url, spool)

    async def read_orders(self, ledger_url: str, spool: Spool) -> bool:
        """Spool what every finished order must have left; False when the ledger can't be read."""
        try:
            async with await open_audited(ledger_url) as conn:
                await auditing.read_only(conn)
                async with conn.transaction():
                    await auditing.limit_query(conn, auditing.TIMEOUT_S)
                    after: UUID | None = None
                    while page := await auditing.page_finished(conn, after=after, limit=PAGE_ORDERS):
                        after = page[-1].order_ledger_id
                        for order in page:
                            expected, unchecked = expect(order, self._sagas)
                            self.counts.orders_finished += 1
                            if unchecked:
                                self.counts.uncheck(unchecked)
                            spool.put(expected)
        except psycopg.Error as error:
            self.unreachable.append(Unreachable("comparison with effects", f"the ledger: {sentence(error)}"))
            return False
        return True

    async def read_effects(self, ledger_url: str, name: str, base_url: str | None, spool: Spool) -> None:
        """Spool a participant's log of effects, each for the order that it counts for."""
        if base_url is None:
            self.unreachable.append(Unreachable(f"effects {name}", "no address of it is given"))
            return
        self.counts.effects[name] = 0
        try:
            async with self._asking.session(name) as session, await open_audited(ledger_url) as conn:
                await auditing.read_only(conn)
                async for page in read_log(session, base_url):
                    self.counts.effects[name] += len(page)
                    others = acting(page)
                    parents = await auditing.list_parents(conn, others) if others else {}
                    for effect in page:
                        self._found(self._judge.of_key(name, effect, parents))
                        spool.put(logged(name, effect, parents))
        except psycopg.Error as error:
            self.unreachable.append(Unreachable(f"effects {name}", f"the ledger: {sentence(error)}"))
            return
        except LogUnreadable as error:
            if isinstance(error, NoLog) and name not in auditing.DATABASES:
                # A service of a team's own need not keep one; ours do, so one that does not is another service.
                del self.counts.effects[name]
                self.counts.unlogged.append(name)
                return
            self.unreachable.append(Unreachable(f"effects {name}", str(error)))
            return
        self._read.add(name)

    async def compare(self, ledger_url: str, spool: Spool) -> None:
        """Compare everything that was spooled."""
        try:
            async with await open_audited(ledger_url) as conn:
                await auditing.read_only(conn)
                for partition in spool.partitions():
                    await self._compare_finished(conn, partition)
                    await self._compare_others(conn, partition)
        except psycopg.Error as error:
            self.unreachable.append(Unreachable("comparison with effects", f"the ledger: {sentence(error)}"))

    async def _compare_finished(self, conn: Connection, partition: Partition) -> None:
        suspects: dict[UUID, tuple[Expected, list[Found]]] = {}
        for order in partition.orders.values():
            effects = partition.effects.get(order.order, [])
            found = list(self._judge.of_finished(order, effects, frozenset(self._read)))
            if found:
                suspects[UUID(order.order)] = (order, found)
            if order.stands is not None:
                self.counts.orders_compared += 1
        # An order that was finished can be taken back or paid for; then what was read of it first no longer holds.
        statuses = await auditing.list_statuses(conn, list(suspects)) if suspects else {}
        families = await auditing.list_families(conn, list(suspects)) if suspects else {}
        for order_ledger_id, (order, found) in suspects.items():
            if (statuses.get(order_ledger_id), families.get(order_ledger_id, "")) == (order.status, order.family):
                self._found(found)
            else:
                self.counts.orders_changed += 1

    async def _compare_others(self, conn: Connection, partition: Partition) -> None:
        others = {order: effects for order, effects in partition.effects.items() if order not in partition.orders}
        ids = {order_id for effects in others.values() if (order_id := order_id_of(effects[0]))}
        known = await auditing.list_statuses(conn, list(ids)) if ids else {}
        for effects in others.values():
            if order_id_of(effects[0]) in known:
                self._found(self._judge.of_unfinished(effects))
                self.counts.effects_unfinished += len(effects)
            else:
                self._found(self._judge.of_unknown(effects))
                self.counts.effects_foreign += sum(not effect.ours for effect in effects)

    def _found(self, findings: Iterable[Found]) -> None:
        for finding in findings:
            self._judge.found(finding)


async def open_audited(url: str) -> Connection:
    """Connect to a database that is audited, in autocommit."""
    return await psycopg.AsyncConnection.connect(
        url, autocommit=True, connect_timeout=CONNECT_TIMEOUT_S, application_name="saga audit"
    )


def sentence(error: psycopg.Error) -> str:
    """Return the first line of what the database says."""
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
