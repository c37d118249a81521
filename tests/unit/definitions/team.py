"""Definitions as a team might write them, sound and unsound, for the checks to read."""

import random
import time
from datetime import UTC, datetime
from typing import Annotated, Any
from uuid import uuid4

from pydantic import BaseModel, ConfigDict, Field

from orchestrator.saga import Context, Retry, Saga, Signal, Step, StepKind, Timer
from participants.contracts import PERSONAL, Answer, Endpoint, Wire


class Trip(BaseModel):
    """Input of the trips."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    traveller: str
    nights: int = Field(ge=1)


class RoomRef(Wire):
    room_id: str


class BookRoom(RoomRef):
    nights: int
    note: str = ""


class SecretRef(Wire):
    name: Annotated[str, PERSONAL]


class Booked(Answer):
    room_id: str


BOOK = Endpoint("hotel", "POST", "/rooms", BookRoom, Booked)
LEAVE = Endpoint("hotel", "DELETE", "/rooms/{room_id}", RoomRef, Booked)
LOOK = Endpoint("hotel", "GET", "/rooms/{room_id}", RoomRef, Booked)


def step(**changes: Any) -> Step[Trip, Any]:
    given: dict[str, Any] = {"name": "book", "request": book_request, "action": BOOK, "compensation": LEAVE}
    return Step(**{**given, **changes})


def saga(*steps: Any, **changes: Any) -> Saga[Trip]:
    given: dict[str, Any] = {"name": "trip", "version": 1, "input": Trip, "says": "Books a trip.", "stands": lambda _: {}}
    return Saga(**{**given, "steps": steps or (step(),), **changes})


def book_request(ctx: Context[Trip]) -> BookRoom:
    return BookRoom(room_id=ctx.order_id, nights=ctx.input.nights)


def tomorrow() -> datetime:
    return datetime.now(UTC)


PAY = Step(name="pay", request=lambda ctx: RoomRef(room_id=ctx.order_id), action=LOOK, kind=StepKind.READ_ONLY)
ELSEWHERE = step(name="elsewhere")
PIVOT = Step(name="go", request=lambda ctx: RoomRef(room_id=ctx.order_id), action=LEAVE, kind=StepKind.PIVOT)


class Aliased(BaseModel):
    nights: int = Field(alias="Nights")


class Hidden(BaseModel):
    nights: int = Field(exclude=True)


class Labelled(BaseModel):
    metadata: str


UNSOUND: dict[str, tuple[Any, str]] = {
    "a name with a hyphen": (saga(name="my-trip"), "its name must be"),
    "a step's name with a colon": (saga(step(name="book:room")), "its name must be"),
    "no version": (saga(version=0), "version must be 1 or more"),
    "an input with labels of its own": (saga(input=Labelled), "has a member metadata"),
    "an input that can't be read back": (saga(input=Aliased), "has an alias"),
    "an input that is lost": (saga(input=Hidden), "left out of JSON"),
    "an event of a whole order": (saga(step(on_success="OrderCompleted")), "tells of a whole order"),
    "a clock": (saga(step(request=lambda ctx: RoomRef(room_id=str(time.time())), action=LEAVE)), r"calls time\.time\(\)"),
    "chance": (saga(step(request=lambda ctx: RoomRef(room_id=str(random.random())), action=LEAVE)), r"random\.random\(\)"),
    "a new id": (saga(step(request=lambda ctx: RoomRef(room_id=str(uuid4())), action=LEAVE)), r"calls uuid4\(\)"),
    "a clock in a helper": (saga(Timer("wait", until=lambda ctx: tomorrow())), r"calls datetime\.now\(\)"),
    "a member that is not there": (
        saga(step(request=lambda ctx: BookRoom(room_id=ctx.order_id, nights=ctx.input.days))),
        r"reads `input\.days`, which Trip does not have",
    ),
    "an answer of a later step": (
        saga(step(request=lambda ctx: BookRoom(room_id=ctx.results["pay"]["room_id"], nights=1)), PAY),
        "reads the answer of pay, which is not there yet",
    ),
    "an answer of no step": (
        saga(step(request=lambda ctx: BookRoom(room_id=ctx.results["rent"]["room_id"], nights=1))),
        "reads the answer of rent, which is no step",
    ),
    "an answer of a neighbour": (
        saga(
            step(name="one", group="both"),
            step(group="both", request=lambda ctx: BookRoom(room_id=ctx.results["one"]["room_id"], nights=1)),
        ),
        "reads the answer of one, which is not there yet",
    ),
    "an answer that may be missing": (
        saga(
            Signal("word", when=lambda ctx: ctx.input.nights > 3, payload=Trip),
            step(request=lambda ctx: BookRoom(room_id=ctx.results["word"]["traveller"], nights=1)),
        ),
        r"answer of word, which may have been left out: ask by `\.get`",
    ),
    "a thing of another saga": (
        saga(step(request=lambda ctx: BookRoom(room_id=ctx.id_of(ELSEWHERE), nights=1))),
        "names the thing that elsewhere makes",
    ),
    "a path of nothing": (
        saga(step(compensation=Endpoint("hotel", "DELETE", "/rooms/{room}", RoomRef, Booked))),
        r"names \{room\}, which RoomRef does not have",
    ),
    "a path that shows a person": (
        saga(
            step(
                request=lambda ctx: SecretRef(name=ctx.input.traveller),
                action=Endpoint("hotel", "GET", "/guests/{name}", SecretRef, Booked),
                compensation=None,
                kind=StepKind.READ_ONLY,
            )
        ),
        "would show name, which is personal data",
    ),
    "an undo that undoes nothing": (saga(step(compensation=LOOK)), "is a GET, which changes nothing"),
    "waits without end": (
        saga(PIVOT, step(name="tell", compensation=None, kind=StepKind.RETRIABLE, retry=Retry(1.0, 10.0, 9))),
        r"its waits grow to 10000000 s: cap them",
    ),
    "a request of another endpoint": (
        saga(step(request=lambda ctx: RoomRef(room_id=ctx.order_id))),
        "builds RoomRef, but its action takes BookRoom",
    ),
    "a request that its undo can't take": (
        saga(step(compensation=Endpoint("hotel", "DELETE", "/all", SecretRef, Booked))),
        "builds BookRoom, but its compensation takes SecretRef",
    ),
    "a member that the request lacks": (
        saga(step(request=lambda ctx: BookRoom(room_id=ctx.order_id))),
        "does not give nights to BookRoom",
    ),
    "a member too many": (
        saga(step(request=lambda ctx: BookRoom(room_id=ctx.order_id, nights=1, beds=2))),  # type: ignore[call-arg]
        "gives beds to BookRoom, which does not have it",
    ),
}
"""Each with a saga that has it and what is said of it."""
