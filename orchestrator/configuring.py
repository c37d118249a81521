"""What operators do to the configuration of a saga: look at it, set what comes next, try it on a share, apply it, drop it.

::

            set               apply --canary              time over, nothing wrong
    (none) ─────▶ pending ──────────────────▶ canary ─────────────────────────────▶ active ──next one──▶ retired
                  │      └──────────── apply ─────────────────────────────────────▶ │
                  └─discard, set anew─▶ discarded ◀─discard, withdrawn─ (canary)

One revision at most is next (pending or canary), one is active. Every act is an entry of the history, with actor and reason.
What is committed here holds for every order that is inserted from then on (`definitions.py`), on whichever edge.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from datetime import UTC
from typing import Any, Final

from orchestrator.configuration import Configuration, Unsafe
from orchestrator.definitions import Definitions
from orchestrator.saga import Saga
from sql import config
from sql.ledger import LedgerError
from sql.models import Json

Connection = config.Connection
FAILURE_RATE_MAX: Final = 0.1
"""Of a canary's orders, unless said otherwise: shops decline and run out of stock, so some fail whatever is tried."""
ORDERS_MIN: Final = 20
"""Of a canary's orders, unless said otherwise: among fewer, one failure says nothing."""
HISTORY_MAX: Final = 1_000
"""Most entries of a history that are shown at once."""


class NoSuchSaga(LedgerError):
    """There is no saga of this name here; nothing was changed."""


class NotInThisState(LedgerError):
    """The configuration is not where this act could be done to it; nothing was changed."""


@dataclass(frozen=True, slots=True)
class CanaryTerms:
    """How a revision is tried.

    Attributes:
        percent: Share of new orders that start on it, above 0 and below 100.
        for_s: Seconds after which it becomes active unless it was taken back.
        failure_rate_max: Share of its orders, 0 to 1, that may end FAILED or STUCK; above, it is taken back.
        orders_min: Orders that must have ended before that share is looked at.
    """

    percent: float
    for_s: float
    failure_rate_max: float = FAILURE_RATE_MAX
    orders_min: int = ORDERS_MIN


async def put(
    conn: Connection, definitions: Definitions, saga: str, configuration: Configuration, *, actor: str, reason: str
) -> int:
    """Make a configuration the pending one, in place of the one that was pending before; return its revision.

    Raises:
        NoSuchSaga: There is none of this name.
        Unsafe: The saga must not be configured so.
        NotInThisState: A revision is being tried, or this is what is active already.
    """
    check_known(definitions, saga)
    definitions.fit(saga, configuration, 0)
    async with _acting(conn, saga) as found:
        if "canary" in found:
            raise NotInThisState(f"{_tried(found['canary'])}: wait for the decision, or discard it first")
        if found.get("active", {"body": {}})["body"] == configuration.stored():
            raise NotInThisState(f"saga {saga} is configured so already")
        if "pending" in found:
            await config.move_revision(conn, saga, found["pending"]["revision"], "discarded")
        revision = await config.insert_revision(conn, saga, configuration.stored(), actor=actor, reason=reason)
        await config.note_act(conn, saga, "set", revision, actor=actor, reason=reason)
    return revision


async def apply(
    conn: Connection,
    definitions: Definitions,
    saga: str,
    *,
    actor: str,
    reason: str,
    revision: int | None = None,
    canary: CanaryTerms | None = None,
) -> int:
    """Have new orders start on what is pending, or a share of them; or on all what is being tried. Return the revision.

    Args:
        conn: In autocommit.
        definitions: To check that it still fits.
        saga: Of which saga.
        actor: Who says so.
        reason: Why.
        revision: The one that is meant; None for whichever is next.
        canary: How it is tried first; None to have every new order start on it.

    Raises:
        NoSuchSaga: There is none of this name.
        Unsafe: The saga must not be configured so, by the code and settings of now.
        NotInThisState: Nothing is pending, or another revision is, or one is being tried already.
    """
    check_known(definitions, saga)
    async with _acting(conn, saga) as found:
        following = _next(found, saga, revision)
        wanted = fit(definitions, following)
        number = int(following["revision"])
        if canary is None:
            await _activate(conn, saga, number, found)
            await config.note_act(conn, saga, "apply", number, actor=actor, reason=reason)
            return number
        if "canary" in found:
            raise NotInThisState(f"{_tried(found['canary'])} already")
        active = found.get("active")
        if wanted.input is not (fit(definitions, active) if active else definitions.code(saga)).input:
            raise Unsafe(saga, ("the two versions are started by different inputs, so it can't be tried on a share",))
        await config.try_revision(
            conn,
            saga,
            number,
            percent=canary.percent,
            for_s=canary.for_s,
            failure_rate_max=canary.failure_rate_max,
            orders_min=canary.orders_min,
        )
        await config.note_act(conn, saga, "canary", number, actor=actor, reason=reason, figures=asdict(canary))
    return number


