"""Events are sent, signed, until they are answered; one receiver's trouble is its own."""

import asyncio
import base64
import hashlib
import hmac
import time
from collections.abc import Callable
from typing import Any
from uuid import UUID

import pytest

from orchestrator.events import read_event
from orchestrator.webhooks import sending as loop
from sql import webhooks
from sql.connect import Pool
from tests.acceptance.stack_shop import eventually
from tests.integration.ledger.outbox import Connection, place, tell
from tests.integration.webhooks.receiver import SECRET, Receiver, hangs, says, sending, subscribed


async def rows(pool: Pool) -> list[dict[str, Any]]:
    async with pool.connection() as conn:
        cursor = await conn.execute("select to_jsonb(d) from event_delivery d order by next_retry_at")
        return [row[0] for row in await cursor.fetchall()]


def signatures(delivery: Any, *secrets: str) -> set[str]:
    """What the specification says of how a delivery is signed, computed by itself."""
    signed = f"{delivery.headers['webhook-id']}.{delivery.headers['webhook-timestamp']}.".encode() + delivery.body
    keys = [base64.b64decode(secret.removeprefix("whsec_")) for secret in secrets]
    return {"v1," + base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode() for key in keys}


def seen(receiver: Receiver, path: str, number: int) -> Callable[[], None]:
    def look() -> None:
        assert len(receiver.of(path)) >= number

    return look


def settled(pool: Pool, **wanted: Any) -> Callable[[], Any]:
    """Look until each delivery is delivered, or each dead."""

    async def look() -> list[dict[str, Any]]:
        found = await rows(pool)
        assert found
        assert all(bool(row["delivered_at"]) is wanted["delivered"] for row in found), found
        assert all(bool(row["dead_at"]) is not wanted["delivered"] for row in found), found
        return found

    return look


async def test_an_event_is_sent_as_the_feed_has_it_and_signed(
    conn: Connection, pool: Pool, ledger_url: str, receiver: Receiver
) -> None:
    order = await place(conn)
    await subscribed(pool, receiver)
    async with sending(pool, ledger_url):
        await eventually(settled(pool, delivered=True))

    (delivery,) = receiver.of("/one")
    event = read_event(delivery.event)
    assert (event.type, event.order_ledger_id, event.seq) == ("OrderReceived", order, 0)
    assert delivery.headers["webhook-id"] == str(event.id)
    assert abs(int(delivery.headers["webhook-timestamp"]) - time.time()) < 60
    assert set(delivery.headers["webhook-signature"].split(" ")) == signatures(delivery, SECRET)
    assert delivery.headers["content-type"] == "application/json"
    (row,) = await rows(pool)
    assert (row["attempts"], row["error"]) == (1, None)


async def test_while_a_secret_takes_anothers_place_both_sign(
    conn: Connection, pool: Pool, ledger_url: str, receiver: Receiver
) -> None:
    order, new, newest = await place(conn), "whsec_" + "bmV3" * 8, "whsec_" + "bmV3ZXN0" * 4
    await subscribed(pool, receiver)
    async with sending(pool, ledger_url) as sender:
        await eventually(seen(receiver, "/one", 1))
        for number, (secret, grace_s) in enumerate(((new, 60.0), (newest, 0.0)), 2):
            assert await webhooks.rotate_secret(conn, "one", secret, grace_s=grace_s)
            await tell(conn, order)
            sender.wake()
            await eventually(seen(receiver, "/one", number))

    _, second, third = receiver.of("/one")
    assert set(second.headers["webhook-signature"].split(" ")) == signatures(second, new, SECRET)
    assert second.headers["webhook-signature"].split(" ")[0] in signatures(second, new)
    assert set(third.headers["webhook-signature"].split(" ")) == signatures(third, newest)


async def test_a_subscription_gets_the_types_it_asked_for(
    conn: Connection, pool: Pool, ledger_url: str, receiver: Receiver
) -> None:
    order = await place(conn)
    for type in ("Other", "Wanted", "Other", "Wanted"):
        await tell(conn, order, type)
    await subscribed(pool, receiver, types=["Wanted", "NeverTold"])
    async with sending(pool, ledger_url):
        await eventually(settled(pool, delivered=True))

    assert [delivery.event["type"] for delivery in receiver.of("/one")] == ["Wanted", "Wanted"]


async def test_a_subscription_of_a_client_gets_events_of_its_orders_only(
    conn: Connection, pool: Pool, ledger_url: str, receiver: Receiver
) -> None:
    own, others = await place(conn, "ours"), await place(conn, "theirs")
    for order in (others, own, others):
        await tell(conn, order)
    await subscribed(pool, receiver, client_id="ours")
    await subscribed(pool, receiver, "all")
    await subscribed(pool, receiver, "nobodys", client_id="nobody")
    async with sending(pool, ledger_url):
        await eventually(settled(pool, delivered=True))

    told = {
        name: [delivery.event["order_ledger_id"] for delivery in receiver.of(f"/{name}")] for name in ("one", "all", "nobodys")
    }
    assert set(told["one"]) == {str(own)}
    assert set(told["all"]) == {str(own), str(others)}
    assert told["nobodys"] == []


