"""What is really told of orders: every event fits its type, none is missing from the catalogue, and none names a person."""

from collections.abc import AsyncIterator
from typing import Any

import orjson
import psycopg
import pytest

from orchestrator.events import CATALOGUE, OrderEvent, StepEvent, read_event
from orchestrator.identity import order_id
from orchestrator.outcome import Rejected
from orchestrator.saga import Saga
from orchestrator.sagas import SHIPPED
from orchestrator.sagas.place_order import PLACE_ORDER
from sql import events, reading
from sql.events import StoredEvent, document
from tests.integration.audit.shop import Shop, place_every_shape, scripted
from tests.integration.ledger.outbox import settle

PERSON = "Ada Lovelace"
ADDRESS = {"name": PERSON, "lines": ("1 St James's Square",), "city": "London", "postal_code": "SW1Y", "country": "GB"}


@pytest.fixture
async def shop(ledger_url: str) -> AsyncIterator[Shop]:
    async with await psycopg.AsyncConnection.connect(ledger_url, autocommit=True) as conn:
        opened = Shop(conn, scripted())
        await opened.open()
        yield opened


async def told(shop: Shop) -> list[StoredEvent]:
    await settle(shop.conn)
    page = await events.read_feed(shop.conn, None, limit=1_000)
    assert not page.has_more
    return list(page.events)


def as_consumers_read_it(event: StoredEvent) -> OrderEvent:
    return read_event(orjson.loads(orjson.dumps(document(event), option=orjson.OPT_UTC_Z)))


async def test_everything_that_is_told_fits_its_type_and_every_type_is_told(shop: Shop) -> None:
    await place_every_shape(shop)
    await shop.place("not_to_be_had", scripted(capture_payment=Rejected("limit reached")))

    stored = await told(shop)

    for event in stored:
        typed = as_consumers_read_it(event)
        assert type(typed) is CATALOGUE[event.type]
        order = await reading.get_order(shop.conn, event.order_ledger_id, None)
        assert order is not None
        shown = typed.data.model_dump(mode="json", exclude={"version", "status", "step"})
        ids = {name: order[name] and str(order[name]) for name in ("order_ledger_id", "parent_id")}
        assert shown == {name: order[name] for name in shown} | ids
        assert event.data.keys() | {"parent_id"} == typed.data.__class__.model_fields.keys()
        if isinstance(typed, StepEvent):
            assert typed.data.step in [step["name"] for step in order["steps"]]
    # This shop places orders of one saga; what the steps of the others tell of, their acceptance tests read.
    elsewhere = {type for saga in SHIPPED for type in types_of_steps(saga)} - types_of_steps(PLACE_ORDER)
    assert {event.type for event in stored} == CATALOGUE.keys() - elsewhere


def types_of_steps(saga: Saga[Any]) -> set[str]:
    return {type for step in saga.calls for type in (step.on_success, step.on_rejection, step.on_undo) if type}


async def test_an_order_tells_its_story_in_order(shop: Shop) -> None:
    await shop.place("one")
    await shop.place("two", scripted(capture_payment=Rejected("limit reached")))

    stored = await told(shop)

    one, two = (
        [(event.type, event.data["status"]) for event in stored if event.order_ledger_id == order_id("client", key)]
        for key in ("one", "two")
    )
    assert one == [
        ("OrderReceived", "RECEIVED"),
        ("PaymentAuthorized", "PENDING"),
        ("OrderCreated", "RUNNING"),
        ("StockReserved", "RUNNING"),
        ("PaymentCaptured", "RUNNING"),
        ("OrderConfirmed", "COMPLETED"),
        ("OrderCompleted", "COMPLETED"),
    ]
    assert [type for type, _ in two] == [
        "OrderReceived",
        "PaymentAuthorized",
        "OrderCreated",
        "StockReserved",
        "PaymentFailed",
        "OrderCompensating",
        "StockReleased",
        "PaymentVoided",
        "OrderFailed",
    ]


async def test_an_event_names_no_person(shop: Shop) -> None:
    await shop.place("one", shipping_address=ADDRESS)

    text = b"".join(orjson.dumps(document(event)) for event in await told(shop))

    assert text
    for part in (PERSON, "St James", "SW1Y", "London"):
        assert part.encode() not in text
