"""Parameters and headers of the clients' listener, by their names in the OpenAPI document."""

from collections.abc import Mapping
from typing import Any, Final

from edge_api import feed, stream
from edge_api.idempotency import KEY_MAX
from edge_api.reading import LIMIT_DEFAULT, LIMIT_MAX, METADATA_PREFIX
from edge_api.requests import WAIT_MAX_S
from sql import events, reading
from sql.models import Status

Json = dict[str, Any]


def _query(name: str, description: str, schema: Json, **more: Any) -> Json:
    return {"name": name, "in": "query", "description": description, "schema": schema, **more}


def _header(name: str, description: str, schema: Json, *, required: bool = False) -> Json:
    return {"name": name, "in": "header", "description": description, "schema": schema, "required": required}


def _cursor(length: int) -> Json:
    """Return the schema of a cursor: any text of its form is one, though most lead nowhere."""
    return {"type": "string", "minLength": length, "maxLength": length, "pattern": f"^[A-Za-z0-9_-]{{{length}}}$"}


_TEXT: Final[Json] = {"type": "string"}
WITHOUT_NUL: Final = r"^[^\u0000]*$"
"""Pattern of what the ledger can hold."""
_STORED_TEXT: Final[Json] = {"type": "string", "pattern": WITHOUT_NUL}
_CORRELATION: Final[Json] = {"type": "string", "pattern": "^[!-~]{1,128}$"}
_TRACEPARENT: Final[Json] = {"type": "string", "pattern": "^[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$"}

PARAMETERS: Final[Mapping[str, Json]] = {
    "CorrelationId": _header(
        "X-Correlation-ID", "Sent on with every call to a participant; made when missing or of another form.", _TEXT
    ),
    "Traceparent": _header("traceparent", "W3C trace context; made when missing or of another form.", _TEXT),
    "IdempotencyKey": _header(
        "Idempotency-Key",
        "One key for one order, in every repeat: visible ASCII without quote and backslash, bare or in quotes.",
        {"type": "string", "pattern": f'^([!#-\\[\\]-~]{{1,{KEY_MAX}}}|"[!#-\\[\\]-~]{{1,{KEY_MAX}}}")$'},
        required=True,
    ),
    "Prefer": _header("Prefer", f"`wait=SECONDS`, at most {WAIT_MAX_S}: answer when the order has finished.", _TEXT),
    "OrderLedgerId": {
        "name": "order_ledger_id",
        "in": "path",
        "required": True,
        "description": "The order's id.",
        "schema": {"type": "string", "format": "uuid"},
    },
    "SagaName": {
        "name": "saga",
        "in": "path",
        "required": True,
        "description": "The saga's name.",
        "schema": {"type": "string"},
    },
    "SignalName": {
        "name": "name",
        "in": "path",
        "required": True,
        "description": "Name of the step that waits.",
        "schema": _TEXT,
    },
    "Status": _query(
        "status",
        "Orders in one of these; several with commas or by repeating the parameter.",
        {"type": "array", "items": {"type": "string", "enum": list(Status)}, "minItems": 1},
        style="form",
        explode=False,
    ),
    "Saga": _query("saga", "Orders of this saga.", _STORED_TEXT),
    "CustomerId": _query("customer_id", "Orders of this customer.", _STORED_TEXT),
    "ClientRequestId": _query("client_request_id", "The order of this Idempotency-Key.", _STORED_TEXT),
    "Metadata": _query(
        f"{METADATA_PREFIX}KEY", "Orders whose label KEY has this value as text; KEY stands for any name.", _STORED_TEXT
    ),
    "Since": _query("since", "Orders recorded then or later.", {"type": "string", "format": "date-time"}),
    "Cursor": _query("cursor", "The `next_cursor` of an earlier answer.", _cursor(reading.CURSOR_LENGTH)),
    "After": _query(
        "after",
        "The `next_cursor` of an earlier answer; without it, all that is kept.",
        _cursor(events.CURSOR_LENGTH),
    ),
    "AfterSeq": _query(
        "after",
        "The `seq` of the last message that was seen; without it, the journal's beginning.",
        {"type": "integer", "minimum": 0, "maximum": stream.SEQ_MAX},
    ),
    "EventLimit": _query(
        "limit",
        "Most events of the page.",
        {"type": "integer", "minimum": 1, "maximum": feed.LIMIT_MAX, "default": feed.LIMIT_DEFAULT},
    ),
    "Wait": _query(
        "wait",
        "Seconds to wait for an event where there is none.",
        {"type": "number", "minimum": 0, "maximum": WAIT_MAX_S, "default": 0},
    ),
    "Limit": _query(
        "limit", "Most orders of the page.", {"type": "integer", "minimum": 1, "maximum": LIMIT_MAX, "default": LIMIT_DEFAULT}
    ),
}
"""By their names in the document."""

HEADERS: Final[Mapping[str, Json]] = {
    "CorrelationId": {"description": "X-Correlation-ID of the request, or the one made for it.", "schema": _CORRELATION},
    "RequestId": {
        "description": "Id of this request; `instance` of a problem.",
        "schema": {"type": "string", "format": "uuid"},
    },
    "Traceparent": {"description": "W3C trace context of the request.", "schema": _TRACEPARENT},
    "Location": {"description": "Path of the order.", "schema": {"type": "string", "format": "uri-reference"}},
    "ContentLocation": {"description": "Path of the order.", "schema": {"type": "string", "format": "uri-reference"}},
    "PreferenceApplied": {"description": "The preference that was followed.", "schema": _TEXT},
    "IdempotencyReplayed": {"description": "Present when the answer was given before.", "schema": {"const": "true"}},
    "RetryAfter": {"description": "Seconds to wait before a repeat.", "schema": {"type": "integer", "minimum": 0}},
    "Authenticate": {"description": "How to say who is asking.", "schema": _TEXT},
}
"""By their names in the document."""

HEADER_NAMES: Final[Mapping[str, str]] = {
    "CorrelationId": "X-Correlation-ID",
    "RequestId": "X-Request-Id",
    "Traceparent": "traceparent",
    "Location": "Location",
    "ContentLocation": "Content-Location",
    "PreferenceApplied": "Preference-Applied",
    "IdempotencyReplayed": "Idempotency-Replayed",
    "RetryAfter": "Retry-After",
    "Authenticate": "WWW-Authenticate",
}
"""What each is called in HTTP."""
