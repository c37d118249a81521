"""One order at work: what the pure core needs of its row, and how a decision becomes a transition of that row."""

from collections.abc import Iterable
from typing import Any, Final

import msgspec
from msgspec import Struct
from msgspec.structs import replace
from pydantic import BaseModel

from orchestrator import machine
from orchestrator.events import event_payload
from orchestrator.identity import operation_key
from orchestrator.prepared import Prepared, prepare, shown
from orchestrator.progress import ITSELF, SIGNAL, Call, Elapsed, GivenUp, Move, Observation, Progress, Skipped
from orchestrator.saga import AnyStep, Context, Saga, Step, Timer
from orchestrator.turns import next_actions, waiting
from orchestrator.undoing import is_committed
from participants.contracts import Endpoint, OperationRef
from sql.models import Direction, Entry, Event, Json, Kind, SagaRow, Transition


class Moment(Struct, frozen=True):
    """When something is decided, by the database's clock.

    Attributes:
        age_s: Seconds since the order was recorded.
        now_s: Seconds since 1970.
    """

    age_s: float
    now_s: float


class Work(Struct, frozen=True):
    """A row with the definition that it runs on, and its typed input.

    Attributes:
        saga: The definition, with the settings of the row's snapshot.
        row: As it was last read or written.
        progress: The state machine's state.
        input: The saga's typed input, personal data included; None where it was not read.
        order_id: The order's id as participants get it.
    """

    saga: Saga[Any]
    row: SagaRow
    progress: Progress
    input: Any
    order_id: str

    @staticmethod
    def of(saga: Saga[Any], row: SagaRow) -> "Work":
        """Read a row.

        Raises:
            pydantic.ValidationError, KeyError, ValueError: What is stored does not fit the definition.
        """
        stored = msgspec.json.encode({**row.input, **row.personal})
        order = saga.input.model_validate_json(stored)
        return Work(saga, row, Progress.from_json(row.progress), order, str(row.order_ledger_id))

    @staticmethod
    def unread(saga: Saga[Any], row: SagaRow) -> "Work":
        """Read a row, but not its input, for which code of the saga runs: enough to settle, not to call.

        Raises:
            KeyError, TypeError, ValueError: Its progress does not fit the definition.
        """
        return Work(saga, row, Progress.from_json(row.progress), None, str(row.order_ledger_id))

    def on(self, row: SagaRow) -> "Work":
        """Return the same order with its row read again."""
        return Work(self.saga, row, Progress.from_json(row.progress), self.input, self.order_id)

    def after(self, transition: Transition, last_seq: int) -> "Work":
        """Return the same order with a transition of its own written, which brought its journal to `last_seq`."""
        row = replace(
            self.row,
            status=transition.status,
            step=transition.step,
            direction=transition.direction,
            retry_count=transition.retry_count,
            progress=transition.progress,
            results={**self.row.results, **transition.results} if transition.results else self.row.results,
            last_seq=last_seq,
            lapses=transition.lapses,
        )
        return Work(self.saga, row, transition.progress, self.input, self.order_id)

    def advance(self, observation: Observation | None, *, go_on: bool) -> Move:
        """Decide what an observation changes and, if it may go on at once, what comes next.

        Args:
            observation: None when there is nothing new but the claim.
            go_on: Whether to plan the next call; False to stop at what was observed.
        """
        status = self.row.status
        move = Move(self.progress, status=status)
        if observation is not None:
            move = machine.settle(self.saga, self.progress, observation, status)
        return self.onward(move) if go_on else move

    def onward(self, move: Move, moment: Moment | None = None) -> Move:
        """Return a decision together with the next calls or the next wait, where that may follow at once.

        Args:
            move: The decision.
            moment: When it is made; None where no time limit and no time to wait for can hang on it.
        """
        while move.delay_s is None and move.waits is None:
            if self.saga.is_judged:
                move = self._judged(move, moment)
            following = machine.proceed(self.saga, move.progress, move.status, moment.age_s if moment else None)
            move = move.then(following)
            if following.waits is not None and following.delay_s is None:
                move = replace(move, delay_s=self._until_s(following.waits, move, moment))
            if following.calls or not following.entries:
                break
        return move

    def _judged(self, move: Move, moment: Moment | None) -> Move:
        """Return a decision together with what the next steps' conditions and time limits say before they begin."""
        while (observation := self._judgement(move, moment)) is not None:
            move = move.then(machine.settle(self.saga, move.progress, observation, move.status))
        return move

    def _judgement(self, move: Move, moment: Moment | None) -> Observation | None:
        progress = move.progress
        if progress.direction is Direction.COMPENSATION or progress.halted:
            return None
        for step in next_actions(self.saga, progress):
            begun = progress.of(step.name)
            if step.when is not None and not begun.attempts and not step.when(self._context(_learned(move.entries))):
                return Skipped(step.name, "its condition does not hold")
            limit_s = self.time_left_s(step, progress, moment)
            if limit_s is not None and limit_s <= 0 and isinstance(step, Step):
                reason = f"{step.name} did not end within {step.deadline_s:g} s"
                return Skipped(step.name, reason) if step.optional else GivenUp(reason)
        return None

    def time_left_s(self, step: AnyStep[Any], progress: Progress, moment: Moment | None) -> float | None:
        """Return how many seconds a step that has begun may still take; None where nothing limits it."""
        began_s = progress.of(step.name).began_s
        if moment is None or began_s is None or not isinstance(step, Step) or step.deadline_s is None:
            return None
        return began_s + step.deadline_s - moment.age_s

    def times_left_s(self, move: Move, moment: Moment) -> list[float | None]:
        """Return how many seconds each of a decision's next steps may still take; None where nothing limits it."""
        return [self.time_left_s(step, move.progress, moment) for step in next_actions(self.saga, move.progress)]

    def _until_s(self, name: str, move: Move, moment: Moment | None) -> float:
        timer = self.saga.step(name)
        assert isinstance(timer, Timer)
        assert timer.until is not None
        assert moment is not None
        return max(timer.until(self._context(_learned(move.entries))).timestamp() - moment.now_s, 0.0)

    def _context(self, learned: Json) -> Context[Any]:
        results = {**self.row.results, **learned} if learned else self.row.results
        if self.row.personal_results:
            whole = {step: {**results.get(step, {}), **personal} for step, personal in self.row.personal_results.items()}
            results = {**results, **whole}
        return Context(self.order_id, self.input, results)

    def may_turn(self, move: Move) -> bool:
        """Tell whether a decision leaves the order going forward, and nothing that may be done forbids to undo it."""
        progress = move.progress
        forward = progress.direction is Direction.ACTION and not progress.halted
        return (
            forward
            and not progress.on_its_way
            and machine.current_step(self.saga, progress) is not None
            and not is_committed(self.saga, progress)
        )

    def elapsed(self, move: Move) -> Move:
        """Return a decision together with the end of the wait that its order is in, if it is in one."""
        step = None if move.progress.halted else waiting(self.saga, move.progress)
        return move if step is None else move.then(machine.settle(self.saga, move.progress, Elapsed(step.name), move.status))

    def give_up(self, move: Move, reason: str) -> Move:
        """Return a decision together with that not to wait any longer."""
        return move.then(machine.settle(self.saga, move.progress, GivenUp(reason), move.status))

    def transition(
        self, move: Move, *, replica: str, jitter: float = 0.0, calls: tuple[Prepared, ...] | None = None
    ) -> Transition:
        """Return the fenced write of a decision.

        Args:
            move: The decision; the row is kept when it has calls to make.
            replica: Who writes.
            jitter: Share of the pause before a repeat that is added to it.
            calls: The decision's calls, where they are made out already.
        """
        calls = self.prepared_for(move) if calls is None else calls
        progress = move.progress
        status = move.status or machine.status_of(self.saga, progress)
        kinds = [entry.kind for entry in move.entries]
        step = self.row.step
        if move.calls:
            step = move.calls[0].step
        elif (current := machine.current_step(self.saga, progress)) is not None:
            step = current.name
        else:
            # The last one may have been left out with the end of the one before it.
            step = next((entry.step for entry in reversed(move.entries) if entry.step is not None), step)
        return Transition(
            order_ledger_id=self.row.order_ledger_id,
            lease_epoch=self.row.lease_epoch,
            last_seq=self.row.last_seq,
            replica=replica,
            status=status,
            step=step,
            direction=progress.direction,
            retry_count=progress.retries,
            progress=progress,
            results=_learned(move.entries),
            last_error=progress.stuck or move.error or progress.reason,
            keep_lease=bool(move.calls),
            delay_s=None if move.delay_s is None else move.delay_s * (1.0 if move.waits else 1.0 + jitter),
            deadline_s=self.saga.deadline_s if Kind.OPERATOR in kinds and any(map(_is_new_start, move.entries)) else None,
            # An attempt that ended is a sign of life, and an operator's word a new start; a bare takeover is neither.
            lapses=0 if Kind.OUTCOME in kinds or Kind.OPERATOR in kinds else self.row.lapses,
            entries=tuple([_dressed(entry, move, calls) for entry in move.entries]),
            events=tuple([Event(type_, event_payload(self.row, status, of_step)) for type_, of_step in move.events]),
        )

    def endpoint(self, call: Call) -> Endpoint[Any, Any]:
        """Return where a call goes."""
        return _endpoint(self.saga.call_of(call.step), call)

    def prepared_for(self, move: Move) -> tuple[Prepared, ...]:
        """Make a decision's calls out, knowing what the decision knows."""
        if not move.calls:
            return ()
        learned = _learned(move.entries)
        return tuple([self.prepared(call, learned) for call in move.calls])

    def prepared(self, call: Call, learned: Json | None = None) -> Prepared:
        """Make a call out: a probe names the operation, every other call repeats the step's request.

        Args:
            call: What is to be made out.
            learned: Answers, by step, that the row does not have yet.
        """
        key = operation_key(self.order_id, call.step, call.direction)
        operation: BaseModel = self.saga.call_of(call.step).request(self._context(learned or {}))
        if call.probe:
            return prepare(self.endpoint(call), OperationRef(operation_key=key), key, operation, personal_of_row(self.row))
        return prepare(self.endpoint(call), operation, key, personal=personal_of_row(self.row))


