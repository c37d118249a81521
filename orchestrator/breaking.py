"""What operators see of breakers and do with them, by whatever way they ask for it."""

from collections.abc import Callable, Iterable
from typing import Final

from orchestrator import circuit
from orchestrator.breaker import change, circuit_of
from orchestrator.circuit import Circuit, Policy, State
from sql import acts, fleet
from sql.ledger import LedgerError
from sql.models import Json

_NEVER_SEEN: Final[Json] = {
    "address": None,
    "limits": {},
    "state": State.CLOSED.value,
    "recent": "",
    "opened_for_s": 0.0,
    "trial_left_s": 0.0,
    "actor": None,
    "reason": None,
    "updated_at": None,
}
_SHOWN: Final = ("participant", "state", "recent", "opened_for_s", "actor", "reason", "updated_at")


class NoParticipant(LedgerError):
    """There is no participant of this name; nothing was changed."""


async def list_known(conn: fleet.Connection, configured: Iterable[str]) -> dict[str, Json]:
    """Return every participant that settings, registry or breakers know, by name; see `fleet.list_fleet`."""
    rows = {row["participant"]: row for row in await fleet.list_fleet(conn)}
    return {name: rows.get(name, {"participant": name, **_NEVER_SEEN}) for name in sorted({*configured, *rows})}


def describe(row: Json, policy: Policy) -> Json:
    """Return how the breaker of a row stands, as commands and routes show it.

    `wait_s` is until a call tries it, `opened_for_s` since it opened; 0 where it is not open.
    """
    return {**{name: row[name] for name in _SHOWN}, "wait_s": round(circuit.wait_s(circuit_of(row), policy), 3)}


async def hold(conn: fleet.Connection, configured: Iterable[str], name: str, *, actor: str, reason: str) -> Circuit:
    """Have nobody call a participant until its breaker is reset; every replica knows within a few seconds.

    Args:
        conn: To the ledger.
        configured: Participants that the settings know.
        name: Of the participant.
        actor: Who, for the record.
        reason: Why.

    Raises:
        NoParticipant: There is none of this name.
    """
    return await _decide(conn, configured, "hold_breaker", name, lambda seen: circuit.held(seen, actor, reason))


async def reset(conn: fleet.Connection, configured: Iterable[str], name: str, *, actor: str, reason: str) -> Circuit:
    """Close a breaker, whether it opened by itself or was held; see `hold`."""
    return await _decide(conn, configured, "reset_breaker", name, lambda _: circuit.reset(actor, reason))


async def _decide(
    conn: fleet.Connection, configured: Iterable[str], act: str, name: str, decide: Callable[[Circuit], Circuit]
) -> Circuit:
    if name not in await list_known(conn, configured):
        raise NoParticipant(f"there is no participant {name}")
    async with conn.transaction():
        before, after = await change(conn, name, decide)
        details = {"before": before.state, "after": after.state}
        # The circuit holds whoever decided, as `held` and `reset` say.
        await acts.insert_act(conn, act, name, actor=after.actor or "", reason=after.reason or "", details=details)
    return after
