"""When input is bad: one sentence that names the thing and what to do, an exit code, no traceback, nothing half done."""

import fcntl
import json
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.acceptance.commands import assert_told, saga
from tests.acceptance.databases import dropped_afterwards

pytestmark = pytest.mark.acceptance
AWAY = "postgresql://someone:canary@127.0.0.1:1/ledger"


@pytest.fixture
def taken_port() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (["upp"], "No such command 'upp'"),
        (["up", "--port", "http"], "'http' is not a valid integer"),
        (["participant", "warehouse"], "'warehouse' is not one of"),
        (["ledger", "show", "17"], "'17' is no order's id"),
        (["ledger", "retry", "00000000-0000-8000-8000-000000000000"], "Missing option '--reason'"),
        (["demo", "--orders", "0"], "0 is not in the range"),
        (["--database-url", "postgresql://x/y", "demo"], "leave out --database-url"),
        (["ledger", "list", "--status", "NOPE", "--database-url", AWAY], "'NOPE' is not one of"),
        (["ledger", "list", "--since", "yesterday", "--database-url", AWAY], "no ISO 8601 time"),
        (
            ["ledger", "retry", "00000000-0000-0000-0000-000000000000", "--reason", " ", "--database-url", AWAY],
            "must not be empty",
        ),
        (["config", "discard", "place_order", "--reason", "r", "--actor", "", "--database-url", AWAY], "must not be empty"),
        (["health", "--only", "warehouse", "--database-url", AWAY], "there is no part 'warehouse'"),
    ],
)
def test_wrong_usage_is_told_with_code_2(tmp_path: Path, arguments: list[str], part: str) -> None:
    result = saga(*arguments, cwd=tmp_path)

    assert_told(result, 2, part, "--help`")
    assert list(tmp_path.iterdir()) == []


def test_an_argument_that_is_no_text_is_told_with_code_2(tmp_path: Path) -> None:
    result = saga("ledger", "list", "--customer", "17850\udcff", "--database-url", AWAY, cwd=tmp_path)

    assert_told(result, 2, "UTF-8")


@pytest.mark.parametrize(
    ("command", "setting", "value"),
    [
        (["edge"], "SAGA_LEASE_S", "soon"),
        (["orchestrator"], "SAGA_ORDERS_URL", "ftp://orders"),
        (["up"], "SAGA_DATABASE_URL", "my:canary@ledger"),
        (["ledger", "list"], "SAGA_DATABASE_URL", "my:canary@ledger"),
        (["participant", "orders"], "SAGA_FAULTS", "perhaps"),
    ],
)
def test_a_wrong_setting_is_named(tmp_path: Path, command: list[str], setting: str, value: str) -> None:
    result = saga(*command, cwd=tmp_path, **({"SAGA_DATABASE_URL": AWAY} | {setting: value}))

    assert_told(result, 1, setting)
    assert "canary" not in result.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "command",
    [
        ["migrate"],
        ["migrate", "--dry-run"],
        ["edge"],
        ["orchestrator"],
        ["participant", "orders"],
        ["ledger", "list"],
        ["ledger", "show", "00000000-0000-8000-8000-000000000000"],
        ["ledger", "cancel", "00000000-0000-8000-8000-000000000000", "--reason", "r"],
        ["stats"],
        ["up", "--port", "0"],
    ],
)
def test_a_database_that_is_away_is_told(tmp_path: Path, command: list[str]) -> None:
    result = saga(*command, "--database-url", AWAY, cwd=tmp_path)

    assert_told(result, 1)
    assert "canary" not in result.stderr
    assert any(word in result.stderr for word in ("can't be reached", "cannot be reached", "did not answer"))


@pytest.mark.parametrize("command", [["orchestrator"], ["edge"], ["participant", "orders"], ["ledger", "list"], ["stats"]])
def test_a_schema_that_is_behind_is_told(tmp_path: Path, server_url: str, command: list[str]) -> None:
    result = saga(*command, cwd=tmp_path, SAGA_DATABASE_URL=server_url, SAGA_ORDERS_DATABASE_URL=server_url, SAGA_PORT="0")

    assert_told(result, 1, "saga migrate")


def test_no_database_is_told(tmp_path: Path) -> None:
    assert_told(saga("ledger", "list", cwd=tmp_path), 1, "set SAGA_DATABASE_URL or --database-url", "saga up")


def test_an_error_is_json_too_where_json_is_asked_for(tmp_path: Path) -> None:
    result = saga("ledger", "list", "--json", cwd=tmp_path)

    assert_told(result, 1)
    assert json.loads(result.stdout)["error"] in result.stderr


