"""A receiver that answers as it is told, and a sender of this process on a real ledger: what tests of webhooks share."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import orjson
from aiohttp import web

from orchestrator.metrics import Metrics
from orchestrator.oncall.channels import open_channels
from orchestrator.settings import Settings
from orchestrator.transport import Client, open_transport
from orchestrator.webhooks.sending import CONNECTIONS_MAX, Sender
from sql import webhooks
from sql.connect import Pool
from sql.models import Json

Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass
class Received:
    """A delivery as it came."""

    headers: dict[str, str]
    body: bytes

    @property
    def event(self) -> Json:
        document: Json = orjson.loads(self.body)
        return document


@dataclass
class Receiver:
    """A receiver; what it is asked on each path is kept apart.

    Attributes:
        answers: For each path, what to answer next; the last one stays, and without any it is 204.
        received: By path, in the order in which it came.
    """

    url: str = ""
    answers: dict[str, list[Answer]] = field(default_factory=dict)
    received: dict[str, list[Received]] = field(default_factory=dict)

    def of(self, path: str) -> list[Received]:
        return self.received.get(path, [])

    async def answer(self, request: web.Request) -> web.StreamResponse:
        headers = {name.lower(): value for name, value in request.headers.items()}
        self.received.setdefault(request.path_qs, []).append(Received(headers, await request.read()))
        scripted = self.answers.get(request.path_qs)
        if not scripted:
            return web.Response(status=204)
        return await (scripted.pop(0) if len(scripted) > 1 else scripted[0])(request)


def says(status: int, text: str = "", **headers: str) -> Answer:
    async def answer(_: web.Request) -> web.StreamResponse:
        return web.Response(status=status, text=text, headers=headers)

    return answer


async def hangs(_: web.Request) -> web.StreamResponse:
    await asyncio.Event().wait()
    return web.Response()


@asynccontextmanager
async def open_receiver() -> AsyncIterator[Receiver]:
    receiver = Receiver()
    app = web.Application()
    app.router.add_post("/{tail:.*}", receiver.answer)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    receiver.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield receiver
    finally:
        await runner.cleanup()


STOP_S = 10.0
QUICK = {
    "webhook_timeout_s": 0.5,
    "webhook_retry_first_s": 0.02,
    "webhook_retry_factor": 1.0,
    "webhook_retry_attempts": 3,
    "oncall_attempts": 3,
    "retry_jitter": 0.0,
    "poll_interval_s": 0.1,
}


@asynccontextmanager
async def sending(pool: Pool, url: str, **options: Any) -> AsyncIterator[Sender]:
    """Run a sender as a replica does."""
    settings = Settings(database_url=url, **{**QUICK, **options})
    reach = settings.webhook_reach
    async with open_transport(Client.HTTP1, connections_max=CONNECTIONS_MAX, reach=reach) as transport:
        sender = Sender(pool, transport, settings, Metrics(), lambda: False, open_channels(settings, transport))
        task = asyncio.create_task(sender.run())
        try:
            yield sender
        finally:
            task.cancel()
            await asyncio.wait({task}, timeout=STOP_S)
            assert task.done(), f"the sender does not stop: {task.get_stack()}"
            assert task.cancelled(), task.exception()


async def subscribed(pool: Pool, receiver: Receiver, name: str = "one", **options: Any) -> None:
    """Subscribe to a path of the receiver, `/NAME`, with everything that is kept."""
    given = {"url": f"{receiver.url}/{name}", "types": [], "secret": SECRET, "from_start": True, **options}
    async with pool.connection() as conn:
        assert await webhooks.insert_subscription(conn, name, **given)


SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