async def test_a_subscription_begins_with_what_comes_after_it(
    conn: Connection, pool: Pool, ledger_url: str, receiver: Receiver
) -> None:
    order = await place(conn)
    await tell(conn, order, "Before")
    await subscribed(pool, receiver, from_start=False)
    await tell(conn, order, "After")
    async with sending(pool, ledger_url):
        await eventually(settled(pool, delivered=True))

    assert [delivery.event["type"] for delivery in receiver.of("/one")] == ["After"]


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (says(500, "the\x00 till is jammed\x1b[2J"), "answered 500: the till is jammed [2J"),
        (says(404), "answered 404"),
        (says(302, Location="/elsewhere"), "answered 302 (redirects are not followed)"),
        (hangs, "no answer within 0.5 s"),
    ],
    ids=["fails", "refuses", "redirects", "hangs"],
)
async def test_what_is_not_answered_by_2xx_is_tried_again_and_then_dead(
    conn: Connection, pool: Pool, ledger_url: str, receiver: Receiver, answer: Any, error: str
) -> None:
    await place(conn)
    receiver.answers["/one"] = [answer]
    await subscribed(pool, receiver)
    async with sending(pool, ledger_url):
        (row,) = await eventually(settled(pool, delivered=False))

    assert len(receiver.of("/one")) == 3
    assert len({delivery.headers["webhook-id"] for delivery in receiver.of("/one")}) == 1
    assert (row["attempts"], row["error"]) == (3, error)
    assert list(receiver.received) == ["/one"]


async def test_a_receiver_where_none_may_be_is_not_called_and_the_reason_is_kept(
    conn: Connection, pool: Pool, ledger_url: str, receiver: Receiver
) -> None:
    await place(conn)
    await subscribed(pool, receiver)
    async with sending(pool, ledger_url, webhook_private=False):
        (row,) = await eventually(settled(pool, delivered=False))

    assert "which only SAGA_WEBHOOK_PRIVATE=1 lets webhooks have here" in row["error"]
    assert list(receiver.received) == []


async def test_a_receiver_that_is_not_there_is_tried_again_and_heard_when_it_is(
    conn: Connection, pool: Pool, ledger_url: str, receiver: Receiver
) -> None:
    await place(conn)
    receiver.answers["/one?key=value"] = [says(503, **{"Retry-After": "0"}), says(200, "x" * 600_000)]
    await subscribed(pool, receiver, url=f"{receiver.url}/one?key=value")
    async with sending(pool, ledger_url):
        (row,) = await eventually(settled(pool, delivered=True))

    assert (row["attempts"], row["error"]) == (2, None)


async def test_a_pause_that_a_receiver_asks_for_is_kept(
    conn: Connection, pool: Pool, ledger_url: str, receiver: Receiver
) -> None:
    await place(conn)
    receiver.answers["/one"] = [says(429, **{"Retry-After": "120"})]
    await subscribed(pool, receiver)
    async with sending(pool, ledger_url):

        async def look() -> Any:
            assert [row["error"] for row in await rows(pool)] == ["answered 429"]

        await eventually(look)
        cursor = await conn.execute("select extract(epoch from next_retry_at - clock_timestamp()) from event_delivery")
        (left_s,) = (await cursor.fetchone()) or (None,)

    assert 100 < float(left_s) <= 120


async def test_a_receiver_that_hangs_holds_up_no_other(
    conn: Connection, pool: Pool, ledger_url: str, receiver: Receiver
) -> None:
    order = await place(conn)
    await tell(conn, order, count=loop.SLOTS_MAX * 5)
    receiver.answers["/slow"] = [hangs]
    await subscribed(pool, receiver, "slow")
    await subscribed(pool, receiver, "well")
    async with sending(pool, ledger_url, webhook_timeout_s=30.0):
        await eventually(seen(receiver, "/well", loop.SLOTS_MAX * 5 + 1))
        stuck = len(receiver.of("/slow"))

    assert 0 < stuck <= loop.SLOTS_MAX


async def test_a_receiver_that_says_it_is_gone_gets_nothing_more_until_it_is_enabled(
    conn: Connection, pool: Pool, ledger_url: str, receiver: Receiver
) -> None:
    order = await place(conn)
    receiver.answers["/one"] = [says(410), says(204)]
    await subscribed(pool, receiver)
    async with sending(pool, ledger_url) as sender:

        async def disabled() -> None:
            (shown,) = await webhooks.list_subscriptions(conn)
            assert shown["disabled_reason"] == "the receiver answered 410 Gone"

        await eventually(disabled)
        await tell(conn, order, "Meanwhile")
        for _ in range(3):
            await webhooks.fan_out(conn, limit=100, waiting_max=100)
        assert len(receiver.of("/one")) == 1
        assert await webhooks.enable_subscription(conn, "one")
        sender.wake()
        await eventually(seen(receiver, "/one", 3))

    assert [delivery.event["type"] for delivery in receiver.of("/one")][1:] == ["OrderReceived", "Meanwhile"]


