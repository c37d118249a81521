"""The state of one saga, what can be observed of it, and what a decision changes: the values that the core works on."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Final

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from orchestrator.outcome import Outcome
from orchestrator.verb import CancelRequested, Paused, Resolved, Resumed, Retried
from sql.models import Direction, Entry, Json, Status

ITSELF: Final = "sagaledger"
"""Actor of what nobody asked for."""
SIGNAL: Final = "signal"
"""Outcome of the journal entry that holds an answer from outside."""


class StepState(StrEnum):
    """Where a step stands; what `GET /orders/ID` shows as `steps[].state`."""

    PENDING = "pending"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    REJECTED = "rejected"
    UNKNOWN = "unknown"
    COMPENSATING = "compensating"
    COMPENSATED = "compensated"
    SKIPPED = "skipped"
    COMPENSATION_FAILED = "compensation_failed"


class Answered(Struct, frozen=True):
    """An attempt of the step that is on its way ended.

    Attributes:
        step: Name of the step.
        outcome: How.
        duration_ms: How long it took.
        trial: Whether the call tried if its participant is back (see `circuit.py`): then Unknown counts as no attempt.
    """

    step: str
    outcome: Outcome
    duration_ms: float | None = None
    trial: bool = False


class Round(Struct, frozen=True):
    """All calls that were made at once ended.

    Attributes:
        answers: One of each.
    """

    answers: tuple[Answered, ...]


class Elapsed(Struct, frozen=True):
    """The time of a wait is over: for a timer its end, for a signal that nothing came.

    Attributes:
        step: Name of the step.
    """

    step: str


class Signalled(Struct, frozen=True):
    """Somebody answered what a step waits for, or will wait for.

    Attributes:
        step: Name of the step.
        payload: The answer, as the step's model has it, without personal data.
        actor: Who.
        personal: What the answer says of a person; nothing is decided on it.
    """

    step: str
    payload: Json
    actor: str
    personal: Json = {}


class Skipped(Struct, frozen=True):
    """Between two calls: the saga goes on without its next step, or without undoing it, for this reason.

    Attributes:
        step: Name of the step.
        reason: In a sentence.
        actor: Who decided it.
    """

    step: str
    reason: str
    actor: str = ITSELF


class Lapsed(Struct, frozen=True):
    """The owner before let its lease run out; a call of its may be on its way or done.

    Attributes:
        too_often: Whether so many owners in a row did that the order is put aside.
    """

    too_often: bool = False


class GivenUp(Struct, frozen=True):
    """Between two calls: what the order waits for did not come in time, for this reason."""

    reason: str


class TakenBack(Struct, frozen=True):
    """What was done of a completed order has been taken back by a saga about it.

    Attributes:
        actor: Who asked for it.
        reason: Why.
        by: The saga that did it, in words.
    """

    actor: str
    reason: str
    by: str = "another saga"


Observed = Answered | Round | Elapsed | Signalled | Skipped | Lapsed | GivenUp | TakenBack
Asked = CancelRequested | Retried | Paused | Resumed | Resolved
Observation = Observed | Asked


class StepProgress(Struct, frozen=True, omit_defaults=True):
    """Where a step stands.

    Attributes:
        state: For people and for the core.
        attempts: Intents in the present direction and round; the number of the next one is one more.
        lapses: Those of them that a lapsed lease ended, or that were trials and ended Unknown; they spend nothing of the
            retry budget.
        doubtful: Whether an attempt of the action ended Unknown, so that its effect may exist.
        began_s: Age of the order in seconds at its first attempt in the present direction and round, where the step has a
            time limit of its own or is of a group.
    """

    state: StepState = StepState.PENDING
    attempts: int = 0
    lapses: int = 0
    doubtful: bool = False
    began_s: float | None = None


class Progress(Struct, frozen=True, omit_defaults=True):
    """The state of one saga; what `order_ledger.progress` holds.

    Attributes:
        direction: Forward or back.
        round: From 1; each operator's retry opens another.
        ending: Status it ends with when everything is undone, CANCELLED of one taken back, whatever an operator says it ends
            with; else None.
        reason: Why it has that ending; None while it has none.
        on_its_way: Names of the steps whose calls are intended and have not ended.
        cancelling: Whether it turns round as soon as they have ended.
        signals: Names of the steps whose answer has come.
        paused: Whether an operator has it on hold: no call is made; those on their way end.
        stuck: Why an operator is needed; None when none is.
        retries: How often any call was or will be repeated.
        steps: Progress of each step, by name; one that is missing is pending.
    """

    direction: Direction
    round: int = 1
    ending: Status | None = None
    reason: str | None = None
    on_its_way: tuple[str, ...] = ()
    cancelling: bool = False
    signals: tuple[str, ...] = ()
    paused: bool = False
    stuck: str | None = None
    retries: int = 0
    steps: Mapping[str, StepProgress] = {}

    @property
    def halted(self) -> bool:
        """Whether nothing begins before an operator says so."""
        return self.paused or self.stuck is not None

    def of(self, step: str) -> StepProgress:
        """Return a step's progress."""
        return self.steps.get(step, _PENDING)

    def having(self, step: str, progress: StepProgress) -> "Progress":
        """Return this with another progress of one step."""
        return replace(self, steps={**self.steps, step: progress})

    def having_all(self, steps: Mapping[str, StepProgress]) -> "Progress":
        """Return this with other progress of every step."""
        return replace(self, steps=steps)

    def to_json(self) -> Json:
        """Return the stored form: what is as at first is left out."""
        stored: Json = msgspec.to_builtins(self)
        return stored

    @staticmethod
    def from_json(stored: Json) -> "Progress":
        """Read the stored form.

        Raises:
            ValueError: It is none.
        """
        if isinstance(stored, dict) and isinstance(before := stored.get("on_its_way", ""), str | None):
            # As it was written before calls could be made at once: one name, or null.
            stored = {**stored, "on_its_way": [before] if before else []}
        return msgspec.convert(stored, Progress)


_PENDING: Final = StepProgress()
BEGINNING: Final = Progress(Direction.ACTION)
"""Nothing was tried yet."""


class Call(Struct, frozen=True):
    """A call to make, once its intent is durable.

    Attributes:
        step: Name of the step.
        direction: Whether it does or undoes.
        attempt: Its number in this direction and round, from 1.
        probe: Whether it only asks if the action was done.
    """

    step: str
    direction: Direction
    attempt: int
    probe: bool = False


class Move(Struct, frozen=True):
    """What a decision changes.

    Attributes:
        progress: The new state.
        entries: Journal entries, in order; the requests of intents are filled in by who makes the calls.
        events: Each an event's type and the step that it tells of, None for the whole order.
        calls: Calls to make at once after the write.
        waits: Name of the step that waits for something else than a participant; None for none.
        delay_s: Seconds to wait before going on, without jitter; None for none.
        error: Why the last attempt did not succeed; None when it did.
        status: What the new state means; None while nobody has asked.
    """

    progress: Progress
    entries: tuple[Entry, ...] = ()
    events: tuple[tuple[str, str | None], ...] = ()
    calls: tuple[Call, ...] = ()
    waits: str | None = None
    delay_s: float | None = None
    error: str | None = None
    status: Status | None = None

    def then(self, later: "Move") -> "Move":
        """Return this decision and the one that followed it as one."""
        return replace(
            later,
            entries=self.entries + later.entries,
            events=self.events + later.events,
            error=later.error or self.error,
        )
