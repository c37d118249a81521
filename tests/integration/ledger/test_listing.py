"""`saga ledger list` on a ledger of its own: pages, filters, and a ledger without orders."""

from pathlib import Path

import psycopg
import pytest

from orchestrator.definitions import Definitions
from orchestrator.identity import order_id
from orchestrator.opening import Request, open_order
from orchestrator.settings import Settings
from sql import ledger
from sql.ledger import OrderNotFound
from tests.acceptance.commands import saga
from tests.integration.orchestrator.shop import ERRAND, Basket


async def placed(url: str, *keys: str) -> None:
    definitions = Definitions([ERRAND], Settings())
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as conn:
        await definitions.register(conn)
        for key in keys:
            request = Request(order_id("tests", key), "tests", key, b"hash", Basket(), {}, "correlation")
            assert await ledger.insert_order(conn, open_order(definitions.named("errand"), request).order)


def test_a_ledger_without_orders_says_so(ledger_url: str, tmp_path: Path) -> None:
    listed = saga("ledger", "list", cwd=tmp_path, SAGA_DATABASE_URL=ledger_url)

    assert (listed.returncode, listed.stdout.splitlines()[-1]) == (0, "no orders")


async def test_a_page_names_the_next_one_until_the_last(ledger_url: str, tmp_path: Path) -> None:
    await placed(ledger_url, "one", "two", "three")

    first = saga("ledger", "list", "--limit", "2", cwd=tmp_path, SAGA_DATABASE_URL=ledger_url)
    cursor = first.stdout.splitlines()[-1].removeprefix("more: --cursor ")
    last = saga("ledger", "list", "--cursor", cursor, "--saga", "errand", cwd=tmp_path, SAGA_DATABASE_URL=ledger_url)

    shown = {str(order_id("tests", key)) for key in ("one", "two", "three")}
    assert {id_ for id_ in shown if id_ in first.stdout + last.stdout} == shown
    assert sum(id_ in first.stdout for id_ in shown) == 2
    assert "more:" not in last.stdout


async def test_an_answer_is_frozen_for_no_order_that_is_not_there(ledger_url: str) -> None:
    async with await psycopg.AsyncConnection.connect(ledger_url, autocommit=True) as conn:
        with pytest.raises(OrderNotFound):
            await ledger.freeze_answer(conn, order_id("tests", "nobody"), 202, "{}")
