"""The definitions that a process can run: registered at its start, found again by the snapshot that a row names.

New orders start on the newest version of a saga, or on what is configured at run time (`configuration.py`). A process learns
of that when it starts, and from then on by inserting: `insert_order` names the newest entry of the configuration's history
that was known when the definition was chosen, and inserts nothing where there is a newer one.
"""

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any, Final
from uuid import UUID

from orchestrator.configuration import Configuration, Unsafe, configured
from orchestrator.saga import DefinitionError, Saga
from orchestrator.settings import Settings
from sql import config, ledger
from sql.models import Json

_WHOLE: Final = 1 << 64


class Unfit(DefinitionError):
    """What is configured does not fit the code that this process runs; nothing was started."""


@dataclass(frozen=True, slots=True)
class Chosen:
    """What a new order starts on.

    Attributes:
        saga: The definition; its snapshot is registered.
        config_seq: Newest entry of the configuration's history that was known then; None for none.
    """

    saga: Saga[Any]
    config_seq: int | None


@dataclass(frozen=True, slots=True)
class _Plan:
    """What new orders of a saga start on: all on one definition, or a share of them on another."""

    saga: Saga[Any]
    seq: int | None = None
    canary: Saga[Any] | None = None
    percent: float = 0.0
    unfit: str | None = None

    def sagas(self) -> Iterator[Saga[Any]]:
        yield self.saga
        if self.canary is not None:
            yield self.canary


def with_settings(saga: Saga[Any], settings: Settings) -> Saga[Any]:
    """Return a definition with this process's settings where it states nothing of its own."""
    return replace(
        saga,
        retry=saga.retry or settings.retry,
        timeout_s=saga.timeout_s or settings.step_timeout_s,
        deadline_s=saga.deadline_s or settings.deadline_s,
    )


