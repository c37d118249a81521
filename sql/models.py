"""The words of the ledger as types: statuses, and the values that its queries take and return.

Who moves a row where::

    RECEIVED ─authorized─▶ PENDING ─claimed─▶ RUNNING ─last step done─▶ COMPLETED
        │                                        │ rejected, out of attempts, cancelled
        └─declined─▶ DECLINED                    ▼
                                           COMPENSATING ─everything undone─▶ FAILED | CANCELLED | DECLINED
                                                 └─an undo failed for good─▶ STUCK ─operator─▶ COMPENSATING | RUNNING | an end
"""

from enum import StrEnum
from typing import Any, Final
from uuid import UUID

from msgspec import Struct

Json = dict[str, Any]


class Status(StrEnum):
    """Where an order stands; the values of `order_ledger.status`."""

    RECEIVED = "RECEIVED"
    """Recorded; the payment is not authorized yet."""
    PENDING = "PENDING"
    """Authorized; waits for an orchestrator."""
    RUNNING = "RUNNING"
    """Going forward; waiting for a retry included."""
    COMPENSATING = "COMPENSATING"
    """Being undone, in reverse order."""
    STUCK = "STUCK"
    """Needs an operator; nothing happens by itself."""
    COMPLETED = "COMPLETED"
    """Every step is done."""
    FAILED = "FAILED"
    """Everything is undone."""
    CANCELLED = "CANCELLED"
    """Everything is undone because somebody asked."""
    DECLINED = "DECLINED"
    """The payment was refused; nothing is held or taken."""


TERMINAL: Final = frozenset({Status.COMPLETED, Status.FAILED, Status.CANCELLED, Status.DECLINED})


class Direction(StrEnum):
    """Which way a saga goes; the values of `direction` in ledger and journal."""

    ACTION = "action"
    COMPENSATION = "compensation"


class Kind(StrEnum):
    """What a journal entry records; the values of `ledger_journal.kind`."""

    INTENT = "intent"
    """A call is about to be made."""
    OUTCOME = "outcome"
    """An attempt ended with this answer."""
    STATUS = "status"
    """The order's status became `outcome`."""
    TAKEOVER = "takeover"
    """The lease of the owner before ran out; an attempt that was on its way counts as unknown."""
    OPERATOR = "operator"
    """Somebody asked for something: `actor`, `reason`, and the verb in `outcome`; or the order was given up waiting."""


class Entry(Struct, frozen=True, omit_defaults=True):
    """A journal entry to be written; its `seq`, time and hash are given by the database.

    Attributes:
        kind: What is recorded.
        step: Name of the step; None where the entry is of the whole order.
        direction: Of the attempt.
        round: Grows with each operator's retry; attempts are counted anew in each.
        attempt: From 1 within step, direction and round.
        outcome: Of an attempt `succeeded`, `rejected` or `unknown`; of a status entry the status; of an operator's the verb.
        request: Body that was sent, without personal data.
        response: Body that came back.
        error: Why the attempt did not succeed, in a sentence.
        duration_ms: How long the attempt took.
        actor: Who, in an operator's entry.
        reason: Why, in an operator's or a status entry; in an outcome, why it counts as no attempt.
    """

    kind: Kind
    step: str | None = None
    direction: Direction | None = None
    round: int = 1
    attempt: int | None = None
    outcome: str | None = None
    request: Json | None = None
    response: Json | None = None
    error: str | None = None
    duration_ms: float | None = None
    actor: str | None = None
    reason: str | None = None


class Event(Struct, frozen=True, omit_defaults=True):
    """An outbox event to be written with the change it tells of.

    Attributes:
        type: Name from the event catalogue.
        payload: What consumers get, as JSON.
    """

    type: str
    payload: Json


class Transition(Struct, frozen=True, omit_defaults=True):
    """One fenced change of an order: the row's new values, and what is appended to journal and outbox with it.

    Attributes:
        order_ledger_id: The row.
        lease_epoch: Epoch under which the writer holds it; part of the fence.
        last_seq: Journal position that the writer has seen; part of the fence.
        replica: Who writes.
        status, step, direction, retry_count, progress: New values of the columns; progress as msgspec writes it as JSON.
        results: Answers to be added to `results`, by step.
        last_error: New value; None clears it.
        keep_lease: Whether the writer goes on with the row; False gives it back.
        delay_s: Seconds until it is due again, counted by the database from the write; None for at once.
        keep_due: Whether it stays due when it was due before; then `delay_s` means nothing.
        deadline_s: Seconds from the write to a new deadline; None leaves it.
        lapses: New value of the counter of claims in a row that ran out.
        response_status, response_body: To freeze as the answer to every repeat of the request; None leaves it.
        entries: Journal entries, in order.
        events: Outbox events, in order.
    """

    order_ledger_id: UUID
    lease_epoch: int
    last_seq: int
    replica: str
    status: Status
    step: str | None
    direction: Direction
    retry_count: int
    progress: Any
    results: Json = {}
    last_error: str | None = None
    keep_lease: bool = False
    delay_s: float | None = None
    keep_due: bool = False
    deadline_s: float | None = None
    lapses: int = 0
    response_status: int | None = None
    response_body: str | None = None
    entries: tuple[Entry, ...] = ()
    events: tuple[Event, ...] = ()


