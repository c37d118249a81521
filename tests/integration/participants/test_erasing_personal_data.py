"""Erasing: nothing of a person is left in a participant's database, and everything that was done stays as it was."""

from typing import Any

import psycopg
import pytest
from psycopg.rows import dict_row

from participants.settings import NAMES, Name
from tests.integration.participants.service import Participant, StartParticipant

CANARY = "Canary Ann"
CUSTOMER = {"customer_id": "17850", "name": CANARY}
SHIPMENT = {"shipment_id": "s1", "order_id": "o1", "address": {"name": CANARY, "lines": ["1"], "city": "L", "country": "GB"}}
MESSAGE = {"notification_id": "n1", "order_id": "o1", "customer_id": "17850", "template": "t", "reference": CANARY}
PAYMENT = {"authorization_id": "a1", "order_id": "o1", "amount_minor": 5, "currency": "GBP", "payment_method": CANARY}
DONE: dict[Name, tuple[str, dict[str, Any]]] = {
    "orders": ("/customers", CUSTOMER),
    "shipping": ("/shipments", SHIPMENT),
    "notifications": ("/notifications", MESSAGE),
    "payments": ("/payments/authorize", PAYMENT),
}
ASKED = {"customer_id": "17850", "order_ids": ["o1", "o2"]}


def rows(participant: Participant) -> list[dict[str, Any]]:
    """Return every row that may say something of a person."""
    with psycopg.connect(participant.database_url, row_factory=dict_row) as conn:
        tables = conn.execute(
            "select relname from pg_class where relkind = 'r' and relnamespace = 'public'::regnamespace and relname !~ 'yoyo'"
        ).fetchall()
        found = [psycopg.sql.SQL("select * from {}").format(psycopg.sql.Identifier(row["relname"])) for row in tables]
        return [row for each in found for row in conn.execute(each).fetchall()]


@pytest.mark.parametrize("name", DONE)
async def test_nothing_of_a_person_is_left_and_a_repeat_is_still_a_repeat(name: Name, start: StartParticipant) -> None:
    participant, (path, body) = await start(name), DONE[name]
    first = await participant.post(path, body, key="k")
    effects, before = await participant.effects(), rows(participant)
    assert name == "payments" or CANARY in str(before)

    erased = await participant.post("/personal/erase", ASKED, key="e1")
    again = await participant.post("/personal/erase", ASKED, key="e2")
    repeat = await participant.post(path, body, key="k")

    assert (erased.status, erased.json) == (200, {"customer_id": "17850", "erased": 1})
    assert again.json == {"customer_id": "17850", "erased": 0}
    assert (repeat.status, repeat.replayed) == (first.status, True)
    assert CANARY not in str(rows(participant))
    # The hash of the request is gone as well: it would tell who guesses an address that the guess is right.
    hashes = {row["request_hash"] for row in rows(participant) if row.get("idempotency_key") == "k" and "request_hash" in row}
    assert hashes == {None}
    assert await participant.effects() == effects


async def test_only_what_is_asked_for_is_erased(start: StartParticipant) -> None:
    shipping = await start("shipping")
    await shipping.post("/shipments", SHIPMENT, key="k")

    erased = await shipping.post("/personal/erase", {**ASKED, "order_ids": ["o2"]}, key="e1")

    assert erased.json["erased"] == 0
    assert CANARY in str(rows(shipping))
    assert (await shipping.post("/shipments", {**SHIPMENT, "address": None}, key="k")).problem == "key-reused"


@pytest.mark.parametrize("name", NAMES)
async def test_who_knows_nobody_has_erased_nothing(name: Name, start: StartParticipant) -> None:
    participant = await start(name)

    erased = await participant.post("/personal/erase", {"customer_id": "nobody", "order_ids": []}, key="e")

    assert (erased.status, erased.json) == (200, {"customer_id": "nobody", "erased": 0})
    assert (await participant.post("/personal/erase", {"customer_id": "c", "order_ids": ["o"] * 501}, key="f")).status == 422
    assert (await participant.post("/personal/erase", {"customer_id": "c"}, key="g")).status == 422
