"""What all replicas share of the participants: where they are, and whether they may be called.

The registry (`participant`) and the breakers are read together, in one statement: every few seconds while sagas are at
work, after a claim where the last look is older, and else hardly ever. A participant that has no row is where the settings
say. Every call passes here: it needs an address, a breaker that lets it through and a slot of the participant's bulkhead.
What does not pass is told how long to stay away; it costs no attempt.
"""

import asyncio
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import msgspec
import structlog
from msgspec import Struct
from prometheus_client import Gauge
from psycopg_pool import AsyncConnectionPool

from orchestrator.breaker import AGAIN_S, Breakers, circuit_of
from orchestrator.bulkhead import Bulkhead
from orchestrator.circuit import ANSWERED, Circuit, State, mark_of
from orchestrator.outcome import Outcome
from orchestrator.settings import Settings
from sql import fleet
from sql.connect import OUTAGE
from sql.models import Json

LOOK_S: Final = 2.0
"""Between two looks while there is work: what an operator changes is respected by every call that begins later than this."""
IDLE_LOOK_S: Final = 60.0
"""Between two looks while there is none, which are for the metric alone: a claim looks for itself."""
TICK_S: Final = 0.25
"""Between two thoughts whether it is time to look; costs no query. More often nobody looks."""
PARKED_MAX_S: Final = 30.0
"""An order that waits is looked at again after this, so that it goes on soon when an operator has put things right."""

log = structlog.get_logger(__name__)


class Pass(Struct):
    """Leave for one call.

    Attributes:
        participant: Who is called.
        trial: Whether it is the fleet's trial of an open breaker: if it ends Unknown, it counts as no attempt.
        outcome: To be set when the call has ended; None where none was made.
        began_s: Monotonic time from which it is held.
    """

    participant: str
    trial: bool = False
    outcome: Outcome | None = None
    began_s: float = msgspec.field(default_factory=time.monotonic)


@dataclass(frozen=True, slots=True)
class Parked:
    """No leave for now.

    Attributes:
        delay_s: Seconds after which it is worth asking again, without jitter.
        reason: In a sentence.
        away: Whether the participant can't be called at all; False where only its slots are taken.
    """

    delay_s: float
    reason: str
    away: bool


