"""Errors as answers: `application/problem+json` (RFC 9457), one table of types."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final
from uuid import UUID

import orjson
from aiohttp import web

BASE: Final = "https://sagaledger.example/problems/"
CONTENT_TYPE: Final = "application/problem+json"


@dataclass(frozen=True, slots=True)
class _Kind:
    name: str
    status: int
    title: str
    retryable: bool = False


class ProblemType(Enum):
    """Every problem that the API answers with; clients act on `type`, never on a text."""

    KEY_MISSING = _Kind("idempotency-key-missing", 400, "Idempotency-Key is required")
    KEY_INVALID = _Kind("idempotency-key-invalid", 400, "Idempotency-Key is malformed")
    MALFORMED_JSON = _Kind("malformed-json", 400, "The body is not strict JSON")
    BAD_QUERY = _Kind("invalid-query", 400, "The query is not valid")
    MALFORMED_REQUEST = _Kind("malformed-request", 400, "The request is not valid HTTP")
    UNAUTHORIZED = _Kind("unauthorized", 401, "A valid API key is required")
    FORBIDDEN = _Kind("forbidden", 403, "The key does not allow this")
    DECLINED = _Kind("payment-declined", 402, "The payment was declined")
    NOT_FOUND = _Kind("not-found", 404, "There is no such resource")
    ORDER_NOT_FOUND = _Kind("order-not-found", 404, "There is no such order")
    METHOD_NOT_ALLOWED = _Kind("method-not-allowed", 405, "The method is not allowed here")
    REQUEST_TIMEOUT = _Kind("request-timeout", 408, "The request took too long to arrive", retryable=True)
    IN_PROGRESS = _Kind(
        "idempotency-request-in-progress", 409, "The first request with this key is still being handled", retryable=True
    )
    CONFLICT = _Kind("conflict", 409, "The order's state does not allow this")
    CONFIGURATION_CONFLICT = _Kind("configuration-conflict", 409, "The configuration's state does not allow this")
    NAME_TAKEN = _Kind("name-taken", 409, "There is one of this name")
    CURSOR_GONE = _Kind("cursor-gone", 410, "One can't go on from this cursor")
    TOO_LARGE = _Kind("payload-too-large", 413, "The body is too large")
    UNSUPPORTED_MEDIA_TYPE = _Kind("unsupported-media-type", 415, "The body must be application/json")
    EXPECTATION_FAILED = _Kind("expectation-failed", 417, "The expectation can't be met")
    MISDIRECTED = _Kind("misdirected-request", 421, "No such host is served here")
    INVALID = _Kind("validation-error", 422, "The request is not valid")
    KEY_REUSED = _Kind("idempotency-key-reused", 422, "Idempotency-Key was used with a different request")
    UPGRADE_REQUIRED = _Kind("upgrade-required", 426, "A WebSocket handshake is required")
    RATE_LIMITED = _Kind("rate-limited", 429, "Too many requests", retryable=True)
    HEAD_TOO_LARGE = _Kind("head-too-large", 431, "The request's head is too large")
    INTERNAL = _Kind("internal-error", 500, "Something went wrong here", retryable=True)
    UNAVAILABLE = _Kind("unavailable", 503, "The service is not available now", retryable=True)
    FEATURE_DISABLED = _Kind("feature-disabled", 503, "Nothing new is begun now", retryable=True)
    OVERLOADED = _Kind("overloaded", 503, "There is too much work waiting", retryable=True)
    OUTCOME_UNKNOWN = _Kind("outcome-unknown", 503, "Whether the request was recorded is not known", retryable=True)


_ENDS_THE_CONNECTION: Final = frozenset(
    {ProblemType.MALFORMED_REQUEST, ProblemType.REQUEST_TIMEOUT, ProblemType.TOO_LARGE, ProblemType.HEAD_TOO_LARGE}
)
"""After these nobody knows where the next request would begin, or it would take long to get there."""


class Problem(Exception):
    """An answer that is an error.

    Args:
        type: Which.
        detail: For people; no internals.
        order_ledger_id: The order it is about, where there is one.
        errors: Where the request is wrong: pairs of JSON pointer and what is wrong there.
        headers: Sent with it.
    """

    def __init__(
        self,
        type: ProblemType,
        detail: str,
        *,
        order_ledger_id: UUID | None = None,
        errors: tuple[tuple[str, str], ...] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(detail)
        self.type = type
        self.detail = detail
        self.order_ledger_id = order_ledger_id
        self.errors = errors
        self.headers = dict(headers or {})

    @property
    def status(self) -> int:
        """HTTP status code."""
        return self.type.value.status

    def body(self, instance: str) -> bytes:
        """Return the answer's body.

        Args:
            instance: URI of this occurrence; see `request_urn`.
        """
        kind = self.type.value
        document: dict[str, Any] = {
            "type": BASE + kind.name,
            "title": kind.title,
            "status": kind.status,
            "detail": self.detail,
            "instance": instance,
            "retryable": kind.retryable,
        }
        if self.order_ledger_id is not None:
            document["order_ledger_id"] = str(self.order_ledger_id)
        if self.errors:
            document["errors"] = [{"pointer": pointer, "detail": detail} for pointer, detail in self.errors]
        return orjson.dumps(document)

    def response(self, instance: str) -> web.Response:
        """Return the answer."""
        found = web.Response(status=self.status, body=self.body(instance), content_type=CONTENT_TYPE, headers=self.headers)
        if self.type in _ENDS_THE_CONNECTION:
            found.force_close()
        return found


def order_not_found() -> Problem:
    """Return the one answer for an order that does not exist or is another client's."""
    return Problem(ProblemType.ORDER_NOT_FOUND, "There is no order of this id.")