@pytest.mark.parametrize("option", ["--port", "--admin-port"])
def test_a_port_in_use_is_told_before_anything_is_started(tmp_path: Path, taken_port: int, option: str) -> None:
    arguments = {"--port": "0", "--admin-port": "0"} | {option: str(taken_port)}

    result = saga("up", *(part for pair in arguments.items() for part in pair), cwd=tmp_path)

    assert_told(result, 1, f"port {taken_port} on 127.0.0.1 is in use", option)
    assert not (tmp_path / ".sagaledger/pg").exists()
    assert not (tmp_path / ".sagaledger/stack.json").exists()


def test_a_data_folder_in_use_is_told(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    with (data / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        result = saga("up", "--port", "0", "--data-dir", str(data), cwd=tmp_path)

    assert_told(result, 1, f"another stack runs on the data folder {data}")
    assert not (data / "pg").exists()


def test_a_data_folder_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    result = saga("up", "--port", "0", "--data-dir", "file/data", cwd=tmp_path)

    assert_told(result, 1, "the folder file/data can't be made", "--data-dir")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_data_folder_without_rights_is_told(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir(mode=0o500)

    assert_told(saga("up", "--port", "0", "--data-dir", "data", cwd=tmp_path), 1, "Permission denied")


def test_a_file_with_other_columns_is_told_before_anything_is_started(tmp_path: Path) -> None:
    file = tmp_path / "orders.csv"
    file.write_text("sku,quantity\na,1\n")

    assert_told(saga("demo", "--replay", str(file), cwd=tmp_path), 1, str(file), "has no column InvoiceNo")


def test_a_stack_file_that_is_none_is_told(tmp_path: Path) -> None:
    (tmp_path / ".sagaledger").mkdir()
    (tmp_path / ".sagaledger/stack.json").write_text("[]")

    assert_told(saga("ledger", "list", cwd=tmp_path), 1, "stack.json can't be read")


@pytest.mark.parametrize("verb", ["show", "retry", "cancel"])
def test_an_order_that_does_not_exist_is_told(tmp_path: Path, ledger_url: str, verb: str) -> None:
    order = "00000000-0000-8000-8000-000000000000"
    reason = [] if verb == "show" else ["--reason", "r"]

    result = saga("ledger", verb, order, *reason, "--database-url", ledger_url, cwd=tmp_path)

    assert_told(result, 1, f"the ledger has no order {order}")


def test_a_filter_that_is_none_is_told(tmp_path: Path, ledger_url: str) -> None:
    url = ["--database-url", ledger_url]

    assert_told(saga("ledger", "list", "--cursor", "x", *url, cwd=tmp_path), 1, "--cursor")


def test_an_audit_that_can_reach_nothing_fails(tmp_path: Path) -> None:
    result = saga("audit", "--json", "--database-url", AWAY, cwd=tmp_path)

    assert result.returncode == 1
    assert json.loads(result.stdout)["clean"] is False
    assert "canary" not in result.stdout + result.stderr


def test_health_fails_when_a_part_is_away(tmp_path: Path) -> None:
    result = saga("health", "--json", cwd=tmp_path, SAGA_DATABASE_URL=AWAY, SAGA_PORT="1", SAGA_ORDERS_URL="http://127.0.0.1:1")

    parts = {part["name"]: part for part in json.loads(result.stdout)["parts"]}
    assert result.returncode == 1
    assert not parts["database"]["healthy"]
    assert not parts["orders"]["healthy"]
    assert parts["edge"]["detail"] == "nothing listens at 127.0.0.1:1; SAGA_HOST and SAGA_PORT say where the edge is"
    assert parts["orders"]["detail"] == "nothing listens at 127.0.0.1:1"
    assert "canary" not in result.stdout


def test_migrations_are_previewed_applied_and_shown(tmp_path: Path, server_url: str) -> None:
    with dropped_afterwards(server_url, f"saga_cli_{os.getpid()}") as url:
        before = saga("migrate", "--dry-run", "--json", "--database-url", url, cwd=tmp_path)
        again = saga("migrate", "status", "--json", "--database-url", url, cwd=tmp_path)
        applied = saga("migrate", "--json", "--database-url", url, cwd=tmp_path)
        after = saga("migrate", "status", "--json", "--database-url", url, cwd=tmp_path)
        nothing = saga("migrate", "--json", "--database-url", url, cwd=tmp_path)

    assert before.stdout == again.stdout, "a preview changes nothing"
    pending = [database["pending"] for database in json.loads(before.stdout)["databases"]]
    assert list(map(list, json.loads(applied.stdout)["applied"].values())) == pending
    assert all(not database["pending"] for database in json.loads(after.stdout)["databases"])
    assert not any(json.loads(nothing.stdout)["applied"].values())
