"""What the payments service promises."""

import asyncio
import random
from collections.abc import Mapping

import pytest

from tests.integration.participants.service import Participant, StartParticipant, waiting_for_a_lock

A = "11111111-1111-8111-8111-111111111111"
O = "22222222-2222-8222-8222-222222222222"  # noqa: E741
REF = {"authorization_id": A, "order_id": O}
AUTHORIZE = {**REF, "amount_minor": 1500, "currency": "GBP", "payment_method": "pm_card"}
CAPTURE = {**REF, "amount_minor": 1500}


async def test_money_is_set_aside_taken_and_given_back(payments: Participant) -> None:
    authorized = await payments.post("/payments/authorize", AUTHORIZE, key="a")
    captured = await payments.post(f"/payments/capture/{A}", CAPTURE, key="c")
    assert await payments.balance(O) == {"captured": 1500}
    refunded = await payments.post(f"/payments/refund/{A}", REF, key="r")

    assert (authorized.status, authorized.json) == (201, {**REF, "amount_minor": 1500, "status": "authorized"})
    assert (captured.status, captured.json) == (200, {**REF, "amount_minor": 1500, "status": "captured"})
    assert (refunded.status, refunded.json) == (200, {"authorization_id": A, "status": "refunded"})
    effects = await payments.effects(O)
    assert [(effect["operation_key"], effect["kind"], effect["amounts"]) for effect in effects] == [
        ("a", "authorized", {"authorized": 1500}),
        ("c", "captured", {"authorized": -1500, "captured": 1500}),
        ("r", "refunded", {"captured": -1500}),
    ]
    assert await payments.balance() == {}


@pytest.mark.parametrize("path", ["authorize", "capture", "void", "refund"])
async def test_a_repeat_gives_the_stored_answer_byte_for_byte(payments: Participant, path: str) -> None:
    if path in ("capture", "refund"):
        await payments.post("/payments/authorize", AUTHORIZE)
    if path == "refund":
        await payments.post(f"/payments/capture/{A}", CAPTURE)
    calls: dict[str, tuple[str, Mapping[str, object]]] = {
        "authorize": ("/payments/authorize", AUTHORIZE),
        "capture": (f"/payments/capture/{A}", CAPTURE),
        "void": (f"/payments/void/{A}", REF),
        "refund": (f"/payments/refund/{A}", REF),
    }
    url, body = calls[path]

    first = await payments.post(url, body, key="k")
    effects = len(await payments.effects())
    again = await payments.post(url, dict(reversed(list(body.items()))), key="k")

    assert not first.replayed
    assert again.replayed
    assert (again.status, again.body) == (first.status, first.body)
    assert len(await payments.effects()) == effects


async def test_twenty_duplicates_at_once_have_one_effect(payments: Participant) -> None:
    answers = await asyncio.gather(*(payments.post("/payments/authorize", AUTHORIZE, key="k") for _ in range(20)))

    assert {answer.body for answer in answers} == {answers[0].body}
    assert {answer.status for answer in answers} == {201}
    assert sum(not answer.replayed for answer in answers) == 1
    assert await payments.kinds() == ["authorized"]


async def test_a_declined_payment_leaves_no_trace(payments: Participant) -> None:
    declined = await payments.post("/payments/authorize", {**AUTHORIZE, "payment_method": "pm_declined"}, key="k")

    assert (declined.status, declined.problem) == (402, "payment-declined")
    assert await payments.rows("select * from fence") == []
    assert await payments.effects() == []


async def test_another_amount_under_the_same_key_is_refused(payments: Participant) -> None:
    await payments.post("/payments/authorize", AUTHORIZE, key="k")

    other = await payments.post("/payments/authorize", {**AUTHORIZE, "amount_minor": 1}, key="k")

    assert (other.status, other.problem) == (422, "key-reused")


