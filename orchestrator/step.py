"""What a saga is made of: calls that are made and undone, answers from outside that are waited for, times that are waited for.

Everything here is data and pure functions. A step that calls a participant is a `Step` of one of four kinds::

    compensatable   done, and undone by its compensation            read_only   nothing to undo
    pivot           once it may be done, the saga only goes forward  retriable   follows a pivot: has to be done in the end

A `Signal` waits for somebody's answer, a `Timer` for a time. Both hold no lease and cost nothing while they wait.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, ClassVar, Final, Generic, Literal, TypeVar

from msgspec import Struct
from pydantic import AwareDatetime, BaseModel

from orchestrator.identity import resource_id
from orchestrator.retry import Retry
from participants.contracts import Endpoint, OperationRef
from sql.models import Json

Input = TypeVar("Input", bound=BaseModel)
Request = TypeVar("Request", bound=BaseModel)

TIMEOUT_S: Final = 5.0
"""Total seconds of one call where nobody says anything else."""
RETRY_AFTER_MAX_S: Final = 300.0
"""A participant can't ask for a longer pause than this."""


class StepKind(StrEnum):
    """What becomes of a step when the saga can't go on."""

    COMPENSATABLE = "compensatable"
    READ_ONLY = "read_only"
    PIVOT = "pivot"
    RETRIABLE = "retriable"


class Context(Struct, Generic[Input], frozen=True):
    """What a step's request is built from; the same inputs give the same request in every attempt.

    Attributes:
        order_id: The order's id as participants get it.
        input: The saga's typed input, personal data included.
        results: Answers of the steps that succeeded, by step; one that was skipped has none.
    """

    order_id: str
    input: Input
    results: Mapping[str, Json]

    def id_of(self, step: "Step[Any, Any]") -> str:
        """Return the id of the thing that a step makes at its participant, made or not."""
        return str(resource_id(self.order_id, step.name))


@dataclass(frozen=True)
class Step(Generic[Input, Request]):
    """One call: a request, the action that takes it, and the compensation that takes it too.

    Attributes:
        name: Unique in the saga; stands in the operation keys at the participants, so it never changes.
        request: Builds the request; must be a pure function of the context.
        action: Where the request goes.
        compensation: What undoes the action, given the same request; None when nothing has to be undone, or when
            another step's compensation does it.
        undone_by: Name of an earlier step whose compensation undoes this one too.
        kind: What becomes of it when the saga can't go on. A pivot that ended Unknown is repeated, and needs an operator
            after its last attempt; it is never undone for that. One that was Rejected was not done, and turns the saga round.
            One that names `undone_by` has a real reversal: it is undone where another pivot of the same saga is Rejected.
        optional: Whether the saga goes on without it when it is Rejected or out of attempts; its failure is recorded.
        when: Tells whether the saga has it at all; must be a pure function of the context, asked when its turn has come.
            None for always.
        group: Neighbours of one group are called at once and go on together; None for a step by itself.
        after: Names of earlier steps that it must come after, though it uses nothing of theirs, wherever a configuration puts
            the two: the goods leave after the money was taken. What it does use need not be named.
        probe: How to ask, when the last attempt has ended Unknown, whether the action was done; `probe_of(action)` where
            the participant answers that. What it says is final: an answer counts as the action's own, a refusal means
            that it was not done and never will be. Anything else leaves the step unclear, so that it is undone. None to
            undo without asking.
        retry: None for the policy of the saga.
        timeout_s: Total seconds of one call; None for that of the saga.
        deadline_s: Seconds from its first attempt after which no further one is made: the saga is undone, or goes on
            without it where it is optional. None for as long as attempts are left.
        at_edge: Whether the edge API tries it once before it answers; only the first step can be.
        declines: Whether a rejection of this step makes the order DECLINED instead of FAILED.
        when_open: While the action's participant is away (`fleet.py`): `park` the order until it may be back, or `fail`:
            undo the order at once, without an attempt. Undoing always parks.
        on_success, on_rejection, on_undo: Types of the events that tell of it; None for none. Where one step's compensation
            undoes another that is known to be done, the other's `on_undo` tells of it.
    """

    name: str
    request: Callable[[Context[Input]], Request]
    action: Endpoint[Request, BaseModel]
    compensation: Endpoint[Request, BaseModel] | None = None
    undone_by: str | None = None
    kind: StepKind = StepKind.COMPENSATABLE
    optional: bool = False
    when: Callable[[Context[Input]], bool] | None = None
    group: str | None = None
    after: tuple[str, ...] = ()
    probe: Endpoint[OperationRef, BaseModel] | None = None
    retry: Retry | None = None
    timeout_s: float | None = None
    deadline_s: float | None = None
    at_edge: bool = False
    declines: bool = False
    when_open: Literal["park", "fail"] = "park"
    on_success: str | None = None
    on_rejection: str | None = None
    on_undo: str | None = None

    @property
    def endpoints(self) -> tuple[Endpoint[Any, BaseModel], ...]:
        """All that it may call: its action, its compensation and its probe."""
        return tuple(endpoint for endpoint in (self.action, self.compensation, self.probe) if endpoint is not None)