async def discard(conn: Connection, definitions: Definitions, saga: str, *, actor: str, reason: str) -> int:
    """Drop what is pending, or take back what is being tried; return its revision.

    Raises:
        NoSuchSaga: There is none of this name.
        NotInThisState: Nothing is pending or being tried.
    """
    check_known(definitions, saga)
    async with _acting(conn, saga) as found:
        following = _next(found, saga, None)
        number = int(following["revision"])
        await config.move_revision(conn, saga, number, "discarded")
        await config.note_act(conn, saga, "discard", number, actor=actor, reason=reason)
    return number


async def conclude(conn: Connection, saga: str, revision: int, *, keep: bool, actor: str, reason: str, figures: Json) -> bool:
    """End the trial of a revision by itself; tell whether it was still being tried.

    Args:
        conn: In autocommit.
        saga: Of which saga.
        revision: What was tried.
        keep: Whether it becomes active; else it is taken back.
        actor: Which replica decided.
        reason: Why.
        figures: On what it was decided.
    """
    async with _acting(conn, saga) as found:
        if found.get("canary", {}).get("revision") != revision:
            return False
        if keep:
            await _activate(conn, saga, revision, found)
        else:
            await config.move_revision(conn, saga, revision, "discarded")
        act = "promote" if keep else "withdraw"
        await config.note_act(conn, saga, act, revision, actor=actor, reason=reason, figures=figures)
    return True


async def history(conn: Connection, definitions: Definitions, saga: str, *, limit: int = HISTORY_MAX) -> list[Json]:
    """Return what was done, newest first; see `sql.config.list_history`.

    Raises:
        NoSuchSaga: There is none of this name.
    """
    check_known(definitions, saga)
    return await config.list_history(conn, saga, limit=limit)


@asynccontextmanager
async def _acting(conn: Connection, saga: str) -> AsyncIterator[dict[str, Json]]:
    """Give the revisions in use, by state, while nobody else acts on them; what is done inside stands or falls together."""
    async with conn.transaction():
        await config.lock_config(conn, saga)
        yield await config.list_revisions(conn, saga)


async def _activate(conn: Connection, saga: str, revision: int, found: dict[str, Json]) -> None:
    if "active" in found:
        await config.move_revision(conn, saga, found["active"]["revision"], "retired")
    await config.move_revision(conn, saga, revision, "active")


def check_known(definitions: Definitions, saga: str) -> None:
    """Refuse a name that no saga has here.

    Raises:
        NoSuchSaga: There is none.
    """
    if saga not in definitions.names:
        raise NoSuchSaga(f"there is no saga {saga}, only {', '.join(definitions.names)}")


def fit(definitions: Definitions, row: Json) -> Saga[Any]:
    """Return a saga as a revision has it.

    Raises:
        Unsafe: It must not be so, by the code and settings of now.
    """
    return definitions.fit(row["saga"], Configuration.read(row["saga"], row["body"]), row["revision"])


def _next(found: dict[str, Json], saga: str, revision: int | None) -> Json:
    following = found.get("pending") or found.get("canary")
    if following is None:
        raise NotInThisState(f"nothing is pending for saga {saga}: set it first")
    if revision is not None and following["revision"] != revision:
        raise NotInThisState(f"revision {following['revision']} of saga {saga} is {following['state']}, not {revision}")
    return following


def _tried(row: Json) -> str:
    until = row["canary_until"].astimezone(UTC)
    share = f"{row['canary_percent']:g} % of new orders"
    return f"revision {row['revision']} is being tried on {share} until {until:%d %b %H:%M:%S} UTC"
