"""A running edge as tests see it: over HTTP, by raw sockets, and by its ledger behind its back."""

import asyncio
import io
import itertools
from collections.abc import Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Literal

import orjson
import psycopg
from aiohttp import ClientSession, web
from psycopg.rows import dict_row

ORDER: dict[str, Any] = {
    "customer_id": "17850",
    "currency": "GBP",
    "items": [{"sku": "85123A", "quantity": 6, "unit_price_minor": 255}],
}

StartEdge = Callable[..., Awaitable["Edge"]]


@dataclass(frozen=True)
class Reply:
    status: int
    body: bytes
    headers: dict[str, str]

    @property
    def json(self) -> Any:
        return orjson.loads(self.body)

    @property
    def id(self) -> str:
        return str(self.json["order_ledger_id"])

    @property
    def replayed(self) -> bool:
        return self.headers.get("Idempotency-Replayed") == "true"

    @property
    def frozen(self) -> tuple[int, bytes, str | None, str]:
        """Return what must be the same in every repeat."""
        return self.status, self.body, self.headers.get("Location"), self.headers["Content-Type"]

    @property
    def problem(self) -> str:
        assert self.headers["Content-Type"] == "application/problem+json", self.body
        assert self.json["status"] == self.status
        assert self.headers["Cache-Control"] == "no-store"
        return str(self.json["type"]).removeprefix("https://sagaledger.example/problems/")


