"""`POST /orders/ID/signals/NAME`: the answer from outside that an order waits for."""

from typing import Any, Final

from aiohttp import web
from pydantic import BaseModel, ConfigDict

from edge_api import keys
from edge_api.problems import Problem, ProblemType, order_not_found
from edge_api.reading import json_response
from edge_api.requests import order_id_of, read_body
from orchestrator.operating import Busy, NoSuchSignal, NotAwaited, signal
from orchestrator.saga import Saga, Signal
from sql import ledger, reading


class AnyPayload(BaseModel):
    """An answer as the step's saga declares it."""

    model_config = ConfigDict(extra="allow")


async def send_signal(request: web.Request) -> web.Response:
    """Give a waiting step its answer: 202 when the order goes on with it, or will; the same answer again is no other one."""
    order_ledger_id, name = order_id_of(request), request.match_info["name"]
    async with request.app[keys.POOL].connection() as conn:
        # Another client's order must look like one that does not exist.
        if await reading.get_order(conn, order_ledger_id, request[keys.CLIENT_ID]) is None:
            raise order_not_found()
        row = (await ledger.get_rows(conn, [order_ledger_id]))[order_ledger_id]
        payload = _payload_of(await request.app[keys.DEFINITIONS].of(conn, row.definition_id), name)
    # No connection is held while a body arrives.
    asked = await read_body(request, payload)
    async with request.app[keys.POOL].connection() as conn:
        try:
            verdict = await signal(
                conn,
                request.app[keys.DEFINITIONS],
                order_ledger_id,
                name,
                asked.model_dump(mode="json"),
                actor=f"client {request[keys.CLIENT_ID]}",
            )
        except (NotAwaited, NoSuchSignal, Busy) as error:
            raise Problem(ProblemType.CONFLICT, f"{error}.", order_ledger_id=order_ledger_id) from None
    path = f"/orders/{order_ledger_id}"
    body = {"order_ledger_id": order_ledger_id, "status": verdict.status, "links": {"self": path}}
    return json_response(body, status=202, location=path)


def _payload_of(saga: Saga[Any], name: str) -> type[BaseModel]:
    step = next((step for step in saga.steps if step.name == name), None)
    if not isinstance(step, Signal):
        raise Problem(ProblemType.NOT_FOUND, f"Saga {saga.name} waits for no signal of this name.")
    return step.payload


ROUTES: Final = [web.post("/orders/{order_ledger_id}/signals/{name}", send_signal)]
