"""Whatever a statement ends with, the order is not to blame: nothing is lost, nothing doubled, every answer is true."""

import asyncio
import signal
from typing import Any

import psycopg
import pytest
from psycopg_pool import AsyncConnectionPool
from structlog.testing import capture_logs

from sql import ledger
from sql.connect import open_pool
from sql.models import Status
from tests.integration.database.conftest import LEDGER
from tests.integration.database.hearing import counted
from tests.integration.edge.service import Edge, Scripted, StartEdge, eventually
from tests.integration.orchestrator.shop import Shop, new_order, open_replica, place, row_of, until
from tests.servers import Server

OUTAGES = {
    "40001": "serialization failure",
    "40P01": "deadlock",
    "55P03": "lock not available",
    "57014": "cancelled",
    "25P03": "idle in transaction",
    "25006": "read only",
    "53100": "disk full",
    "53200": "out of memory",
    "53300": "too many connections",
    "57P03": "cannot connect now",
    "58030": "input or output",
    "08006": "connection failure",
    "gone": "the backend is terminated",
}
FAIL = """
    create sequence told;
    create function fail() returns trigger language plpgsql security definer as $$ begin
        if nextval('told') in (1, 3, 5) then
            if '{code}' = 'gone' then perform pg_terminate_backend(pg_backend_pid()); perform pg_sleep(1); end if;
            raise exception 'as it is told' using errcode = nullif('{code}', 'gone');
        end if;
        return new;
    end $$;
    create trigger fail before {moment} on order_ledger for each row execute function fail()"""
"""The first, third and fifth time a row is written the statement fails; a sequence counts what is rolled back, too."""


async def fail(ledger_url: str, code: str, moment: str) -> None:
    async with await psycopg.AsyncConnection.connect(ledger_url, autocommit=True) as conn:
        await conn.execute(FAIL.format(code=code, moment=moment).encode())


@pytest.fixture
async def pool(ledger_url: str) -> Any:
    async with open_pool(ledger_url, name="tests", connections_max=4) as opened:
        yield opened


@pytest.mark.parametrize("code", OUTAGES, ids=OUTAGES.get)
async def test_an_order_completes_through_every_kind_of_failed_statement(
    pool: AsyncConnectionPool[Any], ledger_url: str, shop: Shop, code: str
) -> None:
    async with open_replica(pool, ledger_url, shop) as replica:
        await fail(ledger_url, code, "update")
        order = await place(replica)
        await until(pool, order, Status.COMPLETED, timeout_s=30)

    assert shop.paths() == ["/first", "/second", "/third"]


async def test_an_order_that_is_too_large_to_be_stored_holds_up_no_other(
    pool: AsyncConnectionPool[Any], ledger_url: str, shop: Shop
) -> None:
    async with open_replica(pool, ledger_url, shop) as replica:
        bad = new_order(replica.definitions)
        async with pool.connection() as conn:
            assert await ledger.insert_order(conn, bad)
            await conn.execute(
                f"""create function refuse() returns trigger language plpgsql as $$ begin
                        if new.order_ledger_id = '{bad.order_ledger_id}' and new.status = 'RUNNING' and new.last_seq > 2 then
                            raise exception 'too large' using errcode = '54000';
                        end if;
                        return new;
                    end $$;
                    create trigger refuse before update on order_ledger for each row execute function refuse()""".encode()
            )
        good = [await place(replica) for _ in range(5)]
        for order in good:
            await until(pool, order, Status.COMPLETED)

        async def is_put_aside() -> bool:
            return (await row_of(pool, bad.order_ledger_id)).lapses > 0

        await eventually(is_put_aside, timeout_s=20)


@pytest.mark.parametrize(
    ("code", "status", "problem"),
    [
        ("40001", 503, "unavailable"),
        ("40P01", 503, "unavailable"),
        ("55P03", 409, "idempotency-request-in-progress"),
        ("57014", 503, "unavailable"),
        ("25P03", 503, "unavailable"),
        ("25006", 503, "unavailable"),
        ("53100", 503, "unavailable"),
        ("53300", 503, "unavailable"),
        ("gone", 503, "outcome-unknown"),
    ],
)
async def test_a_client_is_told_what_a_failed_statement_means_and_its_repeat_is_one_order(
    start_edge: StartEdge, payments: Scripted, ledger_url: str, code: str, status: int, problem: str
) -> None:
    edge = await start_edge(payments_url=payments.url)
    await fail(ledger_url, code, "insert")

    failed = await edge.place(key="one")
    repeat = await edge.place(key="one")

    assert (failed.status, failed.problem, failed.headers["Retry-After"]) == (status, problem, "1")
    assert repeat.status == 202
    assert len(await edge.orders()) == 1


async def test_one_key_at_once_is_one_order_whatever_isolation_the_database_has(
    start_edge: StartEdge, payments: Scripted, ledger_url: str
) -> None:
    name = psycopg.conninfo.conninfo_to_dict(ledger_url)["dbname"]
    async with await psycopg.AsyncConnection.connect(ledger_url, autocommit=True) as conn:
        await conn.execute(f"alter database {name} set default_transaction_isolation = 'serializable'".encode())
    edge = await start_edge(payments_url=payments.url)

    replies = await asyncio.gather(*(edge.place(key="one") for _ in range(50)))

    assert {reply.status for reply in replies} <= {202, 409}
    assert len(await edge.orders()) == 1


async def test_an_acknowledged_order_survives_a_crash_of_the_server_whatever_the_database_says_of_commits(
    server: Server, start_edge: StartEdge, payments: Scripted
) -> None:
    server.do(
        f"alter database {LEDGER} set synchronous_commit = off",
        "alter system set wal_writer_delay = '10s'",  # what is not flushed by its commit is lost
        "select pg_reload_conf()",
    )
    edge = await start_edge(payments_url=payments.url, database_url=server.url(LEDGER))

    reply = await edge.place(key="one")
    server.stop(signal.SIGKILL)
    server.start()

    assert reply.status == 202
    assert server.do("select order_ledger_id::text from order_ledger", database=LEDGER) == [(reply.id,)]
    await eventually(lambda: _is_answered(edge, "one"), timeout_s=20)
    assert (await edge.place(key="one")).frozen == reply.frozen


async def test_a_table_that_a_migration_has_locked_is_waited_for_and_not_given_up(
    pool: AsyncConnectionPool[Any], ledger_url: str, shop: Shop
) -> None:
    with capture_logs() as logs:
        async with open_replica(pool, ledger_url, shop) as replica:
            async with await psycopg.AsyncConnection.connect(ledger_url) as other:
                order = await place(replica)
                await other.execute("lock table order_ledger in access exclusive mode")
                await eventually(lambda: counted([log for log in logs if "lock timeout" in str(log)], 1), timeout_s=30)
            await until(pool, order, Status.COMPLETED, timeout_s=30)

    assert sorted(set(shop.paths())) == ["/first", "/second", "/third"]
    assert len({key for _, key in shop.calls}) == 3


async def _is_answered(edge: Edge, key: str) -> bool:
    return (await edge.place(key=key)).status == 202
