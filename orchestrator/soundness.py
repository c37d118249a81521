"""What is wrong with a definition, as far as it can be told before it runs.

An error stops a process that would run it; a warning is for whoever writes it. What a definition may be at all is said where
it is built (`saga.py`); here is what only a look at the models and the source shows.
"""

import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from string import Formatter
from typing import Any, Final

from pydantic import BaseModel
from pydantic.errors import PydanticInvalidForJsonSchema

from orchestrator.builders import Reading, read
from orchestrator.events import CATALOGUE, StepEvent
from orchestrator.saga import AnyStep, DefinitionError, Saga, Signal, Step, StepKind, Timer
from participants.contracts import Endpoint, is_personal
from sql.definitions import Registered

NAME: Final = re.compile(r"[a-z][a-z0-9_]{0,62}")
"""Of a saga and of a step: stands in addresses, in operation keys and in labels of metrics."""
_NO_NAME: Final = "its name must be lower-case letters, digits and _, a letter first, at most 63"
LABELS: Final = "metadata"
"""Member of every request that starts a saga: the client's own labels."""
WAIT_MAX_S: Final = 3600.0
"""After a pivot a longer wait than this has to be meant: `Retry.wait_max_s` says so."""


class Level(StrEnum):
    """How bad it is."""

    ERROR = "error"
    WARNING = "warning"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong.

    Attributes:
        level: How bad it is.
        saga: Name of the saga.
        step: Name of the step; None where it is about the whole saga.
        says: What is wrong, in a sentence.
    """

    level: Level
    saga: str
    step: str | None
    says: str

    def __str__(self) -> str:
        """Return it in a sentence."""
        where = f"step {self.step} of saga {self.saga}" if self.step else f"saga {self.saga}"
        return f"{where}: {self.says}"


def examine(saga: Saga[Any], queries: Collection[str] | None = None) -> list[Finding]:
    """Return what is wrong with a saga, errors first.

    Args:
        saga: What to look at.
        queries: Names of the audit queries that there are; None to believe its invariants.
    """
    found = [Finding(level, saga.name, None, says) for level, says in _whole(saga)]
    for invariant in saga.invariants:
        if queries is not None and invariant.query not in queries:
            says = f"its invariant names the audit query {invariant.query}, which is not there"
            found.append(Finding(Level.ERROR, saga.name, None, says))
    for index, step in enumerate(saga.steps):
        before = saga.steps[:index]
        found += [Finding(level, saga.name, step.name, says) for level, says in _one(saga, step, before)]
    return sorted(found, key=lambda finding: finding.level)


_Told = Iterator[tuple[Level, str]]


def _whole(saga: Saga[Any]) -> _Told:
    if not NAME.fullmatch(saga.name):
        yield Level.ERROR, _NO_NAME
    if saga.version < 1:
        yield Level.ERROR, "its version must be 1 or more"
    try:
        saga.fingerprint  # noqa: B018
    except DefinitionError as error:
        yield Level.ERROR, str(error)
    yield from _input(saga.input)
    if not saga.says:
        yield Level.WARNING, "it does not say what it does (`says`)"
    if saga.stands is None and any(step.action.method != "GET" for step in saga.calls):
        yield Level.WARNING, "it does not say what a completed one leaves (`stands`), so no audit can compare it"


def _input(model: type[BaseModel]) -> _Told:
    if LABELS in model.model_fields:
        yield Level.ERROR, f"its input has a member {LABELS}, which is taken for the client's own labels"
    config = model.model_config
    by_name = config.get("populate_by_name") or config.get("validate_by_name")
    for name, field in model.model_fields.items():
        if (field.validation_alias or field.alias) and not by_name:
            yield (
                Level.ERROR,
                f"member {name} of its input has an alias, so it could not be read back: allow `validate_by_name`",
            )
        if field.exclude:
            yield Level.ERROR, f"member {name} of its input is left out of JSON, so it would be lost"
    try:
        model.model_json_schema()
    except PydanticInvalidForJsonSchema as error:
        yield Level.ERROR, f"its input has no JSON Schema: {error.message}"


def _one(saga: Saga[Any], step: AnyStep[Any], before: tuple[AnyStep[Any], ...]) -> _Told:
    if not NAME.fullmatch(step.name):
        yield Level.ERROR, _NO_NAME
    for role in ("on_success", "on_rejection", "on_undo"):
        type_ = getattr(step, role, None)
        if type_ is not None and not issubclass(CATALOGUE.get(type_, StepEvent), StepEvent):
            yield Level.ERROR, f"{type_} tells of a whole order, not of a step: choose another type"
    functions = {"when": step.when, "until": step.until if isinstance(step, Timer) else None}
    reading = None
    if isinstance(step, Step):
        functions["request"] = step.request
        yield from _call(saga, step, before)
    for name, function in functions.items():
        if function is None:
            continue
        try:
            found = read(function)
        except (OSError, TypeError, SyntaxError, ValueError):
            yield Level.WARNING, f"what its `{name}` reads can't be told from its source"
            continue
        reading = found if name == "request" else reading
        yield from _pure(name, found, saga, before)
    if isinstance(step, Step) and reading is not None:
        yield from _request(step, reading)


def _pure(name: str, reading: Reading, saga: Saga[Any], before: tuple[AnyStep[Any], ...]) -> _Told:
    """What a function must not do, and what it can't read."""
    for call in reading.impure:
        yield Level.ERROR, f"its `{name}` calls {call}: a repeated attempt would ask for something else"
    for member in sorted(reading.inputs):
        if not hasattr(saga.input, member) and member not in saga.input.model_fields:
            yield Level.ERROR, f"its `{name}` reads `input.{member}`, which {saga.input.__name__} does not have"
    here = {step.name: step for step in saga.steps}
    done = {step.name for step in before if isinstance(step, Step | Signal)}
    for result in sorted(reading.results):
        if result not in here:
            yield Level.ERROR, f"its `{name}` reads the answer of {result}, which is no step of the saga"
        elif result not in done or _in_its_group(saga, here[result], len(before)):
            yield Level.ERROR, f"its `{name}` reads the answer of {result}, which is not there yet"
        elif result not in reading.guarded and (here[result].when is not None or getattr(here[result], "optional", False)):
            yield Level.ERROR, f"its `{name}` reads the answer of {result}, which may have been left out: ask by `.get`"
    for other in reading.ids:
        if isinstance(other, Step) and other.name not in here:
            yield Level.ERROR, f"its `{name}` names the thing that {other.name} makes, which is no step of the saga"


