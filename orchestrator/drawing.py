"""A definition as pictures, in Mermaid or as boxes and arrows: who is called in which order, which ways lead to which end.

Both show what undoes what. They are drawn from the definition alone, so they can't be out of date.
"""

import re
from collections.abc import Iterator
from itertools import groupby
from typing import Any, Final

from orchestrator.saga import AnyStep, Saga, Signal, Step, StepKind, Timer
from participants.contracts import Endpoint
from sql.models import Json, Status

_INDENT: Final = "    "
_Unit = tuple[AnyStep[Any], ...]
"""A step by itself, or the steps of a group."""
_Arrow = tuple[str, str, str]
"""From where, where to, and why."""

# --- a sequence diagram -----------------------------------------------------------------------------------------------


def sequence(saga: Saga[Any]) -> str:
    """Return a sequence diagram: the calls of a saga in order, and those that undo them in theirs."""
    endpoints = [endpoint for step in saga.calls for endpoint in (step.action, step.compensation) if endpoint]
    lines = [f"participant saga as {saga.name}"]
    for name in dict.fromkeys(endpoint.participant for endpoint in endpoints):
        lines.append(f"participant {name}" if _id(name) == name else f"participant {_id(name)} as {name}")
    for unit in _units(saga):
        lines += _told(unit)
    undone = [(step, step.compensation) for step in reversed(saga.calls) if step.compensation is not None]
    if undone:
        lines.append("opt undone, newest first: what was done or may have been")
        lines += [_INDENT + _call(endpoint, f"undo {', '.join(_undone_by(saga, step))}") for step, endpoint in undone]
        lines.append("end")
    return "\n".join(["sequenceDiagram", *(_INDENT + line for line in lines), ""])


def _told(unit: _Unit) -> Iterator[str]:
    if len(unit) > 1:
        for index, step in enumerate(unit):
            yield "and" if index else f"par {unit[0].group}, at once"
            yield from (_INDENT + line for line in _told((step,)))
        yield "end"
        return
    (step,) = unit
    lines = list(_of_one(step))
    if step.when is not None:
        lines = ["opt where it applies", *(_INDENT + line for line in lines), "end"]
    yield from lines
    if step.kind is StepKind.PIVOT and step.undone_by is None:
        yield "Note over saga: from here on it only goes forward"


def _of_one(step: AnyStep[Any]) -> Iterator[str]:
    match step:
        case Step():
            marks = [*(["optional"] if step.optional else []), *(["pivot"] if step.kind is StepKind.PIVOT else [])]
            yield _call(step.action, " ".join([step.name, *(f"({mark})" for mark in marks)]))
        case Signal():
            yield f"Note over saga: {step.name}: waits for the signal, at most {_time(step.timeout_s)}"
        case Timer():
            yield f"Note over saga: {step.name}: waits {_time(step.wait_s) if step.wait_s is not None else 'until a time'}"


def _call(endpoint: Endpoint[Any, Any], label: str) -> str:
    return f"saga->>{_id(endpoint.participant)}: {label}: {endpoint.method} {_text(endpoint.path)}"


def _undone_by(saga: Saga[Any], step: Step[Any, Any]) -> list[str]:
    """Return the names of the steps that the compensation of one undoes."""
    return [*(other.name for other in reversed(saga.calls) if other.undone_by == step.name), step.name]


# --- a state diagram --------------------------------------------------------------------------------------------------


def states(saga: Saga[Any]) -> str:
    """Return a state diagram: each step, what follows from how it ends, and the statuses in which the saga can end.

    A cancel takes the same ways back as a failure.
    """
    units = _units(saga)
    reasons = _reasons(saga, units)
    ends = [status for status in Status if status is not Status.STUCK and any(status == end for _, end in reasons)]
    lines = [
        *(line for unit in units for line in _declared(unit)),
        f"[*] --> {_name(units[0])}",
        *(f"{source} --> {target}: {' or '.join(why)}" for (source, target), why in reasons.items()),
        *(f"{end} --> [*]" for end in ends),
    ]
    return "\n".join(["stateDiagram-v2", *(_INDENT + line for line in lines), ""])


def graph(saga: Saga[Any]) -> Json:
    """Return what `states` draws, for a page that lays it out itself.

    Returns:
        `units`, each the `steps` of a group or one step, with the `name` by which arrows call it; `undone`, the names of the
        steps that have a compensation, whose boxes arrows call `undo_NAME`; `arrows` with `source`, `target` (a box, or a
        status in which the saga can end) and `why`.
    """
    units = _units(saga)
    ways = _reasons(saga, units).items()
    return {
        "units": [{"name": _name(unit), "group": unit[0].group, "steps": [step.name for step in unit]} for unit in units],
        "undone": [step.name for step in saga.calls if step.compensation is not None],
        "arrows": [{"source": source, "target": target, "why": " or ".join(why)} for (source, target), why in ways],
    }


