"""`saga reconcile` on a stack of real processes: what it proposes is typed into a shell, and mends it."""

import json
import os
import shlex
import shutil
import subprocess
from typing import Any

import pytest

from tests.acceptance.stack import Stack
from tests.acceptance.stack_shop import PRICE_MINOR, QUANTITY, SKU, TOTAL_MINOR, Shop, eventually

pytestmark = pytest.mark.acceptance
MORE_THAN_THERE_IS = [{"sku": SKU, "quantity": 1_000_000, "unit_price_minor": PRICE_MINOR}]


def reconcile(stack: Stack, code: int) -> dict[str, Any]:
    done = stack.saga("reconcile", "--json")
    assert done.returncode == code, done.stdout + done.stderr
    report: dict[str, Any] = json.loads(done.stdout)
    return report


def typed(stack: Stack, command: str) -> None:
    """Run a command that was proposed."""
    words = shlex.split(command)
    if words[0] == "saga":
        done = stack.saga(*words[1:])
    else:
        if shutil.which(words[0]) is None and "CI" not in os.environ:
            pytest.skip("there is no curl here")
        done = subprocess.run(words, capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 0, done.stderr


async def test_stock_that_is_held_for_an_order_that_was_declined_is_found_and_released(shop: Shop, stack: Stack) -> None:
    declined = await shop.post("reconcile-declined", payment_method="pm_declined")
    url = f"{stack.participants['inventory']}/inventory/reservations"
    held = {"order_id": declined.order, "lines": [{"sku": SKU, "quantity": QUANTITY}]}
    key = f"{declined.order}:reserve_inventory:action"
    assert (await shop.call("POST", url, held, **{"Idempotency-Key": key})).status == 201
    available = await shop.available()

    report = reconcile(stack, 1)
    (drift,) = report["drifts"]
    (command,) = drift["mend"]
    typed(stack, command)

    assert (drift["kind"], drift["order"], drift["value_minor"]) == ("undone_order_holds_stock", declined.order, TOTAL_MINOR)
    assert report["value_at_risk"] == {"by_currency": {"GBP": TOTAL_MINOR}, "orders_unvalued": 0}
    assert await shop.available() == available + QUANTITY
    assert reconcile(stack, 0)["drifts"] == []


async def test_an_order_that_waits_for_an_operator_is_found_and_goes_on(shop: Shop, stack: Stack) -> None:
    await shop.fail("payments", "reject", "/payments/void")
    order = await shop.place("reconcile-stuck", items=MORE_THAN_THERE_IS)

    async def is_stuck() -> None:
        assert (await shop.get(order))["status"] == "STUCK"

    await eventually(is_stuck)
    report = reconcile(stack, 1)
    (drift,) = report["drifts"]
    typed(stack, drift["mend"][0])
    previewed = (await shop.get(order))["status"]
    typed(stack, drift["mend"][0].removesuffix(" --dry-run"))

    assert (drift["kind"], drift["order"], drift["status"], previewed) == ("stuck_order", order, "STUCK", "STUCK")
    assert (await shop.ends(order))["status"] == "FAILED"
    assert reconcile(stack, 0)["value_at_risk"] == {"by_currency": {}, "orders_unvalued": 0}
