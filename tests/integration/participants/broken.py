"""An orders service in memory that keeps its contract, or breaks it in one way: what the conformance kit must tell apart."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

RACES = ("looks, then acts", "undoes beside the work")
RACE_S = 0.05
"""A change takes as long where the fault is a race, so that what arrives meanwhile finds it half done on a slow machine too."""


@dataclass
class BrokenOrders:
    """The service.

    Attributes:
        fault: What is wrong with it, in a few words; empty when nothing is.
        orders: Status by order.
        answers: What was asked and answered, by key.
        undone: Orders that must not be made any more.
        log: Every effect.
    """

    fault: str = ""
    orders: dict[str, str] = field(default_factory=dict)
    answers: dict[str, tuple[str, web.Response]] = field(default_factory=dict)
    undone: set[str] = field(default_factory=set)
    log: list[dict[str, Any]] = field(default_factory=list)
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)

    def app(self) -> web.Application:
        app = web.Application(middlewares=[self.answer_afresh])
        app.router.add_get("/healthz", self.health)
        app.router.add_get("/effects", self.effects)
        app.router.add_get("/operations/{key}", self.find)
        app.router.add_post("/orders", self.create)
        app.router.add_put("/orders/{id}/confirm", self.confirm)
        app.router.add_put("/orders/{id}/cancel", self.cancel)
        return app

    @web.middleware
    async def answer_afresh(
        self, request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        try:
            return _copy(await handler(request))
        except web.HTTPException as refusal:
            return _json(refusal.status, {"title": refusal.reason})

    async def health(self, _: web.Request) -> web.Response:
        return _json(200, {"status": "ok"})

    async def effects(self, request: web.Request) -> web.Response:
        found = [effect for effect in self.log if effect["order_id"] == request.query["order_id"]]
        return _json(200, {"effects": [] if self.fault == "keeps no log" else found, "next_after": None})

    async def find(self, request: web.Request) -> web.Response:
        known = self.answers.get(request.match_info["key"])
        if self.fault == "tells that all was done":
            return _json(200, {})
        if known is None or self.fault == "tells that nothing was done":
            raise web.HTTPNotFound
        return web.Response(body=known[1].body, content_type="application/json")

    async def create(self, request: web.Request) -> web.Response:
        key, body = self.key(request), await self.read(request)
        id_, content = body["order_ledger_id"], json.dumps(body, sort_keys=True)

        async def work() -> web.Response:
            if id_ in self.undone and self.fault != "forgets tombstones":
                raise web.HTTPConflict
            await self.post(key, id_, {"created": 1})
            self.orders[id_] = "created"
            return _json(201, {"order_ledger_id": "x" if self.fault == "names another" else id_, "status": "created"})

        return await self.once(key, content, work, alone=self.fault != "looks, then acts")

    async def confirm(self, request: web.Request) -> web.Response:
        key, id_ = self.key(request), request.match_info["id"]

        async def work() -> web.Response:
            if self.orders.get(id_) != "created" and self.fault != "confirms what is not there":
                raise web.HTTPConflict
            await self.post(key, id_, {"confirmed": 1})
            self.orders[id_] = "confirmed"
            return _json(200, {"order_ledger_id": id_, "status": "confirmed"})

        return await self.once(key, id_, work)

    async def cancel(self, request: web.Request) -> web.Response:
        key, id_ = self.key(request), request.match_info["id"]

        async def work() -> web.Response:
            status = self.orders.get(id_)
            if status is None and self.fault == "has nothing to undo":
                raise web.HTTPNotFound
            if self.fault != "does undone work again" or status is None:
                self.undone.add(id_)
            else:
                self.answers = {key: known for key, known in self.answers.items() if known[1].status != 201}
            if status == "confirmed" and self.fault == "takes nothing back":
                status = None
            if status in ("created", "confirmed") or (status and self.fault == "undoes twice"):
                taken = {"created": -1, "confirmed": -1} if status == "confirmed" else {"created": -1}
                self.orders[id_] = "cancelled"
                await self.post(key, id_, taken)
            return _json(200, {"order_ledger_id": id_, "status": "cancelled"})

        return await self.once(key, id_, work, alone=self.fault != "undoes beside the work")

    async def once(
        self, key: str, content: str, work: Callable[[], Awaitable[web.Response]], *, alone: bool = True
    ) -> web.Response:
        """Work, or give the stored answer, while nobody else does."""
        async with self.lock if alone else _nothing():
            known = self.answers.get(key)
            if known is None or self.fault == "forgets keys":
                answer = await work()
                self.answers[key] = content, answer
                return answer
            if known[0] != content and self.fault != "takes other content":
                raise web.HTTPUnprocessableEntity
            return _json(known[1].status, {"again": True, **_members(known[1])}) if self.fault == "words it anew" else known[1]

    async def read(self, request: web.Request) -> dict[str, Any]:
        with contextlib.suppress(ValueError, TypeError, LookupError, RecursionError):
            body: dict[str, Any] = json.loads(await request.read())
            if isinstance(body["order_ledger_id"], str) and body["total_minor"] > 0:
                return body
            if self.fault == "keeps what it refused":
                self.answers[self.key(request)] = "", _json(422, {})
        if self.fault == "believes garbage":
            return {"order_ledger_id": "garbage"}
        raise web.HTTPInternalServerError if self.fault == "fails on garbage" else web.HTTPUnprocessableEntity

    def key(self, request: web.Request) -> str:
        key = request.headers.get("Idempotency-Key", "")
        if (not 0 < len(key) < 256 or " " in key) and self.fault != "takes any key":
            raise web.HTTPBadRequest
        return key

    async def post(self, key: str, order_id: str, amounts: dict[str, int]) -> None:
        await asyncio.sleep(RACE_S if self.fault in RACES else 0)
        self.log.append(
            {
                "seq": len(self.log) + 1,
                "operation_key": key,
                "order_id": order_id,
                "kind": "posted",
                "amounts": amounts,
                "at": "2026-11-21T09:15:01Z",
            }
        )


def _json(status: int, members: dict[str, Any]) -> web.Response:
    return web.json_response(members, status=status)


def _members(response: web.Response) -> dict[str, Any]:
    assert isinstance(response.body, bytes)
    members: dict[str, Any] = json.loads(response.body)
    return members


def _copy(response: web.StreamResponse) -> web.StreamResponse:
    """A response can be sent once; a stored one is sent again and again."""
    assert isinstance(response, web.Response)
    return web.Response(status=response.status, body=response.body, content_type="application/json")


@contextlib.asynccontextmanager
async def _nothing() -> AsyncIterator[None]:
    yield