class SagaRow(Struct, frozen=True):
    """What is needed of a ledger row to go on with it; the fields in the order in which the queries return them.

    Attributes:
        order_ledger_id: The row.
        saga: Name of the saga.
        definition_id: Snapshot that it runs on.
        status: Where it stands.
        progress: The state machine's state, as stored.
        results: Answers of succeeded steps, by step.
        input: Without personal data.
        correlation_id: Sent on with every call.
        traceparent: W3C trace context of the request; None when there was none.
        last_seq: Position of the journal.
        lease_owner: Who holds it; None for nobody.
        lease_epoch: Number of claims so far.
        lapses: Claims in a row that ran out without one write.
        client_request_id: The client's key.
        last_error: Why the last attempt did not succeed.
        step, direction, retry_count: What is shown of the progress.
        customer_id, currency, total_minor: What events tell of the order; None for a saga without them.
        parent_id: The order that this one is about; None for none.
        personal: Personal data of the input; empty once erased.
        personal_results: Personal data of answers from outside, by step; empty once erased.
    """

    order_ledger_id: UUID
    saga: str
    definition_id: UUID
    status: Status
    progress: Json
    results: Json
    input: Json
    correlation_id: str
    traceparent: str | None
    last_seq: int
    lease_owner: str | None
    lease_epoch: int
    lapses: int
    client_request_id: str
    last_error: str | None
    step: str | None
    direction: Direction
    retry_count: int
    customer_id: str | None
    currency: str | None
    total_minor: int | None
    parent_id: UUID | None
    personal: Json
    personal_results: Json = {}


class Claim(Struct, frozen=True):
    """A row that this replica now holds.

    Attributes:
        row: The row as claimed.
        lapsed: Whether an owner before let its lease run out, so that a call may be on its way or done.
        lag_s: Seconds that the row was due before it was claimed.
        age_s: Seconds since the order was recorded.
        deadline_in_s: Seconds until its deadline, negative past it; None where it has none.
        now_s: The database's clock at the claim, in seconds since 1970.
    """

    row: SagaRow
    lapsed: bool
    lag_s: float
    age_s: float
    deadline_in_s: float | None
    now_s: float


class Claims(Struct, frozen=True):
    """The answer to one look for work.

    Attributes:
        claims: Rows that are now held.
        next_due_s: Seconds until the earliest row that waits is due; None when none waits.
    """

    claims: tuple[Claim, ...]
    next_due_s: float | None


class NewOrder(Struct, frozen=True):
    """A ledger row to be inserted, with its first journal entries and events.

    Attributes:
        order_ledger_id: Derived from client and key.
        client_id, client_request_id, request_hash: Who asked, under which key, and the SHA-256 of what was asked.
        saga, saga_version, definition_id: What it runs.
        status, step, progress: Where it starts.
        input, personal: The request, its personal data apart.
        items: Lines of the order: `sku`, `quantity`, `unit_price_minor`, `description`.
        customer_id, currency, total_minor: What lists and audits ask for; None for a saga without them.
        metadata: The client's own labels.
        correlation_id, traceparent: Of the request.
        parent_id: The order that this one is about; None for none.
        deadline_s: Seconds after which it is undone if it still waits; None for never.
        lease_owner, lease_s: Who goes on with it at once and for how long at most; None leaves it to the orchestrators.
        entries, events: Written with the row, in order.
        config_seq: Newest entry of the history of the saga's configuration that the definition was chosen by; None for none.
            Where there is a newer one nothing is inserted.
    """

    order_ledger_id: UUID
    client_id: str
    client_request_id: str
    request_hash: bytes
    saga: str
    saga_version: int
    definition_id: UUID
    status: Status
    step: str | None
    progress: Json
    input: Json
    personal: Json
    items: tuple[Json, ...]
    customer_id: str | None
    currency: str | None
    total_minor: int | None
    metadata: Json
    correlation_id: str
    traceparent: str | None
    parent_id: UUID | None
    deadline_s: float | None
    lease_owner: str | None
    lease_s: float | None
    entries: tuple[Entry, ...]
    events: tuple[Event, ...]
    config_seq: int | None = None
