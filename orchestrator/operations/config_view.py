"""`saga config`: what sagas are configured to be, shown and changed from the command line."""

import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final, TypeVar

from rich.console import Console

from orchestrator import config_shown, configuring
from orchestrator.config_shown import Shown
from orchestrator.configuration import Configuration, Unsafe
from orchestrator.configuring import CanaryTerms
from orchestrator.definitions import Definitions
from orchestrator.loading import registered
from orchestrator.operations.asking import Connection, ask
from orchestrator.operations.place import Place, checked_settings
from orchestrator.operations.render import open_console, print_json, print_table, say, short
from orchestrator.saga import Signal, Step
from sql.models import Json

T = TypeVar("T")
_LISTS: Final = ("order", "off")
_DONE: Final = {
    "set": "set",
    "discard": "discarded",
    "apply": "applied",
    "canary": "tried on a share",
    "promote": "made active after its trial",
    "withdraw": "taken back",
}


def show(place: Place, saga: str, *, as_json: bool) -> None:
    """Print what new orders of a saga start on, and what comes next.

    Raises:
        NoSuchSaga: There is none of this name.
    """
    shown = _ask(place, lambda conn, definitions: config_shown.show(conn, definitions, saga))
    addresses = {name: place.participants.get(name) for name in shown.participants}
    if as_json:
        print_json({**shown.document(), "participants": addresses})
        return
    console = open_console()
    version = f"version {shown.runs.version}, of {', '.join(map(str, shown.versions))} here"
    say(console, f"saga {saga}: new orders start on {version}; deadline {shown.runs.deadline_s:g} s")
    say(
        console,
        f"{_revision(shown.active)} is active" if shown.active else "as code and settings have it: no revision is active",
    )
    _print_steps(console, shown)
    print_table(console, ("PARTICIPANT", "ADDRESS"), [(name, at or "not registered") for name, at in addresses.items()])
    say(console, "where they are is said to `saga participants`, for orders on their way too")
    _print_next(console, shown)


def diff(place: Place, saga: str, *, as_json: bool) -> None:
    """Print what would change if what is pending, or tried, were active.

    Raises:
        NoSuchSaga: There is none of this name.
    """
    shown = _ask(place, lambda conn, definitions: config_shown.show(conn, definitions, saga))
    if as_json:
        document = shown.document()
        print_json({name: document[name] for name in ("saga", "active", "next", "differences", "unfit")})
    else:
        _print_next(open_console(), shown)


def change(
    place: Place,
    saga: str,
    changes: Sequence[str],
    *,
    unset: Sequence[str],
    document: Json | None,
    actor: str,
    reason: str,
    as_json: bool,
) -> None:
    """Set what is pending: what was pending, or else active, with changes; and print what it would change.

    Args:
        place: The installation.
        saga: Of which saga.
        changes: `KEY=VALUE`, the key's parts with dots between.
        unset: Keys to leave to code and settings.
        document: To begin from instead; None for what is there.
        actor: Who says so.
        reason: Why.
        as_json: Print JSON.

    Raises:
        LedgerError, Unsafe: It can't be; nothing was changed.
    """

    async def act(conn: Connection, definitions: Definitions) -> Shown:
        begun = document
        if begun is None:
            shown = await config_shown.show(conn, definitions, saga)
            begun = (
                (shown.following if shown.following and shown.following["state"] == "pending" else shown.active) or {}
            ).get("body", {})
        changed = changed_by(saga, begun, changes, unset)
        await configuring.put(conn, definitions, saga, Configuration.read(saga, changed), actor=actor, reason=reason)
        return await config_shown.show(conn, definitions, saga)

    _tell(_ask(place, act), as_json)


def apply(
    place: Place, saga: str, *, revision: int | None, canary: CanaryTerms | None, actor: str, reason: str, as_json: bool
) -> None:
    """Have new orders, or a share of them, start on what is pending; and say so.

    Raises:
        LedgerError, Unsafe: It can't be; nothing was changed.
    """

    async def act(conn: Connection, definitions: Definitions) -> Shown:
        await configuring.apply(conn, definitions, saga, actor=actor, reason=reason, revision=revision, canary=canary)
        return await config_shown.show(conn, definitions, saga)

    _tell(_ask(place, act), as_json)


def discard(place: Place, saga: str, *, actor: str, reason: str, as_json: bool) -> None:
    """Drop what is pending, or take back what is tried; and say so.

    Raises:
        LedgerError: There is neither.
    """

    async def act(conn: Connection, definitions: Definitions) -> Shown:
        await configuring.discard(conn, definitions, saga, actor=actor, reason=reason)
        return await config_shown.show(conn, definitions, saga)

    _tell(_ask(place, act), as_json)


