"""A stack outside dev: every participant has a secret of its own, and no other ever sees it."""

import asyncio
import json
import stat
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import psutil
import psycopg
import pytest
from aiohttp import web

from sql.registry import register_participants
from tests.acceptance.canaries import ADDRESS, PAYMENT_METHOD
from tests.acceptance.commands import Up, call, pids_of, saga
from tests.acceptance.stack_shop import TERMINAL, eventually

KEY = {"Authorization": "Bearer key-of-shop"}
SETTINGS = {
    "SAGA_ENVIRONMENT": "preview",
    "SAGA_API_KEYS": "shop=key-of-shop",
    "SAGA_ADMIN_TOKEN": "token-of-operators",
    "SAGA_FAULTS": "1",
    "SAGA_RETRY_FIRST_S": "0.05",
    "SAGA_RETRY_FACTOR": "1",
    "SAGA_RETRY_ATTEMPTS": "2",
    "SAGA_BREAKER_WINDOW": "1000",
}
SKU = "85123A"
Flow = Callable[["Client"], Any]


@dataclass
class Recorder:
    """Stands before a participant, hands every call on as it is, and keeps what was shown to it.

    Attributes:
        target: The participant.
        seen: Method, path and `Authorization` of every call.
    """

    target: str
    session: aiohttp.ClientSession
    seen: list[tuple[str, str, str | None]] = field(default_factory=list)
    url: str = ""

    async def answer(self, request: web.Request) -> web.StreamResponse:
        self.seen.append((request.method, request.path, request.headers.get("Authorization")))
        headers = {name: value for name, value in request.headers.items() if name not in ("Host", "Content-Length")}
        url, body = f"{self.target}{request.raw_path}", await request.read()
        async with self.session.request(request.method, url, data=body, headers=headers) as answer:
            kept = {name: answer.headers[name] for name in ("Content-Type", "Idempotency-Replayed") if name in answer.headers}
            return web.Response(status=answer.status, body=await answer.read(), headers=kept)


@asynccontextmanager
async def recording(targets: dict[str, str]) -> AsyncIterator[dict[str, Recorder]]:
    async with AsyncExitStack() as opened:
        session = await opened.enter_async_context(aiohttp.ClientSession())
        recorders = {}
        for name, target in targets.items():
            recorder = recorders[name] = Recorder(target, session)
            app = web.Application()
            app.router.add_route("*", "/{tail:.*}", recorder.answer)
            runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
            await runner.setup()
            opened.push_async_callback(runner.cleanup)
            site = web.TCPSite(runner, "127.0.0.1", 0)
            await site.start()
            recorder.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        yield recorders


@dataclass
class Client:
    """A client of the edge who is also let in by participants."""

    addresses: dict[str, Any]
    orders: int = 0

    async def post(self, url: str, body: dict[str, Any], **headers: str) -> tuple[int, Any]:
        self.orders += 1
        return await asyncio.to_thread(call, url, body, **{"Idempotency-Key": f"k-{self.orders}", **headers})

    async def order(self, saga: str = "place_order", ends: str = "COMPLETED", **changes: Any) -> str:
        body = {
            "customer_id": "17850",
            "currency": "GBP",
            "items": [{"sku": SKU, "quantity": 6, "unit_price_minor": 255}],
            "payment_method": PAYMENT_METHOD,
            "shipping_address": ADDRESS,
            "saga": saga,
            **changes,
        }
        status, answer = await self.post(f"{self.addresses['edge_url']}/orders", body, **KEY)
        if status == 402:
            assert ends == "DECLINED"
            return ""
        assert status == 202, (status, answer)
        return await self.ended(answer["order_ledger_id"], ends)

    async def ended(self, order: str, ends: str) -> str:
        async def look() -> str:
            _, shown = await asyncio.to_thread(call, f"{self.addresses['edge_url']}/orders/{order}", None, **KEY)
            assert shown["status"] in {*TERMINAL, "STUCK"}, shown
            return str(shown["status"])

        assert await eventually(look, 60.0) == ends
        return order

    async def tell(self, participant: str, path: str, body: dict[str, Any]) -> None:
        part = self.addresses["participants"][participant]
        status, answer = await self.post(f"{part['url']}{path}", body, Authorization=f"Bearer {part['secret']}")
        assert status in (200, 201, 204), answer


async def all_flows(client: Client) -> None:
    """Every way in which a participant is called: forward, again, back, by a probe, by every saga that ships."""
    await client.tell("inventory", "/inventory/products", {"sku": SKU, "name": "A lamp", "initial_stock": 1_000})
    await client.tell("orders", "/customers", {"customer_id": "17850"})
    done = await client.order()
    await client.order(ends="DECLINED", payment_method="pm_declined")
    await client.order(ends="FAILED", items=[{"sku": SKU, "quantity": 999_999, "unit_price_minor": 1}])
    await client.tell("inventory", "/test/fail-next", {"mode": "error_after", "path": "/inventory/reservations", "count": 1})
    await client.order()
    await client.tell("payments", "/test/fail-next", {"mode": "error", "path": "/payments/capture", "count": 2})
    await client.order(ends="FAILED")
    await client.order("deliver_order")
    await client.order("checkout_tcc")
    unpaid = await client.order("place_unpaid_order")
    edge = client.addresses["edge_url"]
    status, payment = await client.post(f"{edge}/orders/{unpaid}/pay", {"payment_method": "pm_card"}, **KEY)
    assert status in (200, 202), payment
    await client.ended(payment["order_ledger_id"], "COMPLETED")
    status, _ = await client.post(f"{edge}/orders/{done}/cancel", {"reason": "changed my mind"}, **KEY)
    assert status in (200, 202)