class Fleet:
    """The participants as one process knows them.

    Args:
        pool: Autocommit connections to the ledger.
        settings: Addresses of those that have no row; limits.
        shown: The metric of the breakers; see `Breakers`.

    Attributes:
        addresses: Base URL of each participant, by name; kept up to date in place.
        has_canary: Whether a saga's configuration was being tried on a share of orders at the last look.
    """

    def __init__(self, pool: AsyncConnectionPool[Any], settings: Settings, shown: Gauge) -> None:
        self.addresses: dict[str, str] = dict(settings.participants)
        self.has_canary = False
        self._pool = pool
        self._settings = settings
        self._breakers = Breakers(pool, settings.breaker, shown, self._recovered)
        self._bulkheads: dict[str, Bulkhead] = {}
        self._limits: dict[str, int] = {}
        self._looked_s = -math.inf  # monotonic time when the last look began, whatever came of it
        self._looking = asyncio.Lock()

    async def look(self) -> None:
        """Read registry and breakers.

        Raises:
            psycopg.OperationalError, psycopg_pool.PoolTimeout: The ledger is away; what was known stands.
        """
        self._looked_s = began_s = time.monotonic()
        async with self._pool.connection() as conn:
            rows, self.has_canary = await fleet.see_fleet(conn)
        known = {row["participant"]: row["address"] for row in rows if row["address"]}
        addresses = {**self._settings.participants, **known}
        for name in self.addresses.keys() - addresses.keys():
            del self.addresses[name]
        self.addresses.update(addresses)
        self._limits = {row["participant"]: limit for row in rows if (limit := _limit_of(row["limits"]))}
        for name, bulkhead in self._bulkheads.items():
            bulkhead.limit = self._limit(name)
        found = {row["participant"]: circuit_of(row) for row in rows}
        for name in found.keys() | addresses.keys():
            self._breakers.see(name, found.get(name, Circuit()), began_s)

    async def refresh(self, age_s: float | None = None) -> None:
        """Look, unless the last look is younger than that (None: `LOOK_S`); where the ledger is away, what was known stands."""
        async with self._looking:  # whoever waits here finds it done
            if time.monotonic() - self._looked_s < (LOOK_S if age_s is None else age_s):
                return
            try:
                await self.look()
            except OUTAGE as error:
                log.warning("fleet_not_seen", error=str(error).splitlines()[0])

    async def run(self, has_work: Callable[[], bool] = lambda: True) -> None:
        """Look again and again, and report calls that ended Unknown, until cancelled.

        Args:
            has_work: Tells whether calls may be made without a `refresh` just before.
        """
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._breakers.run(), name="report calls")
            tasks.create_task(self._look_on(has_work), name="look at the fleet")

    def may_call(self, participant: str) -> bool:
        """Tell whether a call that is not worth a trial may be made."""
        return participant in self.addresses and self._breakers.is_closed(participant)

    def breaker_of(self, participant: str) -> State:
        """Return how the breaker of a participant stood at the last look."""
        return self._breakers.now(participant).state

    def note(self, participant: str, outcome: Outcome) -> None:
        """Count how a call ended that was made without leave."""
        self._breakers.note(participant, mark_of(outcome))

    def leave_at_once(self, participant: str) -> Pass | None:
        """Give leave for one call that nothing stands against; None where it must be asked for (`leave_for`)."""
        if self.may_call(participant) and self._bulkhead(participant).enter_at_once():
            return Pass(participant)
        return None

    async def leave_for(self, participant: str, call_s: float) -> Pass | Parked:
        """Ask for leave for one call. A pass is given back by `back`, whether or not the call was made.

        Args:
            participant: Who is called.
            call_s: Seconds that the call takes at most.
        """
        if participant not in self.addresses:
            await self.refresh(TICK_S)  # whoever adds a participant and then places an order must not wait for a look
        if participant not in self.addresses:
            return Parked(PARKED_MAX_S, f"{participant} is not registered", away=True)
        try:
            delay_s, trial = await self._breakers.admit(participant, call_s)
        except OUTAGE:
            return Parked(AGAIN_S, f"whether {participant} may be called could not be found out", away=False)
        bulkhead = self._bulkhead(participant)
        if trial:
            bulkhead.force()
            return Pass(participant, trial=True)
        if delay_s == 0:
            if not await bulkhead.enter():
                return Parked(bulkhead.turn_s(), f"{participant} has as many calls on their way as it may have", away=False)
            if self.may_call(participant):
                return Pass(participant)
            bulkhead.leave()  # it went away while this saga stood in line
            delay_s = LOOK_S
        # How the trial of another ends is seen with the next look, mostly long before it must have ended.
        is_tried = self._breakers.now(participant).state is State.HALF_OPEN
        return Parked(min(delay_s, LOOK_S if is_tried else PARKED_MAX_S), self._why(participant), away=True)

    async def back(self, passed: Pass) -> None:
        """Take a pass back, and note how its call ended."""
        mark = mark_of(passed.outcome) if passed.outcome else None
        call_s = time.monotonic() - passed.began_s if mark is not None else None
        self._bulkhead(passed.participant).leave(call_s, answered=mark == ANSWERED)
        if mark is None:
            return
        if passed.trial:
            await self._breakers.conclude(passed.participant, mark)
        else:
            self._breakers.note(passed.participant, mark)

    def _why(self, participant: str) -> str:
        now = self._breakers.now(participant)
        if now.state is State.HELD:
            return f"calls to {participant} are held: {now.reason}"
        return f"{participant} is away: its breaker is {now.state.replace('_', '-')}"

    async def _look_on(self, has_work: Callable[[], bool]) -> None:
        while True:
            await asyncio.sleep(TICK_S)
            # A breaker that is not closed is about to change, which whoever watches the metric waits for.
            is_watched = has_work() or not self._breakers.all_closed
            if time.monotonic() - self._looked_s >= (LOOK_S if is_watched else IDLE_LOOK_S):
                await self.refresh()

    def _bulkhead(self, participant: str) -> Bulkhead:
        if participant not in self._bulkheads:
            self._bulkheads[participant] = Bulkhead(self._limit(participant))
        return self._bulkheads[participant]

    def _limit(self, participant: str) -> int:
        return self._settings.slots_of_one(self._limits.get(participant))

    def _recovered(self, participant: str) -> None:
        self._bulkhead(participant).recover()


def _limit_of(limits: Json) -> int | None:
    """Return the concurrency that a row of the registry allows; None where it says none that makes sense."""
    limit = limits.get("concurrency")
    return limit if isinstance(limit, int) and limit >= 1 else None