async def test_a_key_of_another_authorization_is_refused(payments: Participant) -> None:
    await payments.post("/payments/authorize", AUTHORIZE, key="k")

    other = await payments.post("/payments/authorize", {**AUTHORIZE, "authorization_id": O}, key="k")

    assert (other.status, other.problem) == (422, "key-reused")
    assert await payments.kinds() == ["authorized"]


async def test_an_authorization_cannot_be_made_again_otherwise_under_another_key(payments: Participant) -> None:
    await payments.post("/payments/authorize", AUTHORIZE, key="k")

    other = await payments.post("/payments/authorize", {**AUTHORIZE, "amount_minor": 1}, key="other")

    assert (other.status, other.problem) == (422, "subject-reused")


async def test_void_of_what_was_never_authorized_refuses_the_late_authorization(payments: Participant) -> None:
    voided = await payments.post(f"/payments/void/{A}", REF)
    late = await payments.post("/payments/authorize", AUTHORIZE)

    assert (voided.status, voided.json["status"]) == (200, "none")
    assert (late.status, late.problem) == (409, "fenced")
    assert await payments.effects() == []


async def test_refund_of_what_was_never_captured_refuses_the_late_capture(payments: Participant) -> None:
    await payments.post("/payments/authorize", AUTHORIZE)

    refunded = await payments.post(f"/payments/refund/{A}", REF)
    late = await payments.post(f"/payments/capture/{A}", CAPTURE)
    voided = await payments.post(f"/payments/void/{A}", REF)

    assert (refunded.status, refunded.json["status"]) == (200, "none")
    assert (late.status, late.problem) == (409, "fenced")
    assert (voided.status, voided.json["status"]) == (200, "voided")
    assert await payments.balance() == {}


async def test_void_of_refunded_money_does_nothing(payments: Participant) -> None:
    await payments.post("/payments/authorize", AUTHORIZE)
    await payments.post(f"/payments/capture/{A}", CAPTURE)
    await payments.post(f"/payments/refund/{A}", REF)

    voided = await payments.post(f"/payments/void/{A}", REF)

    assert (voided.status, voided.json["status"]) == (200, "refunded")
    assert await payments.kinds() == ["authorized", "captured", "refunded"]


async def test_void_of_captured_money_is_refused_until_it_is_refunded(payments: Participant) -> None:
    await payments.post("/payments/authorize", AUTHORIZE)
    await payments.post(f"/payments/capture/{A}", CAPTURE)

    refused = await payments.post(f"/payments/void/{A}", REF, key="v")
    await payments.post(f"/payments/refund/{A}", REF)
    voided = await payments.post(f"/payments/void/{A}", REF, key="v")

    assert (refused.status, refused.problem) == (409, "authorization-captured")
    assert voided.status == 200
    assert not voided.replayed


@pytest.mark.parametrize(
    ("change", "status", "problem"),
    [
        ({"amount_minor": 1499}, 422, "amount-mismatch"),
        ({"order_id": A}, 422, "invalid"),
    ],
)
async def test_capture_must_fit_its_authorization(
    payments: Participant, change: dict[str, object], status: int, problem: str
) -> None:
    await payments.post("/payments/authorize", AUTHORIZE)

    refused = await payments.post(f"/payments/capture/{A}", {**CAPTURE, **change})

    assert (refused.status, refused.problem) == (status, problem)
    assert await payments.balance() == {"authorized": 1500}


async def test_capture_of_an_unknown_authorization_is_refused(payments: Participant) -> None:
    refused = await payments.post(f"/payments/capture/{A}", CAPTURE)

    assert (refused.status, refused.problem) == (422, "unknown-authorization")


async def test_capture_of_a_voided_authorization_is_refused(payments: Participant) -> None:
    await payments.post("/payments/authorize", AUTHORIZE)
    await payments.post(f"/payments/void/{A}", REF)

    refused = await payments.post(f"/payments/capture/{A}", CAPTURE)

    assert (refused.status, refused.problem) == (409, "authorization-voided")


