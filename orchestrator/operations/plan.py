"""What a stack consists of, before there is a process: addresses, and the environment of each part."""

import os
import sys
import sysconfig
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from orchestrator.operations.ports import Ports

Databases = Callable[[str], Mapping[str, str]]
"""From the ledger's URL to each participant's database, by participant."""

PARTICIPANT_PORTS: Final = {"orders": 8101, "inventory": 8102, "payments": 8103, "shipping": 8104, "notifications": 8105}
REPLICAS_DEFAULT: Final = 2
WITHHELD: Final = frozenset(
    {"SAGA_PARTICIPANT_SECRETS", "SAGA_API_KEYS", "SAGA_ADMIN_TOKEN"}
    | {f"SAGA_{name.upper()}_SECRET" for name in PARTICIPANT_PORTS}
)
"""What a participant is not told, whatever the stack's own environment holds: secrets, but its own."""
_ROOT: Final = Path(__file__).resolve().parents[2]


@dataclass(frozen=True, slots=True)
class Listeners:
    """Where a stack is asked to listen; a port of 0 is a free one.

    Attributes:
        host, port: Of the edge's clients' listener.
        admin_host, admin_port: Of its admin listener.
        free_participants: Whether the participants take free ports instead of 8101 to 8105.
    """

    host: str = "127.0.0.1"
    port: int = 0
    admin_host: str = "127.0.0.1"
    admin_port: int = 0
    free_participants: bool = True


@dataclass(frozen=True, slots=True)
class Secrets:
    """What callers of participants show.

    Attributes:
        sent: By callers, by participant.
        accepted: By each participant, the newest last; a participant that is not named lets everybody in.
    """

    sent: Mapping[str, str] = field(default_factory=dict, repr=False)
    accepted: Mapping[str, Sequence[str]] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True)
class StackPlan:
    """A stack to be run.

    Attributes:
        folder: Where its data, logs and `stack.json` are.
        database_url: The ledger's database; None for a PostgreSQL of the stack's own.
        listeners: Where it listens.
        replicas: Number of orchestrators.
        databases_of: Where the participants' databases are.
        environment: Of every part, before what the plan adds.
        cwd: Folder in which the parts run; None for this process's.
        secrets: Of the participants.
    """

    folder: Path
    database_url: str | None
    listeners: Listeners
    replicas: int
    databases_of: Databases
    environment: Mapping[str, str]
    cwd: Path | None = None
    secrets: Secrets = Secrets()


@dataclass(frozen=True, slots=True)
class Addresses:
    """Where the parts of a stack listen.

    Attributes:
        edge: Port of the clients' listener.
        admin: Port of the admin listener.
        participants: Port of each participant.
        orchestrators: Port of each replica's `/healthz` and `/metrics`.
    """

    edge: int
    admin: int
    participants: Mapping[str, int]
    orchestrators: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class PartPlan:
    """One process of a stack.

    Attributes:
        name: Of the part, for people and for its log.
        arguments: Command line after `saga`.
        environment: Whole environment.
        health_url: Answers 200 once the part is ready.
    """

    name: str
    arguments: tuple[str, ...]
    environment: Mapping[str, str]
    health_url: str


def reserve_addresses(plan: StackPlan, ports: Ports) -> Addresses:
    """Reserve every port of a plan.

    Raises:
        PortError: One can't be had.
    """
    asked = plan.listeners
    return Addresses(
        edge=ports.reserve(asked.host, asked.port, setting="--port or SAGA_PORT"),
        admin=ports.reserve(asked.admin_host, asked.admin_port, setting="--admin-port or SAGA_ADMIN_PORT"),
        participants={
            name: ports.reserve("127.0.0.1", 0 if asked.free_participants else port, setting="--port 0, which takes free ones")
            for name, port in PARTICIPANT_PORTS.items()
        },
        orchestrators=tuple(ports.reserve(asked.admin_host, 0, setting="SAGA_ADMIN_HOST") for _ in range(plan.replicas)),
    )


def plan_parts(plan: StackPlan, addresses: Addresses, database_url: str) -> Iterator[PartPlan]:
    """Yield the participants, the orchestrators and the edge, each with its environment."""
    asked = plan.listeners
    participant_urls = {name: f"http://127.0.0.1:{port}" for name, port in addresses.participants.items()}
    shared = {
        **plan.environment,
        "PYTHONPATH": _python_path(plan.environment),
        "SAGA_DATABASE_URL": database_url,
        **{f"SAGA_{name.upper()}_URL": url for name, url in participant_urls.items()},
        **{f"SAGA_{name.upper()}_DATABASE_URL": url for name, url in plan.databases_of(database_url).items()},
    }
    for name, port in addresses.participants.items():
        own = {"SAGA_PARTICIPANT_HOST": "127.0.0.1", "SAGA_PARTICIPANT_PORT": str(port)}
        if name in plan.secrets.accepted:
            own[f"SAGA_{name.upper()}_SECRET"] = ",".join(plan.secrets.accepted[name])
        told = {name: value for name, value in shared.items() if name not in WITHHELD}
        yield PartPlan(name, ("participant", name), told | own, f"{participant_urls[name]}/healthz")
    if plan.secrets.sent:
        shared["SAGA_PARTICIPANT_SECRETS"] = ",".join(f"{name}={secret}" for name, secret in plan.secrets.sent.items())
    admin_host = local_host(asked.admin_host)
    for place, port in enumerate(addresses.orchestrators, start=1):
        own = {"SAGA_METRICS_PORT": str(port), "SAGA_ADMIN_HOST": asked.admin_host}
        yield PartPlan(f"orchestrator-{place}", ("orchestrator",), shared | own, f"http://{admin_host}:{port}/healthz")
    own = {
        "SAGA_HOST": asked.host,
        "SAGA_PORT": str(addresses.edge),
        "SAGA_ADMIN_HOST": asked.admin_host,
        "SAGA_ADMIN_PORT": str(addresses.admin),
    }
    yield PartPlan("edge", ("edge",), shared | own, f"http://{local_host(asked.host)}:{addresses.edge}/readyz")


def command(part: PartPlan) -> list[str]:
    """Return the command line of a part: this interpreter, whatever is installed or not, and nothing of the folder."""
    return [sys.executable, "-P", "-m", "cli", *part.arguments]


def local_host(host: str) -> str:
    """Return the address under which this machine reaches a listener."""
    if host in ("0.0.0.0", "::", ""):
        return "127.0.0.1"
    return f"[{host}]" if ":" in host else host


def clean_environment(**added: Any) -> dict[str, str]:
    """Return this process's environment without settings of Sagaledger, and with these."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("SAGA_", "MOCK_"))}
    return kept | {name: str(value) for name, value in added.items()}


def _python_path(environment: Mapping[str, str]) -> str:
    given = environment.get("PYTHONPATH", "")
    if Path(sysconfig.get_paths()["purelib"]).resolve() == _ROOT:
        # Installed: it is found anyway, and before the standard library it would shadow it.
        return given
    return os.pathsep.join(filter(None, (str(_ROOT), given)))
