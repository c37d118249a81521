"""A team's module: sagas of their own, with inputs that look like nothing of ours."""

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from orchestrator.saga import Saga, Signal, Step, StepKind
from orchestrator.sagas.place_order import PLACE_ORDER
from participants.contracts import PERSONAL, Answer, Endpoint, Wire

SHIPPED_ONE_IS_PASSED_OVER = PLACE_ORDER


class Trip(BaseModel):
    """A trip.

    Attributes:
        nights: How long.
        traveller: Who.
    """

    nights: int = Field(ge=1)
    traveller: Annotated[str, PERSONAL] = "somebody"


class Oddity(BaseModel):
    """Has names of the ledger's columns for things that are none."""

    model_config = ConfigDict(extra="allow")

    customer_id: int
    currency: list[str]
    total_minor: float
    items: list[str]


class RoomRef(Wire):
    room_id: str


class Booked(Answer):
    room_id: str


book: Step[Any, RoomRef] = Step(
    name="book",
    request=lambda ctx: RoomRef(room_id=ctx.id_of(book)),
    action=Endpoint("hotel", "POST", "/rooms", RoomRef, Booked),
    compensation=Endpoint("hotel", "DELETE", "/rooms/{room_id}", RoomRef, Booked),
)
look: Step[Any, RoomRef] = Step(
    name="look",
    request=lambda ctx: RoomRef(room_id=ctx.order_id),
    action=Endpoint("hotel", "GET", "/rooms/{room_id}", RoomRef, Booked),
    kind=StepKind.READ_ONLY,
)
BOOK_TRIP = Saga(name="book_trip", version=1, input=Trip, steps=(book,), says="Books a room.")
BOOK_AGAIN = Saga(name="book_again", version=1, input=Trip, steps=(book,), says="Books a room, too.")
LOOK_ROUND = Saga(name="look_round", version=1, input=Oddity, steps=(look,), says="Looks at a room.")
LEAVE_TRIP = Saga(name="leave_trip", version=1, input=Trip, steps=(look,), says="Begun on a trip only.", startable=False)


class Approval(BaseModel):
    """What somebody says of a trip."""

    model_config = ConfigDict(extra="forbid")

    by: str


ASK_FIRST = Saga(
    name="ask_first",
    version=1,
    input=Trip,
    steps=(Signal("approval", payload=Approval, timeout_s=3600), book),
    says="Books a room once somebody has approved.",
)
