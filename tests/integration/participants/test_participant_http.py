"""What every participant does alike on the wire."""

import io

import pytest

from tests.integration.participants.service import Participant, StartParticipant

MESSAGE = {"notification_id": "n1", "order_id": "o1", "customer_id": "17850", "template": "t"}
JSON = {"Content-Type": "application/json"}


async def raw(participant: Participant, method: str, path: str, data: bytes | None = None, **headers: str) -> tuple[int, str]:
    given = {name.replace("_", "-"): value for name, value in headers.items()}
    async with participant.session.request(
        method,
        participant.url + path,
        data=io.BytesIO(data) if data else None,
        headers=given,
        skip_auto_headers=["Content-Type"],
    ) as response:
        body = await response.json(content_type="application/problem+json")
        return response.status, str(body["type"]).rsplit("/", 1)[1]


@pytest.mark.parametrize("key", ["", "a b", "é", "x" * 256, '"', '""'])
async def test_a_key_that_is_none_is_refused(notifications: Participant, key: str) -> None:
    answer = await raw(notifications, "POST", "/notifications", b"{}", Content_Type="application/json", Idempotency_Key=key)

    assert answer == (400, "idempotency-key")


async def test_a_missing_key_is_refused(notifications: Participant) -> None:
    assert await raw(notifications, "POST", "/notifications", b"{}", **JSON) == (400, "idempotency-key")


async def test_a_key_that_comes_twice_is_none(notifications: Participant) -> None:
    headers = [("Idempotency-Key", "k"), ("Idempotency-Key", "k")]
    async with notifications.session.post(f"{notifications.url}/notifications", json=MESSAGE, headers=headers) as response:
        assert (response.status, (await response.json(content_type=None))["type"].rpartition("/")[2]) == (
            400,
            "idempotency-key",
        )


async def test_a_quoted_key_is_the_bare_one(notifications: Participant) -> None:
    first = await notifications.post("/notifications", MESSAGE, key="k")
    again = await notifications.post("/notifications", MESSAGE, key='"k"')

    assert again.replayed
    assert again.body == first.body


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b"{", (400, "not-json")),
        (b'{"order_id": NaN}', (400, "not-json")),
        (b'{"order_id": "\xff"}', (400, "not-json")),
        (b"[" * 100_000, (400, "not-json")),
        (b'{"order_id": "o", "order_id": "p"}', (400, "not-json")),
        (b'{"order_id": ' + b"[" * 32 + b"]" * 32 + b"}", (400, "not-json")),
        (b'{"order_id": "\\ud800"}', (400, "not-json")),
        (b'{"order_id": 1' + b"0" * 5_000 + b"}", (400, "not-json")),
        (b'\xef\xbb\xbf{"order_id": "o"}', (400, "not-json")),
        ('{"order_id": "o"}'.encode("utf-16"), (400, "not-json")),
        (b"[]", (422, "invalid")),
        (b"", (422, "invalid")),
        (b'{"notification_id": "n\\u0000", "order_id": "o", "customer_id": "c", "template": "t"}', (422, "invalid")),
        (b'{"notification_id": "%s", "order_id": "o", "customer_id": "c", "template": "t"}' % (b"n" * 600), (422, "invalid")),
        (b'"' + b"x" * 2**20 + b'"', (413, "request-entity-too-large")),
    ],
)
async def test_a_malformed_body_is_refused(notifications: Participant, body: bytes, expected: tuple[int, str]) -> None:
    answer = await raw(notifications, "POST", "/notifications", body, Idempotency_Key="k", Content_Type="application/json")

    assert answer == expected


async def test_a_body_must_call_itself_json(notifications: Participant) -> None:
    answer = await raw(notifications, "POST", "/notifications", b"{}", Idempotency_Key="k", Content_Type="text/plain")

    assert answer == (415, "unsupported-media-type")


async def test_a_body_must_agree_with_its_path(payments: Participant) -> None:
    refused = await payments.post("/payments/void/a", {"authorization_id": "b", "order_id": "o"})

    assert (refused.status, refused.json["errors"][0]["pointer"]) == (422, "/authorization_id")


async def test_routes_that_do_not_exist_are_problems(notifications: Participant) -> None:
    assert await raw(notifications, "GET", "/nowhere") == (404, "not-found")
    assert await raw(notifications, "PUT", "/notifications") == (405, "method-not-allowed")


async def test_a_correlation_id_is_taken_or_made(notifications: Participant) -> None:
    taken = await notifications.call("GET", "/healthz", **{"X-Correlation-ID": "c-1"})
    made = await notifications.call("GET", "/nowhere")
    replaced = await notifications.call("GET", "/healthz", **{"X-Correlation-ID": "x" * 129})

    assert taken.headers["X-Correlation-ID"] == "c-1"
    assert len(made.headers["X-Correlation-ID"]) == 36
    assert len(replaced.headers["X-Correlation-ID"]) == 36


async def test_answers_do_not_name_their_software(notifications: Participant) -> None:
    for path in ("/healthz", "/nowhere"):
        answer = await notifications.get(path)
        assert answer.headers["Server"] == "sagaledger"
        assert answer.headers["X-Content-Type-Options"] == "nosniff"


async def test_requests_are_measured_by_route_not_by_path(shipping: Participant) -> None:
    await shipping.get("/shipments/canary")
    await shipping.call("PROPFIND", "/shipments")

    metrics = (await shipping.get("/metrics")).body.decode()

    assert 'http_request_duration_seconds_count{method="GET",route="/shipments/{shipment_id}",status="404"} 1.0' in metrics
    assert 'http_request_duration_seconds_count{method="OTHER",route="unmatched",status="405"} 1.0' in metrics
    assert "canary" not in metrics


@pytest.mark.parametrize("name", ["orders", "inventory", "payments", "shipping", "notifications"])
async def test_every_participant_is_healthy_and_has_done_nothing_yet(start: StartParticipant, name: str) -> None:
    participant = await start(name)

    assert (await participant.get("/healthz")).json == {"status": "ok"}
    assert (await participant.get("/effects")).json == {"effects": [], "next_after": None}


async def test_an_unforeseen_error_tells_nothing(notifications: Participant) -> None:
    async with await notifications.connect() as connection:
        await connection.execute("alter table notification rename column template to canary")

    failed = await notifications.post("/notifications", MESSAGE)

    assert (failed.status, failed.problem) == (500, "internal-error")
    assert b"canary" not in failed.body
    assert b"template" not in failed.body
