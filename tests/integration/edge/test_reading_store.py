"""What the ledger tells of orders, through real rows with real journals."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import psycopg
import pytest

from orchestrator.identity import order_id
from orchestrator.outcome import Rejected, Unknown
from sql import reading
from sql.reading import decode_cursor, encode_cursor, position_of
from tests.integration.audit.shop import Shop, scripted

HIDDEN = {"lease_owner", "lease_epoch", "lease_expires_at", "request_hash", "chain_head", "response_body", "response_status"}


@pytest.fixture
async def shop(ledger_url: str) -> AsyncIterator[Shop]:
    async with await psycopg.AsyncConnection.connect(ledger_url, autocommit=True) as conn:
        opened = Shop(conn, scripted())
        await opened.open()
        yield opened


def _id(key: str) -> UUID:
    return order_id("client", key)


async def _place_some(shop: Shop) -> None:
    """Place one order in each of five statuses, each under the key that names it."""
    unclear, refused = Unknown("no answer in time"), Rejected("not possible")
    await shop.place("completed")
    await shop.place("declined", scripted(authorize_payment=refused))
    await shop.place("failed", scripted(reserve_inventory=refused))
    await shop.place("stuck", scripted(reserve_inventory=refused, create_order_undo=refused))
    await shop.place("waiting", scripted(create_order=unclear))


async def _all_pages(shop: Shop, limit: int) -> list[UUID]:
    seen: list[UUID] = []
    cursor = None
    while page := await reading.list_orders(shop.conn, cursor=cursor, limit=limit):
        assert len(page) <= limit
        seen.extend(row["order_ledger_id"] for row in page)
        cursor = decode_cursor(encode_cursor(position_of(page[-1])))
    return seen


async def test_an_order_is_shown_with_items_and_steps_in_order(shop: Shop) -> None:
    await shop.place("one")

    order = await reading.get_order(shop.conn, _id("one"), "client")

    assert order is not None
    assert (order["status"], order["total_minor"], order["client_request_id"]) == ("COMPLETED", 800, "one")
    assert [(item["line"], item["sku"], item["quantity"]) for item in order["items"]] == [(1, "tea", 2), (2, "cup", 1)]
    assert [step["name"] for step in order["steps"]] == [
        "authorize_payment",
        "create_order",
        "reserve_inventory",
        "capture_payment",
        "confirm_order",
    ]
    for step in order["steps"]:
        assert (step["state"], step["attempts"], step["error"]) == ("succeeded", 1, None)
        assert order["created_at"] - timedelta(seconds=1) <= step["started_at"] <= step["finished_at"] <= datetime.now(UTC)


async def test_steps_tell_of_attempts_and_the_last_error(shop: Shop) -> None:
    refusing = scripted(create_order_1=Unknown("no answer"), reserve_inventory=Rejected("sold out"))
    await shop.place("failed", refusing)
    await shop.retry_now()
    await shop.run(refusing)

    order = await reading.get_order(shop.conn, _id("failed"), None)

    assert order is not None
    steps = {step["name"]: step for step in order["steps"]}
    assert (steps["create_order"]["state"], steps["create_order"]["attempts"]) == ("compensated", 2)
    assert (steps["reserve_inventory"]["state"], steps["reserve_inventory"]["error"]) == ("rejected", "sold out")
    assert steps["confirm_order"] == {
        "name": "confirm_order",
        "state": "pending",
        "attempts": 0,
        "started_at": None,
        "finished_at": None,
        "error": None,
    }


async def test_a_step_that_waits_has_not_finished(shop: Shop) -> None:
    await shop.place("waiting", scripted(create_order=Unknown("no answer")))

    order = await reading.get_order(shop.conn, _id("waiting"), None)

    assert order is not None
    step = order["steps"][1]
    assert (step["state"], step["finished_at"], step["error"]) == ("unknown", None, "no answer")
    assert step["started_at"] is not None
    assert order["next_retry_at"] > order["updated_at"]


async def test_an_error_that_was_overcome_is_not_shown(shop: Shop) -> None:
    await shop.place("late", scripted(create_order_1=Unknown("no answer")))
    await shop.retry_now()
    await shop.run()

    order = await reading.get_order(shop.conn, _id("late"), None)

    assert order is not None
    assert (order["steps"][1]["attempts"], order["steps"][1]["error"]) == (2, None)


async def test_nothing_internal_is_returned(shop: Shop) -> None:
    await shop.receive("one")

    one = await reading.get_order(shop.conn, _id("one"), None)
    (listed,) = await reading.list_orders(shop.conn, limit=10)

    assert one is not None
    assert not HIDDEN & one.keys()
    assert not HIDDEN & listed.keys()


async def test_another_clients_order_is_absent(shop: Shop) -> None:
    await shop.place("one")

    assert await reading.get_order(shop.conn, _id("one"), "other") is None
    assert await reading.get_journal(shop.conn, _id("one"), "other") is None
    assert await reading.list_orders(shop.conn, client_id="other", limit=10) == []
    assert len(await reading.list_orders(shop.conn, client_id="client", limit=10)) == 1


async def test_the_journal_is_whole(shop: Shop) -> None:
    await shop.place("one")

    journal = await reading.get_journal(shop.conn, _id("one"))

    assert journal is not None
    assert [entry["seq"] for entry in journal] == list(range(1, len(journal) + 1))
    assert (journal[0]["kind"], journal[0]["step"]) == ("intent", "authorize_payment")
    # What is written at once has one hash, on its last entry.
    assert {len(bytes.fromhex(entry["hash"])) for entry in journal} == {0, 32}
    assert len(bytes.fromhex(journal[-1]["hash"])) == 32
    assert await reading.get_journal(shop.conn, uuid4()) is None


@pytest.mark.parametrize("limit", [1, 2, 3, 100])
async def test_paging_is_stable_where_times_are_equal(shop: Shop, limit: int) -> None:
    ids = {(await shop.receive(f"key-{number}")).row.order_ledger_id for number in range(7)}
    await shop.conn.execute(
        "update order_ledger set created_at = '2026-01-01T00:00:00.123457Z' where client_request_id > 'key-2'"
    )

    seen = await _all_pages(shop, limit)

    assert len(seen) == 7
    assert set(seen) == ids


async def test_an_order_recorded_meanwhile_is_not_put_into_the_pages_that_follow(shop: Shop) -> None:
    for number in range(3):
        await shop.receive(f"key-{number}")
    first = await reading.list_orders(shop.conn, limit=2)

    await shop.receive("later")
    rest = await reading.list_orders(shop.conn, cursor=position_of(first[-1]), limit=10)

    assert [row["client_request_id"] for row in (*first, *rest)] == ["key-2", "key-1", "key-0"]


async def test_filters_leave_what_they_ask_for(shop: Shop) -> None:
    await _place_some(shop)
    await shop.receive("mine", customer_id="4711")
    await shop.conn.execute(
        """update order_ledger set metadata = '{"channel": "web", "n": 5}' where client_request_id = 'mine'"""
    )

    async def keys(**filters: object) -> list[str]:
        return [row["client_request_id"] for row in await reading.list_orders(shop.conn, limit=50, **filters)]  # type: ignore[arg-type]

    assert await keys(statuses=["STUCK"]) == ["stuck"]
    assert set(await keys(statuses=["STUCK", "DECLINED"])) == {"stuck", "declined"}
    assert await keys(customer_id="4711") == ["mine"]
    assert await keys(client_request_id="failed") == ["failed"]
    assert await keys(metadata={"channel": "web", "n": "5"}) == ["mine"]
    assert await keys(metadata={"channel": "web", "missing": "5"}) == []
    assert await keys(saga="place_order", metadata={"channel": "shop"}) == []
    assert await keys(saga="other") == []
    assert await keys(since=datetime.now(UTC) + timedelta(hours=1)) == []
    assert len(await keys(since=datetime.now(UTC) - timedelta(hours=1))) == 6


async def test_statistics_tell_what_is_active_and_what_ended(shop: Shop) -> None:
    await _place_some(shop)

    told = await reading.statistics(shop.conn)

    assert told["active"] == {"place_order": {"RUNNING": 1, "STUCK": 1}}
    assert told["unfinished"] == {"RUNNING": 1, "STUCK": 1}
    assert told["stuck"] == 1
    assert told["oldest_unfinished_age_s"] > 0
    assert [(a["status"], a["step"], a["orders"]) for a in told["active_at"]] == [
        ("RUNNING", "create_order", 1),
        ("STUCK", "create_order", 1),  # which could not be undone
    ]
    assert told["finished"] == {"COMPLETED": 1, "DECLINED": 1, "FAILED": 1}
    assert 0 < told["p50_s"] <= told["p95_s"] <= told["p99_s"]
    assert (told["orders"], told["window_s"]) == (5, 3600)
    assert (told["started_per_s"], told["finished_per_s"]) == pytest.approx((5 / 3600, 3 / 3600))
    (saga,) = told["sagas"]
    assert (saga["saga"], saga["finished"], saga["completed"], saga["p95_s"]) == ("place_order", 3, 1, told["p95_s"])
    assert told["outbox_rows"] > 9
    assert told["outbox_pending"] == 0
    active = await reading.count_active(shop.conn)
    assert {key: of.orders for key, of in active.items()} == {("place_order", "RUNNING"): 1, ("place_order", "STUCK"): 1}
    assert active["place_order", "STUCK"].oldest_s > 0


async def test_statistics_tell_of_every_step_what_its_calls_came_to(shop: Shop) -> None:
    await _place_some(shop)

    steps = {(step["step"], step["direction"]): step for step in (await reading.statistics(shop.conn))["steps"]}

    outcomes = ("attempts", "succeeded", "rejected", "unknown")
    assert {name: tuple(step[outcome] for outcome in outcomes) for name, step in steps.items()} == {
        ("authorize_payment", "action"): (5, 4, 1, 0),
        ("create_order", "action"): (4, 3, 0, 1),
        ("reserve_inventory", "action"): (3, 1, 2, 0),
        ("capture_payment", "action"): (1, 1, 0, 0),
        ("confirm_order", "action"): (1, 1, 0, 0),
        ("create_order", "compensation"): (2, 1, 1, 0),
        ("authorize_payment", "compensation"): (2, 2, 0, 0),
    }
    created = steps["create_order", "action"]
    assert (created["p50_ms"], created["p95_ms"], created["p99_ms"]) == (1.5, 1.5, 1.5)
    assert created["succeeded_per_s"] == pytest.approx(3 / 3600)


async def test_statistics_tell_where_orders_failed_and_whether_undoing_worked(shop: Shop) -> None:
    unclear_first = scripted(create_order_1=Unknown("no answer"), reserve_inventory=Rejected("sold out"))
    await shop.place("overcome", unclear_first)
    await shop.retry_now()
    await shop.run(unclear_first)
    await _place_some(shop)
    await shop.place("late", scripted(create_order_1=Unknown("no answer")))  # waits, and may yet succeed: no failure

    told = await reading.statistics(shop.conn)

    points = {(point["step"], point["direction"], point["outcome"]): point["orders"] for point in told["failure_points"]}
    assert points == {
        ("reserve_inventory", "action", "rejected"): 3,
        ("authorize_payment", "action", "rejected"): 1,
        ("create_order", "compensation", "rejected"): 1,
    }
    assert told["compensation"] == {"operations": 6, "succeeded": 5, "success_share": 5 / 6}


async def test_statistics_look_back_as_far_as_they_are_told(shop: Shop) -> None:
    await shop.place("old")
    await shop.place("waiting", scripted(create_order=Unknown("no answer")))
    await shop.conn.execute("alter table ledger_journal disable trigger user")
    await shop.conn.execute(
        "update order_ledger set created_at = created_at - interval '3 h', finished_at = finished_at - interval '2 h'"
    )
    await shop.conn.execute("update ledger_journal set at = at - interval '3 h'")
    await shop.place("new")

    hour, day = await reading.statistics(shop.conn), await reading.statistics(shop.conn, window_s=86_400)

    assert (hour["finished"], day["finished"]) == ({"COMPLETED": 1}, {"COMPLETED": 2})
    attempts = [{step["step"]: step["attempts"] for step in told["steps"]} for told in (hour, day)]
    assert [(of["authorize_payment"], of["create_order"], of["confirm_order"]) for of in attempts] == [(1, 1, 1), (3, 3, 2)]
    assert (hour["window_s"], day["window_s"]) == (3_600, 86_400)


async def test_statistics_of_more_orders_than_are_looked_at_say_how_far_back_they_reach(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "SAMPLE", 2)
    for key in ("first", "second", "third"):
        await shop.place(key)

    told = await reading.statistics(shop.conn)

    assert told["finished"] == {"COMPLETED": 2}
    assert 0 < told["window_s"] < 600
    assert told["finished_per_s"] == pytest.approx(2 / told["window_s"])
    assert told["started_per_s"] > 3 / 600


async def test_statistics_of_an_empty_ledger(shop: Shop) -> None:
    told = await reading.statistics(shop.conn)

    assert (told["active"], told["stuck"], told["oldest_unfinished_age_s"], told["p50_s"]) == ({}, 0, None, None)
    assert (told["orders"], told["steps"], told["failure_points"], told["started_per_s"]) == (0, [], [], 0)
    assert told["compensation"] == {"operations": 0, "succeeded": 0, "success_share": None}


def test_a_cursor_comes_back_as_it_was() -> None:
    position = datetime(2026, 7, 1, 12, 0, 0, 123457, tzinfo=UTC), uuid4()

    assert decode_cursor(encode_cursor(position)) == position


async def test_any_text_of_a_cursors_form_is_one_though_no_order_is_so_old_or_so_new(shop: Shop) -> None:
    await shop.place("one")
    for text, years in (("f" + "_" * 31, 9999), ("g" + "A" * 31, 1)):
        position = decode_cursor(text)
        assert position[0].year == years
        assert bool(await reading.list_orders(shop.conn, cursor=position, limit=1)) is (years == 9999)


@pytest.mark.parametrize("garbage", ["", "x", "é", "A" * 32 + "!", "A" * 31, "A" * 33, "\0" * 32, "A" * 31 + "!"])
def test_garbage_is_no_cursor(garbage: str) -> None:
    with pytest.raises(ValueError, match="no cursor"):
        decode_cursor(garbage)
