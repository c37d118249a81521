"""`saga up`: complete before it is ready, whole while it runs, and nothing left when it is over."""

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.canaries import ADDRESS, PAYMENT_METHOD
from tests.acceptance.commands import Up, assert_told, call, clean_environment, is_running, pids_of, saga, wait_for
from tests.acceptance.databases import dropped_afterwards

pytestmark = pytest.mark.acceptance
PARTS = ["edge", "inventory", "notifications", "orders", "payments", "shipping"]
ORDER = {
    "customer_id": "17850",
    "currency": "GBP",
    "items": [{"sku": "MUG", "quantity": 2, "unit_price_minor": 450, "description": "A mug"}],
    "payment_method": PAYMENT_METHOD,
    "shipping_address": ADDRESS,
}


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    """A stack that the tests of this module share, with one order completed."""
    stack = Up(tmp_path_factory.mktemp("up"), "--port", "0")
    try:
        addresses = stack.ready()
        inventory = addresses["participants"]["inventory"]["url"]
        product = {"sku": "MUG", "name": "A mug", "initial_stock": 10}
        assert call(f"{inventory}/inventory/products", product, **{"Idempotency-Key": "p"})[0] in (200, 201)
        status, order = call(f"{addresses['edge_url']}/orders", ORDER, **{"Idempotency-Key": "o", "Prefer": "wait=20"})
        assert (status, order["status"]) == (200, "COMPLETED")
        yield stack
    finally:
        assert stack.stop() == 0


def order_of(up: Up) -> dict[str, Any]:
    listed = saga("ledger", "list", "--json", "--data-dir", "data", cwd=up.folder)
    assert listed.returncode == 0, listed.stderr
    order: dict[str, Any] = json.loads(listed.stdout)["orders"][0]
    return order


def test_an_order_is_listed_and_shown(up: Up) -> None:
    order = order_of(up)

    shown = saga("ledger", "show", order["order_ledger_id"], "--data-dir", "data", cwd=up.folder)
    as_json = saga("ledger", "show", order["order_ledger_id"], "--json", "--data-dir", "data", cwd=up.folder)

    assert order["status"] == "COMPLETED"
    assert "\x1b" not in shown.stdout
    assert all(word in shown.stdout for word in ("COMPLETED", "MUG", "capture_payment", "9.00 GBP", "Journal"))
    assert [step["state"] for step in json.loads(as_json.stdout)["steps"]] == ["succeeded"] * 5
    assert json.loads(as_json.stdout)["journal"][0]["seq"] == 1


def test_a_page_of_orders_goes_on_where_the_last_ended(up: Up) -> None:
    arguments = ["ledger", "list", "--json", "--data-dir", "data", "--status", "completed", "--customer", "17850"]

    page = json.loads(saga(*arguments, "--limit", "1", cwd=up.folder).stdout)
    stuck = json.loads(saga("ledger", "list", "--stuck", "--json", "--data-dir", "data", cwd=up.folder).stdout)

    assert len(page["orders"]) == 1
    assert page["next_cursor"] is None
    assert stuck["orders"] == []


def test_a_completed_order_is_not_retried_and_the_preview_of_its_cancel_changes_nothing(up: Up) -> None:
    order = order_of(up)["order_ledger_id"]
    asked = (order, "--reason", "a test", "--data-dir", "data")

    assert_told(saga("ledger", "retry", *asked, cwd=up.folder), 1, order, "COMPLETED")
    preview = saga("ledger", "cancel", *asked, "--dry-run", cwd=up.folder)

    assert (preview.returncode, "refund_payment" in preview.stdout) == (0, True)
    assert order_of(up)["status"] == "COMPLETED"


def test_statistics_health_and_audit_say_that_all_is_well(up: Up) -> None:
    results = {
        name: saga(name, "--json", "--data-dir", "data", cwd=up.folder, timeout_s=120) for name in ("stats", "health", "audit")
    }

    assert {name: result.returncode for name, result in results.items()} == {"stats": 0, "health": 0, "audit": 0}, results
    assert json.loads(results["stats"].stdout)["finished"] == {"COMPLETED": 1}
    health = json.loads(results["health"].stdout)
    assert health["healthy"] is True
    assert [part["detail"] for part in health["parts"] if part["name"] == "orchestrators"] == ["2 connected"]
    assert json.loads(results["audit"].stdout)["clean"] is True


def test_an_installation_is_found_by_its_database_alone(up: Up, tmp_path: Path) -> None:
    database_url = up.ready()["database_url"]

    audit = saga("audit", "--json", "--database-url", database_url, cwd=tmp_path, timeout_s=120)
    since = json.loads(saga("ledger", "list", "--json", "--database-url", database_url, cwd=tmp_path).stdout)["orders"][0][
        "created_at"
    ]
    listed = saga("ledger", "list", "--json", "--since", since, "--database-url", database_url, cwd=tmp_path)

    assert audit.returncode == 0, audit.stdout
    assert len(json.loads(listed.stdout)["orders"]) == 1


def test_people_read_the_same(up: Up) -> None:
    for name, word in (("stats", "COMPLETED"), ("health", "inventory"), ("audit", "The audit is clean.")):
        result = saga(name, "--data-dir", "data", cwd=up.folder, timeout_s=120)

        assert word in result.stdout
        assert "\x1b" not in result.stdout


@pytest.mark.parametrize("command", [["config", "env"], ["config", "env", "--json"], ["stats", "--json", "--data-dir", "data"]])
def test_output_that_nobody_reads_is_no_error(up: Up, command: list[str]) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    process = subprocess.run(
        [sys.executable, "-m", "cli", *command],
        env=clean_environment(),
        cwd=up.folder,
        stdout=writing,
        stderr=subprocess.PIPE,
        text=True,
        timeout=30,
        check=False,
    )
    os.close(writing)

    assert (process.returncode, process.stderr) == (1, "")


