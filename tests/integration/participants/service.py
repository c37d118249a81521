"""A running participant as tests see it: over HTTP, and by its database behind its back."""

import asyncio
import itertools
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import psycopg
from aiohttp import ClientSession
from psycopg.rows import dict_row

StartParticipant = Callable[..., Awaitable["Participant"]]


@dataclass(frozen=True)
class Reply:
    status: int
    body: bytes
    json: Any
    headers: dict[str, str]

    @property
    def replayed(self) -> bool:
        return self.headers.get("Idempotency-Replayed") == "true"

    @property
    def problem(self) -> str:
        assert self.headers["Content-Type"].startswith("application/problem+json"), self.body
        return str(self.json["type"]).rsplit("/", 1)[1]


@dataclass
class Participant:
    """A running participant and a way to call it; `database_url` is for looking behind its back."""

    url: str
    database_url: str
    session: ClientSession
    keys: "itertools.count[int]" = field(default_factory=itertools.count)

    async def call(self, method: str, path: str, json: Any = None, *, key: str | None = None, **headers: str) -> Reply:
        if method != "GET":
            headers["Idempotency-Key"] = key or f"key-{next(self.keys)}"
        async with self.session.request(method, self.url + path, json=json, headers=headers, allow_redirects=False) as response:
            body = await response.read()
            is_json = "json" in response.content_type
            return Reply(
                response.status, body, await response.json(content_type=None) if is_json else None, dict(response.headers)
            )

    async def get(self, path: str) -> Reply:
        return await self.call("GET", path)

    async def post(self, path: str, json: Any = None, *, key: str | None = None) -> Reply:
        return await self.call("POST", path, json, key=key)

    async def put(self, path: str, json: Any = None, *, key: str | None = None) -> Reply:
        return await self.call("PUT", path, json, key=key)

    async def delete(self, path: str, *, key: str | None = None) -> Reply:
        return await self.call("DELETE", path, key=key)

    async def effects(self, order_id: str | None = None) -> list[dict[str, Any]]:
        query = "" if order_id is None else f"&order_id={order_id}"
        after, effects = 0, []
        while True:
            page = await self.get(f"/effects?after={after}{query}")
            assert page.status == 200, page.body
            effects += page.json["effects"]
            if page.json["next_after"] is None:
                return effects
            after = page.json["next_after"]

    async def kinds(self, order_id: str | None = None) -> list[str]:
        return [effect["kind"] for effect in await self.effects(order_id)]

    async def balance(self, order_id: str | None = None) -> dict[str, int]:
        """Sum the log of effects by account, leaving out what nets to zero."""
        sums: dict[str, int] = {}
        for effect in await self.effects(order_id):
            for account, amount in effect["amounts"].items():
                sums[account] = sums.get(account, 0) + amount
        return {account: amount for account, amount in sums.items() if amount}

    async def connect(self) -> psycopg.AsyncConnection[dict[str, Any]]:
        return await psycopg.AsyncConnection.connect(self.database_url, row_factory=dict_row)

    async def rows(self, query: Any) -> list[dict[str, Any]]:
        async with await self.connect() as connection:
            return await (await connection.execute(query)).fetchall()


async def waiting_for_a_lock(participant: Participant, count: int = 1, *, timeout_s: float = 5.0) -> None:
    """Return when that many statements of the participant wait for a lock."""
    query = "select count(*) as waiting from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'"
    async with asyncio.timeout(timeout_s):
        while (await participant.rows(query))[0]["waiting"] < count:
            await asyncio.sleep(0.01)
