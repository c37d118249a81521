"""The breakers of all participants as one replica knows them: one row a participant for the whole fleet.

While calls are answered, nothing is written: a replica only remembers its last calls. A call that ends Unknown is reported,
with those before it, and what is reported opens the breaker for everybody; other replicas see that when they look at the
fleet (`fleet.py`), or when a call of their own fails, whichever is first. When the time of an open breaker is over, by
the database's clock, one replica gets the trial for one of its calls. If it dies, another gets it a little later than
the call would have ended.

Each decision is made by `circuit.py` on the locked row, so the fleet decides one thing at a time.
"""

import asyncio
import time
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import structlog
from prometheus_client import Gauge
from psycopg_pool import AsyncConnectionPool

from orchestrator import circuit
from orchestrator.circuit import UNCLEAR, Circuit, Policy, State
from sql import fleet
from sql.connect import OUTAGE
from sql.models import Json

AGAIN_S: Final = 1.0
"""Until the database is asked again that did not answer."""
_SHOWN: Final = {state: number for number, state in enumerate(State)}

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Seen:
    """A breaker as it was last read, and the monotonic time of that."""

    circuit: Circuit
    at_s: float


class Breakers:
    """The breakers of one replica.

    Args:
        pool: Autocommit connections to the ledger.
        policy: When they open.
        shown: Metric by participant: 0 closed, 1 half-open, 2 open, 3 held.
        recovered: Given the name of a participant whose breaker closes.
    """

    def __init__(self, pool: AsyncConnectionPool[Any], policy: Policy, shown: Gauge, recovered: Callable[[str], None]) -> None:
        self._pool = pool
        self._policy = policy
        self._shown = shown
        self._recovered = recovered
        self._seen: dict[str, Seen] = {}
        self._asking: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._marks: defaultdict[str, str] = defaultdict(str)  # of calls that were not reported yet
        self._unclear = asyncio.Event()

    def now(self, participant: str) -> Circuit:
        """Return a breaker as it was last seen, and has aged since."""
        seen = self._seen.get(participant)
        return seen.circuit.aged(time.monotonic() - seen.at_s) if seen else Circuit()

    @property
    def all_closed(self) -> bool:
        """Whether all that were seen are closed."""
        return all(seen.circuit.state is State.CLOSED for seen in self._seen.values())

    def is_closed(self, participant: str) -> bool:
        """Tell whether calls go through as far as is known; what opened grows no younger, so this needs no clock."""
        seen = self._seen.get(participant)
        return seen is None or seen.circuit.state is State.CLOSED

    def see(self, participant: str, found: Circuit, read_s: float) -> None:
        """Take note of a breaker that was read; `read_s` is the monotonic time when reading began."""
        before, known = self.now(participant), self._seen.get(participant)
        if known is not None and known.at_s > read_s:
            # It was decided on while it was being read.
            return
        self._seen[participant] = Seen(found, time.monotonic())
        self._shown.labels(participant).set(_SHOWN[found.state])
        if found.state is not before.state:
            log.warning("breaker_changed", participant=participant, before=before.state, state=found.state, reason=found.reason)
        if found.state is State.CLOSED and before.state is not State.CLOSED:
            self._recovered(participant)

    async def admit(self, participant: str, call_s: float) -> tuple[float, bool]:
        """Ask for a call of at most so many seconds.

        Returns:
            Seconds to wait, and whether the call is the fleet's trial: 0 and False for an ordinary call.
        """
        if self.is_closed(participant):
            return 0.0, False
        # Of all sagas of this replica that want the trial, one asks the database.
        async with self._asking[participant]:
            left_s = circuit.wait_s(self.now(participant), self._policy)
            if left_s > 0:
                return left_s, False
            before, after = await self._decide(participant, lambda found: circuit.tried(found, self._policy, call_s))
            is_ours = after is not before
            return (0.0 if is_ours else circuit.wait_s(after, self._policy)), is_ours

    def note(self, participant: str, mark: str) -> None:
        """Remember how an ordinary call ended; one that ended Unknown is reported soon."""
        self._marks[participant] = (self._marks[participant] + mark)[-self._policy.window :]
        if mark == UNCLEAR:
            self._unclear.set()

    async def conclude(self, participant: str, mark: str) -> None:
        """Tell how the trial ended."""
        try:
            await self._decide(participant, lambda found: circuit.concluded(found, mark))
        except OUTAGE as error:
            # Then it runs out, and another replica tries.
            log.warning("trial_not_told", participant=participant, error=str(error).splitlines()[0])

    async def run(self) -> None:
        """Report calls that ended Unknown, until cancelled; what collects meanwhile goes with the next report."""
        while True:
            await self._unclear.wait()
            self._unclear.clear()
            for participant in [name for name, marks in self._marks.items() if UNCLEAR in marks]:
                await self._report(participant, self._marks.pop(participant))

    async def _report(self, participant: str, marks: str) -> None:
        try:
            await self._decide(participant, lambda found: circuit.reported(found, marks, self._policy))
        except OUTAGE as error:
            log.warning("calls_not_reported", participant=participant, error=str(error).splitlines()[0])

    async def _decide(self, participant: str, decide: Callable[[Circuit], Circuit]) -> tuple[Circuit, Circuit]:
        async with self._pool.connection() as conn:
            before, after = await change(conn, participant, decide)
        self.see(participant, after, time.monotonic())
        return before, after


async def change(conn: fleet.Connection, participant: str, decide: Callable[[Circuit], Circuit]) -> tuple[Circuit, Circuit]:
    """Decide on a breaker while no other replica does; return it before and after, the same one where nothing changed."""
    async with conn.transaction():
        before = circuit_of(await fleet.lock_breaker(conn, participant))
        after = decide(before)
        if after is not before:
            await fleet.write_breaker(
                conn,
                participant,
                state=after.state.value,
                recent=after.recent,
                trial_left_s=after.trial_left_s,
                actor=after.actor,
                reason=after.reason,
            )
    return before, after


def circuit_of(row: Mapping[str, Any] | Json) -> Circuit:
    """Return what a row says of a breaker."""
    return Circuit(State(row["state"]), row["recent"], row["opened_for_s"], row["trial_left_s"], row["actor"], row["reason"])
