"""What a saga is: a frozen tuple of typed steps. It is data: it can be checked, drawn, compared and stored.

The ledger keeps a snapshot of every definition that an order runs on (`Saga.snapshot`), with the settings of its start;
functions stay in the code and are recognised by their fingerprint. Everything that a definition is written with can be
imported from here.
"""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Generic, Literal
from uuid import UUID

import orjson

from orchestrator.fingerprint import code_of, source_of
from orchestrator.identity import uuid8
from orchestrator.retry import Retry
from orchestrator.step import (
    RETRY_AFTER_MAX_S,
    TIMEOUT_S,
    AnyStep,
    Context,
    Input,
    Request,
    Signal,
    Step,
    StepKind,
    Timer,
    Wait,
    wrong_with,
)
from sql.models import Json

__all__ = [
    "RETRY_AFTER_MAX_S",
    "AnyStep",
    "Context",
    "DefinitionError",
    "Demand",
    "Invariant",
    "Request",
    "Retry",
    "Saga",
    "Signal",
    "Step",
    "StepKind",
    "Timer",
    "Wait",
]


class DefinitionError(Exception):
    """A saga's definition can't be run, or not be undone; nothing was started."""


@dataclass(frozen=True, slots=True)
class Invariant:
    """Something that holds of a saga's orders at any moment, whoever looks.

    Attributes:
        query: Name of the audit query that returns its violations: a file of `sql/audit/` without `.sql`.
        says: What holds, in a sentence.
    """

    query: str
    says: str


@dataclass(frozen=True, slots=True)
class Demand:
    """Who asked for something, and why.

    Attributes:
        actor: Who, as the journal names people.
        reason: In a sentence.
    """

    actor: str
    reason: str


