"""A participant's answer is hostile until it is read: what each comes to, over real HTTP."""

import asyncio
import gzip
import socket
from collections.abc import AsyncIterator
from typing import Any

import orjson
import pytest
import structlog
from aiohttp import web
from prometheus_client import CollectorRegistry, Counter
from pydantic import ConfigDict

from orchestrator.metrics import calls_refused
from orchestrator.outcome import Outcome, Rejected, Succeeded, Unknown
from orchestrator.participant import Caller, Tracing, parse_retry_after, read_answer
from orchestrator.prepared import prepare
from orchestrator.transport import BODY_BYTES_MAX, Client, Reply, open_transport
from participants.contracts import Endpoint
from tests.integration.orchestrator.shop import Behaviour, Done, Shop, Thing, status

ENDPOINT = Endpoint("shop", "POST", "/do", Thing, Done)


SECRETS = {"shop": "secret-of-shop", "nobody": "secret-of-nobody", "other": "secret-of-other"}


@pytest.fixture
def refused() -> Counter:
    return calls_refused(CollectorRegistry())


@pytest.fixture(params=list(Client))
async def caller(
    shop: Shop, request: pytest.FixtureRequest, refused: Counter, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Caller]:
    loop = asyncio.get_running_loop()
    resolve = loop.getaddrinfo

    async def look_up(host: str, port: int, **options: Any) -> Any:
        if host == "nope.invalid":  # nothing leaves this machine, not even a question
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return await resolve("169.254.169.254" if host == "metadata.example" else host, port, **options)

    monkeypatch.setattr(loop, "getaddrinfo", look_up)
    addresses = {
        "shop": shop.url,
        "open": shop.url,
        "other": f"{shop.url}/other",
        "nobody": "http://127.0.0.1:1",
        "nowhere": "http://nope.invalid",
        "metadata": "http://metadata.example",
    }
    async with open_transport(request.param, connections_max=4) as transport:
        yield Caller(transport, addresses, SECRETS, refused)


def counted(refused: Counter) -> dict[tuple[str, str], float]:
    """Calls that were told of as wrong, by participant and reason."""
    (family,) = refused.collect()
    return {
        (sample.labels["participant"], sample.labels["reason"]): sample.value
        for sample in family.samples
        if sample.name.endswith("_total")
    }


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
        b'{"order_id": "another", "order_id": "o"}',
        b'{"order_id": "o", "order_id": "o"}',
        b'{"order_id": "o", "more": {"a": 1, "a": 2}}',
        b'{"order_id": "o", "more": 1e400}',
        b'{"order_id": "o", "more": -Infinity}',
        b'{"order_id": "o", "more": 36893488147419103232}',
        b'{"order_id": "o", "more": "\\ud800"}',
        b'{"order_id": "o", "more": ' + b"[" * 1_000 + b"]" * 1_000 + b"}",
        b'{"order_id": "o", "more": ' + b"[" * 100_000,
        b'\xef\xbb\xbf{"order_id": "o"}',
        '{"order_id": "o"}'.encode("utf-16"),
        b'{"order_id": "o"} {"order_id": "o"}',
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


@pytest.mark.parametrize("code", [200, 402, 500])
async def test_what_is_kept_of_an_answer_moves_no_cursor_and_forges_no_line(code: int, caller: Caller, shop: Shop) -> None:
    evil = 'no\x1b[31m\u202e\u2028\r\n{"level":"error"}\x07\x9b' + "x" * 1_000
    body = {"order_id": 7, "detail": evil} if code == 200 else {"detail": evil}
    shop.behaviours["/do"] = [raw(orjson.dumps(body), code)]

    outcome = await call(caller)

    assert isinstance(outcome, Rejected | Unknown)
    assert outcome.reason.isprintable()
    assert len(outcome.reason) < 400


async def test_a_refusal_in_words_of_the_participant_is_cut_and_cleaned(caller: Caller, shop: Shop) -> None:
    endpoint = Endpoint("shop", "POST", "/do", Thing, Done, lambda _, answer: answer["order_id"] + "\x1b[2J" + "y" * 1_000)
    shop.behaviours["/do"] = [status(200, {"order_id": "o"})]

    outcome = await caller.call(prepare(endpoint, Thing(order_id="o"), "o:do:action"), Tracing("corr"), 2.0)

    assert isinstance(outcome, Rejected)
    assert outcome.reason.isprintable()
    assert len(outcome.reason) < 400


class Exactly(Done):
    """An answer with these members and no other."""

    model_config = ConfigDict(extra="forbid")


