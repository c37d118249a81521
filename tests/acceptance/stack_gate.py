"""A way to a participant on which a test can hold a request up."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
from aiohttp import web

_PASSED_ON = ("Idempotency-Key", "Content-Type", "X-Correlation-ID")


class Gate:
    """Passes requests on, but for those of one method and path: it holds the first and answers 503 to all others.

    Attributes:
        url: Address of the gate.
        late: Status that the held request was answered with, once it was let go.
    """

    def __init__(self, target: str, method: str, path: str) -> None:
        self.url = ""
        self.late: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._target = target
        self._held = (method, path)
        self._holds = False
        self._open = asyncio.Event()

    def let_go(self) -> None:
        """Let the held request arrive."""
        self._open.set()

    async def pass_on(self, request: web.Request) -> web.Response:
        """Answer a request with what the participant answers."""
        body = await request.read()
        held = (request.method, request.path) == self._held
        if held and self._holds:
            return web.Response(status=503)
        if held:
            self._holds = True
            await self._open.wait()
        headers = {name: request.headers[name] for name in _PASSED_ON if name in request.headers}
        async with (
            aiohttp.ClientSession() as session,
            session.request(request.method, self._target + request.path, data=body, headers=headers) as answer,
        ):
            if held:
                self.late.set_result(answer.status)
            return web.Response(status=answer.status, body=await answer.read(), content_type=answer.content_type)


@asynccontextmanager
async def open_gate(target: str, method: str, path: str) -> AsyncIterator[Gate]:
    """Serve a gate in front of an address until the context is left."""
    gate = Gate(target, method, path)
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", gate.pass_on)
    # An AppRunner goes on with a request whose sender has gone, as a network does; a TestServer would not.
    server = web.AppRunner(app, access_log=None)
    await server.setup()
    try:
        await web.TCPSite(server, "127.0.0.1", 0).start()
        gate.url = f"http://127.0.0.1:{server.addresses[0][1]}"
        yield gate
    finally:
        gate.let_go()
        await server.cleanup()
