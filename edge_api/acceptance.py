"""What a request that starts a saga is answered with, now and at each repeat."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import orjson
from aiohttp import web

from edge_api import keys
from edge_api.problems import CONTENT_TYPE, Problem, ProblemType
from orchestrator.opening import Request
from sql.models import Status


@dataclass(frozen=True, slots=True)
class Answer:
    """What a request is answered with, and each repeat of it.

    Attributes:
        order_ledger_id: The order.
        status: 202, or 402 for a declined payment.
        body: JSON.
        replayed: Whether it was given before.
    """

    order_ledger_id: UUID
    status: int
    body: str
    replayed: bool = False

    def response(self) -> web.Response:
        """Return it as HTTP."""
        headers = {"Location": f"/orders/{self.order_ledger_id}"}
        if self.replayed:
            headers["Idempotency-Replayed"] = "true"
        content_type = "application/json" if self.status == 202 else CONTENT_TYPE
        return web.Response(status=self.status, body=self.body.encode(), content_type=content_type, headers=headers)


def answer_for(status: Status, saga: str, created_at: datetime, ask: Request, request: web.Request) -> Answer:
    """Return what an order that stands so is answered with: 402 where it is declined, else 202."""
    if status is not Status.DECLINED:
        return accepted(saga, status, created_at, ask)
    declined = Problem(
        ProblemType.DECLINED,
        "The payment was declined; nothing was ordered. Use a new key to try another payment method.",
        order_ledger_id=ask.order_ledger_id,
    )
    return Answer(ask.order_ledger_id, 402, declined.body(f"urn:uuid:{request[keys.REQUEST_ID]}").decode())


def accepted(saga: str, status: Status, created_at: datetime, ask: Request) -> Answer:
    """Return the 202 of an order."""
    path = f"/orders/{ask.order_ledger_id}"
    parent = {"parent": f"/orders/{ask.parent_id}"} if ask.parent_id else {}
    document: dict[str, Any] = {
        "order_ledger_id": str(ask.order_ledger_id),
        "status": status.value,
        "saga": saga,
        "created_at": created_at.astimezone(UTC),
        "links": {"self": path, "journal": f"{path}/journal", **parent},
    }
    return Answer(ask.order_ledger_id, 202, orjson.dumps(document, option=orjson.OPT_UTC_Z).decode())


def in_progress(order_ledger_id: UUID) -> Problem:
    """Return the answer to a repeat that came before the first request was answered."""
    return Problem(
        ProblemType.IN_PROGRESS,
        "The first request with this key is still being handled; repeat this one in a second.",
        order_ledger_id=order_ledger_id,
        headers={"Retry-After": "1"},
    )


def outcome_unknown(order_ledger_id: UUID) -> Problem:
    """Return the answer to a write whose end nobody has seen: it may have been committed."""
    return Problem(
        ProblemType.OUTCOME_UNKNOWN,
        "The connection to the ledger broke while the order was being recorded. Repeat with the same Idempotency-Key.",
        order_ledger_id=order_ledger_id,
        headers={"Retry-After": "1"},
    )
