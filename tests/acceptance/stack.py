"""A stack of real processes whose parts a test may stop, kill, freeze and replace, with timings scaled down.

It takes the product's own description of a stack and its own way to start a part; so nothing of it outlives the tests,
however they end.
"""

import contextlib
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from psycopg.conninfo import conninfo_to_dict, make_conninfo

from orchestrator.operations.part import Part, start_part
from orchestrator.operations.plan import Addresses, Listeners, PartPlan, StackPlan, plan_parts, reserve_addresses
from orchestrator.operations.ports import Ports
from tests.acceptance.canaries import PERSON, SECRET, logs_in, showing
from tests.acceptance.commands import call, clean_environment, wait_for

LEASE_S = 3.0
EDGE_TIMEOUT_S = 0.5
STEP_TIMEOUT_S = 1.3  # twice what a busy machine needs for the slowest of thirty calls at once
RETRY_FIRST_S = 0.02
RETRY_FACTOR = 2.0
CLIENTS = {"shop": f"shop-{SECRET}-1234", "rival": f"rival-{SECRET}-1234"}
SETTINGS = {
    "SAGA_RETRY_FIRST_S": f"{RETRY_FIRST_S:g}",
    "SAGA_RETRY_FACTOR": f"{RETRY_FACTOR:g}",
    "SAGA_LEASE_S": f"{LEASE_S:g}",
    "SAGA_STEP_TIMEOUT_S": f"{STEP_TIMEOUT_S:g}",
    "SAGA_EDGE_TIMEOUT_S": f"{EDGE_TIMEOUT_S:g}",
    "SAGA_POLL_INTERVAL_S": "0.5",
    "SAGA_FAULTS": "1",
    "SAGA_LOG_LEVEL": "info",
    "SAGA_BREAKER_OPEN_S": "0.5",
    "SAGA_BREAKER_WINDOW": "1000",  # or the faults of one test would have the orders of the next wait
    "SAGA_API_KEYS": ",".join(f"{client}={key}" for client, key in CLIENTS.items()),
    "SAGA_DATABASE_CONNECTIONS": "4",
    "SAGA_PARTICIPANT_POOL_SIZE": "6",
    "SAGA_WEBHOOK_TIMEOUT_S": "1",
    "SAGA_WEBHOOK_RETRY_FIRST_S": "0.2",
    "SAGA_WEBHOOK_RETRY_FACTOR": "2",
    "SAGA_WEBHOOK_RETRY_ATTEMPTS": "6",
}
REPLICAS = 2
EDGES = 2
READY_S = 30.0
STOP_S = 10.0  # the contract's limit for an orderly stop


@dataclass
class Process:
    """A part that runs; `url` is where its health is, and its metrics, which an edge has at `admin_url`."""

    part: Part
    url: str
    admin_url: str = ""

    @property
    def pid(self) -> int:
        return self.part.pid

    @property
    def alive(self) -> bool:
        return self.part.ended() is None

    def kill(self) -> None:
        """Kill it as a power cut would, and wait until it is gone."""
        self.part.signal(signal.SIGKILL)
        self.part.wait(STOP_S)

    def freeze(self) -> None:
        self.part.signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self.part.signal(signal.SIGCONT)

    @contextmanager
    def frozen(self) -> Iterator[None]:
        self.freeze()
        try:
            yield
        finally:
            self.thaw()

    def stop(self) -> int:
        """Stop it in good order; the exit code."""
        self.part.signal(signal.SIGTERM)
        self.part.wait(STOP_S)
        code = self.part.ended()
        assert code is not None, f"{self.part.name} did not stop within {STOP_S:g} s"
        return code

    def is_well(self) -> bool:
        assert self.alive, f"{self.part.name} ended: {self.part.last_words()}"
        return call(f"{self.url}/{'readyz' if self.part.name == 'edge' else 'healthz'}")[0] == 200