@dataclass(frozen=True)
class Wait(Generic[Input]):
    """A step that calls nobody: the saga goes on when what it waits for has come.

    Attributes:
        name: Unique in the saga.
        when: As of a `Step`.
        on_success: Type of the event that tells that the wait is over; None for none.
    """

    name: str
    when: Callable[[Context[Input]], bool] | None = None
    on_success: str | None = None

    # What the core asks of every step; a wait is no call.
    at_edge: ClassVar[bool] = False
    group: ClassVar[None] = None
    compensation: ClassVar[None] = None
    undone_by: ClassVar[None] = None
    kind: ClassVar[StepKind] = StepKind.READ_ONLY


@dataclass(frozen=True)
class Signal(Wait[Input]):
    """Waits for an answer from outside: `POST /orders/ID/signals/NAME`, which may come before the saga waits for it.

    Attributes:
        payload: Model of what is sent; stands in the results under the step's name.
        timeout_s: Seconds after which the saga is undone when nothing came.
    """

    payload: type[BaseModel] = BaseModel
    timeout_s: float = 86_400.0


@dataclass(frozen=True)
class Timer(Wait[Input]):
    """Waits until a time, or for a while; exactly one of the two is given.

    Attributes:
        wait_s: Seconds from the end of the step before.
        until: Aware time, a pure function of the context; one that is over ends the wait at once.
    """

    wait_s: float | None = None
    until: Callable[[Context[Input]], AwareDatetime] | None = None


AnyStep = Step[Input, Any] | Signal[Input] | Timer[Input]
"""What `Saga.steps` holds."""


def wrong_with(step: AnyStep[Any], before: tuple[AnyStep[Any], ...]) -> str | None:
    """Say why a step can't stand where it stands; None when it can."""
    if step.at_edge and before:
        return "is not the first, so not for the edge"
    if isinstance(step, Timer) and (step.wait_s is None) == (step.until is None):
        return "waits either for a while or until a time"
    if not isinstance(step, Step):
        return None
    if late := [name for name in step.after if name not in {earlier.name for earlier in before}]:
        return f"comes after {', '.join(late)}, which does not stand before it"
    if step.at_edge and (step.group or step.when):
        return "is for the edge, so neither in a group nor conditional"
    if step.group and before and before[-1].group == step.group and before[-1].when_open != step.when_open:
        return f"and its neighbour of group {step.group} don't agree on when_open"
    if step.group in {earlier.group for earlier in before[:-1]} - {None} and before[-1].group != step.group:
        return f"stands apart from its group {step.group}"
    return _wrong_with_undo(step, before)


def _wrong_with_undo(step: Step[Any, Any], before: tuple[AnyStep[Any], ...]) -> str | None:
    undoes = {earlier.name for earlier in before if earlier.compensation is not None}
    if step.undone_by is not None and step.compensation is not None:
        return "is undone twice"
    if step.undone_by is not None and step.undone_by not in undoes:
        return "is undone by no earlier step"
    is_undone = step.compensation is not None or step.undone_by is not None
    match step.kind:
        case StepKind.COMPENSATABLE if not is_undone and not step.optional:
            return "is undone by nothing: name its compensation, or the kind of step it is"
        case StepKind.READ_ONLY | StepKind.RETRIABLE if is_undone:
            return f"is {step.kind.value} and has a compensation all the same"
        case StepKind.PIVOT if step.compensation is not None or step.optional:
            return "is a pivot, so neither optional nor with a compensation of its own"
        case StepKind.RETRIABLE if not any(_is_final(earlier) for earlier in before):
            return "is retriable, but follows no pivot"
    if any(_is_final(earlier) for earlier in before) and step.kind is StepKind.COMPENSATABLE and not step.optional:
        return "could be undone, but follows a pivot that can't"
    return None


def _is_final(step: AnyStep[Any]) -> bool:
    """Tell whether nothing is undone any more once a step is done."""
    return step.kind is StepKind.PIVOT and step.undone_by is None
