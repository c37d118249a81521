"""Carries a schedule out: what dies, freezes, restarts and breaks, with a log of what was done to whom."""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import Any, Final

import aiohttp

from tests.chaos import direct
from tests.chaos.direct import AWAY, Direct
from tests.chaos.fleet import Fleet, Slot
from tests.chaos.http_proxy import HttpProxy
from tests.chaos.schedule import Act, Deed, Disruption
from tests.chaos.server import Mode, Server
from tests.chaos.sql_proxy import SqlProxy

FREEZE_MAX_LEASES: Final = 3
"""A frozen replica is woken after so many, whether its orders were taken over or not."""
CALL_LAG_S: Final = 0.5
LOST: Final = "saga_lease_lost_total"
ACTS_AT_ONCE: Final = 3
REPLACED_MAX_S: Final = 20.0
"""Together with the limit above it keeps a slow machine from doing nothing but start processes."""
STARVE_S: Final = 0.05
SEEN_MAX_S: Final = 10.0
AT_WORK: Final = ("orders", "inventory", "payments")
"""The participants that an order calls."""


class Nemesis:
    """Does harm, and can tell what harm it did.

    Args:
        fleet: The processes.
        server: PostgreSQL.
        ways: The SQL proxies.
        proxies: The HTTP proxies, by participant.
        ledger: For choosing whom to freeze.
        session: HTTP session for looking at metrics.
        say: Given a line for each thing that is done.
    """

    def __init__(
        self,
        fleet: Fleet,
        server: Server,
        ways: list[SqlProxy],
        proxies: dict[str, HttpProxy],
        ledger: Direct,
        session: aiohttp.ClientSession,
        say: Callable[[str], None],
    ) -> None:
        self.disruptions: list[Disruption] = []
        self.counts: Counter[str] = Counter()
        self._fleet = fleet
        self._server = server
        self._ways = ways
        self._proxies = proxies
        self._ledger = ledger
        self._session = session
        self._say = say
        self._server_lock = asyncio.Lock()
        self._at_work: set[asyncio.Task[None]] = set()

    async def run(self, acts: Iterable[Act]) -> None:
        """Begin one act after the other, until cancelled; `calm` waits for the end of those that were begun."""
        limit = asyncio.Semaphore(ACTS_AT_ONCE)
        for act in acts:
            await asyncio.sleep(act.after_s)
            await limit.acquire()
            task = asyncio.create_task(self.carry_out(act))
            self._at_work.add(task)
            task.add_done_callback(self._at_work.discard)
            task.add_done_callback(lambda _: limit.release())

    async def calm(self) -> None:
        """Wait for what was begun, then leave everything whole: nothing is frozen, broken or down."""
        await asyncio.gather(*self._at_work)
        for way in self._ways:
            way.calm()
        for proxy in self._proxies.values():
            proxy.away, proxy.flapping, proxy.lag_s = False, False, 0.0
        for slot in self._fleet.slots:
            slot.held = False
            if slot.frozen and slot.process:
                slot.process.thaw()
                slot.frozen = False
        self._fleet.revive()

    async def carry_out(self, act: Act) -> None:
        """Do one act to its end."""
        began_s = time.time()
        try:
            whom = await self._do(act)
        except AWAY as error:
            whom = f"nothing: the ledger is away ({str(error).splitlines()[0]})"
        self.counts[act.deed] += 1
        self.disruptions.append(Disruption(began_s, time.time(), f"{act.deed}: {whom}"))
        self._say(f"{act} -> {whom}, took {time.time() - began_s:.1f} s")

    async def _do(self, act: Act) -> str:
        way = self._ways[act.pick % len(self._ways)]
        match act.deed:
            case Deed.KILL_REPLICA | Deed.KILL_EDGE | Deed.KILL_PARTICIPANT:
                return await self._kill([self._slot(act)], act.duration_s)
            case Deed.KILL_REPLICAS:
                return await self._kill(self._fleet.of("replica"), act.duration_s)
            case Deed.STOP_REPLICA | Deed.STOP_EDGE:
                return await self._stop(self._slot(act))
            case Deed.FREEZE_REPLICA:
                return await self._freeze_a_holder(act)
            case Deed.FREEZE_EDGE | Deed.FREEZE_PARTICIPANT:
                return await self._freeze(self._slot(act), act.duration_s)
            case Deed.STARVE_REPLICAS:
                return await self._starve(act.duration_s)
            case Deed.RESTART_FAST:
                return await self._restart("fast", act.duration_s)
            case Deed.RESTART_IMMEDIATE:
                return await self._restart("immediate", act.duration_s)
            case Deed.KILL_POSTMASTER:
                return await self._restart("kill", act.duration_s)
            case Deed.END_LISTENERS:
                return await self._end_listeners()
            case Deed.END_SESSIONS:
                return f"{len(await self._ledger.ask(direct.END_ALL))} sessions"
            case Deed.REMOVE_PARTICIPANT | Deed.FLAP_PARTICIPANT:
                return await self._disturb_participant(act)
        return await self._disturb_way(way, act)

    def _slot(self, act: Act) -> Slot:
        if act.deed in (Deed.KILL_PARTICIPANT, Deed.FREEZE_PARTICIPANT):
            return self._fleet.of(AT_WORK[act.pick % len(AT_WORK)])[0]
        kind = "edge" if act.deed in (Deed.KILL_EDGE, Deed.STOP_EDGE, Deed.FREEZE_EDGE) else "replica"
        slots = self._fleet.of(kind)
        return slots[act.pick % len(slots)]

    # --- processes ----------------------------------------------------------------------------------------------------

    async def _kill(self, slots: list[Slot], down_s: float) -> str:
        for slot in slots:
            slot.held = True
        await self._fleet.look(self._session)
        await asyncio.gather(*(self._fleet.kill(slot) for slot in slots))
        await asyncio.sleep(down_s)
        await self._replace(slots)
        return ", ".join(slot.plan.name for slot in slots)

    async def _stop(self, slot: Slot) -> str:
        if slot.frozen or slot.held or not await self._is_started(slot):
            return f"nothing: {slot.plan.name} is down, frozen or has only been started"
        slot.held = True
        await self._fleet.look(self._session)
        await self._fleet.stop(slot)
        await self._replace([slot])
        return slot.plan.name

    async def _replace(self, slots: list[Slot]) -> None:
        """Start new processes in place of those that are gone, and wait until they work or are gone as well."""
        for slot in slots:
            slot.held = False
        self._fleet.revive()
        with suppress(TimeoutError):
            async with asyncio.timeout(REPLACED_MAX_S):
                while not all([slot.ready or await self._fleet.is_well(self._session, slot) for slot in slots]):
                    await asyncio.sleep(0.1)

    async def _is_started(self, slot: Slot) -> bool:
        """Tell whether a process is far enough to know what SIGTERM means."""
        return slot.alive and await self._fleet.is_well(self._session, slot)

    async def _freeze(self, slot: Slot, duration_s: float) -> str:
        async with self._frozen(slot):
            await asyncio.sleep(duration_s)
        return slot.plan.name

    async def _freeze_a_holder(self, act: Act) -> str:
        """Freeze a replica in mid-work until every order that it holds was taken over, then wake it."""
        with self._lagging():
            slot = await self._holder(act)
            if slot is None or slot.process is None:
                return "nothing: no replica holds an order"
            slot.process.freeze()
        mine = f"%-{slot.process.pid}-%"
        async with self._frozen(slot):
            held, lost = len(await self._ledger.surely(direct.LEASES, mine)), self._fleet.metric(LOST)
            with suppress(TimeoutError):
                async with asyncio.timeout(self._fleet.asked.lease_s * FREEZE_MAX_LEASES):
                    while await self._ledger.surely(direct.LEASES, mine):
                        await asyncio.sleep(0.1)
        await self._knows_what_it_lost(slot, lost)
        self.counts["zombies woken"] += 1
        return f"{slot.plan.name}, which held {held} orders"

    @contextmanager
    def _lagging(self) -> Iterator[None]:
        """Keep calls on their way for a while, so that a replica is met with some."""
        for proxy in self._proxies.values():
            proxy.lag_s = CALL_LAG_S
        try:
            yield
        finally:
            for proxy in self._proxies.values():
                proxy.lag_s = 0.0

    async def _holder(self, act: Act) -> Slot | None:
        for _ in range(int(SEEN_MAX_S / 0.05)):
            slots = [slot for slot in self._fleet.of("replica") if slot.alive and not slot.frozen and not slot.held]
            for place in range(len(slots)):
                slot = slots[(act.pick + place) % len(slots)]
                if slot.process and await self._ledger.ask(direct.LEASES, f"%-{slot.process.pid}-%"):
                    return slot
            await asyncio.sleep(0.05)
        return None

    async def _knows_what_it_lost(self, slot: Slot, lost_before: float) -> None:
        """Wait until a woken replica has found out that its orders are somebody else's, or until that can't come any more."""
        with suppress(TimeoutError):
            async with asyncio.timeout(SEEN_MAX_S):
                while slot.alive and self._fleet.metric(LOST) <= lost_before:
                    await asyncio.sleep(0.05)
                    await self._fleet.look(self._session)

    @asynccontextmanager
    async def _frozen(self, slot: Slot) -> AsyncIterator[None]:
        process = slot.process
        if process is not None:
            process.freeze()
        slot.frozen = True
        try:
            yield
        finally:
            slot.frozen = False
            if process is not None:
                process.thaw()

    async def _starve(self, duration_s: float) -> str:
        slots = [slot for slot in self._fleet.of("replica") if slot.alive and not slot.frozen]
        deadline = time.monotonic() + duration_s
        while time.monotonic() < deadline:
            for slot in slots:
                async with self._frozen(slot):
                    await asyncio.sleep(STARVE_S)
        return f"{len(slots)} replicas"

    # --- the server, the participants and the networks ------------------------------------------------------------------

    async def _restart(self, mode: Mode, down_s: float) -> str:
        async with self._server_lock:
            await asyncio.to_thread(self._server.down, mode)
            await asyncio.sleep(down_s)
            await asyncio.to_thread(self._server.up)
        self.counts["restarts of PostgreSQL"] += 1
        return mode

    async def _end_listeners(self) -> str:
        ended: set[int] = set()
        with suppress(TimeoutError):
            async with asyncio.timeout(SEEN_MAX_S):
                # Right after a restart there may be none yet.
                while not ended:
                    await asyncio.sleep(0.05)
                    ended = {row["pid"] for row in await self._ledger.surely(direct.END_LISTENERS) if row["ended"]}
        with suppress(TimeoutError):
            async with asyncio.timeout(SEEN_MAX_S):
                while ended:
                    now = {row["pid"] for row in await self._ledger.surely(direct.LISTENERS)}
                    if len(now - ended) >= min(len(ended), sum(slot.alive for slot in self._fleet.of("replica"))):
                        self.counts["listeners that came back"] += len(now - ended)
                        break
                    await asyncio.sleep(0.05)
        return f"{len(ended)} listeners"

    async def _disturb_participant(self, act: Act) -> str:
        proxy = self._proxies[AT_WORK[act.pick % len(AT_WORK)]]
        setting = "away" if act.deed is Deed.REMOVE_PARTICIPANT else "flapping"
        setattr(proxy, setting, True)
        await asyncio.sleep(act.duration_s)
        setattr(proxy, setting, False)
        return proxy.name

    async def _disturb_way(self, way: SqlProxy, act: Act) -> str:
        disturb: dict[Deed, Callable[[], Any]] = {
            Deed.LOSE_COMMITS: lambda: way.lose_commits(act.count),
            Deed.CUT_SQL: lambda: way.cut(act.count),
            Deed.HALF_CLOSE_SQL: lambda: way.half_close(act.count),
            Deed.STALL_SQL: way.stall,
            Deed.DEGRADE_SQL: lambda: way.degrade(0.1, 0.02),
        }
        disturb[act.deed]()
        await asyncio.sleep(act.duration_s)
        with suppress(TimeoutError):
            async with asyncio.timeout(SEEN_MAX_S):
                while way.commits_to_lose:
                    await asyncio.sleep(0.02)
        way.flow()
        way.degrade(0.0, 0.0)
        return f"the way of the {way.name}"
