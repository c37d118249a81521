"""What stands at a limit goes through, and what looks like an attack is stored as it is."""

from typing import Any

import orjson
import pytest

from tests.integration.edge.service import ORDER, Scripted, StartEdge


@pytest.mark.parametrize("key", ["k" * 255, '"' + "k" * 255 + '"', "%00", "'; drop table order_ledger; --"])
async def test_a_key_at_the_limit_is_taken(start_edge: StartEdge, payments: Scripted, key: str) -> None:
    edge = await start_edge(payments_url=payments.url)
    key = key.replace(" ", "_")

    assert (await edge.place(key=key)).status == 202
    assert [row["client_request_id"] for row in await edge.orders()] == [key.strip('"')]


async def test_two_thousand_lines_go_through_with_products_that_repeat(start_edge: StartEdge, payments: Scripted) -> None:
    edge = await start_edge(payments_url=payments.url)
    lines = [{"sku": f"sku-{number % 7}", "quantity": 1_000_000, "unit_price_minor": 10**9} for number in range(2_000)]

    reply = await edge.place(items=lines)

    assert reply.status == 202
    (row,) = await edge.orders()
    assert row["total_minor"] == 2_000 * 10**15
    (items,) = await edge.rows("select count(*) as lines, max(line) as last from order_ledger_items")
    assert (items["lines"], items["last"]) == (2_000, 2_000)
    (intent,) = await edge.rows("select request from ledger_journal where kind = 'intent'")
    assert intent["request"]["amount_minor"] == row["total_minor"]


async def test_a_body_of_just_a_mebibyte_is_taken(start_edge: StartEdge, payments: Scripted) -> None:
    edge = await start_edge(payments_url=payments.url)
    body = orjson.dumps(ORDER)

    at_the_limit = await edge.send(body[:-1] + b" " * (1024 * 1024 - len(body)) + b"}")
    beyond = await edge.send(body[:-1] + b" " * (1024 * 1024 - len(body) + 1) + b"}")

    assert (at_the_limit.status, beyond.status) == (202, 413)


@pytest.mark.parametrize(
    "text",
    ["'; drop table order_ledger; --", "<img onerror=alert(1)>", '\r\n{"level":"error"}', "\x1b[31m", "\u202eabc", "{{7*7}}"],
)
async def test_text_that_looks_like_an_attack_comes_back_as_it_is(start_edge: StartEdge, payments: Scripted, text: str) -> None:
    edge = await start_edge(payments_url=payments.url)
    line: dict[str, Any] = {**ORDER["items"][0], "sku": text, "description": text}

    reply = await edge.place(customer_id=text, items=[line], metadata={text: text})

    order = (await edge.get(reply.headers["Location"])).json
    assert (order["customer_id"], order["metadata"]) == (text, {text: text})
    assert (order["items"][0]["sku"], order["items"][0]["description"]) == (text, text)