def _in_its_group(saga: Saga[Any], other: AnyStep[Any], index: int) -> bool:
    """Tell whether a step is called at once with the one at an index, so that neither has the other's answer."""
    group = saga.steps[index].group
    return group is not None and other.group == group


def _call(saga: Saga[Any], step: Step[Any, Any], before: tuple[AnyStep[Any], ...]) -> _Told:
    """What is wrong with the endpoints of a step and with its limits."""
    for role, endpoint in (("action", step.action), ("compensation", step.compensation), ("probe", step.probe)):
        if endpoint is None:
            continue
        for part in (name for _, name, _, _ in Formatter().parse(endpoint.path) if name is not None):
            field = endpoint.request.model_fields.get(part)
            if field is None and not hasattr(endpoint.request, part):
                yield Level.ERROR, f"the path of its {role} names {{{part}}}, which {endpoint.request.__name__} does not have"
            elif field is not None and is_personal(field):
                yield Level.ERROR, f"the path of its {role} would show {part}, which is personal data"
    if step.compensation is not None and step.compensation.method == "GET":
        yield Level.ERROR, "its compensation is a GET, which changes nothing"
    if step.kind is StepKind.READ_ONLY and step.action.method != "GET":
        yield Level.WARNING, f"it is read-only, but a {step.action.method}: nothing undoes what that does"
    retry, timeout_s = saga.retry_of(step), saga.timeout_s_of(step)
    longest_s = retry.delay_s(max(retry.attempts_max - 1, 1))
    forward = step.kind in (StepKind.PIVOT, StepKind.RETRIABLE)
    if forward and retry.wait_max_s is None and longest_s > WAIT_MAX_S:
        yield Level.ERROR, f"it can't be undone, and its waits grow to {longest_s:.0f} s: cap them with `Retry.wait_max_s`"
    limit_s = step.deadline_s or saga.deadline_s
    if limit_s is not None and retry.budget_s(timeout_s) > limit_s:
        yield (
            Level.WARNING,
            f"its attempts may take {retry.budget_s(timeout_s):.0f} s, but its time is over after {limit_s:g} s",
        )


