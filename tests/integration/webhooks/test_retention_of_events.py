"""What a webhook still needs is kept, what one that is disabled loses is counted, and a restored dump loses nothing."""

from typing import Any
from uuid import UUID

import pytest

from sql import retention, webhooks
from sql.connect import Pool
from tests.integration.ledger.outbox import Connection, finish, place, tell
from tests.integration.webhooks.receiver import Receiver, subscribed


async def old(conn: Connection) -> UUID:
    """Place an order that ended long ago, and told of two things."""
    order = await place(conn)
    await tell(conn, order, "Told")
    await finish(conn, order)
    await conn.execute(
        "update order_ledger set created_at = created_at - interval '100 days', finished_at = finished_at - interval '100 days'"
    )
    return order


async def purged(conn: Connection) -> int:
    return await retention.purge_orders(conn, older_than_days=90, orders_max=10)


async def missed(conn: Connection) -> int:
    (shown,) = await webhooks.list_subscriptions(conn)
    return int(shown["missed"])


async def settle_all(conn: Connection, **verdict: Any) -> None:
    claimed = await webhooks.claim_deliveries(conn, {}, slots_max=100, lease_s=60.0)
    assert claimed
    settlements = [webhooks.Settlement(delivery, **verdict) for delivery in claimed]
    await webhooks.settle_deliveries(conn, settlements, disable_after_s=60.0)


async def test_an_event_is_kept_until_a_delivery_of_it_was_made_and_has_ended(
    conn: Connection, pool: Pool, receiver: Receiver
) -> None:
    await old(conn)
    await subscribed(pool, receiver)
    assert await purged(conn) == 0, "no delivery was made yet"
    await webhooks.fan_out(conn, limit=100, waiting_max=100)
    assert await purged(conn) == 0, "it waits"
    await settle_all(conn)

    assert await purged(conn) == 1
    assert await missed(conn) == 0


async def test_a_dead_letter_is_removed_with_its_order(conn: Connection, pool: Pool, receiver: Receiver) -> None:
    await old(conn)
    await subscribed(pool, receiver)
    await webhooks.fan_out(conn, limit=100, waiting_max=100)
    await settle_all(conn, error="answered 500")
    assert await webhooks.count_dead(conn) == 2

    assert await purged(conn) == 1
    assert (await webhooks.count_dead(conn), await missed(conn)) == (0, 0)


@pytest.mark.parametrize("made", [True, False], ids=["waiting", "not made"])
async def test_a_webhook_that_is_disabled_keeps_nothing_and_what_it_loses_is_counted(
    conn: Connection, pool: Pool, receiver: Receiver, made: bool
) -> None:
    await old(conn)
    await subscribed(pool, receiver, types=["Told"])
    if made:
        await webhooks.fan_out(conn, limit=100, waiting_max=100)
    assert await webhooks.disable_subscription(conn, "one", "a test")

    assert await purged(conn) == 1
    assert await missed(conn) == 1, "the other event was not of its type"


async def test_a_webhook_of_a_client_misses_nothing_of_others(conn: Connection, pool: Pool, receiver: Receiver) -> None:
    await old(conn)
    await subscribed(pool, receiver, "theirs", client_id="theirs")
    await subscribed(pool, receiver, "ours", client_id="ours")
    for name in ("theirs", "ours"):
        assert await webhooks.disable_subscription(conn, name, "a test")

    assert await purged(conn) == 1
    assert {each["name"]: each["missed"] for each in await webhooks.list_subscriptions(conn)} == {"ours": 2, "theirs": 0}


async def test_a_webhook_of_a_client_gets_its_own_after_a_dump_was_restored(
    conn: Connection, pool: Pool, receiver: Receiver
) -> None:
    own, _ = await place(conn, "ours"), await place(conn, "theirs")
    await subscribed(pool, receiver, client_id="ours")
    await conn.execute("select restart_feed()")

    claimed = await webhooks.claim_deliveries(conn, {}, slots_max=100, lease_s=60.0)
    assert {delivery.order_ledger_id for delivery in claimed} == {own}


async def test_a_webhook_goes_on_where_it_stood_after_a_dump_was_restored(
    conn: Connection, pool: Pool, receiver: Receiver
) -> None:
    order = await place(conn)
    await subscribed(pool, receiver)
    await webhooks.fan_out(conn, limit=100, waiting_max=100)
    await settle_all(conn)
    await tell(conn, order, "NotYetSent")
    # Transactions of the server that the dump came from had higher ids.
    await conn.execute("update outbox set transaction_id = (transaction_id::text::bigint + 1000000)::text::xid8")
    await conn.execute("update event_subscription set transaction_id = (transaction_id::text::bigint + 1000000)::text::xid8")
    await conn.execute("select restart_feed()")
    await tell(conn, order, "New")

    await webhooks.fan_out(conn, limit=100, waiting_max=100)
    claimed = await webhooks.claim_deliveries(conn, {}, slots_max=100, lease_s=60.0)
    assert [delivery.type for delivery in claimed] == ["NotYetSent", "New"]
