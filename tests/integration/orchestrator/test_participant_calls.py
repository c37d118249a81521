"""A participant's answer is hostile until it is read: what each comes to, over real HTTP."""

import asyncio
import gzip
from collections.abc import AsyncIterator
from typing import Any

import orjson
import pytest
from aiohttp import web

from orchestrator.outcome import Outcome, Rejected, Succeeded, Unknown
from orchestrator.participant import Caller, Tracing, parse_retry_after
from orchestrator.prepared import prepare
from orchestrator.transport import BODY_BYTES_MAX, Client, open_transport
from participants.contracts import Endpoint
from tests.integration.orchestrator.shop import Behaviour, Done, Shop, Thing, status

ENDPOINT = Endpoint("shop", "POST", "/do", Thing, Done)


@pytest.fixture(params=list(Client))
async def caller(shop: Shop, request: pytest.FixtureRequest) -> AsyncIterator[Caller]:
    async with open_transport(request.param, connections_max=4) as transport:
        yield Caller(transport, {"shop": shop.url, "nobody": "http://127.0.0.1:1", "nowhere": "http://nope.invalid"})


async def call(caller: Caller, participant: str = "shop", timeout_s: float = 2.0) -> Outcome:
    endpoint = Endpoint(participant, "POST", "/do", Thing, Done)
    return await caller.call(prepare(endpoint, Thing(order_id="o"), "o:do:action"), Tracing("corr", "00-1"), timeout_s)


def raw(body: bytes, code: int = 200, **headers: str) -> Behaviour:
    async def behave(_: web.Request) -> web.StreamResponse:
        return web.Response(status=code, body=body, content_type="application/json", headers=headers)

    return behave


async def test_an_answer_of_the_agreed_shape_succeeds(caller: Caller, shop: Shop) -> None:
    assert await call(caller) == Succeeded({"order_id": "o"})
    assert shop.calls == [("/do", "o:do:action")]


@pytest.mark.parametrize("code", [402, 409, 410, 422])
async def test_a_business_refusal_is_rejected(code: int, caller: Caller, shop: Shop) -> None:
    shop.behaviours["/do"] = [status(code, {"detail": "sold out"})]

    assert await call(caller) == Rejected(f"shop answered {code}: sold out", {"detail": "sold out"})


@pytest.mark.parametrize("code", [202, 204, 301, 302, 307, 400, 401, 403, 404, 405, 408, 415, 425, 429, 500, 502, 503, 504])
async def test_everything_else_is_unknown(code: int, caller: Caller, shop: Shop) -> None:
    shop.behaviours["/do"] = [status(code, {"order_id": "o"}, Location="/stolen")]

    assert isinstance(await call(caller), Unknown)
    assert shop.paths() == ["/do"]


def _refusal(code: int, answer: dict[str, Any]) -> str | None:
    if code == 404 and answer.get("type") == "unknown-customer":
        return "there is no such customer"
    return "it is closed" if code == 200 and answer["order_id"] == "closed" else None


@pytest.mark.parametrize(
    ("order_id", "code", "body", "outcome"),
    [
        ("o", 200, {"order_id": "o", "more": 1}, Succeeded({"order_id": "o"})),
        (
            "closed",
            200,
            {"order_id": "closed", "more": 1},
            Rejected("shop answered 200: it is closed", {"order_id": "closed"}),
        ),
        (
            "o",
            404,
            {"type": "unknown-customer"},
            Rejected("shop answered 404: there is no such customer", {"type": "unknown-customer"}),
        ),
        ("o", 404, {"type": "not-found"}, Unknown("shop answered 404", None, {"type": "not-found"})),
        ("o", 404, [], Unknown("shop answered 404")),
        ("o", 409, {"type": "unknown-customer"}, Rejected("shop answered 409", {"type": "unknown-customer"})),
    ],
)
async def test_an_endpoint_says_which_answers_are_refusals_in_spite_of_their_status(
    order_id: str, code: int, body: Any, outcome: Outcome, caller: Caller, shop: Shop
) -> None:
    endpoint = Endpoint("shop", "POST", "/do", Thing, Done, _refusal)
    shop.behaviours["/do"] = [raw(orjson.dumps(body), code)]

    answer = await caller.call(prepare(endpoint, Thing(order_id=order_id), "o:do:action"), Tracing("corr"), 2.0)

    assert answer == outcome


