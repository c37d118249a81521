"""A team's own sagas: read from the modules that `SAGA_DEFINITIONS` names, when a process starts.

Every `Saga` at the top level of such a module is one of the installation's, beside those that ship. Whatever is wrong with one
stops the start: a process that runs without a saga that others know would leave its orders lying.
"""

import importlib
import os
import sys
from collections.abc import Iterable
from typing import Any

from orchestrator.saga import Saga
from orchestrator.sagas import SHIPPED
from orchestrator.settings import Settings, SettingsError
from orchestrator.soundness import Level, examine


class ModuleUnusable(SettingsError):
    """A module of `SAGA_DEFINITIONS` can't be used; nothing was started."""

    exit_code = 2


def registered(settings: Settings) -> tuple[Saga[Any], ...]:
    """Return every saga of this installation: those that ship, then the team's own.

    Raises:
        ModuleUnusable: A module can't be imported, or holds a saga that can't be run.
    """
    return (*SHIPPED, *load_sagas(settings.definition_modules))


def load_sagas(modules: Iterable[str]) -> tuple[Saga[Any], ...]:
    """Return the sagas of a team's modules, in the order in which they stand there.

    Args:
        modules: Dotted names. They are looked for where Python looks, and then in the working directory.

    Raises:
        ModuleUnusable: One can't be imported, or holds no saga, or one that can't be run or has a name that is taken.
    """
    found: dict[tuple[str, int], Saga[Any]] = {}
    for name in modules:
        sagas = find_sagas(name)
        if not sagas:
            raise ModuleUnusable(f"SAGA_DEFINITIONS: module {name} holds no Saga at its top level")
        for saga in sagas:
            if any(saga.name == shipped.name for shipped in SHIPPED):
                raise ModuleUnusable(f"SAGA_DEFINITIONS: module {name} names a saga {saga.name}, which is one that ships")
            if found.setdefault((saga.name, saga.version), saga) is not saga:
                raise ModuleUnusable(f"SAGA_DEFINITIONS: two sagas are named {saga.name} and are version {saga.version}")
            for finding in examine(saga):
                if finding.level is Level.ERROR:
                    raise ModuleUnusable(f"SAGA_DEFINITIONS: module {name}: {finding}")
    return tuple(found.values())


def find_sagas(module: str) -> list[Saga[Any]]:
    """Return the sagas at the top level of a module, but for those that ship: a module may import one for its steps.

    Raises:
        ModuleUnusable: It can't be imported.
    """
    folder = os.getcwd()
    if folder not in sys.path:
        # Last, so that nothing there stands in for a library.
        sys.path.append(folder)
    try:
        values = vars(importlib.import_module(module)).values()
    except Exception as error:  # a module of somebody's: whatever it raises, it can't be used
        raise ModuleUnusable(f"SAGA_DEFINITIONS: module {module} can't be imported: {_why(error)}") from None
    sagas = {id(value): value for value in values if isinstance(value, Saga)}
    return [saga for saga in sagas.values() if not any(saga is shipped for shipped in SHIPPED)]


def _why(error: Exception) -> str:
    said = " ".join(str(error).split())
    return said if isinstance(error, ModuleNotFoundError) else f"{type(error).__name__}: {said}"
