"""What the shipping and the notifications service promise."""

import asyncio
import re

from tests.integration.participants.service import Participant

SHIPMENT = {
    "shipment_id": "s1",
    "order_id": "o1",
    "address": {"name": "Ada", "lines": ["1 High St"], "city": "London", "postal_code": "N1", "country": "GB"},
}
MESSAGE = {"notification_id": "n1", "order_id": "o1", "customer_id": "17850", "template": "order_confirmed"}


async def test_a_shipment_is_scheduled_and_called_off(shipping: Participant) -> None:
    scheduled = await shipping.post("/shipments", SHIPMENT)
    found = await shipping.get("/shipments/s1")
    cancelled = await shipping.delete("/shipments/s1")

    tracking = scheduled.json["tracking"]
    assert (scheduled.status, scheduled.json) == (
        201,
        {"shipment_id": "s1", "order_id": "o1", "status": "scheduled", "tracking": tracking},
    )
    assert re.fullmatch(r"SL[0-9A-F]{14}", tracking)
    assert found.json == scheduled.json
    assert (cancelled.status, cancelled.json) == (200, {"shipment_id": "s1", "status": "cancelled"})
    assert await shipping.kinds("o1") == ["shipment_scheduled", "shipment_cancelled"]
    assert await shipping.balance() == {}


async def test_goods_that_are_collected_need_no_address(shipping: Participant) -> None:
    scheduled = await shipping.post("/shipments", {"shipment_id": "s1", "order_id": "o1"})

    assert scheduled.status == 201


async def test_twenty_duplicates_at_once_ship_once(shipping: Participant) -> None:
    answers = await asyncio.gather(*(shipping.post("/shipments", SHIPMENT, key="k") for _ in range(20)))

    assert {(answer.status, answer.body) for answer in answers} == {(201, answers[0].body)}
    assert await shipping.kinds() == ["shipment_scheduled"]


async def test_calling_off_first_refuses_the_late_shipment(shipping: Participant) -> None:
    cancelled = await shipping.delete("/shipments/s1", key="k")
    again = await shipping.delete("/shipments/s1", key="k")
    late = await shipping.post("/shipments", SHIPMENT)
    unknown = await shipping.get("/shipments/s1")

    assert cancelled.status == 200
    assert again.replayed
    assert again.body == cancelled.body
    assert (late.status, late.problem) == (409, "fenced")
    assert (unknown.status, unknown.problem) == (404, "unknown-shipment")
    assert await shipping.effects() == []


async def test_goods_that_have_left_cannot_be_called_off(shipping: Participant) -> None:
    await shipping.post("/shipments", SHIPMENT)
    async with await shipping.connect() as connection:
        await connection.execute("update shipment set status = 'shipped'")

    refused = await shipping.delete("/shipments/s1")

    assert (refused.status, refused.problem) == (409, "already-shipped")
    assert await shipping.balance() == {"shipments": 1}


async def test_a_message_is_sent_once(notifications: Participant) -> None:
    answers = await asyncio.gather(*(notifications.post("/notifications", MESSAGE, key="k") for _ in range(20)))
    listed = await notifications.get("/notifications?order_id=o1")
    others = await notifications.get("/notifications?order_id=o2")
    unnamed = await notifications.get("/notifications")

    assert {(answer.status, answer.body) for answer in answers} == {(201, answers[0].body)}
    assert answers[0].json == {"notification_id": "n1", "order_id": "o1", "status": "sent"}
    assert [{**found, "sent_at": None} for found in listed.json["notifications"]] == [
        {**MESSAGE, "reference": None, "status": "sent", "sent_at": None}
    ]
    assert others.json == {"notifications": []}
    assert (unnamed.status, unnamed.json["errors"][0]["pointer"]) == (422, "/order_id")
    assert await notifications.kinds() == ["notification_sent"]


async def test_another_message_under_the_same_key_is_refused(notifications: Participant) -> None:
    await notifications.post("/notifications", MESSAGE, key="k")

    other = await notifications.post("/notifications", {**MESSAGE, "template": "other"}, key="k")

    assert (other.status, other.problem) == (422, "key-reused")


async def test_a_message_says_what_it_names(notifications: Participant) -> None:
    sent = await notifications.post("/notifications", {**MESSAGE, "reference": "SL1"})
    refused = await notifications.post("/notifications", {**MESSAGE, "notification_id": "n2", "reference": "x" * 129})

    assert (sent.status, refused.status) == (201, 422)
    assert [found["reference"] for found in (await notifications.get("/notifications?order_id=o1")).json["notifications"]] == [
        "SL1"
    ]
