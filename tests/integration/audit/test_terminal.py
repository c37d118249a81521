"""What stands in the ledger reaches a terminal as text: no command that shows it passes a control sequence on."""

import asyncio
import contextlib
import os
import pty
import subprocess
import sys
from pathlib import Path

import psycopg
import pytest

from orchestrator.identity import order_id
from tests.acceptance.commands import clean_environment, saga
from tests.integration.audit.shop import Shop, place_every_shape, scripted

EVIL = "\x1b[2J\x1b]0;owned\x07\u202e[red]\r\x9b31m"
WORN = ("\x1b[2J", "\x1b]0;", "\x07", "\u202e", "\x9b")
"""What would clear a screen, name a window, ring, turn text round or begin a sequence."""
ORDER = str(order_id("client", "completed"))
SHOWS = (
    ("ledger", "list"),
    ("ledger", "show", ORDER),
    ("ledger", "retry", str(order_id("client", "stuck")), "--reason", "see", "--dry-run"),
    ("audit", "replay", ORDER),
    ("audit", "verify", ORDER),
    ("breaker", "list"),
    ("participants", "list"),
    ("webhooks", "list"),
    ("outbox", "dead"),
    ("stats",),
    ("config", "show", "place_order"),
    ("config", "history", "place_order"),
    ("definitions", "list"),
)


@pytest.fixture(scope="module")
def hostile(shared_databases: dict[str, str]) -> str:
    """A ledger in which every text that comes from outside wants to be more than a text."""

    async def fill() -> None:
        async with await psycopg.AsyncConnection.connect(shared_databases["ledger"], autocommit=True) as conn:
            shop = Shop(conn, scripted())
            await shop.open()
            await place_every_shape(shop)

    asyncio.run(fill())
    with psycopg.connect(shared_databases["ledger"]) as conn:
        conn.execute("set local session_replication_role = replica")
        conn.execute(
            "update order_ledger set customer_id = %(evil)s, last_error = %(evil)s, correlation_id = %(evil)s,"
            " metadata = jsonb_build_object('label', %(evil)s::text)",
            {"evil": EVIL},
        )
        conn.execute(
            "update ledger_journal set error = %(evil)s, reason = %(evil)s, replica = %(evil)s,"
            " actor = case when actor is null then null else %(evil)s end,"
            " response = case when response is null then null else jsonb_build_object('said', %(evil)s::text) end",
            {"evil": EVIL},
        )
        conn.execute("update order_ledger_items set description = %s, sku = %s || line", (EVIL, EVIL))
        conn.execute("update outbox set payload = payload || jsonb_build_object('reason', %s::text)", (EVIL,))
        conn.execute("insert into participant (name, address) values (%s, 'http://127.0.0.1:1')", (EVIL,))
        conn.execute("insert into participant_breaker (participant) values (%s)", (EVIL,))
    return shared_databases["ledger"]


def on_a_terminal(arguments: tuple[str, ...], url: str, folder: Path) -> str:
    leader, follower = pty.openpty()
    command = [sys.executable, "-m", "cli", "--database-url", url, *arguments]
    environment = clean_environment(TERM="xterm-256color")
    with subprocess.Popen(command, cwd=folder, env=environment, stdout=follower, stderr=follower) as process:
        os.close(follower)
        shown = b""
        with contextlib.suppress(OSError):  # its other end was closed by its last writer
            while part := os.read(leader, 65536):
                shown += part
        process.wait(60)
    os.close(leader)
    assert b"Traceback" not in shown, shown
    return shown.decode()


@pytest.mark.parametrize("arguments", SHOWS, ids=" ".join)
def test_no_command_passes_on_a_control_sequence(arguments: tuple[str, ...], hostile: str, tmp_path: Path) -> None:
    piped = saga("--database-url", hostile, *arguments, cwd=tmp_path)
    assert "Traceback" not in piped.stderr
    assert piped.returncode in (0, 1), piped.stderr
    for shown in (piped.stdout + piped.stderr, on_a_terminal(arguments, hostile, tmp_path)):
        assert [sequence for sequence in WORN if sequence in shown] == []


def test_an_error_passes_on_none_either(tmp_path: Path) -> None:
    forged = tmp_path / "forged.checkpoint"
    forged.write_text(f"{EVIL}\n", encoding="utf-8")
    named = tmp_path / f"{EVIL.replace('/', '')}.checkpoint"
    named.write_text("{}", encoding="utf-8")
    for file in (forged, named):
        done = saga("audit", "verify", "--against", str(file), "--database-url", "postgresql://127.0.0.1:1/x", cwd=tmp_path)
        assert done.returncode == 1
        assert [sequence for sequence in WORN if sequence in done.stdout + done.stderr] == []