def _reasons(saga: Saga[Any], units: list[_Unit]) -> dict[tuple[str, str], dict[str, None]]:
    """Return all ways from a box to the next, each with what leads along it."""
    arrows = [arrow for index in range(len(units)) for arrow in (*_onward(units, index), *_back(saga, units, index))]
    arrows += _undoing(saga, {target for _, target, _ in arrows})
    reasons: dict[tuple[str, str], dict[str, None]] = {}
    for source, target, why in arrows:
        reasons.setdefault((source, target), {})[why] = None
    return reasons


def _declared(unit: _Unit) -> Iterator[str]:
    if len(unit) > 1:
        yield f"state {_name(unit)} {{"
        for index, step in enumerate(unit):
            yield from [_INDENT + "--"] if index else []
            yield f"{_INDENT}[*] --> {step.name}"
        yield "}"


def _onward(units: list[_Unit], index: int) -> Iterator[_Arrow]:
    unit = units[index]
    target = _name(units[index + 1]) if index + 1 < len(units) else Status.COMPLETED.value
    match unit[0]:
        case Signal():
            why = "answered"
        case Timer():
            why = "the time has come"
        case _:
            why = "all done" if len(unit) > 1 else "done"
    yield _name(unit), target, why
    if any(step.when is not None for step in unit):
        yield _name(unit), target, "it does not apply"
    if any(isinstance(step, Step) and step.optional for step in unit):
        yield _name(unit), target, "it can't be done"


def _back(saga: Saga[Any], units: list[_Unit], index: int) -> Iterator[_Arrow]:
    """Give the ways that lead away from a unit when a step of it fails."""
    unit = units[index]
    before = [step for earlier in units[:index] for step in earlier]
    forward_only = any(step.kind is StepKind.PIVOT and step.undone_by is None for step in before)
    for step in unit:
        if isinstance(step, Timer) or (isinstance(step, Step) and step.optional):
            continue
        # Of a group the others are, or may be, done when one fails.
        beside = [other for other in unit if other is not step]
        ending = Status.DECLINED if isinstance(step, Step) and step.declines else Status.FAILED
        rejected = "no answer came in time" if isinstance(step, Signal) else "rejected"
        if forward_only or step.kind is StepKind.RETRIABLE:
            yield _name(unit), Status.STUCK.value, rejected
        else:
            yield _name(unit), _first_undo([*before, *beside]) or ending.value, rejected
        if not isinstance(step, Step):
            continue
        if forward_only or step.kind in (StepKind.PIVOT, StepKind.RETRIABLE):
            yield _name(unit), Status.STUCK.value, "out of attempts"
        else:
            yield _name(unit), _first_undo([*before, *unit]) or Status.FAILED.value, "out of attempts"


def _first_undo(steps: list[AnyStep[Any]]) -> str | None:
    """Return where undoing these begins; None where there is nothing to undo."""
    return next((f"undo_{step.name}" for step in reversed(steps) if step.compensation is not None), None)


def _undoing(saga: Saga[Any], reached: set[str]) -> Iterator[_Arrow]:
    """Give the ways from compensation to compensation, from the newest that can be reached to the end."""
    undone = [step.name for step in saga.calls if step.compensation is not None]
    newest = max((index for index, name in enumerate(undone) if f"undo_{name}" in reached), default=-1)
    for index in range(newest, -1, -1):
        if index:
            yield f"undo_{undone[index]}", f"undo_{undone[index - 1]}", "undone"
        else:
            yield f"undo_{undone[0]}", Status.FAILED.value, "all is undone"
            yield f"undo_{undone[0]}", Status.CANCELLED.value, "all is undone, as somebody asked"
        yield f"undo_{undone[index]}", Status.STUCK.value, "it can't be undone"


# --- both -------------------------------------------------------------------------------------------------------------


def _units(saga: Saga[Any]) -> list[_Unit]:
    alone = iter(range(len(saga.steps)))
    return [tuple(unit) for _, unit in groupby(saga.steps, lambda step: step.group or next(alone))]


def _name(unit: _Unit) -> str:
    return f"group_{_id(str(unit[0].group))}" if len(unit) > 1 else unit[0].name


def _id(name: str) -> str:
    return re.sub(r"\W", "_", name)


def _text(text: str) -> str:
    # What Mermaid takes for the end of a statement, or for the beginning of an entity.
    return text.replace(";", ",").replace("#", "")


def _time(seconds: float) -> str:
    for unit, unit_s in (("days", 86_400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * unit_s and seconds % unit_s == 0:
            return f"{seconds / unit_s:.0f} {unit}"
    return f"{seconds:g} s"
