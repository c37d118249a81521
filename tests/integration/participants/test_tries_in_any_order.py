"""Tries, confirms, cancels and expiry in any order: nothing leaks, nothing happens twice, nobody waits in a circle."""

import asyncio
import random
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import pytest

from tests.integration.participants.service import Participant, Reply, StartParticipant
from tests.integration.participants.tries import AMOUNT, MONEY, STOCK, Tries, deadlocks, violations

# Calls are spread over two lifetimes. One of the lifetimes is near the time that a call takes, however slow the machine.
LIFETIMES_S = (0.02, 0.1, 0.02, 0.5)
AT_ONCE = 25
# Each must have happened, or the run says nothing of it.
SOMETIMES = (
    "late try refused",
    "cancel found nothing",
    "confirm beat expiry",
    "expiry beat confirm",
    "confirm reversed",
    "confirm without try refused",
    "repeat served",
)


@dataclass
class Run:
    """One race after another at a service, and what was seen of them.

    Attributes:
        participants: Processes of the service on one database, by the lifetime of their tries.
        confirmed, cancelled: Orders whose confirm or cancel was answered as done.
        seen: How often each of SOMETIMES happened.
    """

    participants: dict[float, Participant]
    tries: Tries
    chance: random.Random
    confirmed: set[str] = field(default_factory=set)
    cancelled: set[str] = field(default_factory=set)
    seen: Counter[str] = field(default_factory=Counter)

    async def race(self, id_: str, lifetime_s: float) -> None:
        """Do 1 to 3 tries, 0 to 2 confirms and 0 to 2 cancels of one order within two lifetimes, and judge the answers."""
        perhaps = ("try", "try", "confirm", "confirm", "cancel", "cancel")
        verbs = ["try", *(verb for verb in perhaps if self.chance.random() < 0.5)]
        ended: list[tuple[str, Reply]] = []

        async def later(verb: str) -> None:
            await asyncio.sleep(self.chance.random() * 2 * lifetime_s)
            undone = any(v == "cancel" for v, _ in ended)
            answer = await self.answer(verb, id_, lifetime_s)
            assert answer.status in (200, 201, 409, 410), answer.body
            if undone and verb != "cancel":
                assert answer.status == 409 or answer.replayed, f"{verb} was done after the cancel was answered"
            ended.append((verb, answer))

        await asyncio.gather(*map(later, verbs))
        await self.judge(id_, ended)

    async def answer(self, verb: str, id_: str, lifetime_s: float) -> Reply:
        """Call, and call again where a busy machine let the service's own time limits pass, as an orchestrator would."""
        async with asyncio.timeout(60):
            while (answer := await self.tries.do(self.participants[lifetime_s], verb, id_)).status == 503:
                await asyncio.sleep(0.05)
        return answer

    async def judge(self, id_: str, ended: list[tuple[str, Reply]]) -> None:
        done = {verb for verb, answer in ended if answer.status < 300}
        firsts = Counter(verb for verb, answer in ended if answer.status < 300 and not answer.replayed)
        refused = {(verb, answer.problem) for verb, answer in ended if answer.status >= 400}
        assert max(firsts.values(), default=0) <= 1, "done twice"
        self.confirmed |= {id_} if "confirm" in done else set()
        self.cancelled |= {id_} if "cancel" in done else set()
        kinds = await self.any.kinds(id_)
        self.seen["late try refused"] += ("try", "fenced") in refused
        self.seen["cancel found nothing"] += "cancel" in done and not kinds
        self.seen["confirm beat expiry"] += "confirm" in done
        self.seen["expiry beat confirm"] += ("confirm", "expired") in refused
        self.seen["confirm reversed"] += {"confirm", "cancel"} <= done and len(kinds) == 3
        self.seen["confirm without try refused"] += ("confirm", "not-tried") in refused
        self.seen["repeat served"] += any(answer.replayed for _, answer in ended)

    @property
    def any(self) -> Participant:
        return next(iter(self.participants.values()))

    async def settle(self) -> list[dict[str, Any]]:
        """Wait until no try is left; return every effect."""
        async with asyncio.timeout(60):
            while self.tries.tried in await self.any.balance():
                await asyncio.sleep(0.02)
        return await self.any.effects()


async def run_races(start: StartParticipant, tries: Tries, races: int) -> Counter[str]:
    first = await start(tries.name, reservation_s=LIFETIMES_S[0])
    await tries.stock(first)
    others = {lifetime_s: {"database_url": first.database_url, "reservation_s": lifetime_s} for lifetime_s in LIFETIMES_S[1:]}
    participants = {lifetime_s: await start(tries.name, **options) for lifetime_s, options in others.items()}
    run = Run({**participants, LIFETIMES_S[0]: first}, tries, random.Random(20_261_121))
    for batch in range(0, races, AT_ONCE):
        lifetime_s = LIFETIMES_S[batch // AT_ONCE % len(LIFETIMES_S)]
        await asyncio.gather(*(run.race(f"o{number}", lifetime_s) for number in range(batch, min(batch + AT_ONCE, races))))
    effects = await run.settle()
    balances: dict[str, Counter[str]] = {f"o{number}": Counter() for number in range(races)}
    for effect in effects:
        balances[effect["order_id"]].update(effect["amounts"])

    assert [key for key, count in Counter(effect["operation_key"] for effect in effects).items() if count > 1] == []
    for order, balance in balances.items():
        stands = order in run.confirmed - run.cancelled
        assert {k: v for k, v in balance.items() if v} == ({tries.stands: AMOUNT} if stands else {}), order
    assert await violations(first, tries.name) == set()
    assert await deadlocks(first) == 0
    return run.seen


@pytest.mark.parametrize("tries", [STOCK, MONEY], ids=lambda tries: tries.name)
async def test_nothing_leaks_and_nothing_happens_twice(start: StartParticipant, tries: Tries) -> None:
    seen = await run_races(start, tries, 200)

    assert {name for name in SOMETIMES if not seen[name]} == set()


@pytest.mark.slow
@pytest.mark.parametrize("tries", [STOCK, MONEY], ids=lambda tries: tries.name)
async def test_nothing_leaks_in_three_thousand_races(start: StartParticipant, tries: Tries) -> None:
    seen = await run_races(start, tries, 3_000)

    assert {name for name in SOMETIMES if not seen[name]} == set()
