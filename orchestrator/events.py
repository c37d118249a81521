"""Domain events: what is told of orders, typed and versioned, and what of an order each carries.

An event says what has happened, once, in the transaction in which it happened. It holds no personal data: who needs more
asks for the order. Consumers ignore members that they don't know, so members may be added; a change of what a member means
is a new `version`. Types are never renamed.

`read_event` is for consumers. Nothing is validated when an event is written: that is on the way of every order.
"""

from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal, Union
from uuid import UUID

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, TypeAdapter
from pydantic.json_schema import GenerateJsonSchema

from sql.models import Json, SagaRow, Status

VERSION: Final = 1
"""Of what events carry."""


class _Told(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class OrderData(_Told):
    """What every event tells of its order, as it stood with the event.

    Attributes:
        version: Of these members' meaning.
        order_ledger_id: The order.
        saga: The saga that it runs.
        status: Its status in the ledger.
        customer_id: Null where the saga's input names none.
        currency: ISO 4217; null where the saga's input names none.
        total_minor: In minor units of the currency; null where the saga's input names none.
        parent_id: The order that this one was begun on, such as the one that is paid for; null for none.
    """

    version: Literal[1]
    order_ledger_id: UUID
    saga: str
    status: Status
    customer_id: str | None
    currency: str | None
    total_minor: int | None
    parent_id: UUID | None = None


class StepData(OrderData):
    """What an event tells that belongs to one step.

    Attributes:
        step: Name of the step in its saga.
    """

    step: str


class OrderEvent(_Told):
    """An event of an order; by itself one of a team's own saga.

    Attributes:
        id: The same wherever it is delivered: consumers drop what they have seen.
        type: What happened.
        order_ledger_id: The order.
        seq: Its journal position to which the event belongs; events of one transition share it.
        occurred_at: When it was written.
        correlation_id: Of the request that placed the order.
        data: What it carries.
    """

    id: UUID
    type: str
    order_ledger_id: UUID
    seq: int = Field(ge=0)
    occurred_at: AwareDatetime
    correlation_id: str
    data: OrderData


class StepEvent(OrderEvent):
    """An event of a step; by itself one of a team's own saga."""

    data: StepData


class OrderReceived(OrderEvent):
    """The order is recorded; nothing has been done yet."""

    type: Literal["OrderReceived"]


class PaymentAuthorized(StepEvent):
    """The payment is authorized."""

    type: Literal["PaymentAuthorized"]


class PaymentDeclined(StepEvent):
    """The payment was refused; whatever was done for the order besides will be undone."""

    type: Literal["PaymentDeclined"]


class PaymentVoided(StepEvent):
    """The authorization of the payment was taken back."""

    type: Literal["PaymentVoided"]


class CustomerRefused(StepEvent):
    """The customer is not known or may not order; the order will be undone."""

    type: Literal["CustomerRefused"]


class OrderCreated(StepEvent):
    """The orders service has the order."""

    type: Literal["OrderCreated"]


class StockReserved(StepEvent):
    """All lines are reserved."""

    type: Literal["StockReserved"]


class StockReservationFailed(StepEvent):
    """The stock does not suffice; the order will be undone."""

    type: Literal["StockReservationFailed"]


class StockReleased(StepEvent):
    """What was reserved is free again."""

    type: Literal["StockReleased"]


class PaymentCaptured(StepEvent):
    """The money was taken."""

    type: Literal["PaymentCaptured"]


class PaymentFailed(StepEvent):
    """The authorized money was not to be had, or not in time; the order will be undone."""

    type: Literal["PaymentFailed"]


class PaymentRefunded(StepEvent):
    """The money was given back."""

    type: Literal["PaymentRefunded"]


class OrderPaid(StepEvent):
    """The money for the order `parent_id`, which had been placed without it, was taken."""

    type: Literal["OrderPaid"]


class OrderConfirmed(StepEvent):
    """The orders service has confirmed the order."""

    type: Literal["OrderConfirmed"]


class ShipmentScheduled(StepEvent):
    """The carriage of the goods is ordered."""

    type: Literal["ShipmentScheduled"]


class ShipmentRefused(StepEvent):
    """The goods can't be sent; the order will be undone."""

    type: Literal["ShipmentRefused"]


class ShipmentCancelled(StepEvent):
    """The carriage of the goods was called off."""

    type: Literal["ShipmentCancelled"]


class OrderCompensating(OrderEvent):
    """What was done for the order is being undone."""

    type: Literal["OrderCompensating"]


class OrderCompleted(OrderEvent):
    """Every step is done; the order stands."""

    type: Literal["OrderCompleted"]


class OrderFailed(OrderEvent):
    """The order could not be carried out; everything is undone."""

    type: Literal["OrderFailed"]


class OrderCancelled(OrderEvent):
    """Somebody asked for it: everything is undone."""

    type: Literal["OrderCancelled"]


class OrderDeclined(OrderEvent):
    """The order ended with a refused payment; nothing had been done."""

    type: Literal["OrderDeclined"]


class CompensationFailed(StepEvent):
    """What the step did, or may have done, could not be undone; the order will be stuck when the rest is."""

    type: Literal["CompensationFailed"]


class OrderStuck(OrderEvent):
    """The order can't go on without an operator; it may do so several times."""

    type: Literal["OrderStuck"]


_TYPES: Final[tuple[type[OrderEvent], ...]] = tuple(
    model
    for model in tuple(globals().values())
    if isinstance(model, type) and issubclass(model, OrderEvent) and model not in (OrderEvent, StepEvent)
)
"""Every one that is defined above, in that order."""
CATALOGUE: Final[Mapping[str, type[OrderEvent]]] = {model.__name__: model for model in _TYPES}
"""The events of the sagas that ship, by type. A team's own saga tells of its steps in types of its own."""


def event_payload(row: SagaRow, status: str, step: str | None = None) -> Json:
    """Return what an event carries: no personal data.

    Args:
        row: The order.
        status: Its status with the event.
        step: The step that the event tells of; None for the order as a whole.
    """
    payload: Json = {
        "version": VERSION,
        "order_ledger_id": str(row.order_ledger_id),
        "saga": row.saga,
        "status": status,
        "customer_id": row.customer_id,
        "currency": row.currency,
        "total_minor": row.total_minor,
    }
    if row.parent_id is not None:
        payload["parent_id"] = str(row.parent_id)
    if step is not None:
        payload["step"] = step
    return payload


def read_event(document: Mapping[str, Any]) -> OrderEvent:
    """Return an event of the feed as its type; of a type that is not in the catalogue, as a `StepEvent` or an `OrderEvent`.

    Args:
        document: A member of `events` in the feed's answer, read from JSON.

    Raises:
        pydantic.ValidationError: It is no event, or of a version that this release does not know.
    """
    other = StepEvent if "step" in document.get("data", {}) else OrderEvent
    return CATALOGUE.get(document.get("type", ""), other).model_validate(document)


def json_schema() -> Json:
    """Return the JSON Schema (2020-12) of an event: one of the catalogue, told by its `type`."""
    one_of_them: Any = Annotated[Union[_TYPES], Field(discriminator="type")]  # noqa: UP007
    return {"$schema": GenerateJsonSchema.schema_dialect, **TypeAdapter(one_of_them).json_schema()}
