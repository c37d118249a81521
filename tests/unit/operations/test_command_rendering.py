"""What the command line shows: readable at 80 columns, whole when piped, harmless whatever a client wrote."""

import io
import json
from datetime import UTC, datetime, timedelta, timezone
from typing import Any
from uuid import UUID

import pytest
from rich.console import Console

from orchestrator.operations.environment import list_settings
from orchestrator.operations.health import PartHealth
from orchestrator.operations.render import (
    PIPE_WIDTH,
    money,
    print_health,
    print_journal,
    print_json,
    print_order,
    print_orders,
    print_stuck,
    short,
)
from orchestrator.settings import Settings
from participants.settings import ParticipantSettings

ORDER_ID = UUID("8ab5d1a7-6c4c-8f0e-9d3a-111111111111")
AT = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
ORDER: dict[str, Any] = {
    "order_ledger_id": ORDER_ID,
    "status": "COMPENSATING",
    "step": "reserve_inventory",
    "saga": "place_order",
    "retry_count": 3,
    "customer_id": "17850",
    "currency": "GBP",
    "total_minor": 1530,
    "metadata": {"channel": "web"},
    "last_error": None,
    "created_at": AT,
    "items": [{"line": 1, "sku": "85123A", "quantity": 6, "unit_price_minor": 255, "description": "T-LIGHT HOLDER"}],
    "steps": [{"name": "reserve_inventory", "state": "rejected", "attempts": 1, "error": "out-of-stock"}],
}
JOURNAL: list[dict[str, Any]] = [
    {"seq": 1, "at": AT, "kind": "status", "outcome": "PENDING"},
    {
        "seq": 2,
        "at": AT + timedelta(milliseconds=1500),
        "kind": "outcome",
        "step": "create_order",
        "direction": "compensation",
        "round": 2,
        "attempt": 3,
        "outcome": "unknown",
        "error": "the connection was lost",
        "duration_ms": 12.4,
    },
    {"seq": 3, "at": AT + timedelta(seconds=2), "kind": "operator", "outcome": "retry", "actor": "ada", "reason": "mended"},
]


def console(width: int = 80, *, terminal: bool = False) -> tuple[Console, io.StringIO]:
    out = io.StringIO()
    return Console(file=out, width=width, force_terminal=terminal, color_system=None, highlight=False), out


def test_a_list_of_orders_fits_80_columns() -> None:
    to, out = console()

    print_orders(to, [ORDER])

    lines = out.getvalue().splitlines()
    assert len(lines) == 2, "nothing was wrapped"
    assert lines[1].split() == [str(ORDER_ID), "COMPENSATING", "reserve_inventory", "03-01", "12:00"]
    assert max(map(len, lines)) <= 80


def test_stuck_orders_are_told_with_since_when_worth_what_where_and_why_in_80_columns() -> None:
    to, out = console()
    stuck = {
        **ORDER,
        "status": "STUCK",
        "updated_at": AT,
        "step": "create_order",
        "last_error": "could not be undone: create_order",
    }

    print_stuck(to, [stuck])

    heading, *lines = out.getvalue().splitlines()
    assert heading.split() == ["ORDER", "SINCE", "UTC", "VALUE", "STUCK", "ON", "WHY"]
    assert " ".join(" ".join(lines).split()) == "8ab5d1a7 03-01 12:00 15.30 GBP create_order could not be undone: create_order"
    assert max(map(len, [heading, *lines])) <= 80


def test_an_order_is_shown_with_items_steps_and_journal() -> None:
    to, out = console()

    print_order(to, ORDER)
    print_journal(to, JOURNAL)

    shown = " ".join(out.getvalue().split())
    assert "15.30 GBP" in shown
    assert "created_at 2026-03-01 12:00:00 UTC" in shown
    assert "1 85123A 6 2.55 GBP T-LIGHT HOLDER" in shown
    assert "reserve_inventory rejected 1 out-of-stock" in shown
    assert "2 1.500 s outcome 3/2 undo create_order unknown in 12 ms" in shown
    assert "retry: mended; by ada" in shown
    assert max(map(len, out.getvalue().splitlines())) <= 80


def test_what_is_piped_is_never_wrapped() -> None:
    to, out = console(PIPE_WIDTH)
    items = [{**ORDER["items"][0], "description": "y" * 500}]

    print_order(to, {**ORDER, "last_error": "x" * 500, "items": items})

    assert "x" * 500 in out.getvalue()
    assert "y" * 500 in out.getvalue()


@pytest.mark.parametrize("hostile", ["\x1b[2J\x1b]0;owned\x07", "a\nb", "a\rb", "\u202eback", "[bold red]markup[/]"])
def test_what_a_client_wrote_never_reaches_the_terminal_as_an_order(hostile: str) -> None:
    to, out = console(PIPE_WIDTH, terminal=True)
    items = [{**ORDER["items"][0], "description": hostile}]

    print_order(to, {**ORDER, "customer_id": hostile, "items": items})
    print_journal(to, [{**JOURNAL[1], "error": hostile}])

    for character in "\x1b\x07\r\u202e":
        assert character not in out.getvalue().replace("\x1b[1m", "").replace("\x1b[0m", "")
    assert "[bold red]" in out.getvalue() or not hostile.startswith("[")


def test_a_part_that_is_not_well_is_told_with_its_reason() -> None:
    to, out = console()

    print_health(to, [PartHealth("edge", "http://e", False, "refused"), PartHealth("orders", "http://o", True, "", 2.4)])

    assert "edge NOT OK refused orders ok 2 http://o" in " ".join(out.getvalue().split())


@pytest.mark.parametrize(
    ("minor", "currency", "shown"),
    [(5, "GBP", "0.05 GBP"), (123_456, "EUR", "1234.56 EUR"), (500, "JPY", "500 JPY (minor units)")],
)
def test_money(minor: int, currency: str, shown: str) -> None:
    assert money(minor, currency) == shown


def test_json_is_one_line_when_piped_and_takes_every_type(capsys: pytest.CaptureFixture[str]) -> None:
    print_json({**ORDER, "hash": b"\x01\xff"})

    text = capsys.readouterr().out
    assert text.count("\n") == 1
    assert json.loads(text)["hash"] == "01ff"
    assert json.loads(text)["created_at"] == "2026-03-01T12:00:00Z"


def test_every_setting_has_a_meaning_and_none_shows_a_value() -> None:
    settings = list_settings((Settings, ParticipantSettings))

    names = [setting["name"] for setting in settings]
    assert {"SAGA_DATABASE_URL", "SAGA_LEASE_S", "SAGA_FAULTS", "MOCK_LATENCY_MS"} <= set(names)
    assert len(names) == len(set(names))
    assert all(setting["meaning"] for setting in settings)


def test_moments_are_shown_in_utc_whatever_the_zone_of_the_session() -> None:
    there = AT.astimezone(timezone(timedelta(hours=13)))
    to, out = console(200)

    print_orders(to, [{**ORDER, "created_at": there}])

    assert "2026-03-01 12:00:00" in out.getvalue()
    assert short(there) == "03-01 12:00:00"
