"""Whether every part of an installation can be reached."""

import asyncio
import socket
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final
from urllib.parse import urlsplit

import psycopg

from orchestrator.circuit import State
from orchestrator.operations.place import Place
from orchestrator.transport import Client, Transport, TransportError, open_transport
from participants.contracts import strict_json
from sql import fleet, reading

TIMEOUT_S: Final = 5
_WHERE: Final[Mapping[str, str]] = {
    "edge": "; SAGA_HOST and SAGA_PORT say where the edge is",
    "orchestrator": "; SAGA_ADMIN_HOST and SAGA_METRICS_PORT say where it is",
}
"""Which settings say where a part is looked for; participants are in the ledger."""


@dataclass(frozen=True, slots=True)
class PartHealth:
    """How one part is.

    Attributes:
        name: Of the part.
        address: Where it was looked for, without secrets.
        healthy: Whether it answered as it should and, of a participant, whether calls are let through to it.
        detail: What was wrong; empty when nothing was.
        latency_ms: Until it had answered; None where it did not.
    """

    name: str
    address: str
    healthy: bool
    detail: str
    latency_ms: float | None = None


def part_names(place: Place) -> tuple[str, ...]:
    """Return the parts that can be asked."""
    own = ("orchestrator",) if place.metrics_url else ()
    return ("database", "edge", "orchestrators", *place.participants, *own)


async def check_health(place: Place, names: Sequence[str]) -> tuple[PartHealth, ...]:
    """Ask parts of an installation, all at once; nothing of it raises."""
    urls: Mapping[str, str] = {
        "edge": f"{place.edge_url}/readyz",
        **{name: f"{url}/healthz" for name, url in place.participants.items()},
        **({"orchestrator": f"{place.metrics_url}/healthz"} if place.metrics_url else {}),
    }
    async with open_transport(Client.AIOHTTP, connections_max=len(names), reach=place.reach) as transport:
        parts, breakers = await asyncio.gather(
            asyncio.gather(*(_timed(transport, name, urls.get(name), place.database_url) for name in names)),
            _list_breakers(place.database_url),
        )
    return tuple(_judged(part, breakers.get(part.name, State.CLOSED)) for part in parts)


async def _timed(transport: Transport, name: str, url: str | None, database_url: str) -> PartHealth:
    began_s = time.monotonic()
    part = await (_ask_ledger(name, database_url) if url is None else _ask(transport, name, url))
    return replace(part, latency_ms=round((time.monotonic() - began_s) * 1000, 1)) if part.healthy else part


async def _list_breakers(database_url: str) -> Mapping[str, State]:
    """Return how breakers stand; none of them where the ledger is away, which is told of the database itself."""
    try:
        async with await psycopg.AsyncConnection.connect(database_url, connect_timeout=TIMEOUT_S) as conn:
            return {row["participant"]: State(row["state"]) for row in await fleet.list_fleet(conn)}
    except psycopg.Error:
        return {}


def _judged(part: PartHealth, breaker: State) -> PartHealth:
    if breaker is State.CLOSED or not part.healthy:
        return part
    return replace(part, healthy=False, detail=f"it answers, but its breaker is {breaker.replace('_', '-')}")


async def _ask_ledger(name: str, url: str) -> PartHealth:
    """Ask the database how it is, or which orchestrators are connected to it: they listen on no port of their own."""
    options = psycopg.conninfo.conninfo_to_dict(url)
    address = f"{options.get('host', 'localhost')}:{options.get('port', 5432)}/{options.get('dbname', '')}"
    try:
        async with await psycopg.AsyncConnection.connect(url, connect_timeout=TIMEOUT_S) as conn:
            if name == "database":
                return PartHealth(name, address, True, "")
            replicas = await reading.count_replicas(conn)
    except psycopg.Error as error:
        return PartHealth(name, address, False, str(error).strip().splitlines()[0])
    return PartHealth(name, address, replicas > 0, f"{replicas} connected")


async def _ask(transport: Transport, name: str, url: str) -> PartHealth:
    """Ask a part by HTTP; nobody's secret is sent, as health is open everywhere."""
    try:
        reply = await transport.exchange("GET", url, {}, None, TIMEOUT_S)
        if reply.status != 200:
            return PartHealth(name, url, False, f"it answered {reply.status}")
        told = strict_json.loads(reply.body or b"")
        off = isinstance(told, dict) and told.get("takes_orders") is False
        return PartHealth(name, url, True, "new orders are switched off (SAGA_ENABLED)" if off else "")
    except TimeoutError:
        return PartHealth(name, url, False, f"no answer within {TIMEOUT_S} s")
    except strict_json.NotJson:
        return PartHealth(name, url, False, "its answer is no JSON: is it something else?")
    except ValueError as error:
        return PartHealth(name, url, False, str(error))
    except TransportError as error:
        return PartHealth(name, url, False, f"{_why(error)} at {urlsplit(url).netloc}{_WHERE.get(name, '')}")


def _why(error: TransportError) -> str:
    """Return in words why nothing answered."""
    cause = getattr(error.__cause__, "os_error", error.__cause__)
    match cause:
        case ConnectionRefusedError():
            return "nothing listens"
        case socket.gaierror():
            return "there is no such host"
        case OSError(strerror=str(said)) if said:
            return f"no connection ({said.lower()})"
    return "no whole answer"
