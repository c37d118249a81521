"""A call is made out once: what travels, what the journal keeps, and what an answer must repeat come from one request."""

from typing import Annotated
from uuid import UUID

from orchestrator.identity import order_id
from orchestrator.opening import Request, open_order
from orchestrator.outcome import Succeeded
from orchestrator.prepared import SHOWN_BYTES_MAX, prepare
from orchestrator.progress import Answered
from orchestrator.saga import Context, Saga, Step, StepKind
from participants.contracts import PERSONAL, Answer, Endpoint, Wire
from tests.unit.core.sagas import Nothing

ORDER: UUID = order_id("client", "key")


class Ref(Wire):
    order_id: str


class Parcel(Ref):
    """What a service is asked for that needs more than the order's id."""

    weight: int
    name: Annotated[str, PERSONAL]


class Weighed(Answer):
    order_id: str
    weight: int


SEND = Endpoint("shop", "POST", "/parcels/{order_id}", Parcel, Weighed)
CALL_BACK = Endpoint("shop", "DELETE", "/parcels/{order_id}", Ref, Weighed)
PARCEL = Parcel(order_id="a b", weight=3, name="Ann")


def ref_of(ctx: Context[Nothing]) -> Ref:
    return Ref(order_id=ctx.order_id)


def parcel_of(ctx: Context[Nothing]) -> Parcel:
    return Parcel(order_id=ctx.order_id, weight=ctx.results["weigh"]["weight"], name="Ann")


def test_a_request_is_sent_whole_and_shown_without_personal_data() -> None:
    prepared = prepare(SEND, PARCEL, "key")

    assert prepared.path == "/parcels/a%20b"
    assert prepared.body == b'{"order_id":"a b","weight":3,"name":"Ann"}'
    assert prepared.shown == {"order_id": "a b", "weight": 3}
    assert prepared.echoed == {"order_id": "a b", "weight": 3, "name": "Ann"}


def test_an_endpoint_gets_what_it_knows_of_a_larger_request() -> None:
    prepared = prepare(CALL_BACK, PARCEL, "key")

    assert (prepared.path, prepared.body, prepared.shown) == ("/parcels/a%20b", None, {"order_id": "a b"})


def test_of_a_large_request_the_journal_keeps_the_size() -> None:
    large = Parcel(order_id="o", weight=1, name="x" * SHOWN_BYTES_MAX)
    prepared = prepare(SEND, large, "key")

    assert prepared.body is not None
    assert prepared.shown == {"bytes": len(prepared.body), "left_out": True}


def test_the_next_request_is_built_with_the_answer_that_was_just_given() -> None:
    weigh = Step(name="weigh", request=ref_of, action=Endpoint("shop", "POST", "/weigh", Ref, Weighed), kind=StepKind.READ_ONLY)
    send = Step(name="send", request=parcel_of, action=SEND, kind=StepKind.PIVOT)
    saga = Saga(name="post", version=1, input=Nothing, steps=(weigh, send))
    work = open_order(saga, Request(ORDER, "client", "key", b"", Nothing(), {}, "correlation")).work
    begun = work.transition(work.advance(None, go_on=True), replica="r")
    answered = Answered("weigh", Succeeded({"order_id": str(ORDER), "weight": 7}))
    move = work.after(begun, 2).advance(answered, go_on=True)

    assert [entry.request for entry in work.after(begun, 2).transition(move, replica="r").entries] == [
        None,
        {"order_id": str(ORDER), "weight": 7},
    ]
