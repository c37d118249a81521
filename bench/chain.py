"""What the journal's hash chain costs the server: the same writes with it and without it, taking turns.

One process writes to two databases of one server through a session each: two hundred sagas here, then two hundred there, so
that both meet the same weather. What is counted no wait can blur: the processor time of the two server processes, and the
bytes written ahead. What is written is what a replica writes: the core decides, and the store's own statement writes it.
"""

import asyncio
import json
import re
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import psycopg
from psycopg import AsyncCursor

from bench import measure
from bench.job import ROOT, STEPS, Place
from bench.named import Sizes
from bench.ours import FOUR_STEPS, OURS, enqueue, settings_of
from bench.server import Server
from orchestrator.definitions import Definitions
from orchestrator.outcome import Succeeded
from orchestrator.progress import Answered
from orchestrator.work import Work
from sql import ledger
from sql.connect import Session
from sql.models import Claim

BATCH: Final = 200
"""Sagas whose transitions share a statement, as under load."""
SAGAS: Final = 20_000
VERIFIED: Final = 110_000
"""Sagas of nine or ten entries each."""
WARM_UP: Final = 3
"""Batches until plans are made and pages are there; not counted."""
_SEALED: Final = re.compile(r"\bjournal_seal\(.*?\)(?= end as hash)", re.DOTALL)


class _Unchained(AsyncCursor[Any]):
    """A cursor that writes transitions without computing a hash; every entry and every row has an empty one."""

    async def execute(self, query: Any, *arguments: Any, **options: Any) -> Any:
        if query.startswith("-- write_transitions\n"):
            query, found = _SEALED.subn("''::bytea", query)
            assert found == 1, "the statement does not look as it did: say here how it looks without the chain"
        return await super().execute(query, *arguments, **options)


@dataclass(slots=True)
class _Side:
    """One of the two: a session, and what its batches took of the server.

    Attributes:
        cpu_us, wal_bytes: Of a saga, by batch.
    """

    conn: Session
    definitions: Definitions
    cpu_us: list[float] = field(default_factory=list)
    wal_bytes: list[float] = field(default_factory=list)

    async def take_turn(self) -> bool:
        """Run one batch of sagas to their ends; False when none is left."""
        cpu_before, wal_before = self._cpu_us(), await self._wal()
        found = await ledger.claim_due(
            self.conn, owner="bench-replica-0001", lease_s=600.0, limit=BATCH, fingerprints=self.definitions.fingerprints
        )
        if not found.claims:
            return False
        await self._run(found.claims)
        self.cpu_us.append((self._cpu_us() - cpu_before) / len(found.claims))
        self.wal_bytes.append((await self._wal() - wal_before) / len(found.claims))
        return True

    async def _run(self, claims: Sequence[Claim]) -> None:
        works = [Work.of(FOUR_STEPS, claim.row) for claim in claims]
        observed: list[Answered | None] = [None] * len(works)
        for _ in range(len(STEPS) + 1):
            moves = [work.advance(seen, go_on=True) for work, seen in zip(works, observed, strict=True)]
            transitions = [work.transition(move, replica="bench-replica-0001") for work, move in zip(works, moves, strict=True)]
            written = await ledger.write_transitions(self.conn, transitions)
            works = [work.after(t, written[t.order_ledger_id]) for work, t in zip(works, transitions, strict=True)]
            observed = [
                Answered(move.calls[0].step, Succeeded({"order_id": work.order_id}), 0.731) if move.calls else None
                for work, move in zip(works, moves, strict=True)
            ]

    def _cpu_us(self) -> float:
        """Return the processor time of the server's process, which Linux counts by the nanosecond."""
        return int(Path(f"/proc/{self.conn.info.backend_pid}/schedstat").read_text(encoding="ascii").split()[0]) / 1000

    async def _wal(self) -> int:
        cursor = await self.conn.execute("select pg_current_wal_insert_lsn() - '0/0'::pg_lsn")
        row = await cursor.fetchone()
        assert row is not None
        return int(row[0])


