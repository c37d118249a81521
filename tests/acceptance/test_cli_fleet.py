"""`saga breaker` and `saga participants` on a stack of real processes: hold, reset, move, refuse."""

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from orchestrator.fleet import LOOK_S
from tests.acceptance.commands import assert_told, saga
from tests.acceptance.stack import Stack
from tests.acceptance.stack_shop import SKU, STANDS, STOCK, Shop, eventually

pytestmark = pytest.mark.acceptance
WHY = ("--reason", "maintenance", "--actor", "ops")


@pytest.fixture
def ask(stack: Stack, tmp_path: Path) -> Any:
    """Run a command on the stack's ledger."""
    settings = {f"SAGA_{name.upper()}_URL": url for name, url in stack.participants.items()}

    def asked(*arguments: str) -> Any:
        return saga(*arguments, cwd=tmp_path, SAGA_DATABASE_URL=stack.databases["ledger"], **settings)

    return asked


@pytest.fixture
def put_right(ask: Any) -> Iterator[None]:
    """Leave nothing behind for the tests that follow."""
    yield
    assert ask("breaker", "reset", "inventory", *WHY).returncode == 0
    ask("participants", "remove", "inventory", "--force")


def told(result: Any) -> Any:
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout)


@pytest.mark.usefixtures("put_right")
async def test_a_participant_that_is_held_gets_no_call_until_it_is_reset(shop: Shop, ask: Any) -> None:
    assert told(ask("breaker", "hold", "inventory", *WHY, "--json")) == {
        "participant": "inventory", "state": "held", "actor": "ops", "reason": "maintenance",
    }  # fmt: skip
    held_s = time.monotonic()
    states = {each["participant"]: each for each in told(ask("breaker", "list", "--json"))["breakers"]}
    assert (states["inventory"]["state"], states["payments"]["state"]) == ("held", "closed")

    async def respected() -> None:
        # A replica that has just started may have looked before; every call that begins so much later keeps to it.
        assert time.monotonic() - held_s > LOOK_S

    await eventually(respected)
    order = await shop.place("held")

    async def waits() -> None:
        assert (await shop.row(order))["last_error"] == "calls to inventory are held: maintenance"

    async def known() -> None:
        # Known to who has the order: a replica at rest looks for the metric's sake once a minute.
        metrics = [await shop.metric(replica, "saga_breaker_state", participant="inventory") for replica in shop.stack.replicas]
        assert 3 in metrics

    await eventually(waits)
    await eventually(known)
    assert "maintenance" in ask("breaker", "list").stdout
    refused = ask("participants", "remove", "inventory")
    assert_told(refused, 1, "orders on their way need inventory (1 of place_order)", "--force")
    assert ask("breaker", "reset", "inventory", *WHY).returncode == 0
    assert (await shop.ends(order, timeout_s=60))["status"] == "COMPLETED"
    assert await shop.stands(order) == STANDS


@pytest.mark.usefixtures("put_right", "shop")
def test_health_tells_of_a_participant_that_is_there_and_not_called(ask: Any) -> None:
    (well,) = told(ask("health", "--only", "inventory", "--json"))["parts"]
    ask("breaker", "hold", "inventory", *WHY)
    held = ask("health", "--only", "inventory", "--json")
    shown = ask("health", "--only", "inventory")

    assert (well["healthy"], well["detail"], well["latency_ms"] > 0) == (True, "", True)
    assert (held.returncode, json.loads(held.stdout)["healthy"]) == (1, False)
    assert "inventory NOT OK" in " ".join(shown.stdout.split())
    assert "it answers, but its breaker is held" in shown.stdout


async def test_statistics_are_told_of_the_stack(shop: Shop, ask: Any) -> None:
    await shop.ends(await shop.place("counted"))
    await shop.ends(await shop.place("counted-too", items=[{"sku": SKU, "quantity": STOCK + 1, "unit_price_minor": 1}]))

    counted = told(ask("stats", "--json", "--window", "10"))
    shown = ask("stats", "--window", "10").stdout

    steps = {(step["step"], step["direction"]): step for step in counted["steps"] if step["saga"] == "place_order"}
    assert steps["confirm_order", "action"]["succeeded"] >= 1
    assert steps["create_order", "compensation"]["p99_ms"] > 0
    assert ("reserve_inventory", "rejected") in [(point["step"], point["outcome"]) for point in counted["failure_points"]]
    assert counted["compensation"]["success_share"] == 1
    assert counted["window_s"] == 600
    assert "undo create_order" in shown
    assert "In the last 10 min:" in shown
    assert_told(ask("stats", "--window", "0"), 2, "--window")


@pytest.mark.usefixtures("put_right")
async def test_a_participant_that_is_moved_is_called_elsewhere_without_a_restart(shop: Shop, ask: Any) -> None:
    address = shop.stack.participants["inventory"]
    moved = address.replace("127.0.0.1", "localhost")
    before = {replica.pid for replica in shop.stack.replicas}

    assert ask("participants", "add", "inventory", moved, "--concurrency", "3").returncode == 0
    listed = {each["name"]: each for each in told(ask("participants", "list", "--json"))["participants"]}

    assert listed["inventory"] == {"name": "inventory", "address": moved, "source": "registry", "concurrency": 3}
    assert (listed["payments"]["source"], listed["payments"]["address"]) == ("settings", shop.stack.participants["payments"])
    assert max(map(len, ask("participants", "list").stdout.splitlines())) <= 80
    order = await shop.place("moved")
    assert (await shop.ends(order))["status"] == "COMPLETED"
    assert ask("participants", "remove", "inventory").stdout.strip() == (
        f"inventory is removed; by the settings it is at {address}"
    )
    assert_told(ask("participants", "remove", "inventory"), 1, "inventory is not registered")
    assert {replica.pid for replica in shop.stack.replicas} == before


@pytest.mark.parametrize(
    ("arguments", "code", "part"),
    [
        (["breaker", "hold", "inventory"], 2, "Missing option '--reason'"),
        (["breaker", "hold", "warehouse", *WHY], 1, "there is no participant warehouse"),
        (["participants", "add", "inventory", "http://user:canary@x"], 2, "must be an http or https address"),
        (["participants", "add", "inventory", "http://169.254.169.254/latest"], 2, "is link-local"),
        (["participants", "remove", "warehouse"], 1, "warehouse is not registered"),
    ],
)
def test_what_can_not_be_is_refused_in_one_sentence(ask: Any, arguments: list[str], code: int, part: str) -> None:
    result = ask(*arguments)

    assert_told(result, code, part)
    assert "canary" not in result.stderr
