"""What participants keep to when many want the same, and whatever stands between them and the orchestrators."""

import asyncio
import json
from collections import Counter
from pathlib import Path

import pytest

from tests.acceptance.commands import saga
from tests.acceptance.stack_shop import Shop

pytestmark = pytest.mark.acceptance

ORDERS = 50


async def test_the_last_unit_goes_to_one_of_fifty_orders(shop: Shop) -> None:
    inventory = shop.stack.participants["inventory"]
    product = {"sku": "last", "name": "Last", "initial_stock": 1}
    await shop.call("POST", f"{inventory}/inventory/products", product, **{"Idempotency-Key": "last"})
    items = [{"sku": "last", "quantity": 1, "unit_price_minor": 255}]

    orders: list[str] = []
    for batch in range(0, ORDERS, 10):
        orders += await asyncio.gather(*(shop.place(f"last-{number}", items=items) for number in range(batch, batch + 10)))
    ends = Counter([(await shop.ends(order, timeout_s=60.0))["status"] for order in orders])

    assert ends == {"COMPLETED": 1, "FAILED": ORDERS - 1}
    left = await shop.call("GET", f"{inventory}/inventory/products/last/availability")
    assert left.json == {"sku": "last", "on_hand": 1, "reserved": 1, "available": 0}
    standing = [order for order in orders if await shop.stands(order)]
    assert len(standing) == 1


async def test_a_participant_at_work_is_found_to_keep_its_contract(shop: Shop, tmp_path: Path) -> None:
    """The kit's trials stand up to the audit of the stack, like everything else that the participants did."""
    command = ["conform", shop.stack.participants["shipping"], "--contract", "shipping", "--json"]

    conform = await asyncio.to_thread(saga, *command, cwd=tmp_path, timeout_s=120)

    assert conform.returncode == 0, conform.stdout + conform.stderr
    assert json.loads(conform.stdout)["passed"] is True
