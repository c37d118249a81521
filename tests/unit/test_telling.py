"""One form for every line of every process: nothing in it forges another, is for a terminal, or was said in confidence."""

import json
import platform
import re
from functools import partial
from importlib.metadata import version
from typing import Any

import psycopg
import pytest
from pydantic import BaseModel, Field

from orchestrator import logs
from orchestrator.aside import sentence
from sql import telling
from sql.telling import LINE_MAX, TRACEBACK_MAX, VALUE_MAX, as_json, as_text, cut, form, is_readable, said_of, traceback_of

CANARY = "Canary-Ann"
NASTY = "a\nb\r\x1b[31m\x00\x7f\x85\x9b\u2028\u2029\u202e\ud800 {}"


class Guest(BaseModel):
    name: str = Field(max_length=3)


def raised(act: Any) -> Exception:
    try:
        act()
    except Exception as error:
        return error
    raise AssertionError("nothing was raised")


def told(**fields: Any) -> dict[str, Any]:
    line = as_json(None, "", cut(None, "", form(None, "", {"event": "told", **fields})))
    assert line.isascii()
    assert line.isprintable()
    document: dict[str, Any] = json.loads(line)
    return document


@pytest.mark.parametrize("field", ["event", "error", "correlation_id"])
def test_no_line_is_forged_and_nothing_reaches_a_terminal(field: str) -> None:
    assert told(**{field: NASTY})[field] == NASTY


def test_what_a_line_is_about_stands_first_and_what_has_no_value_not_at_all() -> None:
    line = told(orders=3, replica="r", order_ledger_id="o", step=None, timestamp="t", level="info", exc_info=None)

    assert list(line) == ["timestamp", "level", "event", "order_ledger_id", "replica", "orders"]


def test_values_and_lines_have_a_limit() -> None:
    assert told(error="x" * 10_000)["error"] == "x" * VALUE_MAX + "…"
    assert len(told(stack=["x" * 10_000])["stack"]) == VALUE_MAX + 1
    many = told(**{f"field_{number}": "y" * VALUE_MAX for number in range(100)}, order_ledger_id="o")
    assert many == {"event": "told", "order_ledger_id": "o", "cut": True}
    deep = told(exc_info=raised(lambda: (_ for _ in ()).throw(ValueError("z" * 2 * LINE_MAX))))
    assert len(deep["exception"]) == TRACEBACK_MAX + 1


def test_an_exception_says_where_and_what_and_not_over_which_data(server_url: str) -> None:
    with psycopg.connect(server_url, autocommit=True) as conn:
        conn.execute("create temporary table guest (name text primary key check (length(name) < 12), age integer)")
        conn.execute("insert into guest values (%s, 1)", [CANARY])
        statements: list[tuple[Any, list[str]]] = [
            ("insert into guest values (%s, 1)", [CANARY]),
            ("insert into guest values (%s, 1)", [f"{CANARY}-Maria"]),
            ("select %s::text::integer", [CANARY]),
            (psycopg.sql.SQL("select {} from guest").format(psycopg.sql.Identifier(CANARY)), []),
        ]
        errors = [raised(partial(conn.execute, *each)) for each in statements]
    addresses = (f"host=localhost password {CANARY}", f"postgresql://user:{CANARY}@localhost:port/db")
    errors += [raised(partial(psycopg.connect, address)) for address in addresses]
    errors.append(raised(partial(Guest.model_validate, {"name": CANARY})))
    for error in errors:
        assert CANARY not in said_of(error) + traceback_of(error)
        assert "test_telling.py" in traceback_of(error)
    assert sum(CANARY in str(error) for error in errors) >= 5, "the test would find nothing"
    assert "guest_pkey" in said_of(errors[0])
    assert said_of(errors[-1]) == "ValidationError: name: string_too_long"


def test_an_exception_is_told_with_what_it_was_raised_from() -> None:
    def act() -> None:
        try:
            Guest.model_validate({"name": CANARY})
        except ValueError as error:
            raise RuntimeError("it did not fit") from error

    line = told(exc_info=raised(act))

    assert re.search(r"ValidationError: name: string_too_long.*RuntimeError: it did not fit", line["exception"], re.DOTALL)
    assert CANARY not in line["exception"]


def test_what_is_known_of_the_person_at_hand_is_taken_out_of_errors() -> None:
    error, personal = raised(lambda: int(CANARY)), {"name": CANARY}
    assert CANARY in str(error)

    logs.hide(personal)
    line = logs._without_persons(
        None, "", form(None, "", {"event": "told", "exc_info": error, "error": f"of {CANARY.upper()}"})
    )
    logs.hide({})

    assert (line["error"], CANARY in line["exception"], "int()" in line["exception"]) == ("of [personal]", False, True)
    assert sentence(error, personal) == "ValueError: invalid literal for int() with base 10: '[personal]'"


def test_half_a_name_is_not_left_where_a_text_is_cut() -> None:
    fields = {
        "event": "told",
        "error": "x" * (VALUE_MAX - 5) + CANARY,
        "exc_info": ValueError(CANARY + "y" * (TRACEBACK_MAX - 5)),
    }

    logs.hide({"name": CANARY})
    for process in logs.FORMED:
        fields = process(None, "", fields)
    logs.hide({})

    assert CANARY[:5] not in fields["error"]
    assert CANARY[-5:] not in fields["exception"]


def test_a_person_reads_a_line_without_json() -> None:
    fields = form(
        None, "", {"event": "order_left", "timestamp": "2026-01-02T03:04:05.678901Z", "level": "info", "status": "a b"}
    )
    nasty = as_text(None, "", form(None, "", {"event": NASTY, "error": NASTY, "exc_info": raised(lambda: int(NASTY))}))

    assert as_text(None, "", fields) == '03:04:05.678 info     order_left  status="a b"'
    assert all(line.isascii() and line.isprintable() for line in nasty.splitlines())


def test_lines_are_for_people_where_somebody_reads_them() -> None:
    assert is_readable("console", "prod")
    assert not is_readable("json", "dev")
    assert not is_readable("auto", "prod")
    assert not is_readable("auto", "dev")  # a test's stderr is no terminal


def test_it_knows_which_releases_it_is_made_of_and_passes_over_what_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(telling, "NETWORK_FACING", ("aiohttp", "not-there"))

    assert telling.versions() == f"python {platform.python_version()}, aiohttp {version('aiohttp')}"