def test_stack_json_is_complete_when_it_is_there(tmp_path: Path) -> None:
    stack = Up(tmp_path, "--port", "0", "--replicas", "3")
    try:
        addresses = wait_for(stack.addresses)

        assert sorted(set(addresses["pids"]) - {"orchestrators"}) == PARTS
        assert len(set(pids_of(addresses))) == 9
        assert all(is_running(pid) for pid in pids_of(addresses))
        assert sorted(addresses["participants"]) == sorted(set(PARTS) - {"edge"})
        wait_for(lambda: call(f"{addresses['edge_url']}/readyz")[0] == 200)
        assert stack.addresses() == addresses
    finally:
        assert stack.stop() == 0


def test_a_second_stack_on_the_same_folder_is_refused(up: Up) -> None:
    result = saga("up", "--port", "0", "--data-dir", "data", cwd=up.folder)

    assert_told(result, 1, "another stack runs on the data folder data")
    assert up.addresses() is not None, "the first is not disturbed"


def test_stack_json_is_complete_before_the_edge_is_ready(tmp_path: Path) -> None:
    # Below the range that the system gives out: a port from there may meanwhile be another stack's edge.
    port = next(number for number in range(18080, 18180) if free_port(number))
    if not all(free_port(number) for number in range(8101, 8106)):
        pytest.skip("the participants' default ports are taken here")
    stack = Up(tmp_path, "--port", str(port), "--admin-port", "0", "--replicas", "1")
    try:
        wait_for(lambda: call(f"http://127.0.0.1:{port}/readyz")[0] == 200 or stack.process.poll() is not None)
        addresses = json.loads((stack.data / "stack.json").read_text())

        assert addresses["edge_url"] == f"http://127.0.0.1:{port}"
        assert [call(f"{part['url']}/healthz")[0] for part in addresses["participants"].values()] == [200] * 5
        assert addresses["participants"]["orders"]["url"] == "http://127.0.0.1:8101"
        assert sorted(set(addresses["pids"]) - {"orchestrators"}) == PARTS
        assert all(is_running(pid) for pid in pids_of(addresses))
        assert (stack.data / "stack.json").stat().st_mode & 0o077 == 0
    finally:
        assert stack.stop() == 0


def free_port(number: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", number))
        except OSError:
            return False
    return True


@pytest.mark.parametrize("number", [signal.SIGTERM, pytest.param(signal.SIGINT, marks=pytest.mark.slow)])
def test_a_stack_that_is_stopped_leaves_nothing_and_finds_its_data_again(tmp_path: Path, number: int) -> None:
    first = Up(tmp_path, "--port", "0")
    addresses = first.ready()
    inventory = addresses["participants"]["inventory"]["url"]
    call(f"{inventory}/inventory/products", {"sku": "MUG", "name": "m", "initial_stock": 7}, **{"Idempotency-Key": "p"})
    left = [*pids_of(addresses), first.postmaster]
    os.kill(addresses["pids"]["orchestrators"][0], signal.SIGSTOP)  # one that hangs is no reason to hang too

    assert first.stop(number) == 0
    assert not [pid for pid in left if is_running(pid)]
    assert first.errors == ""
    assert not (first.data / "stack.json").exists()

    second = Up(tmp_path, "--port", "0")
    try:
        inventory = second.ready()["participants"]["inventory"]["url"]
        assert call(f"{inventory}/inventory/products/MUG/availability")[1]["available"] == 7
    finally:
        assert second.stop() == 0


def test_a_part_that_dies_is_told_and_the_rest_goes_on(tmp_path: Path) -> None:
    stack = Up(tmp_path, "--port", "0", "--replicas", "2")
    try:
        addresses = stack.ready()
        victim = addresses["pids"]["orchestrators"][0]

        os.kill(victim, signal.SIGKILL)

        told = wait_for(lambda: stack.errors or None)
        assert told.startswith(f"saga: orchestrator-1 (pid {victim}) ended by SIGKILL; the rest goes on")
        assert len(told.splitlines()) == 1
        assert call(f"{addresses['edge_url']}/readyz")[0] == 200
    finally:
        assert stack.stop() == 0


def test_a_stack_that_is_killed_leaves_nothing_and_finds_its_data_again(tmp_path: Path) -> None:
    first = Up(tmp_path, "--port", "0")
    left = [*pids_of(first.ready()), first.postmaster]

    first.stop(signal.SIGKILL)

    wait_for(lambda: not [pid for pid in left if is_running(pid)], timeout_s=30)
    second = Up(tmp_path, "--port", "0")
    second.ready()
    postmaster = second.postmaster
    assert second.stop() == 0
    assert not is_running(postmaster)


def test_a_stop_during_the_start_leaves_nothing(tmp_path: Path) -> None:
    stack = Up(tmp_path, "--port", "0")
    postmaster = wait_for(lambda: (stack.data / "pg/postmaster.pid").exists() and stack.postmaster)

    assert stack.stop() == 0
    assert not is_running(postmaster)
    assert stack.errors == ""


def test_a_given_database_is_used_and_left_running(tmp_path: Path, server_url: str) -> None:
    with dropped_afterwards(server_url, f"saga_up_{os.getpid()}") as url:
        stack = Up(tmp_path, "--port", "0", "--replicas", "1", "--database-url", url)
        try:
            addresses = stack.ready()
            assert addresses["database_url"] == url
            assert not (stack.data / "pg").exists()
            assert json.loads(saga("migrate", "status", "--json", "--database-url", url, cwd=tmp_path).stdout)["databases"]
        finally:
            assert stack.stop() == 0
