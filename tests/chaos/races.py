"""Tries whose confirm comes when their time is over, sent to the participants themselves: exactly one of the two wins.

What orders do with tries is theirs; this is about the participants' clock, in the midst of their restarts.
"""

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

import aiohttp

from tests.chaos.auditor import Violation
from tests.chaos.direct import Direct
from tests.chaos.fleet import RESERVATION_S
from tests.chaos.generator import ORDINARY, Json

AT_ONCE: Final = 4
"""So many races are on at any moment."""
PATIENCE_S: Final = 3.0
STANDS: Final = """
    select coalesce(sum(posting.value::bigint), 0)::bigint as units
    from effect cross join lateral jsonb_each_text(amounts) as posting where order_id = %s and posting.key = %s
"""
LEFT: Final = """
    select coalesce(sum(posting.value::bigint), 0)::bigint as units
    from effect cross join lateral jsonb_each_text(amounts) as posting where order_id = %s
"""


@dataclass(frozen=True, slots=True)
class Race:
    """One try.

    Attributes:
        participant: Where.
        name: Of the order that it is for, which the ledger does not know.
        confirmed: What came of it: True for confirmed, False for its time was over, None for cancelled or not tried.
    """

    participant: str
    name: str
    confirmed: bool | None


class Races:
    """Runs races until told to stop.

    Args:
        session: HTTP session.
        participants: Address of each, past the proxies.
        seed: Of the run.

    Attributes:
        over: Those that are over.
        counts: What came of them.
    """

    def __init__(self, session: aiohttp.ClientSession, participants: Mapping[str, str], seed: int) -> None:
        self.over: list[Race] = []
        self.counts: Counter[str] = Counter()
        self._session = session
        self._participants = participants
        self._seed = seed

    async def run(self) -> None:
        """Race until cancelled."""
        await asyncio.gather(*(self._race_on(track) for track in range(AT_ONCE)))

    async def _race_on(self, track: int) -> None:
        number = 0
        while True:
            number += 1
            name = f"race-{self._seed}-{track}-{number}"
            dice = random.Random(name)
            participant = dice.choice(("inventory", "payments"))
            confirmed = await asyncio.shield(asyncio.create_task(self._race(participant, name, dice)))
            self.over.append(Race(participant, name, confirmed))

    async def _race(self, participant: str, name: str, dice: random.Random) -> bool | None:
        body = _try_of(participant, name)
        if await self._surely(participant, "try", name, body) != 201:
            self.counts["tries refused"] += 1
            return None
        await asyncio.sleep(max(0.0, dice.gauss(RESERVATION_S, 0.3)))
        verb = "cancel" if dice.random() < 0.1 else "confirm"
        statuses = await asyncio.gather(
            *(self._surely(participant, verb, name, _ref_of(participant, name)) for _ in range(dice.randint(1, 3)))
        )
        if verb == "cancel":
            return None
        if len(set(statuses)) > 1:
            self.counts["confirms answered in two ways"] += 1
        won = statuses[0] == 200
        self.counts["confirms that beat the expiry" if won else "expiries that beat a confirm"] += 1
        return won

    async def _surely(self, participant: str, verb: str, name: str, body: Json) -> int:
        """Call until there is an answer that is final; the status."""
        path = _path_of(participant, verb, name)
        while True:
            with suppress(aiohttp.ClientError, OSError, TimeoutError):
                url, headers = self._participants[participant] + path, {"Idempotency-Key": f"{name}/{verb}"}
                async with asyncio.timeout(PATIENCE_S), self._session.post(url, json=body, headers=headers) as answer:
                    if answer.status < 500 and answer.status != 429:
                        return answer.status
            await asyncio.sleep(0.1)


async def check_races(races: Races, databases: Direct) -> AsyncIterator[Violation]:
    """Find tries of which not exactly what was told stands."""
    if races.counts["confirms answered in two ways"]:
        yield Violation("a confirm and its repeat were answered in different ways")
    for race in races.over:
        account = "reserved" if race.participant == "inventory" else "captured"
        stands = (await databases.ask(STANDS, race.name, account, database=race.participant))[0]["units"]
        left = (await databases.ask(LEFT, race.name, database=race.participant))[0]["units"]
        if (stands, left) != ((1, 1) if race.confirmed else (0, 0)):
            yield Violation(f"{race}: {stands} stands confirmed and {left} in all")


def _try_of(participant: str, name: str) -> Json:
    if participant == "inventory":
        return {"order_id": name, "lines": [{"sku": ORDINARY[0], "quantity": 1}]}
    return {**_ref_of(participant, name), "amount_minor": 1, "currency": "GBP", "payment_method": "pm_card"}


def _ref_of(participant: str, name: str) -> Json:
    return {"order_id": name} if participant == "inventory" else {"reservation_id": name, "order_id": name}


def _path_of(participant: str, verb: str, name: str) -> str:
    base = "/inventory/stock" if participant == "inventory" else "/payments"
    return f"{base}/{verb}" if verb == "try" else f"{base}/{verb}/{name}"
