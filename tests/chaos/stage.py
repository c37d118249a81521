"""Everything a run plays on, opened in order and closed in reverse; nothing of it outlives the run, however that ends."""

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import aiohttp
from aiohttp import web

from orchestrator.operations.ports import Ports
from sql import registry
from tests.chaos.direct import Direct
from tests.chaos.faults import Faults, Odds
from tests.chaos.fleet import Fleet, FleetPlan
from tests.chaos.generator import KNOWN, Generator
from tests.chaos.http_proxy import Bank, HttpProxy
from tests.chaos.nemesis import Nemesis
from tests.chaos.server import Server, running_server
from tests.chaos.sql_proxy import SqlProxy

WAYS: Final = ("replicas", "edges", "participants")
STOCKING: Final = 8


@dataclass(frozen=True)
class Stage:
    """What a run plays on.

    Attributes:
        server: PostgreSQL.
        ledger: The auditor's way to the databases.
        fleet: The processes.
        ways: The networks to PostgreSQL.
        proxies: The networks to the participants, by name.
        bank: What these have in common.
        participants: Address of each participant itself, by name.
        trapped: Requests that followed a redirect; must stay empty.
        session: HTTP session of the auditor.
        nemesis: Who does the harm.
    """

    server: Server
    ledger: Direct
    fleet: Fleet
    ways: list[SqlProxy]
    proxies: dict[str, HttpProxy]
    bank: Bank
    participants: dict[str, str]
    trapped: list[str]
    session: aiohttp.ClientSession
    nemesis: Nemesis


@asynccontextmanager
async def open_stage(
    folder: Path, seed: int, odds: Odds, fleet_plan: FleetPlan, say: Callable[[str], None]
) -> AsyncIterator[Stage]:
    """Start PostgreSQL, the proxies and every process, and wait until all is well."""
    async with AsyncExitStack() as opened:
        server, databases = opened.enter_context(running_server(folder))
        ports = opened.enter_context(contextlib.closing(Ports()))
        session = await opened.enter_async_context(aiohttp.ClientSession())
        trapped: list[str] = []
        bank = Bank(Faults(seed, odds), await _open_trap(opened, trapped))
        dice = random.Random(f"{seed}/network")
        ways = [await opened.enter_async_context(SqlProxy(name, server.socket, dice).serving()) for name in WAYS]
        fleet = Fleet(folder, ports, fleet_plan)
        at = fleet.reserve()
        proxies = {name: await opened.enter_async_context(HttpProxy(name, port, bank).serving()) for name, port in at.items()}
        # Before the proxies close, so that nobody connects while they do.
        opened.callback(fleet.close)
        participant_databases = {name: ways[2].url(url) for name, url in databases.items() if name != "ledger"}
        ledger_urls = {"replica": ways[0].url(databases["ledger"]), "edge": ways[1].url(databases["ledger"])}
        addresses = {name: proxy.url for name, proxy in proxies.items()}
        await asyncio.to_thread(registry.register_participants, databases["ledger"], addresses)
        fleet.plan(ledger_urls, participant_databases, addresses)
        for slot in fleet.slots:
            fleet.start(slot)
        ledger = Direct(databases)
        opened.push_async_callback(ledger.close)
        await fleet.ready(session)
        nemesis = Nemesis(fleet, server, ways, proxies, ledger, session, say)
        participants = {name: f"http://127.0.0.1:{port}" for name, port in at.items()}
        yield Stage(server, ledger, fleet, ways, proxies, bank, participants, trapped, session, nemesis)


async def stock_up(stage: Stage, generator: Generator) -> None:
    """Put in stock what the orders of a run are about, and make those customers known who may get deliveries."""
    url = f"{stage.participants['inventory']}/inventory/products"
    limit = asyncio.Semaphore(STOCKING)

    async def add(sku: str, units: int) -> None:
        body = {"sku": sku, "name": "A product", "initial_stock": units}
        key = f"stock-{abs(hash(sku))}"
        async with limit, stage.session.post(url, json=body, headers={"Idempotency-Key": key}) as answer:
            assert answer.status == 201, await answer.text()

    async def introduce(customer: str) -> None:
        body, headers = {"customer_id": customer}, {"Idempotency-Key": f"know-{customer}"}
        async with limit, stage.session.post(f"{stage.participants['orders']}/customers", json=body, headers=headers) as answer:
            assert answer.status in (200, 201), await answer.text()

    await asyncio.gather(*(add(sku, units) for sku, units in generator.stock().items()), *map(introduce, KNOWN))


async def _open_trap(opened: AsyncExitStack, trapped: list[str]) -> str:
    """Serve what nobody may ask: the target of redirects."""

    async def catch(request: web.Request) -> web.Response:
        trapped.append(f"{request.method} {request.path}")
        return web.json_response({})

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", catch)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    opened.push_async_callback(runner.cleanup)
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    return f"http://127.0.0.1:{runner.addresses[0][1]}"
