"""`POST /orders/ID/cancel`: a client takes an order back, on its way or completed."""

from typing import Final

from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field

from edge_api import keys
from edge_api.monitoring import METRICS
from edge_api.reading import json_response, own_row
from edge_api.requests import order_id_of, read_body
from edge_api.rows import visible_rows
from orchestrator.cancelling import cancel
from orchestrator.sagas.cancel_order import CANCEL_ORDER
from sql.models import Status


class CancelRequest(BaseModel):
    """Body of a cancellation.

    Attributes:
        reason: Why, for the journal.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    reason: str = Field(min_length=1, max_length=500)


async def cancel_order(request: web.Request) -> web.Response:
    """Have an order undone or taken back: 202 when it will be, 200 when it was, 409 when it can't be."""
    asked = await read_body(request, CancelRequest)
    order_ledger_id = order_id_of(request)
    async with visible_rows(request) as conn:
        await own_row(request, conn)
        verdict = await cancel(
            conn,
            request.app[keys.DEFINITIONS],
            order_ledger_id,
            actor=f"client {request[keys.CLIENT_ID]}",
            reason=asked.reason,
            # Whether a participant has changed its mind is for an operator to find out.
            again=False,
        )
    if verdict.done:
        request.app[keys.TRACER].rests(verdict.order_ledger_id, verdict.status)
    if verdict.done and verdict.order_ledger_id != order_ledger_id:
        request.app[METRICS].started.labels(CANCEL_ORDER.name).inc()
    path, links = f"/orders/{order_ledger_id}", {"self": f"/orders/{order_ledger_id}"}
    status = verdict.status
    if verdict.order_ledger_id != order_ledger_id:
        # It stands as it did until the saga that takes it back has ended.
        path, status = f"/orders/{verdict.order_ledger_id}", Status.COMPLETED
        links["cancellation"] = path
    body = {"order_ledger_id": order_ledger_id, "status": status, "links": links}
    return json_response(body, status=200 if status is Status.CANCELLED else 202, location=path)


ROUTES: Final = [web.post("/orders/{order_ledger_id}/cancel", cancel_order)]