class Definitions:
    """Sagas by name and version, with the settings that new orders start on.

    Args:
        sagas: From the code; several versions of one name if need be.
        settings: Retry policy and time limit of steps that state none of their own.

    Raises:
        DefinitionError: Two sagas have one name and version.
    """

    def __init__(self, sagas: Iterable[Saga[Any]], settings: Settings) -> None:
        self._settings = settings
        self._versions: dict[str, dict[int, Saga[Any]]] = {}
        for saga in sagas:
            versions = self._versions.setdefault(saga.name, {})
            if saga.version in versions:
                raise DefinitionError(f"two sagas are named {saga.name} and are version {saga.version}")
            versions[saga.version] = with_settings(saga, settings)
        self._plans = {name: _Plan(self.code(name)) for name in self._versions}
        self._by_fingerprint = {saga.fingerprint: saga for saga in self.all()}
        self._by_id = {saga.definition_id: saga for saga in self.all()}

    @property
    def fingerprints(self) -> list[str]:
        """Fingerprints of everything that this process can run."""
        return list(self._by_fingerprint)

    @property
    def names(self) -> list[str]:
        """Names of all sagas, sorted."""
        return sorted(self._versions)

    def all(self) -> Iterator[Saga[Any]]:
        """Give every version of every saga as its code has it."""
        for versions in self._versions.values():
            yield from versions.values()

    def code(self, name: str, version: int | None = None) -> Saga[Any]:
        """Return a saga as its code has it, with the settings.

        Args:
            name: Its name.
            version: None for the newest.

        Raises:
            LookupError: There is none.
        """
        versions = self._versions[name]
        return versions[max(versions) if version is None else version]

    def versions(self, name: str) -> list[int]:
        """Return the versions of a saga that this process can run, oldest first; none of a name that it does not know."""
        return sorted(self._versions.get(name, ()))

    def named(self, name: str) -> Saga[Any]:
        """Return the saga that new orders of this name start on, but for the share of a canary.

        Raises:
            LookupError: There is none.
        """
        return self._plans[name].saga

    def chosen(self, name: str, order_ledger_id: UUID) -> Chosen:
        """Return what one new order starts on; the same one for the same order as long as nothing is configured anew.

        Raises:
            LookupError: There is no such saga.
            Unfit: What is configured is not for the code of this process.
        """
        plan = self._plans[name]
        if plan.unfit is not None:
            raise Unfit(plan.unfit)
        if plan.canary is not None and in_share(order_ledger_id, plan.canary.config, plan.percent):
            return Chosen(plan.canary, plan.seq)
        return Chosen(plan.saga, plan.seq)

    def fit(self, name: str, configuration: Configuration, revision: int) -> Saga[Any]:
        """Return a saga as a configuration would have it.

        Raises:
            LookupError: There is no such saga.
            Unsafe: It must not be configured so.
        """
        version = configuration.version
        if version is not None and version not in self._versions[name]:
            known = ", ".join(map(str, self.versions(name)))
            raise Unsafe(name, (f"there is no version {version} of it here, only {known}",))
        return configured(self.code(name, version), configuration, revision, self._settings)

    async def register(self, conn: ledger.Connection) -> None:
        """Store the snapshot of every version of every saga.

        Raises:
            DefinitionError: A version of a saga was registered with other code before; nothing of it was stored.
        """
        for saga in self.all():
            known = await ledger.list_fingerprints(conn, saga=saga.name, version=saga.version)
            if known - {saga.fingerprint}:
                raise DefinitionError(
                    f"saga {saga.name} was changed but is still version {saga.version}: raise its version, so that orders"
                    " on their way end on what they started with"
                )
            await store_snapshot(conn, saga)

    async def look(self, conn: ledger.Connection) -> None:
        """See what new orders are configured to start on, and register it.

        A saga whose configuration does not fit this process starts no order here until one does (`chosen` refuses).
        """
        found = await config.list_config(conn, self.names)
        for name in self.names:
            row = found.get(name)
            plan = self._planned(name, row) if row else _Plan(self.code(name))
            for saga in plan.sagas():
                if saga.definition_id not in self._by_id:
                    await store_snapshot(conn, saga)
                    self._by_id[saga.definition_id] = saga
            self._plans[name] = plan

    def check_fit(self) -> None:
        """Refuse to go on where what is configured does not fit.

        Raises:
            Unfit: What is configured for a saga is not for the code of this process.
        """
        for plan in self._plans.values():
            if plan.unfit is not None:
                raise Unfit(plan.unfit)

    def _planned(self, name: str, row: Json) -> _Plan:
        active, canary, revision = self.code(name), None, row["revision"]
        try:
            if revision is not None:
                active = self.fit(name, Configuration.read(name, row["body"]), revision)
            revision = row["canary_revision"]
            if revision is not None:
                canary = self.fit(name, Configuration.read(name, row["canary_body"]), revision)
        except Unsafe as error:
            sentence = f"revision {revision} of the configuration of saga {name} does not fit this process: {error}"
            return _Plan(active, row["seq"], unfit=sentence)
        return _Plan(active, row["seq"], canary, row["canary_percent"] or 0.0)

    def known(self, definition_id: UUID) -> Saga[Any] | None:
        """Return the saga of a snapshot if it was registered or looked up before; None otherwise."""
        return self._by_id.get(definition_id)

    async def of(self, conn: ledger.Connection, definition_id: UUID) -> Saga[Any]:
        """Return the saga of a snapshot, with the snapshot's settings.

        Raises:
            DefinitionError: This process has no such code.
        """
        known = self._by_id.get(definition_id)
        if known is None:
            stored = await ledger.get_definition(conn, definition_id)
            code = self._by_fingerprint.get(stored["fingerprint"]) if stored else None
            if stored is None or code is None:
                raise DefinitionError(f"this process has no code for definition {definition_id}")
            known = self._by_id[definition_id] = code.on_snapshot(stored["body"])
        return known


def in_share(order_ledger_id: UUID, revision: int, percent: float) -> bool:
    """Tell whether an order is of a canary's share; each canary has a share of its own."""
    digest = hashlib.sha256(order_ledger_id.bytes + revision.to_bytes(8)).digest()
    return int.from_bytes(digest[:8]) < percent / 100 * _WHOLE


async def store_snapshot(conn: ledger.Connection, saga: Saga[Any]) -> None:
    """Store what orders keep of a definition; what is there already is left alone."""
    await ledger.register_definition(
        conn,
        definition_id=saga.definition_id,
        saga=saga.name,
        version=saga.version,
        hash=saga.snapshot_hash,
        fingerprint=saga.fingerprint,
        body=saga.snapshot,
    )