async def test_a_reversal_names_the_order_of_its_authorization(payments: Participant) -> None:
    await payments.post("/payments/authorize", AUTHORIZE)

    other = await payments.post(f"/payments/void/{A}", {**REF, "order_id": A})
    bare = await payments.post(f"/payments/void/{A}")

    assert (other.status, other.problem) == (422, "invalid")
    assert (bare.status, bare.json["status"]) == (200, "voided")


async def test_twenty_refunds_at_once_give_back_once(payments: Participant) -> None:
    await payments.post("/payments/authorize", AUTHORIZE)
    await payments.post(f"/payments/capture/{A}", CAPTURE)

    answers = await asyncio.gather(*(payments.post(f"/payments/refund/{A}", REF, key=f"r{n}") for n in range(20)))

    assert {(answer.status, answer.body) for answer in answers} == {(200, answers[0].body)}
    assert await payments.kinds() == ["authorized", "captured", "refunded"]


async def test_a_refund_waits_for_the_capture_in_flight_and_reverses_it(payments: Participant) -> None:
    await payments.post("/payments/authorize", AUTHORIZE)
    async with await payments.connect() as blocker:
        await blocker.execute("select from payment for update")
        capture = asyncio.create_task(payments.post(f"/payments/capture/{A}", CAPTURE))
        await waiting_for_a_lock(payments)
        refund = asyncio.create_task(payments.post(f"/payments/refund/{A}", REF))
        await waiting_for_a_lock(payments, 2)

    assert (await capture).json["status"] == "captured"
    assert (await refund).json["status"] == "refunded"
    assert await payments.balance() == {}


async def test_captures_and_refunds_in_any_order_leave_no_money_behind(payments: Participant) -> None:
    chance = random.Random(7)

    async def race(number: int) -> None:
        ref = {"authorization_id": f"a{number}", "order_id": f"o{number}"}
        authorize = {**AUTHORIZE, **ref, "amount_minor": number + 1}

        async def later(path: str, body: Mapping[str, object], key: str) -> None:
            await asyncio.sleep(chance.random() * 0.02)
            answer = await payments.post(path, body, key=key)
            assert answer.status in (200, 201, 409, 422), answer.body

        await asyncio.gather(
            later("/payments/authorize", authorize, f"a{number}"),
            later("/payments/authorize", authorize, f"a{number}"),
            later(f"/payments/capture/a{number}", {**ref, "amount_minor": number + 1}, f"c{number}"),
            later(f"/payments/refund/a{number}", ref, f"r{number}"),
        )
        assert (await payments.post(f"/payments/refund/a{number}", ref, key=f"r{number}")).status == 200
        assert (await payments.post(f"/payments/void/a{number}", ref, key=f"v{number}")).status == 200
        await later("/payments/authorize", authorize, f"a{number}")
        await later(f"/payments/capture/a{number}", {**ref, "amount_minor": number + 1}, f"c{number}")

    for batch in range(0, 200, 20):
        await asyncio.gather(*(race(number) for number in range(batch, batch + 20)))

    assert await payments.balance() == {}
    assert await payments.rows("select * from payment where status in ('authorized', 'captured')") == []


async def test_the_payment_method_is_not_kept(payments: Participant) -> None:
    await payments.post("/payments/authorize", {**AUTHORIZE, "payment_method": "pm_canary_4711"})

    dump = str([await payments.rows(f"select * from {table}") for table in ("payment", "fence", "effect")])

    assert "canary" not in dump


async def test_the_mock_bank_fails_before_the_effect(start: StartParticipant) -> None:
    payments = await start("payments", mock_failure_rate=1.0)

    failed = await payments.post("/payments/authorize", AUTHORIZE)

    assert (failed.status, failed.problem) == (500, "mock-failure")
    assert await payments.effects() == []


async def test_the_mock_bank_takes_its_time(start: StartParticipant) -> None:
    payments = await start("payments", mock_latency_ms=200)
    loop = asyncio.get_running_loop()

    started = loop.time()
    answer = await payments.post("/payments/authorize", AUTHORIZE)

    assert answer.status == 201
    assert loop.time() - started >= 0.2
