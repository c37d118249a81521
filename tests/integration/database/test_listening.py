"""The wake path: whatever happens to LISTEN and NOTIFY, orders are served, and what is wrong is said and mends itself."""

import asyncio
import os
import signal
from contextlib import suppress
from functools import partial
from typing import Any

import psycopg
import pytest
from structlog.testing import capture_logs

from orchestrator import listener
from sql import ledger
from sql.connect import open_pool
from sql.models import Status
from tests.integration.database.conftest import LEDGER
from tests.integration.database.hearing import Ear, counted, listening
from tests.integration.edge.service import eventually
from tests.integration.orchestrator.shop import Replica, Shop, new_order, open_replica, place, until
from tests.servers import Server

BACKEND = "select pid from pg_stat_activity where application_name like 'saga listener%'"
FILL = "select pg_notify('nobody', repeat('x', 7000)) from generate_series(1, %s)"


async def test_a_listener_whose_backend_is_frozen_is_given_up_for_another(server: Server, hasty: None) -> None:
    async with listening(server) as ear:
        await eventually(ear.hears, timeout_s=20)
        ((frozen,),) = server.do(BACKEND)
        os.kill(int(str(frozen)), signal.SIGSTOP)
        try:
            await eventually(lambda: _another_than(server, frozen), timeout_s=20)
            await eventually(ear.hears, timeout_s=20)
        finally:
            os.kill(int(str(frozen)), signal.SIGCONT)


async def test_a_listener_that_is_terminated_again_and_again_ends_up_hearing(server: Server) -> None:
    async with listening(server) as ear:
        for _ in range(10):
            await eventually(ear.hears, timeout_s=20)
            before = ear.woken
            server.do(f"select pg_terminate_backend(pid, 5000) from ({BACKEND}) as b")
            await eventually(partial(_woken_since, ear, before), timeout_s=20)
        await eventually(ear.hears, timeout_s=20)


async def test_a_standby_to_listen_at_is_told_of_without_a_flood(pair: tuple[Server, Server]) -> None:
    primary, standby = pair
    with capture_logs() as logs:
        async with listening(primary, standby.url(LEDGER)) as ear:
            began_s = asyncio.get_running_loop().time()
            await eventually(lambda: counted(logs, 2), timeout_s=30)
            lasted_s = asyncio.get_running_loop().time() - began_s

    assert await ear.is_deaf()
    assert "standby" in logs[0]["error"]
    assert len(logs) <= 1 + lasted_s


async def test_listening_at_another_database_is_noticed(server: Server, hasty: None) -> None:
    with capture_logs() as logs:
        async with listening(server, server.url("postgres")) as ear:
            await eventually(lambda: counted(logs, 1), timeout_s=20)

    assert await ear.is_deaf()
    assert "SAGA_LISTEN_DATABASE_URL must lead to the same database" in logs[0]["error"]
    assert logs[0]["meanwhile"] == "work is found by polling"


async def test_a_storm_of_notifications_with_anything_in_them_is_a_wake_up_and_no_more(server: Server) -> None:
    async with listening(server) as ear:
        await eventually(ear.hears, timeout_s=20)
        before = ear.woken
        server.do(
            "select pg_notify('order_events', '{\"order\": ' || n || '}') from generate_series(1, 5000) as n", database=LEDGER
        )

        await eventually(lambda: _woken_since(ear, before), timeout_s=20)
        assert await ear.hears()


async def test_a_full_queue_stops_no_order_and_is_mended_once_its_culprit_is_gone(
    server: Server, shop: Shop, hasty: None
) -> None:
    url = server.url(LEDGER)
    with psycopg.connect(url, autocommit=True) as culprit, capture_logs() as logs:
        culprit.execute("listen nobody")
        culprit.execute("begin")
        with psycopg.connect(url, autocommit=True) as filler, suppress(psycopg.errors.ProgramLimitExceeded):
            while True:
                filler.execute(FILL, (10,))
        async with (
            open_pool(url, name="tests", connections_max=4) as pool,
            open_replica(pool, url, shop, listen=True) as replica,
        ):
            with pytest.raises(psycopg.errors.ProgramLimitExceeded):
                async with pool.connection() as conn:
                    await ledger.wake_orchestrators(conn)
            order = new_order(replica.definitions)
            async with pool.connection() as conn:
                assert await ledger.insert_order(conn, order)
            await until(pool, order.order_ledger_id, Status.COMPLETED)
            await eventually(lambda: _usage(replica, above=0.5), timeout_s=20)

            culprit.close()
            await eventually(lambda: _usage(replica, below=0.1), timeout_s=20)
            await place(replica)

    assert "notification_queue_filling" in [entry["event"] for entry in logs]


async def _another_than(server: Server, pid: Any) -> bool:
    return any(found != (pid,) for found in server.do(BACKEND))


async def _woken_since(ear: Ear, before: int) -> bool:
    return ear.woken > before


async def _usage(replica: Replica, *, above: float = 0.0, below: float = 1.0) -> bool:
    usage = replica.metrics.registry.get_sample_value("saga_notification_queue_usage")
    return usage is not None and above <= usage <= below


async def test_a_listener_tells_in_its_sessions_name_what_wakes_its_replica(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listener, "PROBE_INTERVAL_S", 0.05)

    async def is_told(name: str) -> bool:
        return server.do("select application_name from pg_stat_activity where application_name like 'saga listener%'") == [
            (name,)
        ]

    async with listening(server) as ear:
        await eventually(lambda: is_told("saga listener"), timeout_s=20)
        ear.metrics.claims.labels("notify").inc(3)
        await eventually(lambda: is_told("saga listener notify=3"), timeout_s=20)
        ear.metrics.claims.labels("timer").inc()
        server.do(f"select pg_terminate_backend(pid, 5000) from ({BACKEND}) as b")
        await eventually(lambda: is_told("saga listener notify=3 timer=1"), timeout_s=20)
