"""What a saga is: a frozen tuple of typed steps. It is data: it can be checked, drawn, compared and stored.

The ledger keeps a snapshot of every definition that an order runs on (`Saga.snapshot`), with the settings of its start;
functions stay in the code and are recognised by their fingerprint.
"""

import ast
import hashlib
import inspect
import textwrap
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Final, Generic, Literal, TypeVar
from uuid import UUID

import orjson
from msgspec import Struct
from pydantic import BaseModel

from orchestrator.identity import resource_id, uuid8
from participants.contracts import Endpoint, OperationRef
from sql.models import Json

Input = TypeVar("Input", bound=BaseModel)
Request = TypeVar("Request", bound=BaseModel)

RETRY_AFTER_MAX_S: Final = 300.0
"""A participant can't ask for a longer pause than this."""


class DefinitionError(Exception):
    """A saga's definition can't be run, or not be undone; nothing was started."""


@dataclass(frozen=True, slots=True)
class Retry:
    """How a transient failure is repeated.

    Attributes:
        first_s: Seconds before the second attempt.
        factor: Each further wait is this many times the one before.
        attempts_max: Attempts in all; after the last one the saga is undone.
    """

    first_s: float = 1.0
    factor: float = 4.0
    attempts_max: int = 5

    def delay_s(self, failed_attempts: int) -> float:
        """Return the wait after so many failed attempts (from 1), without jitter."""
        return self.first_s * self.factor ** (failed_attempts - 1)

    def budget_s(self, call_timeout_s: float) -> float:
        """Return the longest time a step may take with all its attempts."""
        waits = sum(self.delay_s(attempt) for attempt in range(1, self.attempts_max))
        return waits + self.attempts_max * call_timeout_s


class Context(Struct, Generic[Input], frozen=True):
    """What a step's request is built from; the same inputs give the same request in every attempt.

    Attributes:
        order_id: The order's id as participants get it.
        input: The saga's typed input, personal data included.
        results: Answers of the steps that succeeded, by step.
    """

    order_id: str
    input: Input
    results: Mapping[str, Json]

    def id_of(self, step: "Step[Any, Any]") -> str:
        """Return the id of the thing that a step makes at its participant, made or not."""
        return str(resource_id(self.order_id, step.name))


@dataclass(frozen=True)
class Step(Generic[Input, Request]):
    """One step: a request, the action that takes it, and the compensation that takes it too.

    Attributes:
        name: Unique in the saga; stands in the operation keys at the participants, so it never changes.
        request: Builds the request; must be a pure function of the context.
        action: Where the request goes.
        compensation: What undoes the action, given the same request; None when nothing has to be undone, or when
            another step's compensation does it.
        undone_by: Name of an earlier step whose compensation undoes this one too.
        probe: How to ask, when the last attempt has ended Unknown, whether the action was done; `probe_of(action)` where
            the participant answers that. What it says is final: an answer counts as the action's own, a refusal means
            that it was not done and never will be. Anything else leaves the step unclear, so that it is undone. None to
            undo without asking.
        retry: None for the policy of the settings.
        timeout_s: Total seconds of one call; None for that of the settings.
        at_edge: Whether the edge API tries it once before it answers; only the first step can be.
        declines: Whether a rejection of this step makes the order DECLINED instead of FAILED.
        when_open: While the action's participant is away (`fleet.py`): `park` the order until it may be back, or `fail`:
            undo the order at once, without an attempt. Undoing always parks.
        on_success, on_rejection, on_undo: Types of the events that tell of it; None for none.
    """

    name: str
    request: Callable[[Context[Input]], Request]
    action: Endpoint[Request, BaseModel]
    compensation: Endpoint[Request, BaseModel] | None = None
    undone_by: str | None = None
    probe: Endpoint[OperationRef, BaseModel] | None = None
    retry: Retry | None = None
    timeout_s: float | None = None
    at_edge: bool = False
    declines: bool = False
    when_open: Literal["park", "fail"] = "park"
    on_success: str | None = None
    on_rejection: str | None = None
    on_undo: str | None = None


