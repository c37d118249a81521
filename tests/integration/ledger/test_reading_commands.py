"""Whatever `saga` shows can be piped: no colour, the same columns, JSON on one line. All in this process, one after another."""

import json
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest

from cli import saga
from orchestrator.settings import SettingsError
from sql import reading
from sql.ledger import OrderNotFound
from tests.integration.roles.two_clients import fill, kept

COMMANDS = [
    "ledger list",
    "ledger list --stuck",
    "ledger list --paused --status pending --saga place_order --customer A --since 2026-01-01",
    f"ledger show {kept('A')}",
    "ledger retry --runs",
    "stats",
    "outbox dead",
    "webhooks list",
    "breaker list",
    "participants list",
    "keys list",
    "acts",
    "config show place_order",
    "config diff place_order",
    "config history place_order",
    "config env",
    "drain --saga place_order --version 1",
    "definitions list",
    "definitions show place_order",
    "events catalogue",
    "migrate status",
    "purge --older-than 3650 --dry-run",
    "audit verify",
    "audit replay",
]
COLOUR = "\x1b["


@pytest.fixture
async def filled(ledger_url: str) -> str:
    async with await psycopg.AsyncConnection.connect(ledger_url, autocommit=True) as conn:
        await fill(conn)
    return ledger_url


@pytest.fixture
def run(
    filled: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> Callable[[str], str]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SAGA_DATABASE_URL", filled)
    monkeypatch.setenv("FORCE_COLOR", "1")

    def run(words: str) -> str:
        saga.main(words.split(), prog_name="saga", standalone_mode=False)
        return capsys.readouterr().out

    return run


def test_what_is_piped_has_no_colour_and_its_json_is_one_line(run: Callable[[str], str]) -> None:
    for words in COMMANDS:
        text = run(words)
        assert COLOUR not in text, words
        document = run(f"{words} --json")
        assert document.count("\n") == 1, words
        assert isinstance(json.loads(document), dict), words


def test_the_beginning_of_an_id_is_taken_for_the_one_order_that_has_it(run: Callable[[str], str], filled: str) -> None:
    order = kept("A")

    shown = run(f"ledger show {str(order)[:8]}")
    with psycopg.connect(filled) as conn:
        # Another order whose id begins so.
        conn.execute("set session_replication_role = replica")
        conn.execute(
            "update order_ledger set order_ledger_id = %s where order_ledger_id = %s",
            (str(order)[:8] + "-0000-8000-8000-000000000000", kept("B")),
        )

    assert str(order) in shown
    assert str(order) in run(f"ledger show {str(order)[:18]}")
    with pytest.raises(OrderNotFound, match="more than one order whose id begins with"):
        run(f"ledger show {str(order)[:8]}")
    with pytest.raises(OrderNotFound, match="no order whose id begins with 00000000"):
        run("ledger pause 00000000 --reason why --dry-run")


def test_what_is_stuck_is_listed_oldest_first_page_by_page(run: Callable[[str], str], filled: str) -> None:
    with psycopg.connect(filled) as conn:
        conn.execute(
            "update order_ledger set status = 'STUCK', last_error = 'could not be undone: ' || client_id, lease_owner = null,"
            " lease_expires_at = null, created_at = created_at - case client_id when 'B' then interval '1 hour' else '0' end"
        )

    heading, *rows = run("ledger list --stuck").splitlines()
    first = json.loads(run("ledger list --stuck --limit 1 --json"))
    second = json.loads(run(f"ledger list --stuck --limit 1 --json --cursor {first['next_cursor']}"))

    assert heading.split() == ["ORDER", "SINCE", "UTC", "VALUE", "STUCK", "ON", "WHY"]
    assert [row.split()[0] for row in rows] == [str(kept("B")), str(kept("A"))]
    assert "5.00 GBP" in rows[0]
    assert "could not be undone: B" in rows[0]
    assert [page["orders"][0]["order_ledger_id"] for page in (first, second)] == [str(kept("B")), str(kept("A"))]
    assert second["next_cursor"] is None
    assert run("ledger list --stuck --error-like nothing-like-it").splitlines()[1:] == ["no orders"]
    with pytest.raises(SettingsError, match="--stuck"):
        run("ledger list --stuck --paused")


def test_a_list_has_a_line_an_order_and_the_same_columns_with_and_without_rows(run: Callable[[str], str]) -> None:
    heading, *rows = run("ledger list").splitlines()
    empty = run("ledger list --customer nobody").splitlines()

    assert len(rows) == 2
    assert heading.split() == ["ORDER", "STATUS", "STEP", "RETRIES", "CREATED", "UTC", "CUSTOMER", "SAGA"]
    assert (empty[0].split(), empty[1:]) == (heading.split(), ["no orders"])
    assert {line.index(" ") for line in rows} == {36}


def test_a_list_looks_at_so_many_orders_and_says_how_to_go_on(
    run: Callable[[str], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "LOOK_MAX", 1)
    words = "ledger list --status completed"
    first = json.loads(run(f"{words} --json"))
    second = json.loads(run(f"{words} --json --cursor {first['next_cursor']}"))

    assert (first["orders"], second["orders"]) == ([], [])
    assert run(words).splitlines()[-1] == (
        f"looked at 1 orders; further back: --cursor {first['next_cursor']}, or all at once: --thorough"
    )
    assert json.loads(run(f"{words} --thorough --json"))["next_cursor"] is None
    assert run(f"{words} --thorough").splitlines()[-1] == "no orders"
    assert len(json.loads(run("ledger list --json"))["orders"]) == 2


def test_what_is_shown_of_an_order_in_json_has_its_timeline(run: Callable[[str], str]) -> None:
    shown = json.loads(run(f"ledger show {kept('A')} --json"))

    assert [lane["step"] for lane in shown["timeline"]["lanes"]] == [step["name"] for step in shown["steps"]]
    assert {"items", "steps", "journal", "status"} <= shown.keys()
