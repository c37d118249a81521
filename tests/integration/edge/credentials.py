"""Keys and tokens of an edge under test, and what it is to be asked with."""

from dataclasses import dataclass
from typing import Any

import psycopg
from aiohttp import ClientSession

from orchestrator import api_keys
from orchestrator.api_keys import NewKey, Scope
from tests.integration.edge.service import Edge, Reply

TOKEN = "an-admin-token-of-some-length"
STATIC = "static-key-of-ann"
BY = {"actor": "ann", "reason": "a test"}


def bearing(key: str) -> dict[str, str]:
    """Headers of one who has a key."""
    return {"Authorization": f"Bearer {key}"}


async def make_key(ledger_url: str, client: str, *scopes: Scope, expires_days: float | None = None) -> NewKey:
    """Make a key as an operator does."""
    async with await psycopg.AsyncConnection.connect(ledger_url, autocommit=True) as conn:
        return await api_keys.create(conn, client, scopes, expires_days=expires_days, note="", **BY)


@dataclass(frozen=True)
class Listener:
    """One of an edge's listeners, as somebody sees it who has these headers."""

    session: ClientSession
    url: str

    async def ask(self, method: str, path: str, *, json: Any = None, data: bytes | None = None, **headers: str) -> Reply:
        async with self.session.request(
            method, self.url + path, json=json, data=data, headers=headers, allow_redirects=False
        ) as response:
            return Reply(response.status, await response.read(), dict(response.headers))


def clients_of(edge: Edge) -> Listener:
    return Listener(edge.session, edge.url)


def admin_of(edge: Edge) -> Listener:
    return Listener(edge.session, edge.admin_url)


def normalised(reply: Reply) -> tuple[int, dict[str, Any], dict[str, str]]:
    """Return an answer without what is of its request alone."""
    own = {"x-correlation-id", "x-request-id", "traceparent", "date"}
    body = {**reply.json, "instance": ""} if reply.body else {}
    return reply.status, body, {name.lower(): value for name, value in reply.headers.items() if name.lower() not in own}