def chain(server: Server, sizes: Sizes) -> dict[str, Any]:
    """Processor time and bytes written ahead of a saga with the chain, and the share of both that is the chain's.

    Returns:
        `sagas`: how many on each side; `cpu_us`, `wal_bytes`: a saga's, with the chain; `cpu_share`, `wal_share`: by how much
        they are above those without, medians of the batches that took turns; `cpu_share_quartiles`: how far these differ.

    Raises:
        OSError: The server does not run on this machine.
    """
    sagas = max(int(SAGAS * sizes.share), BATCH * 10)
    urls = []
    for name in ("bench_chain_on", "bench_chain_off"):
        urls.append(measure.prepared(OURS, server, name)[0])
    for url in urls:
        # After the checkpoints that making them has caused: what is written first after one is logged as whole pages.
        enqueue(url, sagas)
    with_it, without = asyncio.run(_taking_turns(*urls))
    for name in ("bench_chain_on", "bench_chain_off"):
        server.drop_database(name)
    shares = [on / off - 1 for on, off in zip(with_it.cpu_us, without.cpu_us, strict=True)]
    return {
        "sagas": sagas,
        "cpu_us": statistics.median(with_it.cpu_us),
        "cpu_share": statistics.median(shares),
        "cpu_share_quartiles": [statistics.quantiles(shares, n=4)[0], statistics.quantiles(shares, n=4)[2]],
        "wal_bytes": statistics.mean(with_it.wal_bytes),
        "wal_share": statistics.mean(with_it.wal_bytes) / statistics.mean(without.wal_bytes) - 1,
    }


def verify(server: Server, sizes: Sizes) -> dict[str, Any]:
    """Seconds that `saga audit verify` takes for a million journal entries, as they are after so many sagas.

    Returns:
        `orders`, `entries`: how many it verified; `seconds`: with the start of the command; `entries_s`: of them in a second.

    Raises:
        subprocess.CalledProcessError: It found something.
    """
    url, name = measure.prepared(OURS, server, "bench_verify")
    enqueue(url, max(int(VERIFIED * sizes.share), BATCH))
    asyncio.run(_finished(url))
    with psycopg.connect(url, autocommit=True) as conn:
        # What autovacuum would have done by the time that somebody audits.
        conn.execute("vacuum analyze")
    began_s = time.monotonic()
    command = [sys.executable, "-m", "cli", "audit", "--database-url", url, "verify", "--json"]
    told = json.loads(subprocess.run(command, cwd=ROOT, check=True, capture_output=True, timeout=3600).stdout)
    seconds = time.monotonic() - began_s
    server.drop_database(name)
    return {
        "orders": told["orders"], "entries": told["entries"], "seconds": seconds, "entries_s": told["entries"] / seconds,
    }  # fmt: skip


async def _finished(url: str) -> None:
    async with await Session.connect(url) as conn:
        side = _Side(conn, Definitions([FOUR_STEPS], settings_of(Place(url, "http://127.0.0.1"))))
        while await side.take_turn():
            pass


async def _taking_turns(with_it: str, without: str) -> tuple[_Side, _Side]:
    definitions = Definitions([FOUR_STEPS], settings_of(Place(with_it, "http://127.0.0.1")))
    async with await Session.connect(with_it) as first, await Session.connect(without) as second:
        second.cursor_factory = _Unchained
        sides = (_Side(first, definitions), _Side(second, definitions))
        for side in sides:
            # Every sixteenth megabyte somebody fills a new file of the log with zeros: as much work as half a batch, by chance.
            await side.conn.execute("set wal_init_zero = off")
        turn = 0
        while all([await side.take_turn() for side in (sides if turn % 2 else reversed(sides))]):
            turn += 1
            if turn == WARM_UP:
                for side in sides:
                    side.cpu_us.clear()
                    side.wal_bytes.clear()
    return sides
