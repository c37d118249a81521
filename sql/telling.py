"""The form in which every process tells what happens: one line an event, and nothing in it that was said in confidence.

::

    event and fields ─▶ form (exceptions without data) ─▶ cut to size ─▶ as_json, or as_text on a developer's terminal

A line is ASCII: whatever somebody sends, no control character, no other line's beginning and nothing for a terminal is in it.
What it may say is listed, and a test holds the code to it: ids, names of ours, numbers, and errors in words. No bodies, no
headers, nothing of a person.
"""

import contextlib
import json
import platform
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping, MutableMapping
from importlib.metadata import PackageNotFoundError, version
from types import TracebackType
from typing import Any, Final

import psycopg
from pydantic import ValidationError

VALUE_MAX: Final = 2_000
"""Characters of one value; what is longer ends in an ellipsis."""
TRACEBACK_MAX: Final = 12_000
LINE_MAX: Final = 32_000
"""Characters of one line; of a longer one only what it is about is left."""
FIRST: Final = ("timestamp", "level", "event")
ABOUT: Final = ("correlation_id", "order_ledger_id", "step", "replica")
"""What a line is about, as far as it is about anything; the same names in every process."""
FIELDS: Final = frozenset(
    {*FIRST, *ABOUT, "error", "reason", "exception", "repeated", "cut"}
    # names and ids of ours; `key` is an operation's, `path` a template's, `traceparent` W3C's
    | {"participant", "saga", "status", "state", "before", "member", "path", "mode", "webhook", "id", "key", "revision"}
    | {"method", "route", "traceparent"}
    # addresses of listeners
    | {"clients", "admin"}
    # numbers, and what is either so or not
    | {"lease_epoch", "lapsed", "delay_s", "seconds", "duration_ms", "orders", "transitions", "usage", "older_than_days"}
    | {"open", "most", "replayed", "kept", "lines", "receivers"}
    # what it is made of, see `versions`
    | {"versions"}
    # sentences of ours
    | {"meanwhile", "cause", "consequence", "stack"}
)
"""All that a line may say."""
NETWORK_FACING: Final = ("aiohttp", "httptools", "msgspec", "orjson", "psycopg", "pydantic", "uvloop")
FRAMES_MAX: Final = 30
CAUSES_MAX: Final = 5
_WITH_VALUES: Final = ("22", "42")
"""SQLSTATE classes whose messages repeat values of a row, or pieces of a statement."""

Fields = MutableMapping[str, Any]
Processor = Callable[[Any, str, Fields], Fields]


def is_readable(wanted: str, environment: str) -> bool:
    """Tell whether lines are for a person: as `SAGA_LOG_FORMAT` says, and by itself on a developer's terminal."""
    return wanted == "console" or (wanted == "auto" and environment == "dev" and sys.stderr.isatty())


def versions() -> str:
    """Return which Python this is, and which release of what a hole in would matter most: all that touches the network."""
    found = [f"python {platform.python_version()}"]
    for name in NETWORK_FACING:
        with contextlib.suppress(PackageNotFoundError):
            found.append(f"{name} {version(name)}")
    return ", ".join(found)


def said_of(error: BaseException) -> str:
    """Return an exception in words, without the data that it was raised over.

    What the database says of a row's values and what a validation says of its input are left out: they are what somebody sent.
    """
    try:
        words = _said_of(error)
    except Exception:
        words = ""
    return f"{type(error).__name__}: {words}" if words else type(error).__name__


def _said_of(error: BaseException) -> str:
    match error:
        case psycopg.Error(sqlstate=str(state)):
            return state if state.startswith(_WITH_VALUES) else f"{state} {error.diag.message_primary}"
        case psycopg.ProgrammingError():  # of an address that can't be read, which it repeats with the password
            return ""
        case ValidationError():
            found = error.errors(include_url=False, include_context=False, include_input=False)
            return "; ".join(f"{'.'.join(map(str, each['loc']))}: {each['type']}" for each in found[:5])
    return str(error)


