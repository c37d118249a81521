"""`POST /orders/ID/signals/NAME`: the answer from outside that an order waits for."""

from typing import Final

from aiohttp import web
from pydantic import BaseModel, ConfigDict

from edge_api import keys
from edge_api.reading import json_response, own_row
from edge_api.requests import order_id_of, read_body
from edge_api.rows import visible_rows
from orchestrator.signalling import signal, signal_of


class AnyPayload(BaseModel):
    """An answer as the step's saga declares it."""

    model_config = ConfigDict(extra="allow")


async def send_signal(request: web.Request) -> web.Response:
    """Give a waiting step its answer: 202 when the order goes on with it, or will; the same answer again is no other one."""
    order_ledger_id, name = order_id_of(request), request.match_info["name"]
    async with visible_rows(request) as conn:
        row = await own_row(request, conn)
        saga = await request.app[keys.DEFINITIONS].of(conn, row.definition_id)
    # No connection is held while a body arrives.
    asked = await read_body(request, signal_of(saga, name).payload)
    async with visible_rows(request) as conn:
        verdict = await signal(
            conn,
            request.app[keys.DEFINITIONS],
            order_ledger_id,
            name,
            asked.model_dump(mode="json"),
            actor=f"client {request[keys.CLIENT_ID]}",
        )
    path = f"/orders/{order_ledger_id}"
    body = {"order_ledger_id": order_ledger_id, "status": verdict.status, "links": {"self": path}}
    return json_response(body, status=202, location=path)


ROUTES: Final = [web.post("/orders/{order_ledger_id}/signals/{name}", send_signal)]
