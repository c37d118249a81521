"""`POST /orders`, `POST /sagas/NAME`, `GET /sagas`: what can be started, and who asks for it how.

Both ways to start one are the same behind their requests; see `starting.py`.
"""

from typing import Any, Final

from aiohttp import web

from edge_api import keys
from edge_api.idempotency import key_of
from edge_api.problems import Problem, ProblemType
from edge_api.reading import json_response
from edge_api.requests import check_type, preferred_wait_s, read_body
from edge_api.rows import visible_rows
from edge_api.schemas import PlaceOrderRequest, request_model
from edge_api.starting import start
from orchestrator.describing import describe
from orchestrator.saga import Saga
from orchestrator.sagas.orders import PlaceOrder


async def place_order(request: web.Request) -> web.Response:
    """Record an order and start its saga."""
    check_type(request)
    key = key_of(request)
    wait_s = preferred_wait_s(request)
    asked = await read_body(request, PlaceOrderRequest)
    saga = _startable(request, asked.saga)
    if saga is None or not issubclass(saga.input, PlaceOrder):
        raise Problem(ProblemType.INVALID, "There is no such saga.", errors=(("#/saga", "no saga of this name takes orders"),))
    return await start(request, saga, asked, "POST /orders", key, wait_s)


async def start_saga(request: web.Request) -> web.Response:
    """Record an order with a saga's own input, and start that saga."""
    check_type(request)
    key = key_of(request)
    wait_s = preferred_wait_s(request)
    name = request.match_info["saga"]
    saga = _startable(request, name)
    if saga is None:
        raise Problem(ProblemType.NOT_FOUND, "There is no saga of this name that can be started; `GET /sagas` lists them.")
    asked = await read_body(request, request_model(saga))
    return await start(request, saga, asked, f"POST /sagas/{name}", key, wait_s)


async def list_sagas(request: web.Request) -> web.Response:
    """Answer `GET /sagas`: every saga as new orders start on it."""
    definitions = request.app[keys.DEFINITIONS]
    async with visible_rows(request) as conn:
        await definitions.look(conn)
    return json_response({"sagas": [describe(definitions.named(name)) for name in definitions.names]})


ROUTES: Final = [
    web.post("/orders", place_order),
    web.post("/sagas/{saga}", start_saga),
    web.get("/sagas", list_sagas, allow_head=False),
]


def _startable(request: web.Request, name: str) -> Saga[Any] | None:
    """Return the saga of a name that clients may start; None where there is none."""
    try:
        saga = request.app[keys.DEFINITIONS].named(name)
    except LookupError:
        return None
    return saga if saga.startable else None
