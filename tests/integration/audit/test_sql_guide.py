"""The twenty questions of the SQL guide, asked of a ledger that holds every kind of history."""

import asyncio
import re
from collections.abc import Callable
from typing import Any

import psycopg
import pytest
from psycopg.rows import dict_row
from psycopg.sql import Literal

from orchestrator.identity import order_id
from tests.documents import blocks
from tests.integration.audit.shop import Shop, place_every_shape, scripted

QUESTIONS = blocks("docs/sql-guide.md", "sql")
Rows = list[dict[str, Any]]


def id_of(key: str) -> Any:
    return order_id("client", key)


VARIABLES = {
    "order": str(id_of("completed")),
    "customer": "17850",
    "word": "completed",
    "moment": "2100-01-01T00:00:00Z",
}


@pytest.fixture(scope="module")
def furnished(shared_databases: dict[str, str]) -> str:
    """A ledger with orders of every shape."""

    async def furnish() -> None:
        async with await psycopg.AsyncConnection.connect(shared_databases["ledger"], autocommit=True) as conn:
            shop = Shop(conn, scripted())
            await shop.open()
            await place_every_shape(shop)

    asyncio.run(furnish())
    return shared_databases["ledger"]


def answer(url: str, number: int) -> Rows:
    """Ask a question as psql does, which fills in its variables."""
    with psycopg.connect(url, row_factory=dict_row) as conn:
        text = re.sub(r":'(\w+)'", lambda match: Literal(VARIABLES[match[1]]).as_string(conn), QUESTIONS[number - 1])
        return conn.execute(text.encode()).fetchall()


def ids(rows: Rows) -> list[Any]:
    return [row["order_ledger_id"] for row in rows]


STATUSES = {"COMPLETED": 10, "DECLINED": 2, "FAILED": 6, "CANCELLED": 4, "STUCK": 1, "RUNNING": 2}
FOUND: dict[int, Callable[[Rows], bool]] = {
    1: lambda rows: {(r["saga"], r["status"], r["currency"]): (r["orders"], r["amount_minor"]) for r in rows}[
        "place_order", "FAILED", "GBP"] == (6, 4800),
    2: lambda rows: ids(rows) == [id_of("paused"), id_of("stuck"), id_of("waiting")] and rows[0]["age"].total_seconds() > 0,
    3: lambda rows: [(r["order_ledger_id"], r["reason"]) for r in rows]
    == [(id_of("stuck"), "could not be undone: create_order")],
    4: lambda rows: [(r["order_ledger_id"], r["step"], r["retry_count"]) for r in rows]
    == [(id_of("waiting"), "create_order", 1)],
    5: lambda rows: len(rows) == 25 and (rows[0]["order_ledger_id"], rows[0]["items"]) == (id_of("waiting"), "2 tea, 1 cup"),
    6: lambda rows: [(r["order_ledger_id"], r["status"]) for r in rows] == [(id_of("completed"), "COMPLETED")],
    7: lambda rows: [(r["step"], r["outcome"]) for r in rows if r["kind"] == "outcome"]
    == [(step, "succeeded") for step in
        ("authorize_payment", "create_order", "reserve_inventory", "capture_payment", "confirm_order")],
    8: lambda rows: [(r["step"], r["outcome"], r["error"]) for r in rows if r["order_ledger_id"] == id_of("failed_at_confirm")]
    == [("confirm_order", "unknown", "no answer in time")] and len(rows) == 6,
    9: lambda rows: rows[0] == {"step": "reserve_inventory", "error": "not possible", "times": 6},
    10: lambda rows: {(r["step"], r["direction"]): (r["unclear"], r["done_later"]) for r in rows}[
        "create_order", "action"] == (5, 1),
    11: lambda rows: {(r["step"], r["direction"]) for r in rows}
    >= {("capture_payment", "action"), ("create_order", "compensation")}
    and all(r["p50_ms"] <= r["p95_ms"] for r in rows),
    12: lambda rows: {(r["saga"], r["status"]): r["orders"] for r in rows}["place_order", "COMPLETED"] == 8,
    13: lambda rows: {r["replica"]: r["taken_over_by_it"] for r in rows}["replica-3"] == 1,
    14: lambda rows: {(r["order_ledger_id"], r["verb"], r["actor"], r["reason"]) for r in rows}
    >= {(id_of("retried"), "retry", "ann", "asked by phone"),
        (id_of("cancelled"), "cancel", "ann", "asked by phone")},
    15: lambda rows: [(r["order_ledger_id"], r["status"], r["taking_back"], r["actor"]) for r in rows]
    == [(id_of(key), "CANCELLED", "COMPLETED", "ann") for key in ("taken_back", "taken_back_by_hand")],
    16: lambda rows: [(r["order_ledger_id"], r["status"], r["and_then"]) for r in rows]
    == [(id_of("placed_again"), "FAILED", "COMPLETED")],
    17: lambda rows: [(r["currency"], r["orders"], r["amount_minor"]) for r in rows] == [("GBP", 7, 5600)],
    18: lambda rows: [(r["currency"], set(r["which"])) for r in rows]
    == [("GBP", {id_of("failed_at_confirm"), id_of("cancelled_at_work"), id_of("taken_back")})],
    19: lambda rows: {r["status"]: r["orders"] for r in rows} == STATUSES,
    20: lambda rows: (rows[0]["type"], rows[-1]["type"]) == ("OrderReceived", "OrderCompleted"),
}  # fmt: skip
"""What each question has to find."""


def test_there_are_twenty_questions_and_each_is_asked() -> None:
    assert list(FOUND) == list(range(1, len(QUESTIONS) + 1)) == list(range(1, 21))


@pytest.mark.parametrize("number", FOUND)
def test_a_question_of_the_guide_finds_what_there_is(furnished: str, number: int) -> None:
    rows = answer(furnished, number)

    assert FOUND[number](rows), rows


def test_the_past_is_told_as_it_was(furnished: str) -> None:
    with psycopg.connect(furnished, row_factory=dict_row) as conn:
        (first,) = conn.execute("select created_at from order_ledger order by created_at limit 1").fetchall()
        text = QUESTIONS[18].replace(":'moment'", Literal(first["created_at"]).as_string(conn))
        assert conn.execute(text.encode()).fetchall() == [{"status": "RECEIVED or PENDING", "orders": 1}]