async def test_an_answer_for_another_thing_is_no_refusal_of_this_one(caller: Caller, shop: Shop) -> None:
    endpoint = Endpoint("shop", "POST", "/do", Thing, Done, _refusal)
    shop.behaviours["/do"] = [status(200, {"order_id": "closed"})]

    assert isinstance(await caller.call(prepare(endpoint, Thing(order_id="o"), "o:do:action"), Tracing("corr"), 2.0), Unknown)


@pytest.mark.parametrize(("depth", "kept"), [(31, True), (32, False), (1000, False)])
async def test_a_refusal_that_is_nested_too_deep_to_be_recorded_is_a_refusal_without_a_body(
    depth: int, kept: bool, caller: Caller, shop: Shop
) -> None:
    shop.behaviours["/do"] = [raw(b'{"why": ' + b"[" * depth + b"]" * depth + b"}", 422)]

    outcome = await call(caller)

    assert isinstance(outcome, Rejected)
    assert (outcome.response is not None) is kept


async def test_a_conflict_that_says_in_progress_is_unknown(caller: Caller, shop: Shop) -> None:
    shop.behaviours["/do"] = [status(409, {"type": "https://example.com/problems/in-progress"})]

    assert isinstance(await call(caller), Unknown)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>",
        b"{}",
        b"[]",
        b"null",
        b'{"order_id": 7}',
        b'{"order_id": NaN}',
        b'{"order_id": "o"',
        b'{"order_id": "o\\u0000"}',
        b'{"order_id": "\xff"}',
        b'{"order_id": "another"}',
    ],
)
async def test_a_success_that_is_not_the_agreed_answer_is_unknown(body: bytes, caller: Caller, shop: Shop) -> None:
    shop.behaviours["/do"] = [raw(body)]

    assert isinstance(await call(caller), Unknown)


@pytest.mark.parametrize("code", [200, 422])
async def test_an_oversized_answer_is_unknown_whatever_it_says(code: int, caller: Caller, shop: Shop) -> None:
    shop.behaviours["/do"] = [raw(b'{"order_id": "o", "x": "' + b"x" * BODY_BYTES_MAX + b'"}', code)]

    outcome = await call(caller)

    assert isinstance(outcome, Unknown)
    assert f"more than {BODY_BYTES_MAX} bytes" in outcome.reason


async def test_a_compressed_answer_is_never_unpacked(caller: Caller, shop: Shop) -> None:
    shop.behaviours["/do"] = [raw(gzip.compress(b" " * 10_000_000), **{"Content-Encoding": "gzip"})]

    assert isinstance(await call(caller), Unknown)


async def test_a_slow_answer_is_unknown_at_its_total_time(caller: Caller, shop: Shop) -> None:
    async def drip(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        await response.prepare(request)
        for _ in range(600):
            await response.write(b" ")
            await asyncio.sleep(0.05)
        return response

    shop.behaviours["/do"] = [drip]

    outcome = await call(caller, timeout_s=0.3)

    assert outcome == Unknown("shop did not answer within 0.3 s")


async def test_a_connection_that_is_closed_without_an_answer_is_unknown_and_not_repeated(caller: Caller, shop: Shop) -> None:
    async def vanish(request: web.Request) -> web.StreamResponse:
        assert request.transport is not None
        request.transport.abort()
        return web.Response()

    shop.behaviours["/do"] = [vanish]

    assert isinstance(await call(caller), Unknown)
    assert shop.paths() == ["/do"]


@pytest.mark.parametrize("participant", ["nobody", "nowhere"])
async def test_a_participant_that_can_not_be_reached_is_unknown(participant: str, caller: Caller) -> None:
    assert isinstance(await call(caller, participant), Unknown)


async def test_a_pause_that_a_participant_asks_for_is_passed_on(caller: Caller, shop: Shop) -> None:
    shop.behaviours["/do"] = [status(503, {}, **{"Retry-After": "7"})]

    outcome = await call(caller)

    assert isinstance(outcome, Unknown)
    assert outcome.retry_after_s == 7.0


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (None, None),
        ("5", 5.0),
        ("1000000000", 1e9),
        ("1" + "0" * 30, 1e30),
        ("-1", None),
        ("1.5", None),
        ("Wed, 21 Oct 2026 07:28:00 GMT", None),
    ],
)
def test_only_plain_seconds_are_read_from_retry_after(value: Any, seconds: float | None) -> None:
    assert parse_retry_after(value) == seconds
