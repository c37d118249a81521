"""A loyalty service: a point for each whole unit of money of an order that is completed, none once it is cancelled.

It is in no saga's steps: it hears of orders by a webhook, and nobody waits for it. It shows what a receiver does:

1. verify the signature over the raw body, with every secret that is good at the moment, and refuse what is old;
2. write the delivery into an inbox and do what it asks for in one transaction, so that a repeat changes nothing;
3. let the event with the higher `seq` win, because deliveries may overtake each other;
4. answer 2xx only when that is committed; anything else has the event sent again.

It imports nothing of Sagaledger. Run it with aiohttp and psycopg installed::

    LOYALTY_DATABASE_URL=postgresql://... LOYALTY_SECRETS="whsec_..." python loyalty.py 8200
"""

import base64
import hashlib
import hmac
import json
import os
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from aiohttp import web
from psycopg import AsyncConnection
from psycopg.rows import dict_row
from psycopg.types.json import Jsonb
from psycopg_pool import AsyncConnectionPool

TOLERANCE_S = 300
"""A delivery whose timestamp is further off was recorded and sent again by somebody else."""
BODY_BYTES_MAX = 64 * 1024
ON_ORDERS = {"cancel_order", "pay_order"}
"""What is begun on an order is told of as well, and earns no points of its own."""

POOL = web.AppKey("pool", AsyncConnectionPool[Any])
SECRETS = web.AppKey("secrets", Sequence[str])


class NotVerified(Exception):
    """The delivery does not come from where it should."""


def verify(headers: Mapping[str, str], body: bytes, secrets: Sequence[str], now_s: float) -> str:
    """Return the id of a delivery that was signed with one of these secrets a short time ago.

    Raises:
        NotVerified: It was not.
    """
    webhook_id, timestamp = headers.get("webhook-id", ""), headers.get("webhook-timestamp", "")
    if not webhook_id or not timestamp.isascii() or not timestamp.isdigit() or abs(now_s - int(timestamp)) > TOLERANCE_S:
        raise NotVerified("it is not of now")
    signed = f"{webhook_id}.{timestamp}.".encode() + body
    given = [signature.encode() for signature in headers.get("webhook-signature", "").split(" ")]
    for secret in secrets:
        digest = hmac.digest(base64.b64decode(secret.removeprefix("whsec_")), signed, hashlib.sha256)
        right = b"v1," + base64.b64encode(digest)
        if any(hmac.compare_digest(right, signature) for signature in given):
            return webhook_id
    raise NotVerified("no signature is right")


async def receive(request: web.Request) -> web.Response:
    """Take a delivery: 204 once it has had its effect, now or before."""
    body = await request.read()
    try:
        webhook_id = verify(request.headers, body, request.app[SECRETS], time.time())
    except NotVerified as error:
        return web.json_response({"detail": str(error)}, status=401)
    event = json.loads(body)
    async with request.app[POOL].connection() as conn, conn.transaction():
        if await is_new(conn, webhook_id, event):
            await react(conn, event)
    return web.Response(status=204)


async def is_new(conn: AsyncConnection[Any], webhook_id: str, event: dict[str, Any]) -> bool:
    """Write a delivery into the inbox; tell whether it was not there. A repeat that comes meanwhile waits here."""
    cursor = await conn.execute(
        "insert into inbox (webhook_id, type, order_ledger_id, seq, body) values (%s, %s, %s, %s, %s)"
        " on conflict do nothing returning 1",
        (webhook_id, event["type"], event["order_ledger_id"], event["seq"], Jsonb(event)),
    )
    return await cursor.fetchone() is not None


async def react(conn: AsyncConnection[Any], event: dict[str, Any]) -> None:
    """Do what an event asks for; types that are not known ask for nothing."""
    order = event["data"]
    if order["saga"] in ON_ORDERS:
        return
    if event["type"] == "OrderCompleted":
        points = (order["total_minor"] or 0) // 100
    elif event["type"] == "OrderCancelled":
        points = 0
    else:
        return
    await conn.execute(
        "insert into points (order_ledger_id, customer_id, points, seq) values (%s, %s, %s, %s)"
        " on conflict (order_ledger_id) do update set points = excluded.points, seq = excluded.seq"
        " where points.seq < excluded.seq",
        (event["order_ledger_id"], order["customer_id"], points, event["seq"]),
    )


async def balance(request: web.Request) -> web.Response:
    """Tell the points of a customer."""
    async with request.app[POOL].connection() as conn, conn.cursor(row_factory=dict_row) as cursor:
        await cursor.execute(
            "select coalesce(sum(points), 0)::bigint as points from points where customer_id = %s",
            (request.match_info["customer_id"],),
        )
        return web.json_response(await cursor.fetchone())


def create_app(database_url: str, secrets: Sequence[str]) -> web.Application:
    """Return the service."""

    async def opened(app: web.Application) -> Any:
        async with AsyncConnectionPool(database_url, min_size=1, max_size=4, open=False) as pool:
            async with pool.connection() as conn:
                await conn.execute((Path(__file__).parent / "schema.sql").read_bytes())
            app[POOL] = pool
            yield

    app = web.Application(client_max_size=BODY_BYTES_MAX)
    app[SECRETS] = secrets
    app.cleanup_ctx.append(opened)
    app.add_routes([web.post("/webhook", receive), web.get("/customers/{customer_id}", balance)])
    return app


if __name__ == "__main__":
    service = create_app(os.environ["LOYALTY_DATABASE_URL"], os.environ["LOYALTY_SECRETS"].split())
    web.run_app(service, host="127.0.0.1", port=int(sys.argv[1]), print=None)