@dataclass(frozen=True)
class Saga(Generic[Input]):
    """A saga: its input and its steps, in order.

    Attributes:
        name: As clients name it.
        version: Grows when the code or the order of the steps changes; rows keep the version they started with.
        input: Model of what starts it.
        steps: At least one.
        stands: What a completed saga leaves at the participants: `participant.account` to its balance for that order.
            Every account that is not named is zero, and all are when the saga was undone. None for unchecked.
        retry, timeout_s: Of steps that state none of their own.
        deadline_s: Seconds after which an order that waits is undone; when the undoing has waited as long again it is
            STUCK. None for that of the settings.

    Raises:
        DefinitionError: Names repeat, or a step could not be undone in order.
    """

    name: str
    version: int
    input: type[Input]
    steps: tuple[Step[Input, Any], ...]
    stands: Callable[[Input], Mapping[str, int]] | None = None
    retry: Retry = field(default_factory=Retry)
    timeout_s: float = 5.0
    deadline_s: float | None = None

    def __post_init__(self) -> None:
        names = [step.name for step in self.steps]
        if not names:
            raise DefinitionError(f"saga {self.name} has no steps")
        if len(set(names)) != len(names):
            raise DefinitionError(f"saga {self.name} names a step twice")
        for index, step in enumerate(self.steps):
            if step.at_edge and index:
                raise DefinitionError(f"step {step.name} of saga {self.name} is not the first, so not for the edge")
            if step.undone_by is None:
                continue
            if step.compensation is not None:
                raise DefinitionError(f"step {step.name} of saga {self.name} is undone twice")
            if step.undone_by not in names[:index] or self.step(step.undone_by).compensation is None:
                raise DefinitionError(f"step {step.name} of saga {self.name} is undone by no earlier step")

    def step(self, name: str) -> Step[Input, Any]:
        """Return a step by its name.

        Raises:
            LookupError: There is no such step.
        """
        return self._by_name[name]

    @cached_property
    def _by_name(self) -> dict[str, Step[Input, Any]]:
        return {step.name: step for step in self.steps}

    @property
    def edge_step(self) -> Step[Input, Any] | None:
        """The step that the edge tries before it answers; None when there is none."""
        return self.steps[0] if self.steps[0].at_edge else None

    def retry_of(self, step: Step[Input, Any]) -> Retry:
        """Return the retry policy of a step."""
        return step.retry or self.retry

    def timeout_s_of(self, step: Step[Input, Any]) -> float:
        """Return the total seconds of one call of a step."""
        return step.timeout_s or self.timeout_s

    @cached_property
    def fingerprint(self) -> str:
        """Digest of what the code says: steps, endpoints, models, and the source of the request builders."""
        return hashlib.sha256(orjson.dumps(_code_of(self))).hexdigest()

    @cached_property
    def snapshot(self) -> Json:
        """What an order keeps of the definition: the settings it runs on to its end, whatever is configured later.

        It says all that the core decides on, so that a journal can be replayed when the code of its saga is gone.
        """
        return {
            "saga": self.name,
            "version": self.version,
            "fingerprint": self.fingerprint,
            "deadline_s": self.deadline_s,
            "steps": [
                {
                    "name": step.name,
                    "timeout_s": self.timeout_s_of(step),
                    "retry": _retry_body(self.retry_of(step)),
                    "compensated": step.compensation is not None,
                    "undone_by": step.undone_by,
                    "probed": step.probe is not None,
                    "at_edge": step.at_edge,
                    "declines": step.declines,
                    "when_open": step.when_open,
                }
                for step in self.steps
            ],
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
        """Return this definition with the settings of a stored snapshot.

        Raises:
            DefinitionError: The snapshot is of other code.
        """
        if body["fingerprint"] != self.fingerprint:
            raise DefinitionError(f"the snapshot of saga {self.name} version {self.version} is of other code")
        stored = {step["name"]: step for step in body["steps"]}
        steps = tuple(
            replace(s, timeout_s=said["timeout_s"], retry=Retry(**said["retry"]), when_open=said.get("when_open", s.when_open))
            for s, said in ((s, stored[s.name]) for s in self.steps)
        )
        return replace(self, steps=steps, deadline_s=body.get("deadline_s"))


def _retry_body(retry: Retry) -> Json:
    return {"first_s": retry.first_s, "factor": retry.factor, "attempts_max": retry.attempts_max}


def _code_of(saga: Saga[Any]) -> Json:
    return {
        "name": saga.name,
        "version": saga.version,
        "input": _model(saga.input),
        "steps": [
            {
                "name": step.name,
                "request": _source(step.request),
                "action": _endpoint(step.action),
                "compensation": step.compensation and _endpoint(step.compensation),
                "undone_by": step.undone_by,
                "probe": step.probe and _endpoint(step.probe),
                "at_edge": step.at_edge,
                "declines": step.declines,
            }
            for step in saga.steps
        ],
    }


def _endpoint(endpoint: Endpoint[Any, Any]) -> Json:
    return {
        "participant": endpoint.participant,
        "method": endpoint.method,
        "path": endpoint.path,
        "request": _model(endpoint.request),
        "response": _model(endpoint.response),
    }


def _model(model: type[BaseModel]) -> dict[str, str]:
    # Names and types, not the JSON schema: that changes with releases of pydantic, and no order should notice one.
    return {name: str(info.annotation) for name, info in model.model_fields.items()}


def _source(function: Callable[..., Any]) -> str:
    """Return the normalised source of a builder, so that comments and layout don't change the fingerprint."""
    text = textwrap.dedent(inspect.getsource(function))
    try:
        tree = ast.parse(text)
    except SyntaxError:
        # A lambda inside a call: the lines that hold it need not parse alone.
        tree = ast.parse(f"({text.strip().removesuffix(',').partition('=')[2]})")
    wanted = [node for node in ast.walk(tree) if isinstance(node, ast.Lambda | ast.FunctionDef)]
    return ast.unparse(wanted[0]) if wanted else ast.unparse(tree)