@pytest.mark.parametrize("where", ["refusal", "shape", "detail"])
def test_no_half_of_a_name_is_left_where_a_text_is_cut(where: str) -> None:
    name, text = "Canary-Ann", "y" * 295 + "Canary-Ann"
    endpoint = Endpoint(
        "shop", "POST", "/do", Thing, Exactly, (lambda _, answer: answer["order_id"]) if where == "refusal" else None
    )
    answer = {"refusal": {"order_id": text}, "shape": {"order_id": "o", text: 1}, "detail": {"detail": text}}[where]

    reply = Reply(500 if where == "detail" else 200, (), orjson.dumps(answer))
    outcome = read_answer(endpoint, {}, reply, {"name": name})

    assert isinstance(outcome, Rejected | Unknown)
    assert "yyy" in outcome.reason
    assert "Cana" not in outcome.reason


@pytest.mark.parametrize(
    "answer", [b'{"type": "in-progress", "type": "sold-out"}', b'{"detail": "a", "detail": "b"}', b'{"a": 1e999}']
)
async def test_a_refusal_that_can_be_read_in_two_ways_is_one_without_a_body(answer: bytes, caller: Caller, shop: Shop) -> None:
    shop.behaviours["/do"] = [raw(answer, 422)]

    assert await call(caller) == Rejected("shop answered 422", None)


def keep_headers(shop: Shop, *answers: Behaviour) -> list[str | None]:
    """Have the shop note what was shown to it, for so many calls."""
    seen: list[str | None] = []

    def noting(behave: Behaviour) -> Behaviour:
        async def answer(request: web.Request) -> web.StreamResponse:
            seen.append(request.headers.get("Authorization"))
            return await behave(request)

        return answer

    shop.behaviours["/do"] = [noting(behave) for behave in answers]
    shop.behaviours["/other/do"] = [noting(behave) for behave in answers]
    return seen


async def test_each_participant_is_shown_its_own_secret_and_no_other(caller: Caller, shop: Shop) -> None:
    seen = keep_headers(shop, *[status(200, {"order_id": "o"})] * 3)

    for participant in ("shop", "other", "open", "shop"):
        assert await call(caller, participant) == Succeeded({"order_id": "o"})

    assert seen == ["Bearer secret-of-shop", "Bearer secret-of-other", None, "Bearer secret-of-shop"]


@pytest.mark.parametrize("code", [301, 302, 303, 307, 308])
async def test_a_redirect_carries_a_secret_nowhere(code: int, caller: Caller, shop: Shop) -> None:
    seen = keep_headers(shop, status(code, {}, Location=f"{shop.url}/other/do"))

    assert isinstance(await call(caller), Unknown)
    assert (seen, shop.paths()) == (["Bearer secret-of-shop"], ["/do"])


@pytest.mark.parametrize(
    ("participant", "code", "reason"),
    [("shop", 401, "401"), ("shop", 403, "403"), ("shop", 307, "307"), ("metadata", 200, "forbidden_address")],
)
async def test_a_call_that_is_wrong_itself_is_unknown_and_told_loudly(
    participant: str, code: int, reason: str, caller: Caller, shop: Shop, refused: Counter
) -> None:
    shop.behaviours["/do"] = [status(code, {})]

    with structlog.testing.capture_logs() as lines:
        outcome = await call(caller, participant)

    assert isinstance(outcome, Unknown), "an operator's mistake, not the order's"
    (line,) = lines
    assert (line["event"], line["log_level"], line["participant"], line["reason"]) == (
        "call_refused",
        "error",
        participant,
        reason,
    )
    assert counted(refused) == {(participant, reason): 1.0}
    assert "secret-of" not in repr(lines)


async def test_an_order_that_ends_unknown_is_no_mistake_of_an_operators(caller: Caller, shop: Shop, refused: Counter) -> None:
    shop.behaviours["/do"] = [status(500)]
    await call(caller)
    await call(caller, "nobody")

    assert counted(refused) == {}


@pytest.mark.parametrize(
    "value", ["//evil.example/x", "@evil.example", "?a=1", "#a", "a/../../b", "\rX: 1", "%2e%2e/", "\u202e"]
)
async def test_what_an_order_says_stays_within_its_part_of_the_path(value: str, caller: Caller, shop: Shop) -> None:
    endpoint = Endpoint("shop", "GET", "/things/{order_id}", Thing, Done)
    raw_paths = []

    async def note(request: web.Request) -> web.StreamResponse:
        raw_paths.append(request.raw_path)
        return web.json_response({"order_id": value})

    shop.behaviours[f"/things/{value}"] = [note]
    outcome = await caller.call(prepare(endpoint, Thing(order_id=value), "k"), Tracing("corr"), 2.0)

    assert outcome == Succeeded({"order_id": value})
    assert [path.count("/") for path in raw_paths] == [2]


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