def history(place: Place, saga: str, *, limit: int, as_json: bool) -> None:
    """Print what was done with a saga's configuration, newest first.

    Raises:
        NoSuchSaga: There is none of this name.
    """
    found = _ask(place, lambda conn, definitions: configuring.history(conn, definitions, saga, limit=limit))
    if as_json:
        print_json({"saga": saga, "history": found})
        return
    console = open_console()
    rows = [(e["seq"], short(e["at"]), e["revision"], _DONE[e["act"]], f"{e['actor']}: {e['reason']}") for e in found]
    print_table(console, ("SEQ#", "AT UTC", "REVISION#", "WAS", "BY AND WHY"), rows, gap=1)
    if not rows:
        say(console, f"saga {saga} was never configured")


def changed_by(saga: str, begun: Json, changes: Sequence[str], unset: Sequence[str]) -> Json:
    """Return a configuration with changes.

    Raises:
        Unsafe: One is not `KEY=VALUE`.
    """
    document = json.loads(json.dumps(begun))
    for key in unset:
        *path, last = key.split(".")
        _at(saga, document, path).pop(last, None)
    for change in changes:
        key, equals, text = change.partition("=")
        if not equals or not key:
            raise Unsafe(saga, (f"{change!r} is not KEY=VALUE",))
        *path, last = key.split(".")
        _at(saga, document, path)[last] = _value(key, text)
    return _without_empty(document)


def _at(saga: str, document: Json, path: Sequence[str]) -> Json:
    for name in path:
        document = document.setdefault(name, {})
        if not isinstance(document, dict):
            raise Unsafe(saga, (f"{name} has no parts",))
    return document


def _value(key: str, text: str) -> Any:
    if key in _LISTS and not text.startswith("["):
        return [name.strip() for name in text.split(",") if name.strip()]
    try:
        return json.loads(text)
    except ValueError:
        return text


def _without_empty(document: Json) -> Json:
    """Return a document without the objects that unsetting has emptied."""
    kept = {name: _without_empty(value) if isinstance(value, dict) else value for name, value in document.items()}
    return {name: value for name, value in kept.items() if value not in ({}, [])}


def _ask(place: Place, question: Callable[[Connection, Definitions], Awaitable[T]]) -> T:
    settings = checked_settings(database_url=place.database_url)
    definitions = Definitions(registered(settings), settings)
    return ask(place.database_url, lambda conn: question(conn, definitions))


def _tell(shown: Shown, as_json: bool) -> None:
    if as_json:
        print_json(shown.document())
        return
    console = open_console()
    say(console, f"{_revision(shown.active)} is active" if shown.active else "no revision is active")
    _print_next(console, shown)


def _print_steps(console: Console, shown: Shown) -> None:
    saga, rows = shown.runs, list[tuple[object, ...]]()
    for step in saga.steps:
        if not isinstance(step, Step):
            wait_s = step.timeout_s if isinstance(step, Signal) else step.wait_s
            rows.append((step.name, type(step).__name__.lower(), "" if wait_s is None else f"{wait_s:g}", "", "", "", ""))
            continue
        retry = saga.retry_of(step)
        timeout, first, factor = (f"{value:g}" for value in (saga.timeout_s_of(step), retry.first_s, retry.factor))
        kind = "optional" if step.optional else step.kind
        rows.append((step.name, kind, timeout, retry.attempts_max, first, factor, step.action.participant))
    print_table(console, ("STEP", "KIND", "LIMIT S#", "TRIES#", "WAIT S#", "FACTOR#", "PARTICIPANT"), rows, gap=1)


def _print_next(console: Console, shown: Shown) -> None:
    if shown.unfit:
        say(console, f"does not fit: {shown.unfit}")
    following = shown.following
    if following is None:
        say(console, "nothing is pending")
        return
    if following["state"] == "canary":
        terms = (
            f"{following['canary_percent']:g} % of new orders until {short(following['canary_until'])} UTC, unless more than"
            f" {following['canary_failure_rate_max']:.1%} of them, of {following['canary_orders_min']} at least, fail"
        )
        say(console, f"{_revision(following)} is tried on {terms}")
    else:
        say(console, f"{_revision(following)} is pending")
    for each in shown.differences:
        if each["key"] == "order":  # too long for a column
            say(console, f"steps now:  {', '.join(each['before'])}")
            say(console, f"steps then: {', '.join(each['after'])}")
    rows = [
        (each["key"], _shown(each["before"]), _shown(each["after"])) for each in shown.differences if each["key"] != "order"
    ]
    if rows:
        print_table(console, ("WHAT", "NOW#", "THEN#"), rows)


def _revision(row: Mapping[str, Any]) -> str:
    return f"revision {row['revision']} ({row['actor']}, {short(row['created_at'])} UTC: {row['reason']})"


def _shown(value: Any) -> str:
    return "" if value is None else f"{value:g}" if isinstance(value, float) else str(value)
