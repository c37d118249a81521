"""The configuration of a saga as operators see it: what new orders start on, what comes next, and what that would change."""

from dataclasses import dataclass
from typing import Any

from orchestrator.configuration import Unsafe, differences, flattened
from orchestrator.configuring import Connection, check_known, fit
from orchestrator.definitions import Definitions
from orchestrator.saga import Saga
from sql import config
from sql.models import Json


@dataclass(frozen=True, slots=True)
class Shown:
    """The configuration of a saga.

    Attributes:
        saga: Its name.
        versions: That this process can run.
        active: The revision that new orders start on; None where everything is as code and settings have it.
        following: The revision that is pending or tried; None for none.
        runs: What new orders start on; as code and settings have it where the active revision does not fit this process.
        would_run: What they would start on with the following revision; None where there is none, or it does not fit.
        unfit: Why a revision does not fit this process; None where all do.
    """

    saga: str
    versions: list[int]
    active: Json | None
    following: Json | None
    runs: Saga[Any]
    would_run: Saga[Any] | None
    unfit: str | None

    @property
    def differences(self) -> list[Json]:
        """What the following revision would change; see `configuration.differences`."""
        return [] if self.would_run is None else differences(self.runs, self.would_run)

    @property
    def participants(self) -> list[str]:
        """Names of those whom new orders call."""
        return sorted({endpoint.participant for step in self.runs.calls for endpoint in step.endpoints})

    def document(self) -> Json:
        """Return all of it as JSON: `active` and `next` revision, what new orders `runs` on, and the `differences`."""
        return {
            "saga": self.saga,
            "versions": self.versions,
            "active": self.active and _revision(self.active),
            "next": self.following and _revision(self.following),
            "runs": flattened(self.runs),
            "differences": self.differences,
            "participants": self.participants,
            "unfit": self.unfit,
        }


async def show(conn: Connection, definitions: Definitions, saga: str) -> Shown:
    """Return the configuration of a saga.

    Raises:
        NoSuchSaga: There is none of this name.
    """
    check_known(definitions, saga)
    found = await config.list_revisions(conn, saga)
    active, following = found.get("active"), found.get("pending") or found.get("canary")
    runs, would_run, unfit = definitions.code(saga), None, None
    try:
        runs = fit(definitions, active) if active else runs
        would_run = fit(definitions, following) if following else None
    except Unsafe as error:
        unfit = str(error)
    return Shown(saga, definitions.versions(saga), active, following, runs, would_run, unfit)


def _revision(row: Json) -> Json:
    shown = {name: row[name] for name in ("revision", "state", "actor", "reason", "created_at")}
    terms = ("percent", "failure_rate_max", "orders_min", "from", "until")
    canary = {name: row[f"canary_{name}"] for name in terms} if row["state"] == "canary" else None
    return {**shown, "configuration": row["body"], "canary": canary}
