"""Orders of two clients, who must never see each other's."""

from typing import Any, Final
from uuid import UUID

import psycopg

from orchestrator.definitions import Definitions
from orchestrator.identity import order_id
from orchestrator.opening import Request, open_order
from orchestrator.sagas.orders import PlaceOrder
from orchestrator.sagas.place_order import PLACE_ORDER
from orchestrator.settings import Settings
from sql import ledger, retention
from sql.models import NewOrder

CLIENTS: Final = ("A", "B")
OF_CLIENTS: Final = (
    "order_ledger", "order_ledger_items", "order_personal", "ledger_journal", "outbox", "event_delivery", "purged_order",
)  # fmt: skip
"""The tables whose rows belong to clients."""
_ADDRESS: Final = {"name": "Ada", "lines": ["1 High St"], "city": "London", "postal_code": "E1", "country": "GB"}


def kept(client: str) -> UUID:
    """Return the id of a client's order that is in the ledger."""
    return order_id(client, "kept")


def new_order(client: str, key: str) -> NewOrder:
    """Return a client's order that was not inserted yet, with everything that an order can have."""
    start = PlaceOrder.model_validate_json(
        f'{{"customer_id": "{client}", "currency": "GBP", "shipping_address": {psycopg.types.json.json.dumps(_ADDRESS)},'
        ' "items": [{"sku": "tea", "quantity": 2, "unit_price_minor": 250}]}'
    )
    request = Request(order_id(client, key), client, key, b"hash", start, {}, "correlation")
    saga = Definitions([PLACE_ORDER], Settings()).named("place_order")
    return open_order(saga, request, owner="edge-1", lease_s=30.0).order


async def fill(conn: psycopg.AsyncConnection[Any]) -> None:
    """Give each client an order in the ledger, and one that retention has purged."""
    await Definitions([PLACE_ORDER], Settings()).register(conn)
    await conn.execute("insert into event_subscription (name, url, secret) values ('shop', 'http://127.0.0.1:1', 'whsec_x')")
    for client in CLIENTS:
        for key in ("purged", "kept"):
            order = new_order(client, key)
            assert await ledger.insert_order(conn, order)
            await conn.execute(
                "insert into outbox (aggregateid, type, payload, correlation_id, seq)"
                " values (%s, 'OrderCompleted', '{}', 'c', 1)",
                (order.order_ledger_id,),
            )
            if key == "purged":
                await conn.execute(
                    "update order_ledger set created_at = created_at - interval '9 days', status = 'COMPLETED',"
                    " lease_owner = null, lease_expires_at = null, finished_at = created_at - interval '9 days'"
                    " where order_ledger_id = %s",
                    (order.order_ledger_id,),
                )
                await conn.execute("update event_subscription set transaction_id = pg_current_xact_id()")
                assert await retention.purge_orders(conn, older_than_days=1.0, orders_max=10) == 1
    await conn.execute(
        "insert into event_delivery (subscription_id, order_ledger_id, event_id)"
        " select s.subscription_id, o.aggregateid, o.id from event_subscription s, outbox o"
    )
