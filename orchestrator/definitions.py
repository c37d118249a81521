"""The definitions that a process can run: registered at its start, found again by the snapshot that a row names."""

from collections.abc import Iterable
from dataclasses import replace
from typing import Any
from uuid import UUID

from pydantic import BaseModel

from orchestrator.saga import DefinitionError, Saga
from orchestrator.settings import Settings
from sql import ledger


class Definitions:
    """Sagas by name, with the settings that new orders start on.

    Args:
        sagas: From the code.
        settings: Retry policy and time limit of steps that state none of their own.

    Raises:
        DefinitionError: Two sagas have one name.
    """

    def __init__(self, sagas: Iterable[Saga[Any]], settings: Settings) -> None:
        self._by_name: dict[str, Saga[Any]] = {}
        for saga in sagas:
            if saga.name in self._by_name:
                raise DefinitionError(f"two sagas are named {saga.name}")
            deadline_s = saga.deadline_s or settings.deadline_s
            self._by_name[saga.name] = replace(
                saga, retry=settings.retry, timeout_s=settings.step_timeout_s, deadline_s=deadline_s
            )
        self._by_fingerprint = {saga.fingerprint: saga for saga in self._by_name.values()}
        self._by_id = {saga.definition_id: saga for saga in self._by_name.values()}

    @property
    def fingerprints(self) -> list[str]:
        """Fingerprints of everything that this process can run."""
        return list(self._by_fingerprint)

    @property
    def names(self) -> list[str]:
        """Names of all sagas, sorted."""
        return sorted(self._by_name)

    def named(self, name: str) -> Saga[Any]:
        """Return the saga that new orders of this name start on.

        Raises:
            LookupError: There is none.
        """
        return self._by_name[name]

    def of_input(self, name: str, model: type[BaseModel]) -> Saga[Any] | None:
        """Return the saga of this name if that model starts it; None otherwise."""
        saga = self._by_name.get(name)
        return saga if saga is not None and saga.input is model else None

    async def register(self, conn: ledger.Connection) -> None:
        """Store the snapshot of every saga.

        Raises:
            DefinitionError: A version of a saga was registered with other code before; nothing of it was stored.
        """
        for saga in self._by_name.values():
            known = await ledger.list_fingerprints(conn, saga=saga.name, version=saga.version)
            if known - {saga.fingerprint}:
                raise DefinitionError(
                    f"saga {saga.name} was changed but is still version {saga.version}: raise its version, so that orders"
                    " on their way end on what they started with"
                )
            await ledger.register_definition(
                conn,
                definition_id=saga.definition_id,
                saga=saga.name,
                version=saga.version,
                hash=saga.snapshot_hash,
                fingerprint=saga.fingerprint,
                body=saga.snapshot,
            )

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