class Stack:
    """Participants for the whole of its life; replicas and edges that come and go.

    Args:
        folder: For logs; the processes run in it.
        databases: URL of each database, `ledger` among them.
    """

    def __init__(self, folder: Path, databases: Mapping[str, str], ports: Ports) -> None:
        self.databases = dict(databases)
        self.replicas: list[Process] = []
        self.edges: list[Process] = []
        self._folder = folder
        self._ports = ports
        self._started: list[Process] = []
        told = {name: with_password(url) for name, url in databases.items()}
        self._participants = {name: url for name, url in told.items() if name != "ledger"}
        self._plan = StackPlan(
            folder=folder,
            database_url=told["ledger"],
            listeners=Listeners(),
            replicas=1,
            databases_of=lambda _: self._participants,
            environment=clean_environment(**SETTINGS),
            cwd=folder,
        )
        self._addresses = reserve_addresses(self._plan, ports)
        self.participants = {name: f"http://127.0.0.1:{port}" for name, port in self._addresses.participants.items()}

    @property
    def processes(self) -> list[Process]:
        """Every process of the stack that runs."""
        return [process for process in self._started if process.alive]

    @property
    def edge_urls(self) -> list[str]:
        return [edge.url for edge in self.edges]

    @property
    def admin_urls(self) -> list[str]:
        return [edge.admin_url for edge in self.edges]

    @property
    def environment(self) -> Mapping[str, str]:
        """What a command that is run on this stack is given."""
        return next(self._plans(self._addresses)).environment

    def start(self) -> None:
        """Start everything at once and wait until it is well."""
        participants = [self._start(plan) for plan in self._plans(self._addresses) if plan.name in self.participants]
        self.replicas = [self._start_replica() for _ in range(REPLICAS)]
        self.edges = [self._start_edge() for _ in range(EDGES)]
        self._wait_until_well([*participants, *self.replicas, *self.edges])

    def restore(self) -> None:
        """Bring back what a test took away, and take away what it brought."""
        for process in (*self.replicas, *self.edges):
            process.thaw()
        self.replicas = [replica for replica in self.replicas if replica.alive]
        self.edges = [edge for edge in self.edges if edge.alive]
        replicas = [self._start_replica() for _ in range(REPLICAS - len(self.replicas))]
        edges = [self._start_edge() for _ in range(EDGES - len(self.edges))]
        self.replicas += replicas
        self.edges += edges
        self._wait_until_well([*replicas, *edges])
        for url in self.participants.values():
            assert call(f"{url}/test/reset", {})[0] in (200, 204)

    @contextmanager
    def only_replica(self, **settings: str) -> Iterator[Process]:
        """Have one replica with settings of its own do all the work."""
        for replica in self.replicas:
            assert replica.stop() == 0
        self.replicas = [self._start_replica(**settings)]
        self._wait_until_well(self.replicas)
        try:
            yield self.replicas[0]
        finally:
            for replica in self.replicas:
                assert replica.stop() == 0

    @contextmanager
    def only(self, **settings: str) -> Iterator[None]:
        """Have one edge and one replica with settings of their own in place of all, started anew."""
        for process in (*self.edges, *self.replicas):
            assert not process.alive or process.stop() == 0
        self.edges, self.replicas = [self._start_edge(**settings)], [self._start_replica(**settings)]
        self._wait_until_well([*self.edges, *self.replicas])
        try:
            yield
        finally:
            for process in (*self.edges, *self.replicas):
                assert process.stop() == 0

    def add_replicas(self, count: int, **settings: str) -> list[Process]:
        """Start so many more, with settings in place of the stack's."""
        more = [self._start_replica(**settings) for _ in range(count)]
        self.replicas += more
        self._wait_until_well(more)
        return more

    def add_edge(self, like: Process | None = None, **settings: str) -> Process:
        """Start one more edge with settings of its own, which whoever asked for it stops.

        Args:
            like: An edge that has ended, in whose place it listens; None for addresses of its own.
            settings: In place of the stack's.
        """
        at = None if like is None else (port_of(like.url), port_of(like.admin_url))
        edge = self._start_edge(at, **settings)
        self._wait_until_well([edge])
        return edge

    def replica_of(self, lease_owner: str) -> Process:
        """Return the replica of this name, which is host-pid-random."""
        return next(replica for replica in self.replicas if f"-{replica.pid}-" in lease_owner)

    def other_than(self, replica: Process) -> Process:
        return next(other for other in self.replicas if other is not replica)

    def audit(self, *of: str) -> subprocess.CompletedProcess[str]:
        """Run `saga audit` on this stack, or one of its commands."""
        return self.saga("audit", *of, "--json")

    def saga(self, *words: str, **settings: str) -> subprocess.CompletedProcess[str]:
        """Run a command on this stack."""
        return subprocess.run(
            [sys.executable, "-P", "-m", "cli", *words],
            env={**self.environment, **settings},
            cwd=self._folder,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def close(self) -> None:
        """End every process; none of them has anything left to do."""
        for process in self._started:
            process.part.signal(signal.SIGKILL)
        for process in self._started:
            process.part.wait(STOP_S)
            process.part.close()

    def _plans(self, addresses: Addresses, **settings: str) -> Iterator[PartPlan]:
        for part in plan_parts(self._plan, addresses, str(self._plan.database_url)):
            yield replace(part, environment={**part.environment, **settings})

    def _start_replica(self, **settings: str) -> Process:
        addresses = replace(self._addresses, orchestrators=(self._free_port(),))
        return self._start(next(p for p in self._plans(addresses, **settings) if p.name.startswith("orchestrator")))

    def _start_edge(self, at: tuple[int, int] | None = None, **settings: str) -> Process:
        edge, admin = at or (self._free_port(), self._free_port())
        addresses = replace(self._addresses, edge=edge, admin=admin)
        return self._start(next(p for p in self._plans(addresses, **settings) if p.name == "edge"))

    def _start(self, plan: PartPlan) -> Process:
        admin = f"http://127.0.0.1:{plan.environment['SAGA_ADMIN_PORT']}" if plan.name == "edge" else ""
        process = Process(start_part(plan, self._folder, self._folder), plan.health_url.rpartition("/")[0], admin)
        self._started.append(process)
        process.part.release()
        return process

    def _free_port(self) -> int:
        return self._ports.reserve("127.0.0.1", 0, setting="nothing")

    def _wait_until_well(self, processes: list[Process]) -> None:
        deadline = time.monotonic() + READY_S
        for process in processes:
            wait_for(process.is_well, timeout_s=deadline - time.monotonic())


def port_of(url: str) -> int:
    return int(url.rpartition(":")[2])


def with_password(url: str) -> str:
    """Give a database's address a password that must not be seen, where the server asks for none and so takes any."""
    return url if "password" in conninfo_to_dict(url) else make_conninfo(url, password=f"password-{SECRET}")


@contextmanager
def running_stack(folder: Path, databases: AbstractContextManager[Mapping[str, str]]) -> Iterator[Stack]:
    """Run a stack on these databases until the context is left."""
    with ExitStack() as opened:
        urls = opened.enter_context(databases)
        stack = Stack(folder, urls, opened.enter_context(contextlib.closing(Ports())))
        opened.callback(stack.close)
        stack.start()
        yield stack
    # What the tests planted must not have been logged by anybody, whatever happened to the stack meanwhile.
    assert showing(logs_in(folder), SECRET, PERSON) == {}