@dataclass
class Edge:
    """An edge in this process, behind two real listeners."""

    url: str
    admin_url: str
    ledger_url: str
    session: ClientSession
    keys: "itertools.count[int]" = field(default_factory=itertools.count)

    async def call(self, method: str, path: str, *, data: bytes | None = None, **headers: str) -> Reply:
        # aiohttp warns of large bodies in bytes; a file it sends in pieces.
        body = io.BytesIO(data) if data is not None and len(data) > 2**20 else data
        async with self.session.request(method, self.url + path, data=body, headers=headers, allow_redirects=False) as response:
            return Reply(response.status, await response.read(), dict(response.headers))

    async def get(self, path: str, **headers: str) -> Reply:
        return await self.call("GET", path, **headers)

    async def send(self, data: bytes, **headers: str) -> Reply:
        """Post bytes as an order, with a key of their own unless one is given."""
        headers = {"Content-Type": "application/json", "Idempotency-Key": f"key-{next(self.keys)}", **headers}
        return await self.call("POST", "/orders", data=data, **headers)

    async def place(self, key: str | None = None, headers: dict[str, str] | None = None, **changes: Any) -> Reply:
        """Post an order that differs from `ORDER` by some members."""
        given = {"Idempotency-Key": key} if key is not None else {}
        return await self.send(orjson.dumps({**ORDER, **changes}), **given, **(headers or {}))

    async def raw(self, request: bytes, url: str | None = None) -> bytes:
        """Send bytes over a socket of their own and return the whole answer; to the clients' listener unless told."""
        host, _, port = (url or self.url).removeprefix("http://").partition(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        try:
            writer.write(request)
            await writer.drain()
            async with asyncio.timeout(5):
                return await reader.read()
        finally:
            writer.close()

    async def rows(self, query: Any) -> list[dict[str, Any]]:
        async with await psycopg.AsyncConnection.connect(self.ledger_url, row_factory=dict_row, autocommit=True) as conn:
            cursor = await conn.execute(query)
            return await cursor.fetchall() if cursor.description else []

    async def orders(self) -> list[dict[str, Any]]:
        return await self.rows("select * from order_ledger order by created_at")

    async def journal(self) -> list[tuple[str, str | None]]:
        rows = await self.rows("select kind, outcome from ledger_journal order by order_ledger_id, seq")
        return [(row["kind"], row["outcome"]) for row in rows]

    async def events(self) -> list[str]:
        return [row["type"] for row in await self.rows("select type from outbox order by ordinal")]


@dataclass
class Scripted:
    """A payments service that does what it is told; `calls` holds the headers and bodies that came."""

    url: str = ""
    calls: list[tuple[dict[str, str], Any]] = field(default_factory=list)
    answer: Callable[[Any], Awaitable[web.StreamResponse]] | None = None

    async def handle(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        self.calls.append((dict(request.headers), body))
        return await self.answer(body) if self.answer else authorized(body)


def authorized(body: Any) -> web.Response:
    shown = {name: body[name] for name in ("authorization_id", "order_id", "amount_minor")}
    return web.json_response({**shown, "status": "authorized"}, status=201)


class Proxy:
    """A proxy in front of PostgreSQL that can be cut, swallow everything, or cut just before an answer."""

    def __init__(self, server_url: str) -> None:
        info = psycopg.conninfo.conninfo_to_dict(server_url)
        self._host, self._port = str(info.get("host", "localhost")), int(info.get("port") or 5432)
        self._writers: set[asyncio.StreamWriter] = set()
        self._flowing = asyncio.Event()
        self._flowing.set()
        self._up = True
        self._marker: bytes | None = None
        self._holds: str | None = None
        self.held = asyncio.Event()
        self.port = 0

    def url(self, database_url: str) -> str:
        return psycopg.conninfo.make_conninfo(
            database_url, host="127.0.0.1", port=self.port, sslmode="disable", gssencmode="disable"
        )

    @asynccontextmanager
    async def serving(self) -> Any:
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            self._flowing.set()
            server.close()
            self.cut()
            await server.wait_closed()

    def cut(self) -> None:
        """Break every connection and take no new one."""
        self._up = False
        for writer in self._writers:
            writer.transport.abort()

    def mend(self) -> None:
        self._up = True
        self._flowing.set()

    def swallow(self) -> None:
        """Let nothing through any more, in any direction, while everything stays connected."""
        self._flowing.clear()

    def lose_answer_to(self, marker: bytes) -> None:
        """Break the connection on which this statement is sent, when its answer comes."""
        self._marker = marker

    def hold(self, marker: bytes, what: Literal["statement", "answer"]) -> None:
        """Let nothing through any more from this statement, or its answer, on; `held` is set then."""
        self._marker, self._holds = marker, what

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if not self._up:
            writer.transport.abort()
            return
        if self._host.startswith("/"):
            ours = await asyncio.open_unix_connection(f"{self._host}/.s.PGSQL.{self._port}")
        else:
            ours = await asyncio.open_connection(self._host, self._port)
        if not self._up:
            # Cut while the connection was being made.
            ours[1].transport.abort()
            writer.transport.abort()
            return
        lost = asyncio.Event()
        self._writers |= {writer, ours[1]}
        pumps = [
            asyncio.ensure_future(self._pump(reader, ours[1], lost, from_client=True)),
            asyncio.ensure_future(self._pump(ours[0], writer, lost, from_client=False)),
        ]
        await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        for pump in pumps:
            pump.cancel()
        await asyncio.gather(*pumps, return_exceptions=True)
        for each in (writer, ours[1]):
            self._writers.discard(each)
            each.transport.abort()

    async def _pump(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, lost: asyncio.Event, *, from_client: bool
    ) -> None:
        while data := await reader.read(65536):
            await self._flowing.wait()
            if from_client and self._marker is not None and self._marker in data:
                self._marker = None
                lost.set()
            if lost.is_set() and self._holds == ("statement" if from_client else "answer"):
                self._holds = None
                self.swallow()
                self.held.set()
                await self._flowing.wait()
            elif not from_client and lost.is_set() and self._holds is None:
                return
            writer.write(data)
            await writer.drain()


async def eventually(check: Callable[[], Awaitable[bool]], timeout_s: float = 5.0) -> None:
    """Return when a state of something else is reached."""
    async with asyncio.timeout(timeout_s):
        while not await check():
            await asyncio.sleep(0.01)