def traceback_of(error: BaseException) -> str:
    """Return where an exception was raised and what it was raised from, each as `said_of` has it."""
    parts: list[str] = []
    for each in reversed(list(_causes(error))):
        frames = traceback.extract_tb(each.__traceback__, limit=-FRAMES_MAX)
        parts.append("".join(["Traceback (most recent call last):\n", *traceback.format_list(frames), said_of(each)]))
    return "\n\n".join(parts)


def _causes(error: BaseException) -> Iterator[BaseException]:
    current: BaseException | None = error
    for _ in range(CAUSES_MAX):
        if current is None:
            return
        yield current
        current = current.__cause__ or (None if current.__suppress_context__ else current.__context__)


def form(_logger: Any, _method: str, fields: Fields) -> Fields:
    """Bring an event into its form: the same names first, exceptions told, nothing without a value."""
    error = _exception_of(fields.pop("exc_info", None))
    if error is not None:
        fields["exception"] = traceback_of(error)
    names = [*FIRST, *ABOUT, *(name for name in fields if name not in FIRST and name not in ABOUT and name != "exception")]
    told = {name: fields[name] for name in names if fields.get(name) is not None}
    if "exception" in fields:
        told["exception"] = str(fields["exception"])
    return told


def cut(_logger: Any, _method: str, fields: Fields) -> Fields:
    """Leave nothing too long; apart from `form`, because what is to be found in a text is not found in half of one."""
    return {
        name: _cut(value, TRACEBACK_MAX, keep_end=True) if name == "exception" else _cut(value, VALUE_MAX)
        for name, value in fields.items()
    }


def as_json(_logger: Any, _method: str, fields: Fields) -> str:
    """Return an event as one line of JSON."""
    line = _dumped(fields)
    if len(line) > LINE_MAX:
        line = _dumped({name: fields[name] for name in (*FIRST, *ABOUT) if name in fields} | {"cut": True})
    return line


def as_text(_logger: Any, _method: str, fields: Fields) -> str:
    """Return an event as a person reads it on a terminal; an exception follows on lines of its own."""
    rest = {name: value for name, value in fields.items() if name not in FIRST and name != "exception"}
    told = " ".join(f"{name}={_plain(value)}" for name, value in rest.items())
    time = str(fields.get("timestamp", ""))[11:23]
    line = f"{time} {fields.get('level', ''):<8} {_plain(fields.get('event', ''))}{'  ' * bool(told)}{told}"
    lines = str(fields.get("exception", "")).splitlines()
    return "\n".join([line, *(f"    {_escaped(each)}" for each in lines)])


def _exception_of(given: Any) -> BaseException | None:
    match given:
        case BaseException():
            return given
        case (_, BaseException() as error, TracebackType() | None):
            return error
        case _ if given:
            return sys.exc_info()[1]
    return None


def _cut(value: Any, most: int, *, keep_end: bool = False) -> Any:
    if isinstance(value, bool | int | float):
        return value
    if isinstance(value, Mapping | list | tuple):
        dumped = _dumped(value)
        return value if len(dumped) <= most else dumped[:most] + "…"
    text = str(value)
    if len(text) <= most:
        return text
    return "…" + text[-most:] if keep_end else text[:most] + "…"


def _dumped(value: Any) -> str:
    # ASCII only, so that C1 controls and the separators U+2028 and U+2029 are escaped; DEL is what is left.
    return json.dumps(value, default=str).replace("\x7f", "\\u007f")


def _plain(value: Any) -> str:
    text = value if isinstance(value, str) else _dumped(value)
    return text if text.isascii() and text.isprintable() and " " not in text else _dumped(text)


def _escaped(line: str) -> str:
    return _dumped(line)[1:-1].replace('\\"', '"').replace("\\\\", "\\")
