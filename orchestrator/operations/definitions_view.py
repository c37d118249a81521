"""What people see of definitions: which there are, what one is, and what is wrong with them."""

import asyncio
from collections.abc import Iterable, Sequence
from typing import Any, Final

from orchestrator.describing import describe
from orchestrator.loading import ModuleUnusable, find_queries, find_sagas, registered
from orchestrator.operations.asking import connected
from orchestrator.operations.place import checked_settings
from orchestrator.operations.render import open_console, print_json, print_table, say
from orchestrator.saga import AnyStep, DefinitionError, Saga, Signal, Step, Timer
from orchestrator.settings import Settings
from orchestrator.soundness import Finding, Level, compare, examine
from sql import definitions, registry
from sql.models import Json

_NO_SAGA: Final = "-"


class NoSaga(DefinitionError):
    """There is no saga of this name."""


def show_list(*, as_json: bool) -> None:
    """Print every saga of the installation."""
    sagas = registered(checked_settings())
    if as_json:
        print_json({"sagas": [describe(saga) for saga in sagas]})
        return
    rows = [(saga.name, saga.version, len(saga.steps), saga.says) for saga in sagas]
    print_table(open_console(), ("SAGA", "VERSION#", "STEPS#", "DOES"), rows)


def show_one(name: str, *, as_json: bool) -> None:
    """Print one saga.

    Raises:
        NoSaga: There is none of this name.
    """
    saga = named(name)
    if as_json:
        print_json(describe(saga))
        return
    console = open_console()
    say(console, f"{saga.name}, version {saga.version}: {saga.says or 'it does not say what it does'}")
    print_table(console, ("STEP", "KIND", "DOES", "UNDONE BY"), [_row(step) for step in saga.steps])
    needed = ", ".join(name for name, field in saga.input.model_fields.items() if field.is_required())
    say(console, f"needs: {needed or 'nothing'}")
    for invariant in saga.invariants:
        say(console, f"holds: {invariant.says} ({invariant.query})")


def named(name: str) -> Saga[Any]:
    """Return the newest version of a saga of the installation, as the settings run it.

    Raises:
        NoSaga: There is none of this name.
    """
    sagas = [saga for saga in registered(checked_settings()) if saga.name == name]
    if not sagas:
        raise NoSaga(f"there is no saga {name}: see `saga definitions list`")
    return max(sagas, key=lambda saga: saga.version)


def check(modules: Sequence[str], database_url: str | None, *, as_json: bool) -> int:
    """Print what is wrong with sagas; returns the exit code.

    Args:
        modules: Where they are; none for all of the installation.
        database_url: The ledger to compare them with; None for that of the settings, if any.
        as_json: Print JSON.
    """
    settings = checked_settings(database_url=database_url)
    sagas, found = _found_in(modules) if modules else _examined(registered(settings), settings.definition_modules)
    if settings.database_url is not None:
        found += asyncio.run(_in_ledger(settings, sagas))
    errors = sum(finding.level is Level.ERROR for finding in found)
    if as_json:
        print_json({"sagas": [saga.name for saga in sagas], "findings": [_said(finding) for finding in found]})
    else:
        console = open_console()
        if found:
            rows = [(finding.level.value.upper(), finding.saga, finding.step, finding.says) for finding in found]
            print_table(console, ("LEVEL", "SAGA", "STEP", "WHAT"), rows)
        against = "" if settings.database_url is None else ", also against the ledger"
        counts = f"sagas checked{against}: {len(sagas)}; errors: {errors}; warnings: {len(found) - errors}"
        say(console, counts)
    return 1 if errors else 0


def _found_in(modules: Sequence[str]) -> tuple[list[Saga[Any]], list[Finding]]:
    sagas: list[Saga[Any]] = []
    found = []
    for module in modules:
        try:
            there, findings = _examined(find_sagas(module), [module])
        except ModuleUnusable as error:
            found.append(Finding(Level.ERROR, _NO_SAGA, None, str(error)))
            continue
        if not there:
            found.append(Finding(Level.ERROR, _NO_SAGA, None, f"module {module} holds no Saga at its top level"))
        sagas += there
        found += findings
    return sagas, found


def _examined(sagas: Iterable[Saga[Any]], modules: Iterable[str]) -> tuple[list[Saga[Any]], list[Finding]]:
    queries = {query.name for query in find_queries(modules)}
    examined = list(sagas)
    return examined, [finding for saga in examined for finding in examine(saga, queries)]


async def _in_ledger(settings: Settings, sagas: Sequence[Saga[Any]]) -> list[Finding]:
    async with connected(settings.ledger_url()) as conn:
        known = await definitions.list_registered(conn)
    addresses = {**settings.participants, **registry.list_participants(settings.ledger_url())}
    return compare(sagas, known, addresses.keys())


def _said(finding: Finding) -> Json:
    return {"level": finding.level, "saga": finding.saga, "step": finding.step, "says": finding.says}


def _row(step: AnyStep[Any]) -> tuple[str, str, str, str]:
    marks = " if it applies" if step.when is not None else ""
    match step:
        case Step():
            action, undo = step.action, step.compensation
            kind = f"{step.kind.value.replace('_', '-')}{', optional' if step.optional else ''}"
            by = f"{undo.method} {undo.path}" if undo is not None else step.undone_by or ""
            return step.name, kind, f"{action.participant}: {action.method} {action.path}{marks}", by
        case Signal():
            return step.name, "signal", f"waits {step.timeout_s:g} s for {step.payload.__name__}{marks}", ""
        case Timer():
            return step.name, "timer", f"waits {f'{step.wait_s:g} s' if step.wait_s is not None else 'until a time'}{marks}", ""
