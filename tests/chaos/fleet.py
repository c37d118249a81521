"""The processes of a run: participants, replicas and edges that are killed, frozen, stopped and started again.

::

    clients ──▶ edges, replicas ──HTTP proxies──▶ participants
                        └──────SQL proxies──────────┴──▶ PostgreSQL
"""

import asyncio
import contextlib
import re
import signal
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

import aiohttp

from orchestrator.operations.part import start_part
from orchestrator.operations.plan import Addresses, Listeners, PartPlan, StackPlan, plan_parts, reserve_addresses
from orchestrator.operations.ports import Ports
from orchestrator.settings import LEASE_MARGIN_S
from tests.acceptance.commands import clean_environment
from tests.acceptance.stack import SETTINGS, STOP_S, Process

SCALED: Final = {
    **SETTINGS,
    "SAGA_POLL_INTERVAL_S": "0.3",
    "SAGA_RETRY_FIRST_S": "0.05",
    "SAGA_RETRY_FACTOR": "4",
    "SAGA_FAULTS": "0",
    "SAGA_CONCURRENCY": "60",
    "SAGA_BREAKER_OPEN_S": "0.5",
    "SAGA_BREAKER_WINDOW": "10",
}
"""The waits of a retry come to 4.25 s instead of 85, so that a participant's restart uses up some attempts and not all."""
READY_S: Final = 60.0
RESERVATION_S: Final = 1.0
"""How long a try holds at the participants."""
ENDS_MAX: Final = 20
_COUNTER: Final = re.compile(r"^(\w+_total)(?:\{(.*)\})? (\S+)$", re.MULTILINE)
_LABEL: Final = re.compile(r'\w+="([^"]*)"')


@dataclass(frozen=True)
class FleetPlan:
    """What a fleet consists of, beside the participants.

    Attributes:
        replicas, edges: How many of each.
        lease_s: Of a claim; a call has as much of it as the settings' own check allows.
        others: Further settings of every process.
    """

    replicas: int
    edges: int
    lease_s: float
    others: Mapping[str, str]

    @property
    def timeout_s(self) -> float:
        """Of one call to a participant."""
        return round(self.lease_s * 2 / 3 - LEASE_MARGIN_S - 0.05, 2)

    @property
    def settings(self) -> dict[str, str]:
        """Of every process."""
        return {**self.others, "SAGA_LEASE_S": f"{self.lease_s:g}", "SAGA_STEP_TIMEOUT_S": f"{self.timeout_s:g}"}


@dataclass(eq=False)
class Slot:
    """A place in the fleet that one process after another holds.

    Attributes:
        kind: `replica`, `edge` or a participant's name.
        plan: How it is started.
        process: What holds it now; None before the first start.
        expected_end: Whether what ended it was the nemesis.
        frozen: Whether it is stopped at present.
        held: Whether it is not to be started again yet.
        ready: Whether its process has answered that it is well.
    """

    kind: str
    plan: PartPlan
    process: Process | None = None
    expected_end: bool = False
    frozen: bool = False
    held: bool = False
    ready: bool = False

    @property
    def alive(self) -> bool:
        return self.process is not None and self.process.alive