def personal_of_row(row: SagaRow) -> Json:
    """Return what the ledger knows of the person whom an order is for, of its input and of answers from outside."""
    if not row.personal_results:
        return row.personal
    return {name: value for known in (row.personal, *row.personal_results.values()) for name, value in known.items()}


def _dressed(entry: Entry, move: Move, calls: tuple[Prepared, ...]) -> Entry:
    """Return an entry with the request or the answer that it tells of."""
    if entry.kind is Kind.INTENT and calls:
        for call, made in zip(move.calls, calls, strict=True):
            if call.step == entry.step:
                return replace(entry, request=made.shown)
    return entry if entry.response is None else replace(entry, response=shown(entry.response))


def _endpoint(step: Step[Any, Any], call: Call) -> Endpoint[Any, Any]:
    does = step.probe if call.probe else step.action
    endpoint = does if call.direction is Direction.ACTION else step.compensation
    assert endpoint is not None
    return endpoint


_NEW_STARTS: Final = frozenset({"retry", "resume", "skip"})


def _is_new_start(entry: Entry) -> bool:
    """Tell whether an operator has an order go on: it gets as much time as at first."""
    return entry.kind is Kind.OPERATOR and entry.outcome in _NEW_STARTS and entry.actor != ITSELF


def _learned(entries: Iterable[Entry]) -> Json:
    """Return the answers that entries tell of, of actions and from outside, by step."""
    learned: Json = {}
    for entry in entries:
        if entry.step is None or entry.response is None:
            continue
        if (entry.outcome == "succeeded" and entry.direction is Direction.ACTION) or entry.outcome == SIGNAL:
            learned[entry.step] = entry.response
    return learned
