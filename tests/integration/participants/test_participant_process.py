"""A participant as a process: its start, its end, and a database that goes away in between."""

import asyncio
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import LiteralString

import psycopg
import pytest
from aiohttp import ClientError, ClientSession
from psycopg import sql as pgsql

from participants.errors import AddressUnavailable, DatabaseUnreachable, SchemaBehind, SettingError
from participants.main import run, serve
from participants.settings import ParticipantSettings, load_settings
from tests.integration.participants.service import Participant, waiting_for_a_lock

MESSAGE = {"notification_id": "n1", "order_id": "o1", "customer_id": "17850", "template": "t"}


def settings(url: str, port: int = 0) -> ParticipantSettings:
    return load_settings(shipping_database_url=url, participant_port=port)


async def test_it_starts_announces_itself_and_ends(participant_database: Callable[[str], str]) -> None:
    stop, announced = asyncio.Event(), asyncio.Queue[str]()
    serving = asyncio.create_task(
        serve("shipping", settings(participant_database("shipping")), announce=announced.put_nowait, stop=stop)
    )

    async with asyncio.timeout(10):
        assert (await announced.get()).startswith("http://127.0.0.1:")
        stop.set()
        await serving


async def test_a_taken_port_is_told(participant_database: Callable[[str], str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(AddressUnavailable, match=rf"^Shipping cannot listen on 127\.0\.0\.1:{port}: .+\.$"):
            await serve("shipping", settings(participant_database("shipping"), port))


async def test_a_database_that_is_away_is_told() -> None:
    with pytest.raises(DatabaseUnreachable, match=r"^The database of shipping cannot be reached: [^\n]+\.$"):
        await serve("shipping", settings("postgresql://u:canary@127.0.0.1:1/x"))


async def test_a_missing_schema_is_told(server_url: str) -> None:
    with pytest.raises(SchemaBehind, match=r"^The database of shipping lacks migration 0001[^\n]+: run `saga migrate`\.$"):
        await serve("shipping", settings(server_url))


async def test_a_schema_that_is_behind_is_told(participant_database: Callable[[str], str]) -> None:
    url = participant_database("shipping")
    with psycopg.connect(url) as connection:
        connection.execute("delete from _yoyo_migration where migration_id like '0002%'")

    with pytest.raises(SchemaBehind, match="lacks migration 0002"):
        await serve("shipping", settings(url))


async def test_an_address_that_cannot_be_read_is_told() -> None:
    with pytest.raises(SettingError, match="SAGA_SHIPPING_DATABASE_URL"):
        await serve("shipping", settings("nonsense"))


def test_an_unknown_participant_is_told() -> None:
    with pytest.raises(SettingError, match="choose one of orders, inventory"):
        run("warehouse")


async def test_it_ends_soon_after_sigterm_and_writes_nothing_to_stdout(participant_database: Callable[[str], str]) -> None:
    code = "import sys; from participants.main import run; run('shipping', port=0, announce=sys.stderr.write)"
    environment = {**os.environ, "SAGA_SHIPPING_DATABASE_URL": participant_database("shipping")}
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", code, env=environment, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    assert process.stderr is not None

    async with asyncio.timeout(20):
        assert await process.stderr.readuntil(b"http://127.0.0.1:")
    process.send_signal(signal.SIGTERM)
    async with asyncio.timeout(10):
        stdout, stderr = await process.communicate()

    assert (process.returncode, stdout) == (0, b"")
    assert stderr.isdigit(), "nothing but the port of the announcement"


@asynccontextmanager
async def process_of(name: str, database_url: str) -> AsyncIterator[tuple[asyncio.subprocess.Process, str]]:
    """A participant as a process of its own, and its address; killed at the end."""
    code = f"import sys; from participants.main import run; run('{name}', port=0, announce=lambda url: print(url, flush=True))"
    environment = {**os.environ, f"SAGA_{name.upper()}_DATABASE_URL": database_url}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", code), env=environment, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL
    )
    assert process.stdout is not None
    try:
        async with asyncio.timeout(20):
            yield process, (await process.stdout.readline()).decode().strip()
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


# A COMMIT that waits for whoever holds the lock, and is carried out although nobody is left to be told.
HOLD_COMMIT: LiteralString = """
create function hold_commit() returns trigger language plpgsql as $$
begin perform pg_advisory_xact_lock(1); return null; end $$;
create constraint trigger hold_commit after insert on effect deferrable initially deferred
    for each row execute function hold_commit();
"""


async def test_a_participant_that_is_killed_between_commit_and_answer_knows_what_it_did(
    participant_database: Callable[[str], str],
) -> None:
    url = participant_database("notifications")
    async with ClientSession() as session, await psycopg.AsyncConnection.connect(url) as blocker:
        await blocker.execute(HOLD_COMMIT)
        await blocker.commit()
        await blocker.execute("select pg_advisory_xact_lock(1)")
        async with process_of("notifications", url) as (process, address):
            killed = Participant(address, url, session)
            call = asyncio.create_task(killed.post("/notifications", MESSAGE, key="k"))
            await waiting_for_a_lock(killed)
            process.kill()
            with pytest.raises(ClientError):
                await call
        await blocker.commit()
        async with process_of("notifications", url) as (_, address):
            restarted = Participant(address, url, session)
            again = await restarted.post("/notifications", MESSAGE, key="k")
            kinds = await restarted.kinds()

    assert again.replayed, "the transaction of the killed process was committed"
    assert again.status == 201
    assert kinds == ["notification_sent"]


async def test_lost_connections_are_replaced_without_a_restart(notifications: Participant, server_url: str) -> None:
    database = psycopg.conninfo.conninfo_to_dict(notifications.database_url)["dbname"]
    await asyncio.gather(*(notifications.get("/healthz") for _ in range(16)))

    async with await psycopg.AsyncConnection.connect(server_url) as admin:
        await admin.execute("select pg_terminate_backend(pid) from pg_stat_activity where datname = %s", [database])
    answers = [(await notifications.post("/notifications", MESSAGE, key="k")).status for _ in range(4)]

    assert set(answers) <= {201, 503}
    assert answers[-1] == 201


async def test_a_database_that_is_away_is_503_within_seconds_and_comes_back(
    notifications: Participant, server_url: str
) -> None:
    database = psycopg.conninfo.conninfo_to_dict(notifications.database_url)["dbname"]
    loop = asyncio.get_running_loop()
    allow = pgsql.SQL("alter database {} allow_connections {}")
    async with await psycopg.AsyncConnection.connect(server_url, autocommit=True) as admin:
        await admin.execute(allow.format(pgsql.Identifier(str(database)), pgsql.SQL("false")))
        await admin.execute("select pg_terminate_backend(pid) from pg_stat_activity where datname = %s", [database])
        for _ in range(4):
            started = loop.time()
            away = await notifications.post("/notifications", MESSAGE, key="k")
            assert (away.status, away.problem) == (503, "unavailable")
            assert away.headers["Retry-After"] == "1"
            assert loop.time() - started < 3.5
        assert (await notifications.get("/healthz")).status == 503
        await admin.execute(allow.format(pgsql.Identifier(str(database)), pgsql.SQL("true")))

    started = loop.time()
    while (back := await notifications.post("/notifications", MESSAGE, key="k")).status == 503:
        assert loop.time() - started < 10
    assert back.status == 201
    assert await notifications.kinds() == ["notification_sent"]
