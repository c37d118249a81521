"""`POST /orders/ID/pay`: a client pays for an order that was placed without payment."""

from typing import Annotated, Final

from aiohttp import web
from pydantic import Field

from edge_api import keys
from edge_api.idempotency import fingerprint, key_of
from edge_api.reading import own_row
from edge_api.requests import check_type, order_id_of, preferred_wait_s, read_body
from edge_api.rows import visible_rows
from edge_api.schemas import StartRequest
from edge_api.starting import begin
from orchestrator.identity import order_id
from orchestrator.opening import Request
from orchestrator.paying import insert_payment, payment_of
from orchestrator.sagas.pay_order import PAY_ORDER
from participants.contracts import PERSONAL


class PayRequest(StartRequest):
    """Body of a payment.

    Attributes:
        payment_method: Token of the payment method.
    """

    payment_method: Annotated[str, PERSONAL] = Field(default="pm_card", min_length=1, max_length=128)


async def pay_order(request: web.Request) -> web.Response:
    """Begin to pay for an order: 202 when that is recorded, 409 when there is nothing to pay for."""
    check_type(request)
    key = key_of(request)
    wait_s = preferred_wait_s(request)
    asked = await read_body(request, PayRequest)
    order_ledger_id = order_id_of(request)
    client_id, definitions = request[keys.CLIENT_ID], request.app[keys.DEFINITIONS]
    async with visible_rows(request) as conn:
        row = await own_row(request, conn)
    ask = Request(
        order_ledger_id=order_id(client_id, key),
        client_id=client_id,
        client_request_id=key,
        request_hash=fingerprint(f"POST /orders/{order_ledger_id}/pay", asked.canonical()),
        input=payment_of(row, asked.payment_method),
        metadata=asked.metadata,
        correlation_id=request[keys.CORRELATION_ID],
        traceparent=request[keys.TRACEPARENT],
        parent_id=order_ledger_id,
    )
    return await begin(request, definitions.named(PAY_ORDER.name), ask, wait_s, insert_payment)


ROUTES: Final = [web.post("/orders/{order_ledger_id}/pay", pay_order)]
