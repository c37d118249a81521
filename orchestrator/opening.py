"""How an order enters the ledger: the row to insert, and the first call where the edge makes it itself."""

from dataclasses import dataclass
from typing import Any, TypeVar
from uuid import UUID

from msgspec.structs import replace
from pydantic import BaseModel

from orchestrator import machine
from orchestrator.events import event_payload
from orchestrator.progress import BEGINNING, Call, Move, Progress
from orchestrator.saga import Saga
from orchestrator.sagas.orders import Item
from orchestrator.work import Work
from participants.contracts import personal_of, without_personal
from sql.models import Direction, Event, Json, NewOrder, SagaRow

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Request:
    """Who asked for what.

    Attributes:
        order_ledger_id: Id of the row; see `identity.order_id`.
        client_id, client_request_id: The client and its key.
        request_hash: SHA-256 over the validated request, without what it says of a person.
        input: The saga's typed input.
        metadata: The client's labels.
        correlation_id, traceparent: Of the request.
        parent_id: The order that this one is about; None for none.
    """

    order_ledger_id: UUID
    client_id: str
    client_request_id: str
    request_hash: bytes
    input: BaseModel
    metadata: Json
    correlation_id: str
    traceparent: str | None = None
    parent_id: UUID | None = None


@dataclass(frozen=True, slots=True)
class Opening:
    """A row to insert, and what its owner goes on with.

    Attributes:
        order: The row.
        work: The same order at work, as it is once the row is inserted.
        call: The call that the owner makes after the insert; None when orchestrators do everything.
    """

    order: NewOrder
    work: Work
    call: Call | None


def open_order(
    saga: Saga[Any],
    request: Request,
    *,
    owner: str | None = None,
    lease_s: float | None = None,
    config_seq: int | None = None,
) -> Opening:
    """Return what to insert for a request.

    Args:
        saga: What to run; its snapshot must be registered.
        request: Who asked for what.
        owner: Who makes the saga's edge step at once; None leaves that to the orchestrators.
        lease_s: Seconds after which an orchestrator takes over from the owner.
        config_seq: By which the saga was chosen; see `Definitions.chosen`.
    """
    begun = Move(BEGINNING)
    if owner is not None and saga.edge_step is not None:
        begun = begun.then(machine.proceed(saga, begun.progress))
    call = begun.calls[0] if begun.calls else None
    row = _row(saga, request, begun.progress, owner if call else None)
    work = Work(saga, row, begun.progress, request.input, str(request.order_ledger_id))
    first = work.transition(begun, replica=owner or "edge")
    received = Event("OrderReceived", event_payload(row, row.status.value))
    order = NewOrder(
        order_ledger_id=row.order_ledger_id,
        client_id=request.client_id,
        client_request_id=request.client_request_id,
        request_hash=request.request_hash,
        saga=saga.name,
        saga_version=saga.version,
        definition_id=saga.definition_id,
        status=row.status,
        step=first.step,
        progress=first.progress,
        input=row.input,
        personal=row.personal,
        items=_items(request.input),
        customer_id=row.customer_id,
        currency=row.currency,
        total_minor=row.total_minor,
        metadata=request.metadata,
        correlation_id=request.correlation_id,
        traceparent=request.traceparent,
        parent_id=request.parent_id,
        deadline_s=saga.deadline_s,
        lease_owner=row.lease_owner,
        lease_s=lease_s if call else None,
        entries=first.entries,
        events=(received,),
        config_seq=config_seq,
    )
    return Opening(order, replace(work, row=replace(row, step=first.step)), call)


def _row(saga: Saga[Any], request: Request, progress: Progress, owner: str | None) -> SagaRow:
    stored = request.input.model_dump(mode="json")
    return SagaRow(
        order_ledger_id=request.order_ledger_id,
        saga=saga.name,
        definition_id=saga.definition_id,
        status=machine.status_of(saga, progress),
        progress=progress.to_json(),
        results={},
        input=without_personal(saga.input, stored),
        personal=personal_of(saga.input, stored),
        correlation_id=request.correlation_id,
        traceparent=request.traceparent,
        last_seq=1 if progress.on_its_way else 0,
        lease_owner=owner,
        lease_epoch=1,
        lapses=0,
        client_request_id=request.client_request_id,
        last_error=None,
        step=None,
        direction=Direction.ACTION,
        retry_count=0,
        customer_id=_member(request.input, "customer_id", str),
        currency=_member(request.input, "currency", str),
        total_minor=_total_minor(request.input),
        parent_id=request.parent_id,
    )


def _member(input: BaseModel, name: str, kind: type[T]) -> T | None:
    """Return what a column of the row takes from the input; a team's own may use the name for something else."""
    value = getattr(input, name, None)
    return value if isinstance(value, kind) else None


def _total_minor(input: BaseModel) -> int | None:
    total = _member(input, "total_minor", int)
    return total if total is not None and 0 <= total < 2**63 else None


def _items(input: BaseModel) -> tuple[Json, ...]:
    items = _member(input, "items", tuple) or ()
    return tuple(item.model_dump(mode="json") for item in items if isinstance(item, Item))
