"""The ledger in memory is the real one: what schedules did to it is done again on PostgreSQL, statement by statement."""

import json
from dataclasses import dataclass
from typing import Any

import psycopg
from msgspec.structs import replace

from orchestrator.definitions import store_snapshot
from orchestrator.identity import order_id
from orchestrator.saga import Saga
from sql import auditing, ledger
from sql.models import Status, Transition
from tests.simulation.core import Core, Decision
from tests.simulation.ledger import LEASE_S, Ledger
from tests.simulation.people import EDGE_LEASE_S
from tests.simulation.scenes import SCENES
from tests.simulation.scheduler import core_of, run
from tests.simulation.world import Planted

SEEDS = range(260, 360)
Connection = psycopg.AsyncConnection[Any]
SHIFT = """
update order_ledger set created_at = created_at - make_interval(secs => %(seconds)s),
    lease_expires_at = lease_expires_at - make_interval(secs => %(seconds)s),
    next_retry_at = next_retry_at - make_interval(secs => %(seconds)s),
    deadline_at = deadline_at - make_interval(secs => %(seconds)s)
where order_ledger_id = %(order_ledger_id)s
"""
JOURNAL = """
select lease_epoch, replica, kind, step, direction, round, attempt, outcome
from ledger_journal where order_ledger_id = %s order by seq
"""


@dataclass(frozen=True)
class Statement:
    """What was done to the ledger in memory at which time, and what came of it."""

    name: str
    now_s: float
    given: tuple[Any, ...]
    result: Any


class Recording(Ledger):
    """A ledger that keeps what is done to it; the last one made is `latest`."""

    latest: "Recording"

    def __init__(self, invariants: Any) -> None:
        super().__init__(invariants)
        self.statements: list[Statement] = []
        Recording.latest = self

    def insert(self, decision: Decision, owner: str | None, lease_s: float, now_s: float) -> bool:
        return self._kept("insert", now_s, super().insert(decision, owner, lease_s, now_s), owner)

    def claim(self, owner: str, now_s: float) -> bool | None:
        return self._kept("claim", now_s, super().claim(owner, now_s), owner)

    def write(self, epoch: int, last_seq: int, replica: str, decision: Decision, now_s: float) -> bool:
        written = super().write(epoch, last_seq, replica, decision, now_s)
        return self._kept("write", now_s, written, epoch, last_seq, replica, decision)

    def has(self, epoch: int, last_seq: int, replica: str, decision: Decision) -> bool:
        found = super().has(epoch, last_seq, replica, decision)
        return self._kept("has", None, found, epoch, last_seq, replica, decision)

    def renew(self, epoch: int, now_s: float) -> bool:
        return self._kept("renew", now_s, super().renew(epoch, now_s), epoch)

    def release(self, epoch: int, now_s: float) -> None:
        self._kept("release", now_s, super().release(epoch, now_s), epoch)

    def freeze(self, answer: int) -> int:
        return self._kept("freeze", None, super().freeze(answer), answer)

    def _kept(self, name: str, now_s: float | None, result: Any, *given: Any) -> Any:
        row = self.row
        assert row is not None
        stands = (row.state.status, row.epoch, row.last_seq, row.lapses, row.owner is None, row.due_at() is None, row.answer)
        now_s = self.statements[-1].now_s if now_s is None else now_s
        self.statements.append(Statement(name, now_s, given, (result, stands)))
        return result


class Recorded(Planted):
    ledger = Recording


class Real:
    """One order on a real ledger."""

    def __init__(self, conn: Connection, core: Core, seed: int) -> None:
        self._conn = conn
        self._saga: Saga[Any] = core.scene.saga
        self._order = replace(
            core.opening.order,
            order_ledger_id=order_id("client", f"seed {seed}"),
            client_request_id=f"seed {seed}",
        )
        self.id = self._order.order_ledger_id
        self._now_s = 0.0

    async def do(self, statement: Statement) -> Any:
        """Do what was done in memory; return what comes of it and how the row stands."""
        await self._conn.execute(SHIFT, {"seconds": statement.now_s - self._now_s, "order_ledger_id": self.id})
        self._now_s = statement.now_s
        result = await getattr(self, statement.name)(*statement.given)
        cursor = await self._conn.execute(
            "select status, lease_epoch, last_seq, lapses, lease_owner is null, due_at is null, response_status"
            " from order_ledger where order_ledger_id = %s",
            (self.id,),
        )
        row = await cursor.fetchone()
        assert row is not None
        return result, (Status(row[0]), *row[1:])

    async def insert(self, owner: str | None) -> bool:
        order = replace(self._order, lease_owner=owner, lease_s=EDGE_LEASE_S if owner else None)
        return await ledger.insert_order(self._conn, order) is not None

    async def claim(self, owner: str) -> bool | None:
        fingerprints = [self._saga.fingerprint]
        found = await ledger.claim_due(self._conn, owner=owner, lease_s=LEASE_S, limit=1, fingerprints=fingerprints)
        return found.claims[0].lapsed if found.claims else None

    async def write(self, epoch: int, last_seq: int, replica: str, decision: Decision) -> bool:
        written = await ledger.write_transitions(self._conn, [self._fenced(epoch, last_seq, replica, decision)])
        return self.id in written

    async def has(self, epoch: int, last_seq: int, replica: str, decision: Decision) -> bool:
        return self.id in await ledger.list_written(self._conn, [self._fenced(epoch, last_seq, replica, decision)])

    async def renew(self, epoch: int) -> bool:
        return self.id in await ledger.renew_leases(self._conn, [(self.id, epoch)], lease_s=LEASE_S)

    async def release(self, epoch: int) -> None:
        await ledger.release_leases(self._conn, [(self.id, epoch)])

    async def freeze(self, answer: int) -> int:
        body = json.dumps({"order_ledger_id": str(self.id)})
        return (await ledger.freeze_answer(self._conn, self.id, answer, body))[0]

    async def journal(self) -> list[tuple[Any, ...]]:
        return await (await self._conn.execute(JOURNAL, (self.id,))).fetchall()

    def _fenced(self, epoch: int, last_seq: int, replica: str, decision: Decision) -> Transition:
        assert decision.transition is not None
        transition = decision.transition
        return replace(transition, order_ledger_id=self.id, lease_epoch=epoch, last_seq=last_seq, replica=replica)


async def test_the_real_ledger_does_what_the_simulated_one_did(ledger_url: str) -> None:
    async with await psycopg.AsyncConnection.connect(ledger_url, autocommit=True) as conn:
        for scene in SCENES:
            await store_snapshot(conn, scene.saga)
        seen: set[str] = set()
        for seed in SEEDS:
            assert run(seed, planted=Recorded).broken is None
            simulated = Recording.latest
            real = Real(conn, core_of(seed % len(SCENES), Core), seed)
            for number, statement in enumerate(simulated.statements):
                assert await real.do(statement) == statement.result, f"seed {seed}, statement {number}: {statement}"
                seen.add(f"{statement.name} {statement.result[0]}")
            assert await real.journal() == [
                (epoch, replica, entry.kind, entry.step, entry.direction, entry.round, entry.attempt, entry.outcome)
                for epoch, replica, entry in simulated.journal
            ]
        for query in auditing.load_audit():
            if query.database == "ledger" and query.kind == "invariant":
                assert await auditing.run(conn, query, 3) == [], query.title

    both = {f"{name} {result}" for name in ("claim", "write", "has", "renew") for result in (True, False)}
    assert seen >= both | {"insert True", "release None", "freeze 202", "freeze 402"}
