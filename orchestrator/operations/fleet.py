"""What operators see and do of participants: their breakers and the run-time registry."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from orchestrator import breaking, circuit
from orchestrator.breaker import circuit_of
from orchestrator.breaking import NoParticipant, describe
from orchestrator.circuit import Circuit, State
from orchestrator.operations.asking import connected
from orchestrator.operations.place import checked_settings
from orchestrator.operations.render import open_console, print_json, print_table, short
from orchestrator.settings import Settings
from sql import reading, registry
from sql.ledger import LedgerError
from sql.models import Json
from sql.registry import By

if TYPE_CHECKING:
    from orchestrator.saga import Saga

Act = Callable[..., Awaitable[Circuit]]


class StillNeeded(LedgerError):
    """Orders on their way need the participant; nothing was changed."""


def show_breakers(database_url: str, *, as_json: bool) -> None:
    """Print the breaker of every participant."""
    settings, rows = checked_settings(), asyncio.run(_rows(database_url))
    if as_json:
        print_json({"breakers": [describe(row, settings.breaker) for row in rows.values()]})
        return
    shown = [(name, row["state"], row["recent"], short(row["updated_at"]), _why(row, settings)) for name, row in rows.items()]
    print_table(open_console(), ("PARTICIPANT", "STATE", "CALLS", "SINCE UTC", "WHY"), shown)


def hold(database_url: str, name: str, *, actor: str, reason: str, as_json: bool) -> None:
    """Hold a breaker open until it is reset, and say so.

    Raises:
        NoParticipant: There is none of this name.
    """
    _act(database_url, breaking.hold, name, actor=actor, reason=reason, as_json=as_json)


def reset(database_url: str, name: str, *, actor: str, reason: str, as_json: bool) -> None:
    """Close a breaker, and say so.

    Raises:
        NoParticipant: There is none of this name.
    """
    _act(database_url, breaking.reset, name, actor=actor, reason=reason, as_json=as_json)


def show_participants(database_url: str, *, as_json: bool) -> None:
    """Print where each participant is, by the registry or else by the settings."""
    settings, rows = checked_settings(), asyncio.run(_rows(database_url))
    found = [
        {
            "name": name,
            "address": row["address"] or settings.participants.get(name),
            "source": "registry" if row["address"] else "settings" if name in settings.participants else None,
            "concurrency": settings.slots_of_one(row["limits"].get("concurrency")),
        }
        for name, row in rows.items()
    ]
    if as_json:
        print_json({"participants": found})
        return
    shown = [(each["name"], each["address"] or "not registered", each["source"], each["concurrency"]) for each in found]
    print_table(open_console(), ("PARTICIPANT", "ADDRESS", "BY", "CALLS AT ONCE#"), shown)


def add(database_url: str, name: str, address: str, concurrency: int | None, *, actor: str, reason: str) -> None:
    """Register a participant or its new address, and say so."""
    limits = None if concurrency is None else {"concurrency": concurrency}
    registry.register_participants(database_url, {name: address}, limits, by=By(actor, reason))
    print(f"{name} is called at {address} within a few seconds")


def remove(database_url: str, name: str, *, force: bool, actor: str, reason: str) -> None:
    """Remove a participant from the registry, and say what holds then.

    Raises:
        NoParticipant: It is not registered.
        StillNeeded: Orders on their way need it, and nobody forces it.
    """
    needed = {} if force else asyncio.run(_needing(database_url, name))
    if needed:
        orders = ", ".join(f"{count} of {saga}" for saga, count in sorted(needed.items()))
        raise StillNeeded(f"orders on their way need {name} ({orders}): let them end, or use --force")
    if not registry.unregister_participant(database_url, name, by=By(actor, reason)):
        raise NoParticipant(f"{name} is not registered: see `saga participants list`")
    fallback = checked_settings().participants.get(name)
    print(f"{name} is removed; " + (f"by the settings it is at {fallback}" if fallback else "calls to it wait"))


def needs(saga: "Saga[Any]", participant: str) -> bool:
    """Tell whether a saga calls a participant."""
    return any(endpoint.participant == participant for step in saga.calls for endpoint in step.endpoints)


async def _needing(database_url: str, name: str) -> dict[str, int]:
    from orchestrator.loading import registered

    async with connected(database_url) as conn:
        active = await reading.count_active(conn)
    sagas = {saga.name for saga in registered(checked_settings()) if needs(saga, name)}
    counts: dict[str, int] = {}
    for (saga, _), of_status in active.items():
        if saga in sagas:
            counts[saga] = counts.get(saga, 0) + of_status.orders
    return counts


async def _rows(database_url: str) -> dict[str, Json]:
    """Return every participant that settings, registry or breakers know, by name."""
    async with connected(database_url) as conn:
        return await breaking.list_known(conn, checked_settings().participants)


def _act(database_url: str, act: Act, name: str, *, actor: str, reason: str, as_json: bool) -> None:
    after = asyncio.run(_decide(database_url, act, name, actor, reason))
    if as_json:
        print_json({"participant": name, "state": after.state, "actor": after.actor, "reason": after.reason})
    elif after.state is State.HELD:
        print(f"no calls are made to {name} until `saga breaker reset {name}`; every replica knows within a few seconds")
    else:
        print(f"calls to {name} are made again; orders that wait go on within half a minute")


async def _decide(database_url: str, act: Act, name: str, actor: str, reason: str) -> Circuit:
    async with connected(database_url) as conn:
        return await act(conn, checked_settings().participants, name, actor=actor, reason=reason)


def _why(row: Json, settings: Settings) -> str:
    if row["reason"]:
        return f"{row['actor']}: {row['reason']}"
    if row["state"] == State.OPEN:
        left_s = circuit.wait_s(circuit_of(row), settings.breaker)
        return f"a call tries it in {left_s:.0f} s" if left_s else "the next call tries it"
    return "a call tries it now" if row["state"] == State.HALF_OPEN else ""
