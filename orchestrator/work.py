"""One order at work: what the pure core needs of its row, and how a decision becomes a transition of that row."""

from collections.abc import Iterable
from typing import Any

import msgspec
from msgspec import Struct
from msgspec.structs import replace
from pydantic import BaseModel

from orchestrator import machine
from orchestrator.events import event_payload
from orchestrator.identity import operation_key
from orchestrator.prepared import Prepared, prepare, shown
from orchestrator.progress import Call, GivenUp, Move, Observation, Progress
from orchestrator.saga import Context, Saga, Step
from participants.contracts import Endpoint, OperationRef
from sql.models import Direction, Entry, Event, Json, Kind, SagaRow, Transition


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

    def onward(self, move: Move) -> Move:
        """Return a decision together with the next call, where that may follow at once."""
        return move if move.delay_s is not None else move.then(machine.proceed(self.saga, move.progress, move.status))

    def give_up(self, move: Move, reason: str) -> Move:
        """Return a decision together with that not to wait any longer."""
        return move.then(machine.settle(self.saga, move.progress, GivenUp(reason), move.status))

    def transition(self, move: Move, *, replica: str, jitter: float = 0.0, call: Prepared | None = None) -> Transition:
        """Return the fenced write of a decision.

        Args:
            move: The decision; the row is kept when it has calls to make.
            replica: Who writes.
            jitter: Share of a wait that is added to it.
            call: The decision's call, where that is made out already.
        """
        call = call or self.prepared_for(move)
        progress = move.progress
        status = move.status or machine.status_of(self.saga, progress)
        kinds = [entry.kind for entry in move.entries]
        step = self.row.step
        if move.calls:
            step = move.calls[0].step
        elif (current := machine.current_step(self.saga, progress)) is not None:
            step = current.name
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
            last_error=move.error or progress.stuck or progress.reason,
            keep_lease=bool(move.calls),
            delay_s=None if move.delay_s is None else move.delay_s * (1.0 + jitter),
            deadline_s=self.saga.deadline_s if Kind.OPERATOR in kinds and any(map(_is_retry, move.entries)) else None,
            # An attempt that ended is a sign of life, and an operator's word a new start; a bare takeover is neither.
            lapses=0 if Kind.OUTCOME in kinds or Kind.OPERATOR in kinds else self.row.lapses,
            entries=tuple([_dressed(entry, call) for entry in move.entries]),
            events=tuple([Event(type_, event_payload(self.row, status, of_step)) for type_, of_step in move.events]),
        )

    def endpoint(self, call: Call) -> Endpoint[Any, Any]:
        """Return where a call goes."""
        return _endpoint(self.saga.step(call.step), call)

    def prepared_for(self, move: Move) -> Prepared | None:
        """Make a decision's call out, knowing what the decision knows; None where it has none."""
        return self.prepared(move.calls[0], _learned(move.entries)) if move.calls else None

    def prepared(self, call: Call, learned: Json | None = None) -> Prepared:
        """Make a call out: a probe names the operation, every other call repeats the step's request.

        Args:
            call: What is to be made out.
            learned: Answers, by step, that the row does not have yet.
        """
        results = {**self.row.results, **learned} if learned else self.row.results
        context = Context(self.order_id, self.input, results)
        key = operation_key(self.order_id, call.step, call.direction)
        operation: BaseModel = self.saga.step(call.step).request(context)
        if call.probe:
            return prepare(self.endpoint(call), OperationRef(operation_key=key), key, operation)
        return prepare(self.endpoint(call), operation, key)


def _dressed(entry: Entry, call: Prepared | None) -> Entry:
    """Return an entry with the request or the answer that it tells of."""
    if entry.kind is Kind.INTENT and call is not None:
        return replace(entry, request=call.shown)
    return entry if entry.response is None else replace(entry, response=shown(entry.response))


def _endpoint(step: Step[Any, Any], call: Call) -> Endpoint[Any, Any]:
    does = step.probe if call.probe else step.action
    endpoint = does if call.direction is Direction.ACTION else step.compensation
    assert endpoint is not None
    return endpoint


def _is_retry(entry: Entry) -> bool:
    """Tell whether an operator has an order go on: it gets as much time as at first."""
    return entry.kind is Kind.OPERATOR and entry.outcome == "retry"


def _learned(entries: Iterable[Entry]) -> Json:
    """Return the answers of actions that entries tell of, by step."""
    learned: Json = {}
    for entry in entries:
        if entry.outcome == "succeeded" and entry.direction is Direction.ACTION and entry.step is not None:
            learned[entry.step] = entry.response
    return learned
