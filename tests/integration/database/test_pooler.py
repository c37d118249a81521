"""Behind PgBouncer in transaction mode: everything works but LISTEN, which needs a session and says so."""

import asyncio
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
import pytest
from prometheus_client import CollectorRegistry
from structlog.testing import capture_logs

from sql import reading
from sql.connect import ALL_CLIENTS, Session, Unfit, open_pool
from sql.models import Status
from tests.acceptance.commands import wait_for
from tests.integration.database.conftest import LEDGER
from tests.integration.database.hearing import counted
from tests.integration.edge.service import eventually
from tests.integration.orchestrator.shop import Shop, open_replica, place, until
from tests.integration.roles.two_clients import fill
from tests.servers import Server, servers, system_user

PGBOUNCER = shutil.which("pgbouncer", path="/usr/local/bin:/usr/bin:/usr/sbin")
SETTINGS = """[databases]
* = host={server} user={user}
[pgbouncer]
listen_addr =
listen_port = 6432
unix_socket_dir = {folder}
pool_mode = transaction
auth_type = any
default_pool_size = 3
"""

pytestmark = pytest.mark.skipif(PGBOUNCER is None, reason="there is no pgbouncer on this machine")


@pytest.fixture
def pooled(server: Server) -> Iterator[str]:
    """Address of the server's ledger through a pooler that gives each transaction another session."""
    with pooling(server, "postgres") as url:
        yield url


@contextmanager
def pooling(server: Server, user: str) -> Iterator[str]:
    """Run a pooler whose sessions are a user's."""
    with servers(1) as (place_of_it,):
        folder = place_of_it.folder
        (folder / "ini").write_text(SETTINGS.format(server=server.folder, folder=folder, user=user))
        with (folder / "log").open("wb") as log:
            process = subprocess.Popen([str(PGBOUNCER), folder / "ini"], user=system_user(), stdout=log, stderr=log)
        url = psycopg.conninfo.make_conninfo(server.url(LEDGER), host=str(folder), port=6432)
        try:
            wait_for(lambda: (folder / ".s.PGSQL.6432").exists() or process.poll() is not None)
            assert process.poll() is None, (folder / "log").read_text()
            yield url
        finally:
            process.kill()
            process.wait(10)


async def test_orders_complete_through_a_pooler_with_listen_beside_it(server: Server, pooled: str, shop: Shop) -> None:
    async with (
        open_pool(pooled, name="tests", connections_max=6) as pool,
        open_replica(pool, server.url(LEDGER), shop, listen=True, poll_interval_s=30.0) as replica,
    ):
        await eventually(lambda: _hears(replica.metrics.registry), timeout_s=20)
        orders = [await place(replica) for _ in range(30)]
        for order in orders:
            await until(pool, order, Status.COMPLETED)

    assert sorted(shop.paths()) == sorted(30 * ["/first", "/second", "/third"])


async def test_listen_through_the_pooler_is_told_of_and_orders_are_found_by_polling(
    server: Server, pooled: str, shop: Shop, hasty: None
) -> None:
    with capture_logs() as logs:
        async with (
            open_pool(pooled, name="tests", connections_max=6) as pool,
            open_replica(pool, pooled, shop, listen=True) as replica,
        ):
            await eventually(lambda: counted([log for log in logs if log["event"] == "listener_lost"], 1), timeout_s=20)
            order = await place(replica)
            await until(pool, order, Status.COMPLETED)

    (first, *_) = [log for log in logs if log["event"] == "listener_lost"]
    assert "not through a pooler in transaction mode" in first["error"]


async def test_clients_are_walled_off_from_each_other_though_their_statements_share_sessions(server: Server) -> None:
    server.do("create role pooled_edge login in role sagaledger_edge")
    async with await psycopg.AsyncConnection.connect(server.url(LEDGER), autocommit=True) as conn:
        await fill(conn)

    with pooling(server, "pooled_edge") as url:
        async with open_pool(url, name="edge", connections_max=6, role="sagaledger_edge") as pool:

            async def seen_by(client: str) -> set[str]:
                async with pool.acting_for(client) as session:
                    return {row["client_id"] for row in await reading.list_orders(session, client_id=None, limit=100)}

            for _ in range(10):
                assert await asyncio.gather(*map(seen_by, "ABABAB")) == [{"A"}, {"B"}] * 3
            assert await seen_by(ALL_CLIENTS) >= {"A", "B"}
            async with pool.connection() as session:
                assert await reading.list_orders(session, client_id=None, limit=100) == []


@pytest.mark.parametrize(
    ("setting", "value"), [("synchronous_commit", "off"), ("default_transaction_isolation", "repeatable read")]
)
async def test_a_pooler_before_a_server_that_could_lose_or_double_orders_is_refused(
    server: Server, pooled: str, setting: str, value: str
) -> None:
    server.do(f"alter database {LEDGER} set {setting} = '{value}'")
    try:
        with pytest.raises(Unfit, match=f"{setting} .* behind the pooler"):
            await Session.connect(pooled)
    finally:
        server.do(f"alter database {LEDGER} reset {setting}")


async def _hears(registry: CollectorRegistry) -> bool:
    return registry.get_sample_value("saga_listener_connected") == 1
