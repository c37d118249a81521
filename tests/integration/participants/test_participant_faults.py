"""Scripted misbehaviour does what its mode says, and only where it may."""

import asyncio

import pytest
from aiohttp import ServerDisconnectedError

from tests.integration.participants.service import Participant, StartParticipant

MESSAGE = {"notification_id": "n1", "order_id": "o1", "customer_id": "17850", "template": "order_confirmed"}


async def send(notifications: Participant) -> tuple[int, bytes]:
    answer = await notifications.post("/notifications", MESSAGE, key="k")
    return answer.status, answer.body


@pytest.mark.parametrize(("mode", "status"), [("reject", 422), ("error", 500)])
async def test_a_fault_before_the_effect_leaves_none(notifications: Participant, mode: str, status: int) -> None:
    assert (await notifications.post("/test/fail-next", {"count": 2, "mode": mode})).status == 204

    assert [(await send(notifications))[0] for _ in range(2)] == [status, status]
    assert await notifications.effects() == []
    assert (await send(notifications))[0] == 201


async def test_an_error_after_the_effect_loses_only_the_answer(notifications: Participant) -> None:
    await notifications.post("/test/fail-next", {"count": 1, "mode": "error_after"})

    assert (await send(notifications))[0] == 500
    assert await notifications.kinds() == ["notification_sent"]
    assert (await send(notifications))[0] == 201
    assert await notifications.kinds() == ["notification_sent"]


async def test_a_dropped_connection_comes_after_the_effect(notifications: Participant) -> None:
    await notifications.post("/test/fail-next", {"count": 1, "mode": "drop_after"})

    with pytest.raises((ServerDisconnectedError, ConnectionResetError)):
        await send(notifications)
    assert await notifications.kinds() == ["notification_sent"]


async def test_garbage_comes_after_the_effect(notifications: Participant) -> None:
    await notifications.post("/test/fail-next", {"count": 1, "mode": "garbage"})

    assert await send(notifications) == (200, b'{"garbage": true}')
    assert await notifications.kinds() == ["notification_sent"]


async def test_a_refusal_is_lost_like_any_other_answer(notifications: Participant) -> None:
    await notifications.post("/test/fail-next", {"count": 1, "mode": "error_after"})

    refused = await notifications.post("/notifications", {**MESSAGE, "template": ""})

    assert (refused.status, refused.problem) == (500, "scripted-error")


async def test_a_read_is_struck_only_where_its_path_is_named(orders: Participant) -> None:
    await orders.post("/customers", {"customer_id": "17850"})
    await orders.post("/test/fail-next", {"count": 1, "mode": "error"})
    assert (await orders.get("/customers/17850")).status == 200
    await orders.post("/test/reset", {})

    await orders.post("/test/fail-next", {"count": 1, "mode": "error", "path": "/customers/17850"})

    assert [(await orders.get("/customers/17850")).status for _ in range(2)] == [500, 200]


async def test_a_fault_strikes_only_its_path(payments: Participant) -> None:
    await payments.post("/test/fail-next", {"count": 1, "mode": "error", "path": "/payments/void"})

    refund = await payments.post("/payments/refund/a", {"order_id": "o1"})
    void = await payments.post("/payments/void/a", {"order_id": "o1"})

    assert (refund.status, void.status) == (200, 500)


async def test_faults_spare_everything_but_calls_of_a_saga(inventory: Participant) -> None:
    await inventory.post("/test/fail-next", {"count": 1, "mode": "error"})

    assert (await inventory.get("/healthz")).status == 200
    assert (await inventory.get("/metrics")).status == 200
    assert (await inventory.get("/effects")).status == 200
    assert (await inventory.post("/inventory/products", {"sku": "mug", "name": "Mug"})).status == 201
    assert (await inventory.delete("/inventory/reservations/o1")).status == 500


async def test_a_delay_comes_before_the_work_and_ends(notifications: Participant) -> None:
    await notifications.post("/test/delay", {"count": 1, "ms": 150})
    loop = asyncio.get_running_loop()

    started = loop.time()
    assert (await send(notifications))[0] == 201

    assert loop.time() - started >= 0.15


async def test_a_delayed_action_is_overtaken_by_its_undo(inventory: Participant) -> None:
    await inventory.post("/inventory/products", {"sku": "mug", "name": "Mug", "initial_stock": 1})
    await inventory.post("/test/delay", {"count": 1, "ms": 300, "path": "/inventory/reservations"})
    reserve = {"order_id": "o1", "lines": [{"sku": "mug", "quantity": 1}]}

    late = asyncio.create_task(inventory.post("/inventory/reservations", reserve))
    await asyncio.wait([late], timeout=0.1)  # the action is in its delay, where nothing can be watched
    released = await inventory.delete("/inventory/reservations/o1")

    assert released.status == 200
    assert ((await late).status, (await late).problem) == (409, "fenced")
    assert await inventory.effects() == []


async def test_reset_forgets_the_script(notifications: Participant) -> None:
    await notifications.post("/test/fail-next", {"count": 9, "mode": "error"})
    await notifications.post("/test/delay", {"count": 9, "ms": 60_000})

    assert (await notifications.post("/test/reset")).status == 204

    assert (await send(notifications))[0] == 201


async def test_a_mode_that_does_not_exist_is_refused(notifications: Participant) -> None:
    refused = await notifications.post("/test/fail-next", {"count": 1, "mode": "explode"})

    assert (refused.status, refused.json["errors"][0]["pointer"]) == (422, "/mode")


@pytest.mark.parametrize("path", ["/test/fail-next", "/test/delay", "/test/reset"])
async def test_without_the_setting_nobody_can_script_faults(start: StartParticipant, path: str) -> None:
    notifications = await start("notifications", faults=False)

    refused = await notifications.post(path, {"count": 1, "mode": "error", "ms": 1})

    assert (refused.status, refused.problem) == (404, "not-found")