@dataclass
class Fleet:
    """Everything that runs but PostgreSQL.

    Args:
        folder: For logs.
        ports: Holds the ports of the fleet for as long as it lives, so that a process finds its own again.
        asked: What it consists of.

    Attributes:
        ended: Processes that ended by themselves in the midst of their work, in sentences.
        gave_up: Processes that ended before they were ready: with the database away, they may.
        metrics: Largest value that each process showed, summed by name over all that ever ran.
    """

    folder: Path
    ports: Ports
    asked: FleetPlan
    slots: list[Slot] = field(default_factory=list)
    ended: list[str] = field(default_factory=list)
    gave_up: list[str] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    memory_max_mb: float = 0.0
    _seen: dict[tuple[int, str, tuple[str, ...]], float] = field(default_factory=dict)
    _processes: list[Process] = field(default_factory=list)
    _addresses: Addresses | None = None
    _stack: StackPlan | None = None

    def reserve(self) -> dict[str, int]:
        """Reserve every port; those of the participants, by name."""
        self._stack = StackPlan(
            folder=self.folder,
            database_url="",
            listeners=Listeners(),
            replicas=self.asked.replicas,
            databases_of=lambda _: {},
            environment=clean_environment(**self.asked.settings),
            cwd=self.folder,
        )
        self._addresses = reserve_addresses(self._stack, self.ports)
        return dict(self._addresses.participants)

    def plan(self, ledger_urls: Mapping[str, str], databases: Mapping[str, str], participants: Mapping[str, str]) -> None:
        """Say how everything reaches everything.

        Args:
            ledger_urls: The ledger, for `replica` and for `edge`.
            databases: The participants', by name.
            participants: Address of each, by name.
        """
        assert self._stack is not None
        assert self._addresses is not None
        addresses = {f"SAGA_{name.upper()}_URL": url for name, url in participants.items()}
        stack = replace(self._stack, databases_of=lambda _: databases)
        for part in plan_parts(stack, self._addresses, ledger_urls["replica"]):
            if part.name in participants:
                # Edges and replicas would refuse so short a time for sagas that try; here nobody but the races does.
                environment = {**part.environment, "SAGA_RESERVATION_S": f"{RESERVATION_S:g}"}
                self.slots.append(Slot(part.name, replace(part, environment=environment)))
            elif part.name == "edge":
                self.slots += self._plan_edges(part, {**addresses, "SAGA_DATABASE_URL": ledger_urls["edge"]})
            else:
                self.slots.append(Slot("replica", replace(part, environment={**part.environment, **addresses})))

    def _plan_edges(self, part: PartPlan, settings: Mapping[str, str]) -> list[Slot]:
        slots = []
        for number in range(1, self.asked.edges + 1):
            port, admin_port = (self.ports.reserve("127.0.0.1", 0, setting="nothing") for _ in range(2))
            own = {"SAGA_PORT": str(port), "SAGA_ADMIN_PORT": str(admin_port)}
            # The last edge tells nobody what it records: the poll has to find it.
            own["SAGA_NOTIFY"] = "on" if number < self.asked.edges else "off"
            url = f"http://127.0.0.1:{port}/readyz"
            environment = {**part.environment, **settings, **own}
            slots.append(Slot("edge", replace(part, name=f"edge-{number}", environment=environment, health_url=url)))
        return slots

    # --- what it consists of ------------------------------------------------------------------------------------------

    def of(self, kind: str) -> list[Slot]:
        return [slot for slot in self.slots if slot.kind == kind]

    @property
    def edge_urls(self) -> list[str]:
        return [slot.plan.health_url.rpartition("/")[0] for slot in self.of("edge")]

    @property
    def silent_edge_url(self) -> str:
        """Address of the edge that notifies nobody."""
        return self.edge_urls[-1]

    def holder(self, lease_owner: str) -> Slot | None:
        """Return the replica of this name, which is host-pid-random; None when it is gone."""
        replicas = self.of("replica")
        return next((s for s in replicas if s.alive and s.process and f"-{s.process.pid}-" in lease_owner), None)

    # --- start and end ------------------------------------------------------------------------------------------------

    def start(self, slot: Slot) -> None:
        """Start a process in a slot whose last one has ended."""
        slot.process = Process(start_part(slot.plan, self.folder, self.folder), slot.plan.health_url.rpartition("/")[0])
        slot.process.part.release()
        slot.expected_end = slot.frozen = slot.ready = False
        self._processes.append(slot.process)
        self.counts[f"{slot.kind} started"] += 1

    async def kill(self, slot: Slot) -> None:
        """Kill a process as a power cut would."""
        if slot.process is None:
            return
        slot.expected_end = True
        await asyncio.to_thread(slot.process.kill)

    async def stop(self, slot: Slot) -> None:
        """Have a process stop in good order; one that does not is noted and killed."""
        if slot.process is None or not slot.alive:
            return
        slot.expected_end = True
        try:
            code = await asyncio.to_thread(slot.process.stop)
        except AssertionError as error:
            self.ended.append(str(error))
            await self.kill(slot)
            return
        if code not in (0, -signal.SIGKILL):  # another act may have killed it meanwhile
            self.ended.append(f"{slot.plan.name} stopped with code {code}: {slot.process.part.last_words()}")

    def revive(self) -> list[Slot]:
        """Start what has ended; note what ended by itself."""
        dead = [slot for slot in self.slots if slot.process is not None and not slot.alive and not slot.held]
        for slot in dead:
            assert slot.process is not None
            if not slot.expected_end:
                ended = self.ended if slot.ready else self.gave_up
                ended.append(f"{slot.plan.name} ended by itself: {slot.process.part.last_words()}")
            self.start(slot)
        return dead

    async def ready(self, session: aiohttp.ClientSession) -> None:
        """Wait until everything answers that it is well."""
        before = len(self.gave_up)
        async with asyncio.timeout(READY_S):
            for slot in self.slots:
                while not await self.is_well(session, slot):
                    self.revive()
                    assert len(self.gave_up) - before <= ENDS_MAX, f"processes end again and again: {self.gave_up[-1]}"
                    await asyncio.sleep(0.05)

    def close(self) -> None:
        """End every process."""
        for process in self._processes:
            process.part.signal(9)
        for process in self._processes:
            process.part.wait(STOP_S)
            process.part.close()

    @staticmethod
    async def is_well(session: aiohttp.ClientSession, slot: Slot) -> bool:
        """Tell whether the process of a slot answers that it is ready."""
        try:
            async with asyncio.timeout(2), session.get(slot.plan.health_url) as answer:
                slot.ready = slot.ready or answer.status == 200
                return answer.status == 200
        except (aiohttp.ClientError, OSError, TimeoutError):
            return False

    # --- what it shows ------------------------------------------------------------------------------------------------

    async def look(self, session: aiohttp.ClientSession) -> None:
        """Read every replica's metrics and size; what a process counted stays counted when it is gone."""
        await asyncio.gather(*(self._look_at(session, slot) for slot in self.of("replica") if slot.alive))
        await asyncio.gather(*(self.is_well(session, slot) for slot in self.slots if slot.alive and not slot.ready))

    def metric(self, name: str, label: str | None = None) -> float:
        """Return a counter's sum over every replica that ever ran; only samples that have the label's value, if given."""
        return sum(v for (_, seen, labels), v in self._seen.items() if seen == name and (label is None or label in labels))

    def logged(self, *parts: str) -> int:
        """Count the lines that replicas wrote which hold all of these."""
        logs = {slot.plan.name: self.folder / f"{slot.plan.name}.log" for slot in self.of("replica")}
        lines = (line for log in logs.values() for line in log.read_text(encoding="utf-8", errors="replace").splitlines())
        return sum(all(part in line for part in parts) for line in lines)

    async def _look_at(self, session: aiohttp.ClientSession, slot: Slot) -> None:
        assert slot.process is not None
        pid = slot.process.pid
        self.memory_max_mb = max(self.memory_max_mb, _memory_mb(pid))
        with contextlib.suppress(aiohttp.ClientError, OSError, TimeoutError):
            async with asyncio.timeout(1), session.get(f"{slot.process.url}/metrics") as answer:
                for name, labels, value in _COUNTER.findall(await answer.text()):
                    self._seen[pid, name, tuple(_LABEL.findall(labels))] = float(value)


def _memory_mb(pid: int) -> float:
    """Return what a process has in memory; 0 for one that is gone."""
    with contextlib.suppress(OSError, ValueError, IndexError):
        return int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1]) * 4096 / 2**20
    return 0.0
