"""The primary is killed and the standby takes its place: what was acknowledged is there, and ends."""

import asyncio
import json
from collections.abc import Iterable
from functools import partial

import aiohttp
import pytest

from tests.acceptance.commands import call, wait_for
from tests.acceptance.stack import Process
from tests.acceptance.stack_shop import STANDS, Shop, eventually, open_shop
from tests.failover.conftest import LEDGER, Pair

pytestmark = [pytest.mark.acceptance, pytest.mark.slow]
ORDERS = 60
AT_ONCE = 8
PLACING_S = 90
BEFORE = 15
"""Orders that are acknowledged before the primary is killed."""


async def test_every_acknowledged_order_survives_a_failover_and_ends(pair: Pair) -> None:
    _make_synchronous(pair)
    acknowledged: dict[str, str] = {}
    async with open_shop(pair.stack) as shop:
        load = asyncio.create_task(_place_all(shop, (f"order-{n}" for n in range(ORDERS)), acknowledged))
        await eventually(lambda: _holds(len(acknowledged) >= BEFORE), timeout_s=60)
        survived = set(acknowledged.values())
        await asyncio.to_thread(pair.fail_over)
        await load

    assert survived <= {str(row[0]) for row in pair.second.do("select order_ledger_id from order_ledger", database=LEDGER)}
    async with open_shop(pair.stack) as shop:
        for order in acknowledged.values():
            await _assert_completed(shop, order)
    _assert_audited(pair)


async def test_an_old_primary_that_comes_back_gets_no_order(pair: Pair) -> None:
    pair.fail_over()
    acknowledged: dict[str, str] = {}
    async with open_shop(pair.stack) as shop:
        for process in (*pair.stack.edges, *pair.stack.replicas):
            wait_for(partial(_is_ready, process))
        pair.first.start()
        # Every connection is lost, so each process has to choose anew, and the old primary's host comes first.
        pair.second.do("select pg_terminate_backend(pid) from pg_stat_activity where application_name like 'saga %'")
        await _place_all(shop, (f"after-{n}" for n in range(10)), acknowledged)

    assert pair.first.do("select count(*) from order_ledger", database=LEDGER) == [(0,)]
    async with open_shop(pair.stack) as shop:
        for order in acknowledged.values():
            await _assert_completed(shop, order)


async def test_an_order_that_an_asynchronous_standby_never_had_is_made_whole_by_a_repeat(pair: Pair) -> None:
    async with open_shop(pair.stack) as shop:
        with pair.first.sending_nothing():
            order = await shop.place("lost")
            await _assert_completed(shop, order)
            pair.fail_over()
    assert pair.second.do("select count(*) from order_ledger", database=LEDGER) == [(0,)]

    acknowledged: dict[str, str] = {}
    async with open_shop(pair.stack) as shop:
        assert await shop.stands(order) == STANDS, "the participants have what the ledger lost"
        audit = pair.stack.audit()
        assert audit.returncode == 1
        assert order in audit.stdout, "an order that only the participants know is reported"
        await _place_all(shop, ["lost"], acknowledged)
        assert acknowledged == {"lost": order}
        await _assert_completed(shop, order)
    _assert_audited(pair)


def _make_synchronous(pair: Pair) -> None:
    pair.first.do("alter system set synchronous_standby_names = '*'", "select pg_reload_conf()")
    wait_for(pair.first.is_followed)


async def _place_all(shop: Shop, keys: Iterable[str], acknowledged: dict[str, str]) -> None:
    """Place an order for each key, some at once, each repeated until it is acknowledged; their ids by key."""
    limit = asyncio.Semaphore(AT_ONCE)

    async def place(key: str, edge: int) -> None:
        async with limit:
            while key not in acknowledged:
                try:
                    answer = await shop.post(key, edge=edge)
                except aiohttp.ClientError:
                    continue
                assert answer.status in (202, 409, 503), answer
                if answer.status == 202:
                    acknowledged[key] = answer.order
                else:
                    await asyncio.sleep(0.1)

    async with asyncio.timeout(PLACING_S):
        await asyncio.gather(*(place(key, number % 2) for number, key in enumerate(keys)))


async def _assert_completed(shop: Shop, order: str) -> None:
    async def ended() -> str:
        status = (await shop.row(order))["status"]
        assert status not in ("RECEIVED", "PENDING", "RUNNING", "COMPENSATING")
        return str(status)

    assert await eventually(ended, timeout_s=90) == "COMPLETED"
    await shop.journal(order)
    assert await shop.stands(order) == STANDS


def _assert_audited(pair: Pair) -> None:
    audit = pair.stack.audit()
    assert audit.returncode == 0, audit.stdout + audit.stderr
    assert json.loads(audit.stdout)["clean"] is True


def _holds(what: bool) -> None:
    assert what


def _is_ready(process: Process) -> bool:
    return call(f"{process.url}/readyz")[0] == 200