async def test_a_receiver_that_answers_nothing_for_days_is_disabled(
    conn: Connection, pool: Pool, ledger_url: str, receiver: Receiver
) -> None:
    await place(conn)
    receiver.answers["/one"] = [says(500)]
    await subscribed(pool, receiver)
    async with sending(pool, ledger_url, webhook_disable_after_days=1e-9, webhook_retry_attempts=100):

        async def disabled() -> None:
            (shown,) = await webhooks.list_subscriptions(conn)
            assert str(shown["disabled_reason"]).startswith("no delivery was answered since ")

        await eventually(disabled)

    (row,) = await rows(pool)
    assert (row["dead_at"], row["delivered_at"]) == (None, None)


async def test_an_attempt_whose_replica_died_is_made_again(
    conn: Connection, pool: Pool, ledger_url: str, receiver: Receiver
) -> None:
    await place(conn)
    await subscribed(pool, receiver)
    await webhooks.fan_out(conn, limit=100, waiting_max=100)
    (lost,) = await webhooks.claim_deliveries(conn, {}, slots_max=10, lease_s=0.2)
    assert await webhooks.claim_deliveries(conn, {}, slots_max=10, lease_s=0.2) == ()

    async with sending(pool, ledger_url):
        (row,) = await eventually(settled(pool, delivered=True))
    await webhooks.settle_deliveries(conn, [webhooks.Settlement(lost, "too late", None)], disable_after_s=60.0)

    assert row["attempts"] == 2
    assert await rows(pool) == [row], "an owner that comes late changes nothing"


async def test_a_replica_that_stops_gives_back_what_is_on_its_way(
    conn: Connection, pool: Pool, ledger_url: str, receiver: Receiver
) -> None:
    await place(conn)
    receiver.answers["/one"] = [hangs, says(204)]
    await subscribed(pool, receiver)
    async with sending(pool, ledger_url, webhook_timeout_s=60.0):
        await eventually(seen(receiver, "/one", 1))
    (row,) = await rows(pool)
    assert row["attempts"] == 0
    async with sending(pool, ledger_url, webhook_timeout_s=60.0):
        await eventually(settled(pool, delivered=True))

    assert len(receiver.of("/one")) == 2


async def test_senders_share_what_is_due_and_each_event_is_sent_once(
    conn: Connection, pool: Pool, ledger_url: str, receiver: Receiver
) -> None:
    order = await place(conn)
    await subscribed(pool, receiver)
    async with sending(pool, ledger_url), sending(pool, ledger_url), sending(pool, ledger_url):
        for number in range(40):
            await tell(conn, order, f"Told{number}", count=5)
        await eventually(seen(receiver, "/one", 201), 60.0)
        await eventually(settled(pool, delivered=True))

    ids = [UUID(delivery.headers["webhook-id"]) for delivery in receiver.of("/one")]
    assert len(ids) == len(set(ids)) == 201


async def test_an_event_that_is_committed_late_is_sent(
    conn: Connection, pool: Pool, ledger_url: str, receiver: Receiver
) -> None:
    order, late_order = await place(conn), await place(conn)
    await subscribed(pool, receiver)
    async with sending(pool, ledger_url), pool.connection() as late, late.transaction():
        await tell(late, late_order, "Late")
        await eventually(seen(receiver, "/one", 2))
        await tell(conn, order, "Early")
        await asyncio.sleep(0.1)
        held = [delivery.event["type"] for delivery in receiver.of("/one")]
    async with sending(pool, ledger_url):
        await eventually(seen(receiver, "/one", 4))

    assert "Early" not in held, "it would have moved the position past the one that comes late"
    assert {delivery.event["type"] for delivery in receiver.of("/one")} == {"OrderReceived", "Late", "Early"}


async def test_the_backlog_of_a_receiver_that_is_away_stays_in_the_outbox(
    conn: Connection, pool: Pool, receiver: Receiver
) -> None:
    order = await place(conn)
    await tell(conn, order, count=50)
    await subscribed(pool, receiver)

    made = [(await webhooks.fan_out(conn, limit=7, waiting_max=20)).made for _ in range(5)]

    assert made == [7, 7, 6, 0, 0]
    claimed = await webhooks.claim_deliveries(conn, {}, slots_max=5, lease_s=60.0)
    await webhooks.settle_deliveries(conn, [webhooks.Settlement(each) for each in claimed], disable_after_s=60.0)
    assert (await webhooks.fan_out(conn, limit=7, waiting_max=20)).made == 5


async def test_what_was_delivered_long_ago_is_removed(
    conn: Connection, pool: Pool, ledger_url: str, receiver: Receiver
) -> None:
    await place(conn)
    await subscribed(pool, receiver)
    async with sending(pool, ledger_url):
        await eventually(settled(pool, delivered=True))
        await conn.execute("update event_delivery set delivered_at = delivered_at - interval '8 days'")
    async with sending(pool, ledger_url):

        async def removed() -> None:
            assert await rows(pool) == []

        await eventually(removed)

    assert len(receiver.of("/one")) == 1
