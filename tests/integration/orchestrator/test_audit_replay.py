"""`saga audit replay`: what it prints and how it ends, on ledgers that replicas filled."""

import asyncio
import contextlib
import json
import os
import pty
import subprocess
import sys
from pathlib import Path
from uuid import UUID, uuid4

import psycopg
import pytest

from orchestrator.operations import retracing
from sql.connect import open_pool
from tests.acceptance.commands import assert_told, clean_environment, saga
from tests.integration.orchestrator import histories
from tests.integration.orchestrator.past import Past
from tests.integration.orchestrator.shop import open_shop


@pytest.fixture
def orders(ledger_url: str) -> list[UUID]:
    """Two orders of a fresh ledger, in the order of their ids."""

    async def fill() -> list[UUID]:
        async with open_pool(ledger_url, name="tests", connections_max=8) as pool, open_shop() as shop:
            past = Past(pool, ledger_url, shop)
            return [await histories.completed(past), await histories.out_of_stock(past)]

    return sorted(asyncio.run(fill()))


@pytest.fixture
def changed(orders: list[UUID], ledger_url: str) -> UUID:
    """An order whose row says what its journal does not."""
    with psycopg.connect(ledger_url) as conn:
        conn.execute("update order_ledger set retry_count = 7 where order_ledger_id = %s", (orders[1],))
    return orders[1]


def test_all_journals_of_a_sound_ledger_replay(orders: list[UUID], ledger_url: str, tmp_path: Path) -> None:
    done = saga("audit", "replay", "--all", "--json", "--database-url", ledger_url, cwd=tmp_path)

    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert (found["clean"], found["orders"], found["differing"], found["differences"]) == (True, 2, 0, [])
    assert found["entries"] > 15


def test_one_order_is_replayed_by_its_id(orders: list[UUID], ledger_url: str, tmp_path: Path) -> None:
    done = saga("audit", "--database-url", ledger_url, "replay", str(orders[0]), cwd=tmp_path)

    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-2].startswith("orders replayed: 1;")
    assert done.stdout.splitlines()[-1] == "Every decision is the core's."


def test_a_difference_is_named_and_fails_the_command(changed: UUID, ledger_url: str, tmp_path: Path) -> None:
    done = saga("audit", "replay", "--all", "--database-url", ledger_url, cwd=tmp_path)
    told = saga("audit", "replay", str(changed), "--json", "--database-url", ledger_url, cwd=tmp_path)

    assert (done.returncode, told.returncode) == (1, 1)
    assert done.stdout.splitlines() == [
        f"DIFFERENCE {changed}, retry_count",
        "  the ledger says   7",
        "  the core decides  0",
        done.stdout.splitlines()[3],
        "orders that differ: 1",
    ]
    assert json.loads(told.stdout)["differences"] == [
        {"order_ledger_id": str(changed), "seq": None, "what": "retry_count", "recorded": 7, "decided": 0}
    ]


def test_a_replay_without_anything_to_replay_fails(ledger_url: str, tmp_path: Path) -> None:
    assert_told(saga("audit", "replay", "--all", "--database-url", ledger_url, cwd=tmp_path), 1, "nothing to replay")


def test_an_order_that_does_not_exist_is_not_replayed(ledger_url: str, tmp_path: Path) -> None:
    order = str(uuid4())

    assert_told(saga("audit", "replay", order, "--database-url", ledger_url, cwd=tmp_path), 1, f"no order {order}")


def test_a_replay_is_of_one_order_or_of_all(ledger_url: str, tmp_path: Path) -> None:
    done = saga("audit", "replay", str(uuid4()), "--all", "--database-url", ledger_url, cwd=tmp_path)

    assert_told(done, 2, "name an order or ask for --all, not both")


@pytest.mark.parametrize("asked", [(), ("--all",)])
def test_a_replay_of_an_empty_ledger_is_no_clean_one(asked: tuple[str, ...], ledger_url: str, tmp_path: Path) -> None:
    done = saga("audit", "replay", *asked, "--database-url", ledger_url, cwd=tmp_path)

    assert done.returncode == 1


def test_all_orders_are_read_page_by_page(
    changed: UUID, ledger_url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(retracing, "PAGE_ORDERS", 1)

    assert retracing.show_replay(ledger_url, None, as_json=True) == 1
    assert json.loads(capsys.readouterr().out)["orders"] == 2


def test_only_the_first_differences_are_shown_and_all_are_counted(
    changed: UUID, ledger_url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(retracing, "ROWS_MAX", 0)

    assert retracing.show_replay(ledger_url, None, as_json=False) == 1
    assert capsys.readouterr().out.splitlines()[-1] == "orders that differ: 1 (the first 0 are shown)"


def test_a_terminal_shows_that_the_replay_goes_on(orders: list[UUID], ledger_url: str, tmp_path: Path) -> None:
    leader, follower = pty.openpty()
    command = [sys.executable, "-m", "cli", "audit", "replay", "--all", "--database-url", ledger_url]
    with subprocess.Popen(command, cwd=tmp_path, env=clean_environment(TERM="xterm"), stdout=follower) as process:
        os.close(follower)
        shown = b""
        # A terminal whose other end was closed by its last writer gives an error where a pipe would give an end.
        with contextlib.suppress(OSError):
            while part := os.read(leader, 4096):
                shown += part
    os.close(leader)

    assert process.returncode == 0
    assert "replaying …" in shown.decode()
    assert "Every decision is the core's." in shown.decode()


def test_an_order_whose_snapshot_says_nothing_differs(
    orders: list[UUID], ledger_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with psycopg.connect(ledger_url) as conn:
        conn.execute("update saga_definition set body = '{}'")

    assert retracing.show_replay(ledger_url, orders[0], as_json=True) == 1
    assert [found["what"] for found in json.loads(capsys.readouterr().out)["differences"]] == ["definition"]
