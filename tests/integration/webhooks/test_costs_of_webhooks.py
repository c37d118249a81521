"""What webhooks cost those who have none, and that a look costs the same however much was delivered before."""

import asyncio
from typing import Any, LiteralString

import pytest

from orchestrator.webhooks import sending as loop
from sql import webhooks
from sql.connect import Pool
from sql.loader import Queries
from tests.acceptance.stack_shop import eventually
from tests.integration.ledger.outbox import Connection, place, tell
from tests.integration.orchestrator.counting import Noting, noted, open_noting
from tests.integration.webhooks.receiver import Receiver, sending, subscribed

LOOK = Queries("webhooks")["fan_out"]
MANY = 20_000


async def test_without_a_subscription_a_replica_looks_for_one_and_does_nothing_else(
    ledger_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop, "SEARCH_S", 0.01)
    monkeypatch.setattr(loop, "TURN_S", 0.001)
    async with open_noting(ledger_url) as noting, sending(noting, ledger_url):  # type: ignore[arg-type]
        await eventually(lambda: _at_least(noted(LOOK), 20))
        statements = set(Noting.noted)

    assert statements == {LOOK}


async def test_without_a_subscription_notifications_cause_few_looks(ledger_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop, "TURN_S", 0.001)
    monkeypatch.setattr(loop, "RECHECK_S", 0.2)
    async with open_noting(ledger_url) as noting, sending(noting, ledger_url) as sender:  # type: ignore[arg-type]
        began_s = asyncio.get_running_loop().time()
        while asyncio.get_running_loop().time() - began_s < 0.5:
            sender.wake()
            await asyncio.sleep(0.001)
        looks = noted(LOOK)
        took_s = asyncio.get_running_loop().time() - began_s

    assert 1 < looks <= took_s / 0.2 + 1


async def test_a_look_that_finds_nothing_writes_nothing(conn: Connection, pool: Pool, receiver: Receiver) -> None:
    await place(conn)
    await subscribed(pool, receiver)
    await webhooks.fan_out(conn, limit=100, waiting_max=100)
    async with conn.transaction():
        await webhooks.fan_out(conn, limit=100, waiting_max=100)
        await webhooks.claim_deliveries(conn, {}, slots_max=0, lease_s=60.0)
        cursor = await conn.execute("select pg_current_xact_id_if_assigned()")
        assert await cursor.fetchone() == (None,)


async def test_what_a_look_and_a_claim_read_does_not_grow_with_what_was_delivered(
    conn: Connection, pool: Pool, receiver: Receiver
) -> None:
    order = await place(conn)
    await subscribed(pool, receiver)
    await tell(conn, order, count=MANY)
    while (await webhooks.fan_out(conn, limit=5_000, waiting_max=MANY + 1)).more:
        pass
    await conn.execute("update event_delivery set delivered_at = clock_timestamp()")
    await tell(conn, order, count=3)
    await conn.execute("vacuum analyze")

    looked = await buffers(conn, "fan_out", {"limit": 200, "waiting_max": 5_000})
    claimed = await buffers(conn, "claim_deliveries", {"busy": [], "slots": [], "slots_max": 16, "lease_s": 60.0})

    assert looked < 150
    assert claimed < 150


async def buffers(conn: Connection, name: LiteralString, parameters: dict[str, Any]) -> int:
    """Run a statement; the pages that it looked at."""
    explained = "explain (analyze, buffers, format json) " + Queries("webhooks")[name]
    cursor = await conn.execute(explained, parameters)  # type: ignore[arg-type]
    row = await cursor.fetchone()
    assert row is not None
    plan = row[0][0]["Plan"]
    return int(plan["Shared Hit Blocks"] + plan["Shared Read Blocks"])


def _at_least(seen: int, wanted: int) -> None:
    assert seen >= wanted