@dataclass(frozen=True)
class Saga(Generic[Input]):
    """A saga: its input and its steps, in order.

    Attributes:
        name: As clients name it.
        version: Grows when the code or the order of the steps changes; rows keep the version they started with.
        input: Model of what starts it.
        steps: At least one.
        says: What it does, in a sentence, for people.
        stands: What a completed saga leaves at the participants: `participant.account` to its balance for that order.
            Every other account is zero, and all are when the saga was undone. It is given no personal data. None for unchecked.
        open_accounts: Accounts that an audit does not compare: what an optional step did is neither required nor undone.
        invariants: What holds of its orders, checked by `saga audit` and by a canary.
        undo_failure: What becomes of the earlier steps when one can't be undone: `continue` undoes them all the same, `stop`
            leaves them as they are; the order is STUCK either way, with the list.
        retry, timeout_s: Of steps that state none of their own; None for those of the settings.
        deadline_s: Seconds after which an order that waits is undone, or STUCK as long again after that; None as above.
        startable: Whether a client may start it by its name; False for one that is only ever begun on another order.
        takes_back: Of a saga that takes back the completed order which it is about (its parent): who asked for that, and why.
            The parent becomes CANCELLED in the transaction in which this one becomes COMPLETED. None for every other saga.
        config: Revision of the run-time configuration that it is on; 0 for none.
        code: Fingerprint of the definition that this one is a configuration of; None where it is one itself.

    Raises:
        DefinitionError: Names repeat, or a step could not be undone in order.
    """

    name: str
    version: int
    input: type[Input]
    steps: tuple[AnyStep[Input], ...]
    says: str = ""
    stands: Callable[[Input], Mapping[str, int]] | None = None
    open_accounts: frozenset[str] = frozenset()
    invariants: tuple[Invariant, ...] = ()
    undo_failure: Literal["continue", "stop"] = "continue"
    retry: Retry | None = None
    timeout_s: float | None = None
    deadline_s: float | None = None
    startable: bool = True
    takes_back: Callable[[Input], Demand] | None = None
    config: int = 0
    code: str | None = None

    def __post_init__(self) -> None:
        names = [step.name for step in self.steps]
        if not names:
            raise DefinitionError(f"saga {self.name} has no steps")
        if len(set(names)) != len(names):
            raise DefinitionError(f"saga {self.name} names a step twice")
        for index, step in enumerate(self.steps):
            if wrong := wrong_with(step, self.steps[:index]):
                raise DefinitionError(f"step {step.name} of saga {self.name} {wrong}")

    def step(self, name: str) -> AnyStep[Input]:
        """Return a step by its name.

        Raises:
            LookupError: There is no such step.
        """
        return self._by_name[name]

    def call_of(self, name: str) -> Step[Input, Any]:
        """Return a step that calls a participant by its name.

        Raises:
            LookupError: There is no such step, or it is a wait.
        """
        return self._calls_by_name[name]

    @cached_property
    def _by_name(self) -> dict[str, AnyStep[Input]]:
        return {step.name: step for step in self.steps}

    @cached_property
    def _calls_by_name(self) -> dict[str, Step[Input, Any]]:
        return {step.name: step for step in self.calls}

    @cached_property
    def calls(self) -> tuple[Step[Input, Any], ...]:
        """The steps that call a participant."""
        return tuple(step for step in self.steps if isinstance(step, Step))

    @cached_property
    def pivots(self) -> tuple[Step[Input, Any], ...]:
        """The steps after which the saga only goes forward."""
        return tuple(step for step in self.calls if step.kind is StepKind.PIVOT)

    @cached_property
    def is_judged(self) -> bool:
        """Whether something has to be asked before a step begins: its condition, or its time limit."""
        return any(step.when is not None for step in self.steps) or any(step.deadline_s is not None for step in self.calls)

    @cached_property
    def is_timed(self) -> bool:
        """Whether what comes next may depend on how long the order or a step of it has taken, or on what time it is."""
        return bool(self.groups) or self.is_judged or len(self.calls) < len(self.steps)

    @cached_property
    def groups(self) -> frozenset[str]:
        """The groups of its steps."""
        return frozenset(step.group for step in self.calls if step.group is not None)

    @property
    def edge_step(self) -> Step[Input, Any] | None:
        """The step that the edge tries before it answers; None when there is none."""
        first = self.steps[0]
        return first if isinstance(first, Step) and first.at_edge else None

    def retry_of(self, step: Step[Input, Any]) -> Retry:
        """Return the retry policy of a step."""
        return step.retry or self.retry or Retry()

    def timeout_s_of(self, step: Step[Input, Any]) -> float:
        """Return the total seconds of one call of a step."""
        return step.timeout_s or self.timeout_s or TIMEOUT_S

    @cached_property
    def fingerprint(self) -> str:
        """Digest of what the code says: steps, endpoints, models, and the source of the functions.

        Raises:
            DefinitionError: The source of one of the functions can't be read.
        """
        if self.code is not None:
            return self.code
        try:
            code = code_of(self.name, self.version, self.input, self.steps)
            if self.takes_back is not None:
                code["takes_back"] = source_of(self.takes_back)
        except (OSError, TypeError, SyntaxError) as error:
            raise DefinitionError(f"the code of saga {self.name} can't be read: {error}") from None
        return hashlib.sha256(orjson.dumps(code)).hexdigest()

    @cached_property
    def snapshot(self) -> Json:
        """What an order keeps of the definition: the settings it runs on to its end, whatever is configured later.

        It says all that the core decides on, so that a journal can be replayed when the code of its saga is gone.
        """
        return {
            "saga": self.name,
            "version": self.version,
            "fingerprint": self.fingerprint,
            "config": self.config,
            "deadline_s": self.deadline_s,
            "undo_failure": self.undo_failure,
            "steps": [self._snapshot_of(step) for step in self.steps],
        }

    def _snapshot_of(self, step: AnyStep[Input]) -> Json:
        said: Json = {"name": step.name, "conditional": step.when is not None}
        match step:
            case Signal():
                return said | {"signal": True, "timeout_s": step.timeout_s}
            case Timer():
                return said | {"timer": True, "wait_s": step.wait_s}
            case Step():
                return said | {
                    "timeout_s": self.timeout_s_of(step),
                    "deadline_s": step.deadline_s,
                    "retry": _retry_body(self.retry_of(step)),
                    "kind": step.kind.value,
                    "optional": step.optional,
                    "group": step.group,
                    "compensated": step.compensation is not None,
                    "undone_by": step.undone_by,
                    "probed": step.probe is not None,
                    "at_edge": step.at_edge,
                    "declines": step.declines,
                    "when_open": step.when_open,
                }

    @cached_property
    def snapshot_hash(self) -> bytes:
        """SHA-256 of the snapshot."""
        return hashlib.sha256(orjson.dumps(self.snapshot, option=orjson.OPT_SORT_KEYS)).digest()

    @cached_property
    def definition_id(self) -> UUID:
        """The snapshot's id, derived from its hash."""
        return uuid8(self.snapshot_hash)

    def on_snapshot(self, body: Json) -> "Saga[Input]":
        """Return this definition as a stored snapshot has it: its settings, and the steps that it names, in its order.

        Raises:
            DefinitionError: The snapshot is of other code.
        """
        if body["fingerprint"] != self.fingerprint:
            raise DefinitionError(f"the snapshot of saga {self.name} version {self.version} is of other code")
        return replace(
            self,
            steps=tuple(_on_snapshot(self.step(said["name"]), said) for said in body["steps"]),
            deadline_s=body.get("deadline_s"),
            undo_failure=body.get("undo_failure", self.undo_failure),
            config=body.get("config", 0),
            code=self.fingerprint,
        )


def _on_snapshot(step: AnyStep[Any], said: Json) -> AnyStep[Any]:
    match step:
        case Signal():
            return replace(step, timeout_s=said["timeout_s"])
        case Timer():
            return replace(step, wait_s=said["wait_s"])
        case Step():
            when_open, deadline_s = said.get("when_open", step.when_open), said.get("deadline_s")
            retry = Retry(**said["retry"])
            return replace(step, timeout_s=said["timeout_s"], retry=retry, when_open=when_open, deadline_s=deadline_s)


def _retry_body(retry: Retry) -> Json:
    body: Json = {"first_s": retry.first_s, "factor": retry.factor, "attempts_max": retry.attempts_max}
    return body if retry.wait_max_s is None else {**body, "wait_max_s": retry.wait_max_s}
