"""Which installation a command talks to: the one that is set, or the stack that runs from a folder."""

import contextlib
import json
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Final

import psycopg
from psycopg import conninfo

from orchestrator.addresses import PARTICIPANTS, Reach
from orchestrator.credentials import read_secrets
from orchestrator.operations.plan import Databases, local_host
from orchestrator.settings import Settings, SettingsError, load_settings
from sql.registry import list_participants

if TYPE_CHECKING:
    from pydantic_settings import BaseSettings

ALIKE: Final = 0.9
"""How alike a name must be to a setting's to be taken for a slip: a platform may set names of its own with our prefix."""

_DATABASE: Final[Mapping[str, str]] = {"host": "localhost", "port": "5432", "dbname": ""}
"""What says which database an address is of, with what is meant where it is left out."""


@dataclass(frozen=True)
class Place:
    """Addresses of an installation.

    Attributes:
        database_url: The ledger.
        edge_url: The clients' listener.
        find_participants: Gives the address of each participant; it may have to ask the ledger, which most commands spare.
        find_databases: Gives the database of each participant.
        metrics_url: An orchestrator's listener for metrics; None where none is set.
        participant_secrets: What each participant wants to see, where one is known.
        reach: Where participants may be.
    """

    database_url: str
    edge_url: str
    find_participants: Callable[[], Mapping[str, str]] = field(repr=False)
    find_databases: Callable[[], Mapping[str, str]] = field(repr=False)
    metrics_url: str | None
    participant_secrets: Mapping[str, str] = field(default_factory=dict, repr=False)
    reach: Reach = PARTICIPANTS

    @cached_property
    def participants(self) -> Mapping[str, str]:
        """Address of each participant."""
        return self.find_participants()

    @cached_property
    def participant_databases(self) -> Mapping[str, str]:
        """Database of each participant."""
        return self.find_databases()

    @property
    def databases(self) -> dict[str, str]:
        """Every database, by its folder of migrations; the ledger's first."""
        return {"ledger": self.database_url, **self.participant_databases}


def find_place(database_url: str | None, folder: Path, databases_of: Databases) -> Place:
    """Return the installation that a command talks to.

    Args:
        database_url: As given on the command line; None for SAGA_DATABASE_URL.
        folder: Data folder of a stack, which is asked where no database is set.
        databases_of: Where the participants' databases are.

    Raises:
        SettingsError: No database is set and no stack runs there, or a setting is wrong.
    """
    settings = checked_settings(database_url=database_url)
    if settings.database_url is not None:
        url = settings.ledger_url()
        with contextlib.suppress(SettingsError):
            running = _running_stack(folder)
            if _names_same(running.database_url, url):
                return replace(running, database_url=url)
        metrics = f"http://{local_host(settings.admin_host)}:{settings.metrics_port}" if settings.metrics_port else None
        edge = f"http://{local_host(settings.host)}:{settings.port}"
        return Place(
            url,
            edge,
            lambda: {**settings.participants, **list_participants(url)},
            lambda: databases_of(url),
            metrics,
            read_secrets(settings),
            settings.participant_reach,
        )
    return _running_stack(folder)


def _names_same(one: str, other: str) -> bool:
    """Tell whether two addresses are of one database; users may differ."""
    first, second = conninfo.conninfo_to_dict(one), conninfo.conninfo_to_dict(other)
    return all(str(first.get(name, usual)) == str(second.get(name, usual)) for name, usual in _DATABASE.items())


def _running_stack(folder: Path) -> Place:
    try:
        stack = json.loads((folder / "stack.json").read_text(encoding="utf-8"))
        participants = stack["participants"]
        addresses = {name: part["url"] for name, part in participants.items()}
        databases = {name: part["database_url"] for name, part in participants.items()}
        return Place(
            stack["database_url"],
            stack["edge_url"],
            lambda: addresses,
            lambda: databases,
            None,
            {name: part["secret"] for name, part in participants.items() if "secret" in part},
        )
    except FileNotFoundError:
        raise SettingsError(
            "no database is given: set SAGA_DATABASE_URL or --database-url, or start a stack here with `saga up`"
        ) from None
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        raise SettingsError(f"{folder / 'stack.json'} can't be read: set SAGA_DATABASE_URL or --database-url") from None


def checked_settings(*, database_url: str | None = None, **overrides: object) -> Settings:
    """Read the settings, and see that none is misspelt and that a database's address is one.

    Raises:
        SettingsError: One is wrong; the sentence names it and never shows an address, which may hold a password.
    """
    _refuse_misspelt(os.environ)
    settings = load_settings(database_url=database_url, **overrides)
    source = "--database-url" if database_url else "SAGA_DATABASE_URL"
    addresses = {
        source: settings.database_url,
        "SAGA_EDGE_DATABASE_URL": settings.edge_database_url,
        "SAGA_ORCHESTRATOR_DATABASE_URL": settings.orchestrator_database_url,
        "SAGA_LISTEN_DATABASE_URL": settings.listen_database_url,
    }
    for name, address in addresses.items():
        try:
            conninfo.conninfo_to_dict(address.get_secret_value() if address else "")
        except psycopg.ProgrammingError:
            raise SettingsError(f"{name}: must be an address like postgresql://user@host/database") from None
    return settings


def _refuse_misspelt(names: Iterable[str]) -> None:
    """Refuse names that are almost those of settings: what they were to change would silently stay as it is."""
    unknown = {name for name in names if name.startswith("SAGA_")} - _names(Settings)
    if not unknown:
        return
    import difflib

    from participants.settings import ParticipantSettings

    known = _names(Settings) | _names(ParticipantSettings)
    for name in sorted(unknown - known):
        meant = difflib.get_close_matches(name, sorted(known), n=1, cutoff=ALIKE)
        if meant:
            raise SettingsError(f"{name}: there is no such setting; is {meant[0]} meant?")


def _names(settings: "type[BaseSettings]") -> set[str]:
    return {f"SAGA_{field}".upper() for field in settings.model_fields}
