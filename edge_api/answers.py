"""What clients get, as models: the contract's source, which a test holds against real answers."""

from typing import Any, Literal
from uuid import UUID

from pydantic import AwareDatetime, BaseModel, ConfigDict

from orchestrator.progress import StepState
from orchestrator.saga import StepKind
from sql.models import Direction, Kind, Status

Metadata = dict[str, str | int | bool | None]


class _Answer(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Links(_Answer):
    """Paths of what belongs to an order: its journal, the order that it was begun on, what paid it, what takes it back."""

    self: str
    journal: str | None = None
    parent: str | None = None
    payment: str | None = None
    cancellation: str | None = None


class Accepted(_Answer):
    """An order that is recorded."""

    order_ledger_id: UUID
    status: Status
    saga: str
    created_at: AwareDatetime
    links: Links


class Cancelling(_Answer):
    """An order that is cancelled, or will be."""

    order_ledger_id: UUID
    status: Status
    links: Links


class Signalled(_Answer):
    """An order that has the answer which it waits for, or will wait for."""

    order_ledger_id: UUID
    status: Status
    links: Links


class OrderItem(_Answer):
    """One line of an order; its price is in minor units of the order's currency."""

    line: int
    sku: str
    quantity: int
    unit_price_minor: int
    description: str | None


class OrderStep(_Answer):
    """Where a step of an order stands; `attempts` counts the calls of its action."""

    name: str
    state: StepState
    attempts: int
    started_at: AwareDatetime | None
    finished_at: AwareDatetime | None
    error: str | None


class OrderSummary(_Answer):
    """An order as lists show it."""

    order_ledger_id: UUID
    client_request_id: str
    saga: str
    saga_version: int
    status: Status
    step: str | None
    direction: Direction
    retry_count: int
    next_retry_at: AwareDatetime | None
    last_error: str | None
    customer_id: str | None
    currency: str | None
    total_minor: int | None
    metadata: Metadata
    correlation_id: str
    parent_id: UUID | None
    paused_at: AwareDatetime | None
    deadline_at: AwareDatetime | None
    created_at: AwareDatetime
    updated_at: AwareDatetime
    finished_at: AwareDatetime | None
    links: Links


class OrderChild(_Answer):
    """What was begun on an order: a payment, a cancellation, another try."""

    order_ledger_id: UUID
    saga: str
    status: Status


class Order(OrderSummary):
    """An order with its items, its steps in order, the answers of the steps that succeeded, and what was begun on it."""

    results: dict[str, Any]
    items: list[OrderItem]
    steps: list[OrderStep]
    children: list[OrderChild]


class OrderPage(_Answer):
    """Orders, newest first; `next_cursor` is null on the last page."""

    orders: list[OrderSummary]
    next_cursor: str | None


class JournalEntry(_Answer):
    """What was intended, answered or decided; `hash` is over this entry and the hash of the one before it."""

    order_ledger_id: UUID
    seq: int
    at: AwareDatetime
    kind: Kind
    step: str | None
    direction: Direction | None
    round: int
    attempt: int | None
    outcome: str | None
    request: Any
    response: Any
    error: str | None
    duration_ms: float | None
    replica: str
    lease_epoch: int
    actor: str | None
    reason: str | None
    hash: str


class Journal(_Answer):
    """The journal of one order, from its first entry on."""

    order_ledger_id: UUID
    entries: list[JournalEntry]


class FeedEvent(_Answer):
    """What happened to an order; `data` by type is in the catalogue, and a team's own sagas have types of their own."""

    id: UUID
    type: str
    order_ledger_id: UUID
    seq: int
    occurred_at: AwareDatetime
    correlation_id: str
    data: dict[str, Any]


class FeedPage(_Answer):
    """Events in order; there may be none though there is more, because those of other clients are passed over."""

    events: list[FeedEvent]
    next_cursor: str
    has_more: bool


class Change(_Answer):
    """A change of an order, a message of a stream; `step` and `state` are null where the order changed as a whole."""

    seq: int
    order_ledger_id: UUID
    status: Status
    step: str | None
    state: StepState | None
    at: AwareDatetime


class SagaEndpoint(_Answer):
    """Where a call goes."""

    participant: str
    method: str
    path: str


class SagaRetry(_Answer):
    """How a call is repeated; `wait_max_s` is null where waits grow without a cap."""

    first_s: float
    factor: float
    attempts_max: int
    wait_max_s: float | None


class SagaStep(_Answer):
    """A step: a call, or a wait for a signal or a time. What does not apply to it is null."""

    name: str
    type: Literal["call", "signal", "timer"]
    kind: StepKind | None
    optional: bool
    conditional: bool
    group: str | None
    action: SagaEndpoint | None
    compensation: SagaEndpoint | None
    undone_by: str | None
    probe: SagaEndpoint | None
    retry: SagaRetry | None
    timeout_s: float | None
    deadline_s: float | None
    wait_s: float | None
    payload: dict[str, Any] | None


class SagaInvariant(_Answer):
    """What holds of a saga's orders, and the audit query that finds where it does not."""

    query: str
    says: str


class SagaDefinition(_Answer):
    """A saga as new orders run it; `input` is the JSON Schema of what starts it."""

    name: str
    version: int
    definition_id: UUID
    description: str
    startable: bool
    deadline_s: float | None
    undo_failure: Literal["continue", "stop"]
    input: dict[str, Any]
    steps: list[SagaStep]
    invariants: list[SagaInvariant]


class Sagas(_Answer):
    """Every saga that there is."""

    sagas: list[SagaDefinition]


class Health(_Answer):
    """That the process runs."""

    status: Literal["ok"]


class Readiness(_Answer):
    """That requests can be answered, and whether new orders are taken or are switched off."""

    status: Literal["ready"]
    takes_orders: bool
