"""What a replica shows on its own port has the headers that every answer of an edge has, and names no software."""

import socket
from contextlib import AsyncExitStack

from aiohttp import ClientSession

from orchestrator.exposing import expose
from orchestrator.metrics import Metrics
from orchestrator.settings import load_settings
from sql.connect import open_pool

HEADERS = {"Server": "sagaledger", "X-Content-Type-Options": "nosniff", "Cache-Control": "no-store"}


async def test_every_answer_has_the_same_headers(ledger_url: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    async with AsyncExitStack() as stack:
        pool = await stack.enter_async_context(open_pool(ledger_url, name="replica", connections_max=1))
        await expose(stack, load_settings(metrics_port=port, admin_token="a-token"), Metrics(), pool)
        session = await stack.enter_async_context(ClientSession())
        for path, status in (("/healthz", 200), ("/readyz", 200), ("/metrics", 401), ("/nothing", 404)):
            async with session.get(f"http://127.0.0.1:{port}{path}") as answer:
                assert answer.status == status
                assert {name: answer.headers.get(name) for name in HEADERS} == HEADERS
