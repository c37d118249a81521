"""How soon events are in the feed: a consumer reads them from an edge over HTTP while they are written to the ledger.

They are written as orchestrators do it, in fenced transitions of claimed orders, each with a journal entry and an event.
"""

import asyncio
import statistics
import time
from typing import Any, Final

import aiohttp

from bench import measure
from bench.edge import KEY, running_edge
from bench.job import Place
from bench.named import Sizes
from bench.ours import FOUR_STEPS, OURS, settings_of
from bench.server import Server
from orchestrator.definitions import Definitions
from orchestrator.events import event_payload
from orchestrator.writer import BATCH_MAX
from sql import ledger
from sql.connect import Session
from sql.models import Entry, Event, Kind, SagaRow, Transition

EVENTS: Final = 1_000
EVENTS_S: Final = 100
LASTING_S: Final = 5.0
EVENTS_BEFORE: Final = 1
"""The one order that is really placed, and not copied, has told that it was received."""
ARRIVE_S: Final = 30.0


def feed(server: Server, sizes: Sizes) -> dict[str, Any]:
    """Events written at once: seconds until a consumer has all; and at a steady rate: events it lacks at most.

    Args:
        server: Has their database.
        sizes: How many rounds of it.

    Returns:
        `events` and `all_in_feed_s` (median of the rounds), from the first statement on; `events_s` and `lag_max` (of all
        rounds).
    """
    url, _ = measure.prepared(OURS, server, "bench_feed")
    OURS.enqueue(url, EVENTS)
    with running_edge(url) as (base, _):
        at_once, lags = asyncio.run(_measured(url, base, sizes.rounds))
    return {
        "events": EVENTS,
        "all_in_feed_s": statistics.median(at_once),
        "events_s": EVENTS_S,
        "lag_max": max(lags),
    }


async def _measured(url: str, base: str, rounds: int) -> tuple[list[float], list[int]]:
    at_once: list[float] = []
    lags: list[int] = []
    async with await Session.connect(url) as conn, aiohttp.ClientSession() as session:
        fingerprints = Definitions([FOUR_STEPS], settings_of(Place(url, "http://127.0.0.1"))).fingerprints
        found = await ledger.claim_due(conn, owner="bench", lease_s=3600.0, limit=EVENTS, fingerprints=fingerprints)
        rows = [claim.row for claim in found.claims]
        assert len(rows) == EVENTS
        writer, consumer = _Writer(conn, rows), _Consumer(session, base)
        reading = asyncio.create_task(consumer.run())
        await consumer.has(EVENTS_BEFORE)
        for _ in range(rounds):
            began_s = time.perf_counter()
            for first in range(0, EVENTS, BATCH_MAX):
                await writer.write(range(first, min(first + BATCH_MAX, EVENTS)))
            await consumer.has(EVENTS_BEFORE + writer.written)
            at_once.append(time.perf_counter() - began_s)
            lags.append(await _steady(writer, consumer))
            await consumer.has(EVENTS_BEFORE + writer.written)
        reading.cancel()
    return at_once, lags


async def _steady(writer: "_Writer", consumer: "_Consumer") -> int:
    """Write one event after the other at a steady rate; returns how many the consumer lacked at most."""
    lag_max, start_s = 0, time.perf_counter()
    for number in range(int(EVENTS_S * LASTING_S)):
        await asyncio.sleep(max(0.0, start_s + number / EVENTS_S - time.perf_counter()))
        await writer.write(range(number % EVENTS, number % EVENTS + 1))
        lag_max = max(lag_max, EVENTS_BEFORE + writer.written - consumer.received)
    return lag_max


class _Writer:
    """Moves claimed orders on, each step with its journal entry and its event."""

    def __init__(self, conn: Session, rows: list[SagaRow]) -> None:
        self._conn = conn
        self._rows = rows
        self._seqs = {row.order_ledger_id: row.last_seq for row in rows}
        self.written = 0

    async def write(self, which: range) -> None:
        transitions = [self._transition(self._rows[number]) for number in which]
        written = await ledger.write_transitions(self._conn, transitions)
        assert len(written) == len(transitions)
        self._seqs |= written
        self.written += len(written)

    def _transition(self, row: SagaRow) -> Transition:
        return Transition(
            order_ledger_id=row.order_ledger_id,
            lease_epoch=row.lease_epoch,
            last_seq=self._seqs[row.order_ledger_id],
            replica="bench",
            status=row.status,
            step=row.step,
            direction=row.direction,
            retry_count=row.retry_count,
            progress=row.progress,
            keep_lease=True,
            entries=(Entry(Kind.STATUS, outcome=row.status.value),),
            events=(Event("BenchTold", event_payload(row, row.status.value)),),
        )


class _Consumer:
    """Reads the feed from its beginning, as `docs/events.md` says."""

    def __init__(self, session: aiohttp.ClientSession, base: str) -> None:
        self._session = session
        self._url = f"{base}/events"
        self._more = asyncio.Event()
        self.received = 0

    async def run(self) -> None:
        query = {"limit": "1000", "wait": "20"}
        headers = {"Authorization": f"Bearer {KEY}"}
        while True:
            async with self._session.get(self._url, params=query, headers=headers) as answer:
                answer.raise_for_status()
                page = await answer.json()
            query["after"] = page["next_cursor"]
            self.received += len(page["events"])
            self._more.set()

    async def has(self, events: int) -> None:
        async with asyncio.timeout(ARRIVE_S):
            while self.received < events:
                self._more.clear()
                await self._more.wait()
