"""What may be changed of a saga without a new version, and the saga that comes of it. Pure: no clock, no randomness, no IO.

::

    definition (code) ─┐
    settings ──────────┼─▶ configured ─▶ a saga with a snapshot of its own, or every reason why not
    Configuration ─────┘

A configuration says only what differs from code and settings. Its snapshot carries all of it, so that a saga that has begun
is never touched.
"""

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from orchestrator.dependencies import Dependencies, dependencies_of
from orchestrator.expiry import expires_too_early
from orchestrator.saga import AnyStep, DefinitionError, Retry, Saga, Signal, Step, StepKind, Timer
from orchestrator.settings import LEASE_MARGIN_S, Settings
from sql.models import Json

Seconds = Annotated[float, Field(gt=0, le=31_536_000, allow_inf_nan=False)]


class Unsafe(DefinitionError):
    """A saga can't be configured so; nothing was changed.

    Args:
        saga: Its name.
        reasons: Every one, each a clause.
    """

    def __init__(self, saga: str, reasons: tuple[str, ...]) -> None:
        super().__init__(f"saga {saga} can't be configured so: {'; '.join(reasons)}")
        self.reasons = reasons


class _Change(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class RetryChange(_Change):
    """A retry policy as far as it is changed; see `Retry`."""

    first_s: float | None = Field(default=None, ge=0, le=3600, allow_inf_nan=False)
    factor: float | None = Field(default=None, ge=1, le=100, allow_inf_nan=False)
    attempts_max: int | None = Field(default=None, ge=1, le=100)
    wait_max_s: float | None = Field(default=None, gt=0, le=86_400, allow_inf_nan=False)

    def on(self, retry: Retry) -> Retry:
        """Return a policy with these changes."""
        return replace(retry, **self.model_dump(exclude_none=True))


class StepChange(_Change):
    """A step as far as it is changed.

    Attributes:
        timeout_s: Total seconds of one call, or of the wait for a signal.
        deadline_s: Seconds from the first attempt after which no further one is made.
        wait_s: Of a timer that waits for a while.
        retry: Its retry policy.
        when_open: What is done while its participant is away.
    """

    timeout_s: Seconds | None = None
    deadline_s: Seconds | None = None
    wait_s: Seconds | None = None
    retry: RetryChange | None = None
    when_open: Literal["park", "fail"] | None = None


class Configuration(_Change):
    """What differs from code and settings; None, and what is left out, is as these have it.

    Attributes:
        version: Version that new orders start on; None for the newest.
        order: Every step, in the order in which they are done; None for that of the code.
        off: Steps that are left out.
        deadline_s: Seconds after which an order that waits is undone.
        timeout_s: Of the steps that state none of their own.
        retry: Of the steps that state none of their own.
        steps: Single steps, by name.
    """

    version: int | None = Field(default=None, ge=1)
    order: tuple[str, ...] | None = None
    off: tuple[str, ...] = ()
    deadline_s: Seconds | None = None
    timeout_s: Seconds | None = None
    retry: RetryChange | None = None
    steps: Mapping[str, StepChange] = {}

    @staticmethod
    def read(saga: str, document: Any) -> "Configuration":
        """Read what somebody wrote.

        Raises:
            Unsafe: It is no configuration; the reasons name the members.
        """
        if isinstance(document, dict) and "participants" in document:
            raise Unsafe(saga, ("where participants are is said to `saga participants`, for orders on their way too",))
        try:
            return Configuration.model_validate_json(json.dumps(document))
        except ValidationError as error:
            wrong = error.errors(include_url=False, include_context=False)
            raise Unsafe(saga, tuple(f"{_path(each['loc'])}: {each['msg'].lower()}" for each in wrong)) from None

    def stored(self) -> Json:
        """Return what differs, as it is stored."""
        return self.model_dump(mode="json", exclude_defaults=True, exclude_none=True)


def configured(code: Saga[Any], configuration: Configuration, revision: int, settings: Settings) -> Saga[Any]:
    """Return a saga as it is configured.

    Args:
        code: As the code has it, with this process's settings where it states nothing of its own.
        configuration: What differs.
        revision: Number of the configuration; stands in the snapshot.
        settings: Leases and reservations of this installation.

    Raises:
        Unsafe: It would be no saga that can run, or be undone, whoever dies; or names what is not there.
    """
    wrong = _unknown(code, configuration)
    if wrong:
        raise Unsafe(code.name, tuple(wrong))
    needed = dependencies_of(code)
    order = configuration.order or tuple(step.name for step in code.steps)
    names = [name for name in order if name not in configuration.off]
    wrong = [*_wrong_off(code, configuration, needed), *_wrong_order(code, names, needed)]
    stated = code.retry or Retry()
    retry = configuration.retry.on(stated) if configuration.retry else stated
    try:
        saga = replace(
            code,
            steps=tuple(_changed(code.step(name), configuration.steps.get(name), retry, names) for name in names),
            retry=retry,
            timeout_s=configuration.timeout_s or code.timeout_s,
            deadline_s=configuration.deadline_s or code.deadline_s,
            config=revision,
            code=code.fingerprint,
        )
    except DefinitionError as error:
        raise Unsafe(code.name, (*wrong, str(error))) from None
    wrong += [*_wrong_times(saga, settings), *expires_too_early(saga, needed, settings)]
    if wrong:
        raise Unsafe(code.name, tuple(wrong))
    return saga


def _unknown(code: Saga[Any], configuration: Configuration) -> list[str]:
    """Return what a configuration names that is not there, or can't be said of what is."""
    names = {step.name for step in code.steps}
    said = [*(configuration.order or ()), *configuration.off, *configuration.steps]
    wrong = [f"there is no step {name} in version {code.version}" for name in dict.fromkeys(said) if name not in names]
    order = configuration.order
    if order is not None and (len(set(order)) < len(order) or not names - set(configuration.off) <= set(order)):
        wrong.append("order must name every step once")
    for name, change in configuration.steps.items():
        if name not in names:
            continue
        may = _MAY_CHANGE[type(code.step(name))]
        wrong += [f"{field} can't be said of step {name}" for field in change.model_dump(exclude_none=True) if field not in may]
        step = code.step(name)
        if isinstance(step, Timer) and step.wait_s is None and change.wait_s is not None:
            wrong.append(f"step {name} waits until a time that its code tells")
    return wrong


_MAY_CHANGE: Mapping[type, frozenset[str]] = {
    Step: frozenset({"timeout_s", "deadline_s", "retry", "when_open"}),
    Signal: frozenset({"timeout_s"}),
    Timer: frozenset({"wait_s"}),
}


def _wrong_off(code: Saga[Any], configuration: Configuration, needed: Dependencies) -> list[str]:
    wrong = []
    for name in configuration.off:
        step = code.step(name)
        if isinstance(step, Signal):
            wrong.append(f"step {name} can't be off: it waits for somebody's word")
        elif not isinstance(step, Timer) and not step.optional and step.kind is not StepKind.READ_ONLY:
            wrong.append(f"step {name} can't be off: it is neither optional nor read-only, so the order would not be whole")
        users = [other for other, needs in needed.needs.items() if name in needs and other not in configuration.off]
        if users:
            wrong.append(f"step {name} can't be off: {', '.join(users)} needs it")
    return wrong


def _wrong_order(code: Saga[Any], names: list[str], needed: Dependencies) -> list[str]:
    place = {name: index for index, name in enumerate(names)}
    wrong = []
    for name in names:
        for other in sorted(needed.follows[name] & place.keys(), key=place.__getitem__):
            if place[other] > place[name]:
                wrong.append(f"step {name} can't come before {other}, {_why_after(code.step(name), other, needed)}")
    return wrong


def _why_after(step: AnyStep[Any], other: str, needed: Dependencies) -> str:
    if other in needed.uses[step.name]:
        return "which it uses"
    if isinstance(step, Step) and other in step.after:
        return "after which its definition says that it comes"
    return "since one of the two is a wait, or can't be undone"


def _wrong_times(saga: Saga[Any], settings: Settings) -> list[str]:
    wrong = []
    longest_s = settings.lease_s * 2 / 3 - LEASE_MARGIN_S
    for step in saga.calls:
        timeout_s, retry = saga.timeout_s_of(step), saga.retry_of(step)
        if timeout_s >= longest_s:
            wrong.append(
                f"a call of step {step.name} may take {timeout_s:g} s, which must be less than {longest_s:g} s, or leases of"
                f" {settings.lease_s:g} s run out during slow calls"
            )
        if step.deadline_s is not None and step.deadline_s < timeout_s:
            wrong.append(f"the deadline of step {step.name}, {step.deadline_s:g} s, is less than one call may take")
        budget_s = retry.budget_s(timeout_s)
        if saga.deadline_s is not None and budget_s > saga.deadline_s:
            wrong.append(
                f"the attempts of step {step.name} may take {budget_s:g} s, more than the deadline of {saga.deadline_s:g} s"
            )
    return wrong


def _changed(step: AnyStep[Any], change: StepChange | None, retry: Retry, names: list[str]) -> AnyStep[Any]:
    if isinstance(step, Step) and step.after:
        step = replace(step, after=tuple(name for name in step.after if name in names))
    if change is None:
        return step
    said: dict[str, Any] = change.model_dump(exclude_none=True, exclude={"retry"})
    if change.retry is not None and isinstance(step, Step):
        said["retry"] = change.retry.on(step.retry or retry)
    return replace(step, **said)


def flattened(saga: Saga[Any]) -> dict[str, Any]:
    """Return what a saga runs on, by the names under which a configuration says it: for showing and comparing."""
    steps = saga.snapshot["steps"]
    flat: dict[str, Any] = {"version": saga.version, "order": [step["name"] for step in steps], "deadline_s": saga.deadline_s}
    for said in steps:
        for field in ("timeout_s", "deadline_s", "wait_s", "when_open"):
            if field in said:
                flat[f"steps.{said['name']}.{field}"] = said[field]
        for field, value in said.get("retry", {}).items():
            flat[f"steps.{said['name']}.retry.{field}"] = value
    return flat


def differences(before: Saga[Any], after: Saga[Any]) -> list[Json]:
    """Return what differs between two configurations of a saga: `key`, `before` and `after`, None where one has it not.

    Of a step that one of the two does not have, the order tells alone.
    """
    old, new = flattened(before), flattened(after)
    alone = {step.name for step in before.steps} ^ {step.name for step in after.steps}
    keys = [key for key in dict.fromkeys([*old, *new]) if not (key.startswith("steps.") and key.split(".")[1] in alone)]
    return [{"key": key, "before": old.get(key), "after": new.get(key)} for key in keys if old.get(key) != new.get(key)]


def _path(location: tuple[int | str, ...]) -> str:
    return ".".join(map(str, location)) or "the configuration"
