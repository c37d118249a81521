"""A session waits for nothing without a limit, is what the code relies on, and is left when it is not that any more."""

import asyncio
import random
from contextlib import suppress
from typing import Any

import psycopg
import pytest

from sql.connect import OUTAGE, Lineage, NoAnswer, NotPrimary, Pool, Session, Unfit, open_pool
from tests.integration.database.conftest import LEDGER
from tests.integration.edge.service import eventually
from tests.servers import Server

WRITE = "insert into participant (name, address) values (gen_random_uuid(), 'http://here')"
TIMELINE = "select left(pg_walfile_name(pg_current_wal_lsn()), 8)"
SHOWN = "select current_setting('default_transaction_isolation'), current_setting('synchronous_commit')"


async def rows(source: Any, statement: Any) -> list[tuple[Any, ...]]:
    found: list[tuple[Any, ...]] = await (await source.execute(statement)).fetchall()
    return found


async def test_a_server_that_hangs_is_given_up_and_used_again_when_it_answers(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sql.connect.ANSWER_TIMEOUT_S", 0.3)
    monkeypatch.setattr("sql.connect.CHECKOUT_TIMEOUT_S", 0.5)
    async with open_pool(server.url(LEDGER), name="tests", connections_max=2) as pool:
        with server.frozen():
            for _ in range(3):
                with pytest.raises(OUTAGE):
                    async with asyncio.timeout(5), pool.connection() as conn:
                        await conn.execute("select 1")
        await eventually(lambda: _answers(pool), timeout_s=30)


async def test_a_statement_that_is_not_answered_leaves_no_connection_behind(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = await Session.connect(server.url(LEDGER))
    monkeypatch.setattr("sql.connect.ANSWER_TIMEOUT_S", 0.2)

    with server.frozen(), pytest.raises(NoAnswer):
        await session.execute("select 1")

    assert session.closed


async def test_a_cancelled_statement_gives_its_connection_up_at_once(server: Server) -> None:
    async with open_pool(server.url(LEDGER), name="tests", connections_max=2) as pool:
        for _ in range(100):
            with suppress(TimeoutError):
                async with asyncio.timeout(random.uniform(0.0, 0.005)), pool.connection() as conn:
                    await conn.execute("select pg_sleep(0.003)")
            async with asyncio.timeout(5), pool.connection() as conn:
                assert await rows(conn, "select 7") == [(7,)]


async def test_a_stop_does_not_wait_for_a_server_that_hangs(server: Server) -> None:
    async with open_pool(server.url(LEDGER), name="tests", connections_max=2) as pool:
        with server.frozen():
            async with pool.connection() as conn:
                asking = asyncio.create_task(conn.execute("select 1"))
                await asyncio.sleep(0)
                asking.cancel()
                async with asyncio.timeout(2):
                    await asyncio.wait({asking})
            async with asyncio.timeout(2):
                await pool.close(timeout=0.5)


async def test_durability_and_isolation_hold_whatever_the_database_says(server: Server) -> None:
    server.do(
        f"alter database {LEDGER} set default_transaction_isolation = 'serializable'",
        f"alter database {LEDGER} set synchronous_commit = off",
    )

    async with open_pool(server.url(LEDGER), name="tests", connections_max=1) as pool, pool.connection() as conn:
        assert await rows(conn, SHOWN) == [("read committed", "on")]


async def test_a_database_that_is_not_utf8_is_refused(server: Server) -> None:
    server.do("create database latin encoding 'LATIN1' locale 'C' template template0")

    with pytest.raises(Unfit, match="the database's encoding is LATIN1"):
        await Session.connect(server.url("latin"))


async def test_a_standby_is_never_used(pair: tuple[Server, Server]) -> None:
    primary, standby = pair

    with pytest.raises(NotPrimary):
        await Session.connect(standby.url(LEDGER))
    async with open_pool(standby.url(LEDGER, primary), name="tests", connections_max=1) as pool, pool.connection() as conn:
        assert await rows(conn, "select pg_is_in_recovery()") == [(False,)]


async def test_the_first_refusal_of_a_demoted_primary_has_the_whole_pool_leave_it(pair: tuple[Server, Server]) -> None:
    old, new = pair
    async with open_pool(old.url(LEDGER, new), name="tests", connections_max=3) as pool:
        connections = [await pool.getconn() for _ in range(3)]
        for conn in connections:
            await pool.putconn(conn)
        new.promote()
        # What a restart as a standby does, while every connection stays: no write is taken any more.
        old.do("alter system set default_transaction_read_only = on", "select pg_reload_conf()")
        await eventually(lambda: _is_refused(pool), timeout_s=10)

        for _ in range(6):
            async with pool.connection() as conn:
                await conn.execute(WRITE)
    # What it writes on, and not what its last checkpoint says: that may still be on its way.
    assert new.do("select left(pg_walfile_name(pg_current_wal_lsn()), 8)") == [("00000002",)]


async def test_an_old_primary_that_comes_back_is_noticed_and_left(pair: tuple[Server, Server]) -> None:
    old, new = pair
    async with open_pool(old.url(LEDGER, new), name="tests", connections_max=1) as pool:
        old.stop()
        new.promote()
        await eventually(lambda: _answers(pool), timeout_s=30)
        old.start()  # it stands first in the address, and would take every write

        await pool.drain()
        async with pool.connection() as conn:
            assert await rows(conn, TIMELINE) == [("00000002",)]


def test_a_timeline_that_was_left_is_not_followed() -> None:
    lineage = Lineage()
    lineage.follow(7, 1)
    lineage.follow(7, 2)

    with pytest.raises(NotPrimary, match="timeline 1, but 2 has begun"):
        lineage.follow(7, 1)
    lineage.follow(8, 1)  # another cluster's history is its own


async def _answers(pool: Pool) -> bool:
    with suppress(*OUTAGE):
        async with pool.connection() as conn:
            return await rows(conn, "select 1") == [(1,)]
    return False


async def _is_refused(pool: Pool) -> bool:
    with suppress(psycopg.errors.ReadOnlySqlTransaction):
        async with pool.connection() as conn:
            await conn.execute(WRITE)
        return False
    return True