def _request(step: Step[Any, Any], reading: Reading) -> _Told:
    """Whether what is built is what the endpoints take."""
    made = reading.made
    if made is None or not issubclass(made, BaseModel):
        if step.compensation is not None and not _related(step.action, step.compensation):
            yield (
                Level.WARNING,
                "what its `request` builds can't be told, and its compensation takes another model than its action",
            )
        return
    for role, endpoint in (("action", step.action), ("compensation", step.compensation)):
        if endpoint is not None and not issubclass(made, endpoint.request):
            yield Level.ERROR, f"its `request` builds {made.__name__}, but its {role} takes {endpoint.request.__name__}"
    if reading.members is None:
        return
    by_alias = {field.alias for field in made.model_fields.values() if field.alias}
    if made.model_config.get("extra") == "forbid":
        for member in sorted(reading.members - made.model_fields.keys() - by_alias):
            yield Level.ERROR, f"its `request` gives {member} to {made.__name__}, which does not have it"
    for name, field in made.model_fields.items():
        if field.is_required() and not {name, field.alias} & reading.members:
            yield Level.ERROR, f"its `request` does not give {name} to {made.__name__}, which needs it"


def _related(one: Endpoint[Any, Any], other: Endpoint[Any, Any]) -> bool:
    return issubclass(one.request, other.request) or issubclass(other.request, one.request)


def compare(sagas: Sequence[Saga[Any]], known: Sequence[Registered], participants: Collection[str]) -> list[Finding]:
    """Return what is wrong with sagas in an installation that has run others, or these as they were.

    Args:
        sagas: As their code is now; several versions of one if need be.
        known: Everything that was ever registered in the ledger.
        participants: Names of those that have an address.
    """
    here = {saga.fingerprint for saga in sagas}
    others = [one for one in known if one.fingerprint not in here]
    return [Finding(level, saga.name, None, says) for saga in sagas for level, says in _compared(saga, others, participants)]


def _compared(saga: Saga[Any], known: Sequence[Registered], participants: Collection[str]) -> _Told:
    mine = [one for one in known if one.saga == saga.name]
    names = [step.name for step in saga.steps]
    for one in mine:
        if one.version != saga.version:
            continue
        lost, new = [n for n in one.steps if n not in names], [n for n in names if n not in one.steps]
        renamed = f" ({', '.join(lost)} is gone, {', '.join(new)} is new)" if lost and new else ""
        yield Level.ERROR, f"its code is not that which the ledger has as version {saga.version}{renamed}: raise its version"
    newest = max((one.version for one in mine), default=0)
    if newest > saga.version:
        yield Level.WARNING, f"the ledger has version {newest} of it: new orders would go back to version {saga.version}"
    for one in mine:
        if one.unfinished and one.version != saga.version:
            yield (
                Level.WARNING,
                f"{one.unfinished} orders are on version {one.version}: keep its code until they are done (`saga drain`)",
            )
    for name in dict.fromkeys(endpoint.participant for step in saga.calls for endpoint in step.endpoints):
        if name not in participants:
            yield Level.WARNING, f"participant {name} has no address: `saga participants add {name} URL`"
