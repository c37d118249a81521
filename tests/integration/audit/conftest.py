"""Ledgers and participants to be audited."""

import os
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, ExitStack
from dataclasses import dataclass
from typing import Any, get_args

import psycopg
import pytest
from aiohttp import ClientSession, DummyCookieJar
from aiohttp.test_utils import TestServer
from psycopg.sql import SQL, Identifier

from orchestrator.operations.audit import AuditReport, run_audit
from orchestrator.participant import Caller
from orchestrator.sagas import SHIPPED
from orchestrator.transport import Client, open_transport
from participants.app import create_app
from participants.settings import Name, load_settings
from sql.embedded import with_database
from tests.integration.audit.shop import Shop, calling, scripted

NAMES: tuple[Name, ...] = get_args(Name)


@pytest.fixture
async def shop(ledger_url: str) -> AsyncIterator[Shop]:
    """A shop whose participants always succeed, on a fresh ledger."""
    async with await psycopg.AsyncConnection.connect(ledger_url, autocommit=True) as conn:
        opened = Shop(conn, scripted())
        await opened.open()
        yield opened


@dataclass
class Services:
    """Participants, and a way to call them.

    Attributes:
        urls, databases: Address and database of each, by name.
        http: Closed by whoever made it.
    """

    urls: dict[str, str]
    databases: dict[str, str]
    http: ClientSession

    async def post(self, name: str, path: str, key: str, body: Any) -> None:
        await self._call("POST", name, path, key, body)

    async def put(self, name: str, path: str, key: str) -> None:
        await self._call("PUT", name, path, key)

    async def delete(self, name: str, path: str, key: str) -> None:
        await self._call("DELETE", name, path, key)

    async def _call(self, method: str, name: str, path: str, key: str, body: Any = None) -> None:
        headers = {"Idempotency-Key": key}
        async with self.http.request(method, self.urls[name] + path, json=body, headers=headers) as response:
            assert response.status < 300, await response.text()


@dataclass
class Installation(Services):
    """A ledger and five participants, as the audit is given them."""

    shop: Shop
    ledger_url: str

    async def audit(self, **options: Any) -> AuditReport:
        return await run_audit(self.ledger_url, self.urls, self.databases, SHIPPED, **options)


@pytest.fixture(scope="module")
def shared_databases(server_url: str, template: Callable[[str], str]) -> Iterator[dict[str, str]]:
    """One database of each schema for all tests of a module: six new ones for each test would take seconds."""
    with psycopg.connect(server_url, autocommit=True) as conn, ExitStack() as stack:
        urls = {}
        for schema in ("ledger", *NAMES):
            name = f"saga_test_audit_{schema}_{os.getpid()}"
            conn.execute(SQL("create database {} template {}").format(Identifier(name), Identifier(template(schema))))
            stack.callback(conn.execute, SQL("drop database {} with (force)").format(Identifier(name)))
            urls[schema] = with_database(server_url, name)
        yield urls


@pytest.fixture
def empty_databases(shared_databases: dict[str, str]) -> dict[str, str]:
    """The shared databases, with nothing in them."""
    for url in shared_databases.values():
        with psycopg.connect(url) as conn:
            conn.execute("set session_replication_role = replica")  # or histories could not be emptied
            cursor = conn.execute("select tablename from pg_tables where schemaname = 'public' and tablename !~ 'yoyo'")
            tables = SQL(", ").join(Identifier(name) for (name,) in cursor.fetchall())
            conn.execute(SQL("truncate {} restart identity").format(tables))
    return dict(shared_databases)


@pytest.fixture
async def installation(empty_databases: dict[str, str]) -> AsyncIterator[Installation]:
    """A whole installation with some stock, and no order yet."""
    ledger_url = empty_databases.pop("ledger")
    async with AsyncExitStack() as stack:
        urls: dict[str, str] = {name: await serve(stack, name, empty_databases[name]) for name in NAMES}
        caller = Caller(await stack.enter_async_context(open_transport(Client.HTTP1, connections_max=10)), urls)
        http = await stack.enter_async_context(ClientSession(cookie_jar=DummyCookieJar()))
        conn = await psycopg.AsyncConnection.connect(ledger_url, autocommit=True)
        shop = Shop(await stack.enter_async_context(conn), calling(caller))
        await shop.open()
        made = Installation(urls, empty_databases, http, shop, ledger_url)
        for sku in ("tea", "cup"):
            product = {"sku": sku, "name": sku, "initial_stock": 100}
            await made.post("inventory", "/inventory/products", f"add-{sku}", product)
        yield made


async def serve(stack: AsyncExitStack, name: Name, database_url: str) -> str:
    """Serve a participant until the stack is left; gives its address."""
    settings: dict[str, Any] = {f"{name}_database_url": database_url, "participant_pool_size": 2}
    server = TestServer(create_app(name, load_settings(**settings)))
    await server.start_server()
    stack.push_async_callback(server.close)
    return str(server.make_url("")).rstrip("/")
