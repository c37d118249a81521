"""What each route of the clients' listener takes and answers: the table that the OpenAPI document is made of."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from pydantic import BaseModel

from edge_api import answers
from edge_api.cancelling import CancelRequest
from edge_api.paying import PayRequest
from edge_api.problems import ProblemType
from edge_api.schemas import PlaceOrderRequest
from edge_api.signalling import AnyPayload

_BODY_PROBLEMS: Final = (
    ProblemType.MALFORMED_JSON,
    ProblemType.REQUEST_TIMEOUT,
    ProblemType.TOO_LARGE,
    ProblemType.UNSUPPORTED_MEDIA_TYPE,
    ProblemType.INVALID,
)
_KEY_PROBLEMS: Final = (
    ProblemType.KEY_MISSING,
    ProblemType.KEY_INVALID,
    ProblemType.DECLINED,
    ProblemType.IN_PROGRESS,
    ProblemType.KEY_REUSED,
    ProblemType.OUTCOME_UNKNOWN,
    ProblemType.FEATURE_DISABLED,
)
_LEDGER_PROBLEMS: Final = (ProblemType.UNAUTHORIZED, ProblemType.FORBIDDEN, ProblemType.INTERNAL, ProblemType.UNAVAILABLE)


@dataclass(frozen=True, slots=True)
class Success:
    """An answer that is no error.

    Attributes:
        description: When it is given.
        model: Of its body; None for any JSON object.
        headers: Names among the document's headers, beside those that every answer has.
        content_type: Of its body.
    """

    description: str
    model: type[BaseModel] | None
    headers: tuple[str, ...] = ()
    content_type: str = "application/json"


@dataclass(frozen=True, slots=True)
class Operation:
    """What one route does.

    Attributes:
        id: Name for generated clients.
        summary: One sentence.
        successes: By status.
        problems: Every problem that it answers with.
        parameters: Names among the document's parameters.
        body: Model of the request's body; None for none.
        starts_any: Whether its body is that of any saga that clients may start.
        example: A body, for people.
    """

    id: str
    summary: str
    successes: Mapping[int, Success]
    problems: tuple[ProblemType, ...] = ()
    parameters: tuple[str, ...] = ()
    body: type[BaseModel] | None = None
    starts_any: bool = False
    example: Mapping[str, object] | None = None


_AN_ORDER: Final = {
    "customer_id": "17850",
    "currency": "GBP",
    "items": [{"sku": "85123A", "quantity": 6, "unit_price_minor": 255}],
    "payment_method": "pm_card",
    "metadata": {"channel": "web"},
}
_STARTED: Final = {
    200: Success(
        "The order finished within the time of `Prefer: wait`.", answers.Order, ("PreferenceApplied", "ContentLocation")
    ),
    202: Success("The order is recorded; its saga runs or will.", answers.Accepted, ("Location", "IdempotencyReplayed")),
}
OPERATIONS: Final[Mapping[tuple[str, str], Operation]] = {
    ("POST", "/orders"): Operation(
        "placeOrder",
        "Record an order and start its saga; a repeat with the same key gets the same answer.",
        _STARTED,
        (*_KEY_PROBLEMS, *_BODY_PROBLEMS, *_LEDGER_PROBLEMS),
        ("IdempotencyKey", "Prefer"),
        PlaceOrderRequest,
        example=_AN_ORDER,
    ),
    ("POST", "/sagas/{saga}"): Operation(
        "startSaga",
        "Record an order with the input of any saga, and start that; the rules of the key are those of `POST /orders`.",
        _STARTED,
        (ProblemType.NOT_FOUND, *_KEY_PROBLEMS, *_BODY_PROBLEMS, *_LEDGER_PROBLEMS),
        ("SagaName", "IdempotencyKey", "Prefer"),
        starts_any=True,
        example=_AN_ORDER,
    ),
    ("GET", "/sagas"): Operation(
        "listSagas",
        "Describe every saga that there is, as new orders run it.",
        {200: Success("All of them, by name.", answers.Sagas)},
        _LEDGER_PROBLEMS,
    ),
    ("GET", "/orders"): Operation(
        "listOrders",
        "List orders, newest first.",
        {200: Success("One page.", answers.OrderPage)},
        (ProblemType.BAD_QUERY, *_LEDGER_PROBLEMS),
        ("Status", "Saga", "CustomerId", "ClientRequestId", "Metadata", "Since", "Cursor", "Limit"),
    ),
    ("GET", "/orders/{order_ledger_id}"): Operation(
        "getOrder",
        "Show an order with its items and steps.",
        {200: Success("The order as it is now.", answers.Order)},
        (ProblemType.ORDER_NOT_FOUND, *_LEDGER_PROBLEMS),
        ("OrderLedgerId",),
    ),
    ("GET", "/orders/{order_ledger_id}/journal"): Operation(
        "getJournal",
        "Show everything that was intended, answered or decided for an order.",
        {200: Success("The journal.", answers.Journal)},
        (ProblemType.ORDER_NOT_FOUND, *_LEDGER_PROBLEMS),
        ("OrderLedgerId",),
    ),
    ("GET", "/orders/{order_ledger_id}/stream"): Operation(
        "streamOrder",
        "Tell by a WebSocket what changes in an order, from `after` on, until the order has finished.",
        {101: Success("A WebSocket follows; this is each of its messages.", answers.Change)},
        (ProblemType.BAD_QUERY, ProblemType.ORDER_NOT_FOUND, ProblemType.UPGRADE_REQUIRED, *_LEDGER_PROBLEMS),
        ("OrderLedgerId", "AfterSeq"),
    ),
    ("POST", "/orders/{order_ledger_id}/pay"): Operation(
        "payOrder",
        "Pay for an order that was placed without payment; the rules of the key are those of `POST /orders`.",
        _STARTED,
        (ProblemType.ORDER_NOT_FOUND, ProblemType.CONFLICT, *_KEY_PROBLEMS, *_BODY_PROBLEMS, *_LEDGER_PROBLEMS),
        ("OrderLedgerId", "IdempotencyKey", "Prefer"),
        PayRequest,
        example={"payment_method": "pm_card"},
    ),
    ("POST", "/orders/{order_ledger_id}/cancel"): Operation(
        "cancelOrder",
        "Have an order undone while it is on its way, or taken back once it has completed.",
        {
            200: Success("The order is cancelled.", answers.Cancelling, ("Location",)),
            202: Success("The order will be undone, or is being taken back.", answers.Cancelling, ("Location",)),
        },
        (ProblemType.ORDER_NOT_FOUND, ProblemType.CONFLICT, *_BODY_PROBLEMS, *_LEDGER_PROBLEMS),
        ("OrderLedgerId",),
        CancelRequest,
        example={"reason": "changed my mind"},
    ),
    ("POST", "/orders/{order_ledger_id}/signals/{name}"): Operation(
        "sendSignal",
        "Give a waiting step the answer that it waits for, in the form that its saga declares; the same answer twice is one.",
        {
            202: Success(
                "The order has the answer, and goes on with it when its turn has come.", answers.Signalled, ("Location",)
            )
        },
        (ProblemType.ORDER_NOT_FOUND, ProblemType.NOT_FOUND, ProblemType.CONFLICT, *_BODY_PROBLEMS, *_LEDGER_PROBLEMS),
        ("OrderLedgerId", "SignalName"),
        AnyPayload,
        example={"approved": True},
    ),
    ("GET", "/events"): Operation(
        "listEvents",
        "Read what happened to orders, each event once and in an order that never changes.",
        {200: Success("Events after the cursor; without any once `wait` is over.", answers.FeedPage)},
        (ProblemType.BAD_QUERY, ProblemType.CURSOR_GONE, *_LEDGER_PROBLEMS),
        ("After", "EventLimit", "Wait"),
    ),
    ("GET", "/healthz"): Operation("getLiveness", "Tell that the process runs.", {200: Success("It does.", answers.Health)}),
    ("GET", "/readyz"): Operation(
        "getReadiness",
        "Tell whether requests can be answered, and whether new orders are taken.",
        {200: Success("They can.", answers.Readiness)},
        (ProblemType.UNAVAILABLE,),
    ),
    ("GET", "/openapi.json"): Operation("getContract", "Show this document.", {200: Success("OpenAPI 3.1.", None)}),
    ("GET", "/docs"): Operation(
        "readContract",
        "Show this document as a page.",
        {200: Success("HTML, complete by itself.", None, content_type="text/html")},
    ),
}
