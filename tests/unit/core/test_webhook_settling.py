"""How deliveries are signed, and what attempts come to."""

import base64
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest

from orchestrator.addresses import URL_MAX, receiver_url
from orchestrator.saga import RETRY_AFTER_MAX_S, Retry
from orchestrator.settings import Settings
from orchestrator.transport import Reply
from orchestrator.webhooks import signing
from orchestrator.webhooks.settings import WEBHOOK_WAIT_MAX_S
from orchestrator.webhooks.settling import SAID_MAX, settle_failure, settle_reply
from sql.webhooks import Delivery

KNOWN = "6OrxdZ9Qyh3KRtmWtmvkSmR5hN9IJVTqoX3zyW7J8XQ="
RETRY = Retry(first_s=10.0, factor=3.0, attempts_max=4)


def attempt(number: int = 1) -> Delivery:
    event = UUID("4d47e190-0402-4048-bc2c-89dd54343cdc")
    moment = datetime(2026, 11, 21, tzinfo=UTC)
    return Delivery(UUID(int=1), "one", "http://h/", ("whsec_",), number, 0, event, "T", UUID(int=2), 1, "c", moment, {})


def reply(status: int, body: bytes = b"", **headers: str) -> Reply:
    return Reply(status, [(name.encode(), value.encode()) for name, value in headers.items()], body)


def test_a_signature_is_that_of_the_specification() -> None:
    # Computed by `printf 4d47e190-0402-4048-bc2c-89dd54343cdc.1674087231.{} | openssl dgst -sha256 -hmac KEY -binary | base64`.
    secret = signing.PREFIX + base64.b64encode(b"a key of twenty-four byte").decode()

    sent = signing.headers([secret, secret], attempt().id, 1674087231, b"{}")

    assert sent["webhook-id"] == "4d47e190-0402-4048-bc2c-89dd54343cdc"
    assert sent["webhook-timestamp"] == "1674087231"
    assert sent["webhook-signature"] == " ".join([f"v1,{KNOWN}"] * 2)


def test_secrets_are_random_and_of_the_length_that_is_asked_for() -> None:
    first, second = signing.new_secret(), signing.new_secret()

    assert first != second
    assert 24 <= len(base64.b64decode(first.removeprefix("whsec_"), validate=True)) <= 64


@pytest.mark.parametrize("status", [200, 201, 202, 204, 299])
def test_any_2xx_is_success_whatever_its_body(status: int) -> None:
    settled = settle_reply(attempt(4), Reply(status, [], None), RETRY, 0.0)

    assert (settled.error, settled.delay_s, settled.gone) == (None, None, False)


@pytest.mark.parametrize(
    ("answer", "number", "error", "delay_s", "gone"),
    [
        (reply(500), 1, "answered 500", 10.0, False),
        (reply(500), 3, "answered 500", 90.0, False),
        (reply(500), 4, "answered 500", None, False),
        (reply(500), 5, "answered 500", None, False),
        (reply(307), 1, "answered 307 (redirects are not followed)", 10.0, False),
        (reply(410), 1, "answered 410", 10.0, True),
        (reply(410), 4, "answered 410", None, True),
        (reply(503, **{"Retry-After": "60"}), 1, "answered 503", 60.0, False),
        (reply(503, **{"Retry-After": "1"}), 1, "answered 503", 10.0, False),
        (reply(429, **{"Retry-After": "99999"}), 1, "answered 429", RETRY_AFTER_MAX_S, False),
        (reply(400, b"no\x00pe\n\xff" + b"x" * 5000), 1, "answered 400: no pe \ufffd" + "x" * (SAID_MAX - 7), 10.0, False),
    ],
)
def test_anything_else_is_tried_again_as_long_as_attempts_are_left(
    answer: Reply, number: int, error: str, delay_s: float | None, gone: bool
) -> None:
    settled = settle_reply(attempt(number), answer, RETRY, 0.0)

    assert (settled.error, settled.delay_s, settled.gone) == (error, delay_s, gone)


def test_a_wait_has_jitter_and_an_end() -> None:
    assert settle_failure(attempt(2), "x", RETRY, 0.2).delay_s == pytest.approx(36.0)
    longest = Settings(webhook_retry_first_s=86_400.0, webhook_retry_factor=100.0, webhook_retry_attempts=100).webhook_retry
    assert settle_failure(attempt(99), "x", longest, 0.0).delay_s == WEBHOOK_WAIT_MAX_S


def test_by_default_a_receiver_has_more_than_three_days() -> None:
    assert Settings().webhook_retry.budget_s(0.0) > 3 * 86_400


@pytest.mark.parametrize(
    ("given", "stored"),
    [("http://h", "http://h/"), ("https://h:8443/a/?b=c&d", "https://h:8443/a/?b=c&d"), ("http://h?x=1", "http://h/?x=1")],
)
def test_the_address_of_a_receiver_keeps_its_path_and_query(given: str, stored: str) -> None:
    assert receiver_url(given) == stored


@pytest.mark.parametrize(
    "wrong",
    ["", "h", "ftp://h/", "http://", "http:///a", "http://h/#a", "http://u@h/", "http://h/ü", "http://h/a b", "http://h/\n",
     "http://169.254.0.1/", "http://0.0.0.0/", "http://h/" + "x" * URL_MAX, "http://h:99999/"],
)  # fmt: skip
def test_what_is_no_address_of_a_receiver_is_refused(wrong: Any) -> None:
    with pytest.raises(ValueError, match="must"):
        receiver_url(wrong)
