"""A team's own sagas: read from the modules that `SAGA_DEFINITIONS` names, when a process starts.

Every `Saga` at the top level of such a module is one of the installation's, beside those that ship. Whatever is wrong with one
stops the start: a process that runs without a saga that others know would leave its orders lying. The audit queries that its
invariants name stand beside the module, in a folder `audit`.
"""

import importlib
import os
import sys
from collections.abc import Iterable
from pathlib import Path
from types import ModuleType
from typing import Any

from orchestrator.definitions import with_settings
from orchestrator.dependencies import dependencies_of
from orchestrator.expiry import expires, expires_too_early
from orchestrator.saga import Saga
from orchestrator.sagas import SHIPPED
from orchestrator.settings import Settings, SettingsError
from orchestrator.soundness import Level, examine
from sql.auditing import AuditQuery, load_audit


class ModuleUnusable(SettingsError):
    """A module of `SAGA_DEFINITIONS` can't be used; nothing was started."""

    exit_code = 2


def registered(settings: Settings) -> tuple[Saga[Any], ...]:
    """Return every saga of this installation: those that ship, then the team's own.

    Raises:
        ModuleUnusable: A module can't be imported, or holds a saga that can't be run.
        SettingsError: What a saga reserves for a while would expire before it had all its attempts.
    """
    sagas = (*SHIPPED, *load_sagas(settings.definition_modules))
    for saga in sagas:
        if any(expires(step) for step in saga.calls):
            for wrong in expires_too_early(with_settings(saga, settings), dependencies_of(saga), settings):
                raise SettingsError(f"saga {saga.name} can't be run with these settings: {wrong}")
    return sagas


def load_sagas(modules: Iterable[str]) -> tuple[Saga[Any], ...]:
    """Return the sagas of a team's modules, in the order in which they stand there.

    Args:
        modules: Dotted names. They are looked for where Python looks, and then in the working directory.

    Raises:
        ModuleUnusable: One can't be imported, or holds no saga, or one that can't be run or has a name that is taken.
        AuditFileError: The header of an audit query is not as it must be.
    """
    found: dict[tuple[str, int], Saga[Any]] = {}
    modules = tuple(modules)
    queries = {query.name for query in find_queries(modules)} if modules else set()
    for name in modules:
        sagas = find_sagas(name)
        if not sagas:
            raise ModuleUnusable(f"SAGA_DEFINITIONS: module {name} holds no Saga at its top level")
        for saga in sagas:
            if any(saga.name == shipped.name for shipped in SHIPPED):
                raise ModuleUnusable(f"SAGA_DEFINITIONS: module {name} names a saga {saga.name}, which is one that ships")
            if found.setdefault((saga.name, saga.version), saga) is not saga:
                raise ModuleUnusable(f"SAGA_DEFINITIONS: two sagas are named {saga.name} and are version {saga.version}")
            for finding in examine(saga, queries):
                if finding.level is Level.ERROR:
                    raise ModuleUnusable(f"SAGA_DEFINITIONS: module {name}: {finding}")
    return tuple(found.values())


def find_sagas(module: str) -> list[Saga[Any]]:
    """Return the sagas at the top level of a module, but for those that ship: a module may import one for its steps.

    Raises:
        ModuleUnusable: It can't be imported.
    """
    sagas = {id(value): value for value in vars(_imported(module)).values() if isinstance(value, Saga)}
    return [saga for saga in sagas.values() if not any(saga is shipped for shipped in SHIPPED)]


def find_queries(modules: Iterable[str]) -> tuple[AuditQuery, ...]:
    """Return every audit query: those that ship, and those of a team's modules.

    Raises:
        ModuleUnusable: A module can't be imported, or two queries have one name.
        AuditFileError: A query's header is not as it must be.
    """
    files = (Path(file) for name in modules if (file := _imported(name).__file__))
    found = load_audit()
    for folder in dict.fromkeys(file.parent / "audit" for file in files):
        found += load_audit(folder)
    names = [query.name for query in found]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise ModuleUnusable(f"SAGA_DEFINITIONS: two audit queries are named {twice}")
    return found


def _imported(module: str) -> ModuleType:
    folder = os.getcwd()
    if folder not in sys.path:
        # Last, so that nothing there stands in for a library.
        sys.path.append(folder)
    try:
        return importlib.import_module(module)
    except (Exception, SystemExit) as error:  # a module of somebody's: whatever it raises, it can't be used
        raise ModuleUnusable(f"SAGA_DEFINITIONS: module {module} can't be imported: {_why(error)}") from None


def _why(error: BaseException) -> str:
    said = " ".join(str(error).split())
    return said if isinstance(error, ModuleNotFoundError) else f"{type(error).__name__}: {said}"
