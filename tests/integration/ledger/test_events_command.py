"""`saga events`: the feed followed from the database, and the catalogue."""

import asyncio
import json
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
import pytest

from orchestrator.events import CATALOGUE
from orchestrator.operations.events_view import LAST, line
from sql.events import START, StoredEvent
from tests.acceptance.commands import assert_told, clean_environment, saga
from tests.integration.ledger.outbox import Connection, place, prepare, settle, tell


@pytest.fixture
async def conn(ledger_url: str) -> AsyncIterator[Connection]:
    async with await psycopg.AsyncConnection.connect(ledger_url, autocommit=True) as opened:
        await prepare(opened)
        yield opened


@asynccontextmanager
async def tailing(url: str, folder: Path, *options: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """Run `saga events tail`, and end it as a person would."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "cli", "events", "tail", *options),
        cwd=folder,
        env=clean_environment(SAGA_DATABASE_URL=url, PYTHONUNBUFFERED=""),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(30):
            yield process
    finally:
        process.send_signal(signal.SIGINT)
        async with asyncio.timeout(30):
            _, errors = await process.communicate()
    assert (process.returncode, errors) == (0, b"")


async def lines(process: asyncio.subprocess.Process, number: int) -> list[str]:
    assert process.stdout is not None
    return [(await process.stdout.readline()).decode().rstrip("\n") for _ in range(number)]


async def test_events_are_printed_as_they_come(conn: Connection, ledger_url: str, tmp_path: Path) -> None:
    order = await place(conn)
    async with tailing(ledger_url, tmp_path) as process:
        (first,) = await lines(process, 1)
        await tell(conn, order, "Told", seq=5)
        (second,) = await lines(process, 1)

    assert first.split()[2:] == [str(order), "0", "OrderReceived"]
    assert second.split()[2:] == [str(order), "5", "Told"]


async def test_it_begins_with_the_last_events_unless_told_otherwise(conn: Connection, ledger_url: str, tmp_path: Path) -> None:
    order = await place(conn)
    for number in range(LAST + 5):
        await tell(conn, order, f"Told{number}")
    await settle(conn)

    async with tailing(ledger_url, tmp_path) as process:
        last = await lines(process, LAST)
    async with tailing(ledger_url, tmp_path, "--from", "start", "--json") as process:
        everything = [json.loads(line) for line in await lines(process, LAST + 6)]
    for key in ("id", "cursor"):
        async with tailing(ledger_url, tmp_path, "--from", everything[-3][key], "--json") as process:
            assert [json.loads(line) for line in await lines(process, 2)] == everything[-2:]

    assert [line.split()[-1] for line in last] == [f"Told{number}" for number in range(5, LAST + 5)]
    assert [event["type"] for event in everything] == ["OrderReceived", *(f"Told{number}" for number in range(LAST + 5))]
    assert everything[0].keys() == {
        *("id", "type", "order_ledger_id", "client_id", "seq", "occurred_at", "correlation_id", "data", "cursor")
    }


async def test_what_it_can_not_begin_with_is_said(conn: Connection, ledger_url: str, tmp_path: Path) -> None:
    await place(conn)

    def ask(beginning: str) -> Any:
        return saga("events", "tail", "--from", beginning, cwd=tmp_path, SAGA_DATABASE_URL=ledger_url)

    nothing = str(uuid4())
    assert_told(await asyncio.to_thread(ask, nothing), 1, f"no event {nothing}")
    assert_told(await asyncio.to_thread(ask, "yesterday"), 2, "'yesterday'", "`start`")
    async with tailing(ledger_url, tmp_path, "--from", "start", "--json") as process:
        (first,) = await lines(process, 1)
    await conn.execute("delete from outbox")
    await place(conn)
    await conn.execute("delete from outbox")
    assert_told(await asyncio.to_thread(ask, json.loads(first)["cursor"]), 1, "removed by retention")


def test_a_line_fits_eighty_columns() -> None:
    longest = max(CATALOGUE, key=len)
    event = StoredEvent(
        uuid4(), longest, uuid4(), "client", 9999, "c", datetime(2026, 12, 31, 23, 59, 59, tzinfo=UTC), {}, START
    )

    assert len(line(event)) <= 80


def test_the_schema_is_printed_for_programs(tmp_path: Path) -> None:
    told = saga("events", "catalogue", "--json", cwd=tmp_path)

    assert told.returncode == 0, told.stderr
    assert json.loads(told.stdout)["discriminator"]["mapping"].keys() == CATALOGUE.keys()