def reasons_of_failed_deliveries(conn: psycopg.Connection[Any]) -> None:
    """Hold that deliveries were refused for their address: replicas are in the operators' network, clients are not."""
    rows = conn.execute("select distinct error from event_delivery where error is not null").fetchall()
    conn.rollback()
    assert [reason for (reason,) in rows if "SAGA_WEBHOOK_PRIVATE" in reason], rows


def listens_on(pid: int) -> set[str]:
    """Addresses on which a process takes connections."""
    found = psutil.Process(pid).net_connections("inet")
    return {connection.laddr.ip for connection in found if connection.status == psutil.CONN_LISTEN}


def of_process(pid: int, what: str) -> str:
    return Path(f"/proc/{pid}/{what}").read_text()


async def test_the_secret_of_a_participant_is_shown_to_it_alone_whatever_an_order_does(tmp_path: Path) -> None:
    up = Up(tmp_path, "--port", "0", **SETTINGS)
    try:
        addresses = await asyncio.to_thread(up.ready)
        parts = addresses["participants"]
        secrets = {name: part["secret"] for name, part in parts.items()}
        assert len(set(secrets.values())) == 5
        assert stat.S_IMODE((up.data / "stack.json").stat().st_mode) == 0o600

        async with recording({name: part["url"] for name, part in parts.items()}) as recorders:
            moved = {name: recorder.url for name, recorder in recorders.items()}
            await asyncio.to_thread(register_participants, addresses["database_url"], moved)
            health = f"{addresses['admin_url']}/health/participants"
            operator = {"Authorization": "Bearer token-of-operators"}

            async def has_moved() -> None:
                _, shown = await asyncio.to_thread(call, health, None, **operator)
                assert {name: part["url"] for name, part in shown["participants"].items()} == moved

            await eventually(has_moved, 30.0)
            own = f"{moved['orders']}/hook"
            with psycopg.connect(addresses["database_url"]) as conn:  # as of somebody who got past the check of who adds one
                conn.execute("insert into event_subscription (name, url, secret) values ('own', %s, 'whsec_aaaa')", (own,))
            await all_flows(Client(addresses))
            with psycopg.connect(addresses["database_url"]) as conn:
                await eventually(lambda: reasons_of_failed_deliveries(conn), 30.0)
            # The commands read the registry where a database is named, and then the secrets from the settings.
            given = ",".join(f"{name}={secret}" for name, secret in secrets.items())
            known = {**SETTINGS, "SAGA_DATABASE_URL": addresses["database_url"], "SAGA_PARTICIPANT_SECRETS": given}
            for name, part in parts.items():
                known[f"SAGA_{name.upper()}_DATABASE_URL"] = part["database_url"]
            audit = await asyncio.to_thread(saga, "audit", "--json", "--data-dir", "elsewhere", cwd=tmp_path, **known)
            assert json.loads(audit.stdout)["clean"], audit
            tried = ("conform", moved["payments"], "--contract", "payments", "--operation", "authorize", "--wait", "0")
            # An address that is typed is shown a secret only where it is the one that is set.
            at_its_own = {**known, "SAGA_PAYMENTS_URL": moved["payments"]}
            conformed = await asyncio.to_thread(saga, *tried, cwd=tmp_path, **at_its_own)
            assert conformed.returncode == 0, conformed

            for name, recorder in recorders.items():
                shown = {given for _, path, given in recorder.seen if path != "/healthz"}
                assert "/hook" not in {path for _, path, _ in recorder.seen}
                asked = {given for _, path, given in recorder.seen if path == "/healthz"}
                assert shown == {f"Bearer {secrets[name]}"}, name
                assert None in asked <= {None, *shown}, "nobody needs one for its health"

        for pid in pids_of(addresses):
            assert listens_on(pid) <= {"127.0.0.1"}, "nobody but this machine unless it is said"
            assert not [secret for secret in secrets.values() if secret in of_process(pid, "cmdline")]
        assert listens_on(addresses["pids"]["payments"]) == {"127.0.0.1"}
        for name in parts:
            told = of_process(addresses["pids"][name], "environ")
            assert [other for other, secret in secrets.items() if secret in told] == [name]
            assert "key-of-shop" not in told
            assert "token-of-operators" not in told
    finally:
        up.stop()
    outputs = [up.errors, (tmp_path / "out.txt").read_text(), *(log.read_text() for log in (up.data / "logs").iterdir())]
    assert not [secret for secret in secrets.values() for output in outputs if secret in output]


@pytest.mark.parametrize("environment", ["preview", "prod"])
@pytest.mark.parametrize("part", [("participant", "payments"), ("orchestrator",)])
def test_outside_dev_no_part_starts_without_secrets(part: tuple[str, ...], environment: str, tmp_path: Path) -> None:
    told = saga(*part, cwd=tmp_path, SAGA_ENVIRONMENT=environment, SAGA_DATABASE_URL="postgresql://127.0.0.1:1/x")

    assert told.returncode == 1
    (line,) = told.stderr.splitlines()
    assert line.startswith("saga: ")
    assert ("SAGA_PAYMENTS_SECRET" if part[0] == "participant" else "SAGA_PARTICIPANT_SECRETS") in line
