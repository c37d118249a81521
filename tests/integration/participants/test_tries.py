"""Try, confirm, cancel and expiry, at both services that have them."""

import asyncio
from collections.abc import Callable

import psycopg
import pytest

from participants.database import Connection, open_pool
from participants.expiry import BATCH, expire_for_ever, sweep
from participants.payment_tries import expire_payments
from participants.settings import Name
from participants.stock_tries import expire_stock
from sql import migrate
from tests.integration.participants.service import Participant, StartParticipant, waiting_for_a_lock
from tests.integration.participants.tries import AMOUNT, MONEY, STOCK, Tries, violations

LONG_S, SHORT_S = 900.0, 0.05


@pytest.fixture(params=[STOCK, MONEY], ids=lambda tries: tries.name)
def tries(request: pytest.FixtureRequest) -> Tries:
    made: Tries = request.param
    return made


@pytest.fixture
async def service(start: StartParticipant, tries: Tries) -> Participant:
    """A service whose tries last as long as any test."""
    participant = await start(tries.name, reservation_s=LONG_S)
    await tries.stock(participant)
    return participant


@pytest.fixture
async def hasty(start: StartParticipant, tries: Tries) -> Participant:
    """A service whose tries are soon over."""
    participant = await start(tries.name, reservation_s=SHORT_S)
    await tries.stock(participant)
    return participant


async def expiry_of(participant: Participant, tries: Tries, id_: str) -> None:
    """Return when a try has expired."""
    async with asyncio.timeout(30):
        while tries.expired not in await participant.kinds(id_):
            await asyncio.sleep(0.01)


async def test_what_is_confirmed_stands(service: Participant, tries: Tries) -> None:
    tried = await tries.do(service, "try", "a")
    held = await service.balance("a")
    confirmed = await tries.do(service, "confirm", "a")

    assert (tried.status, tried.json["status"]) == (201, "tried")
    assert "expires_at" in tried.json
    assert held == {tries.tried: AMOUNT}
    assert confirmed.status == 200
    assert await service.balance("a") == {tries.stands: AMOUNT}


async def test_what_is_cancelled_is_given_back(service: Participant, tries: Tries) -> None:
    await tries.do(service, "try", "a")

    assert (await tries.do(service, "cancel", "a")).status == 200
    assert await service.balance("a") == {}


async def test_cancel_after_confirm_is_a_reversal(service: Participant, tries: Tries) -> None:
    await tries.do(service, "try", "a")
    await tries.do(service, "confirm", "a")

    assert (await tries.do(service, "cancel", "a")).status == 200
    assert await service.balance("a") == {}
    assert len(await service.effects("a")) == 3, "what was confirmed is taken back by an effect of its own"


@pytest.mark.parametrize("verb", ["try", "confirm", "cancel"])
async def test_twenty_at_once_have_one_effect_and_one_answer(service: Participant, tries: Tries, verb: str) -> None:
    if verb != "try":
        await tries.do(service, "try", "a")
    before = len(await service.effects())

    answers = await asyncio.gather(*(tries.do(service, verb, "a") for _ in range(20)))

    assert len({(answer.status, answer.body) for answer in answers}) == 1
    assert answers[0].status in (200, 201)
    assert len(await service.effects()) == before + 1


async def test_an_empty_cancel_refuses_the_late_try_and_confirm(service: Participant, tries: Tries) -> None:
    cancelled = await tries.do(service, "cancel", "a")
    late = [await tries.do(service, verb, "a") for verb in ("try", "confirm")]

    assert cancelled.status == 200
    assert [(answer.status, answer.problem) for answer in late] == [(409, "fenced"), (409, "fenced")]
    assert await service.effects() == []


async def test_confirm_without_a_try_is_refused_and_leaves_no_trace(service: Participant, tries: Tries) -> None:
    refused = await tries.do(service, "confirm", "a")
    tried = await tries.do(service, "try", "a")
    confirmed = await tries.do(service, "confirm", "a")

    assert (refused.status, refused.problem) == (409, "not-tried")
    assert (tried.status, confirmed.status) == (201, 200)


async def test_confirm_after_cancel_is_refused(service: Participant, tries: Tries) -> None:
    await tries.do(service, "try", "a")
    await tries.do(service, "cancel", "a")

    refused = await tries.do(service, "confirm", "a")

    assert (refused.status, refused.problem) == (409, "fenced")
    assert await service.balance("a") == {}


async def test_a_cancel_waits_for_the_confirm_in_flight_and_reverses_it(service: Participant, tries: Tries) -> None:
    await tries.do(service, "try", "a")
    table = "reservation" if tries is STOCK else "payment"
    async with await service.connect() as blocker:
        await blocker.execute(f"select from {table} for update")
        confirm = asyncio.create_task(tries.do(service, "confirm", "a"))
        await waiting_for_a_lock(service)
        cancel = asyncio.create_task(tries.do(service, "cancel", "a"))
        await waiting_for_a_lock(service, 2)

    assert ((await confirm).status, (await cancel).status) == (200, 200)
    assert await service.balance("a") == {}


async def test_what_is_not_confirmed_in_time_is_given_back(hasty: Participant, tries: Tries) -> None:
    await tries.do(hasty, "try", "a")
    await expiry_of(hasty, tries, "a")

    refused = await tries.do(hasty, "confirm", "a")
    cancelled = await tries.do(hasty, "cancel", "a")

    assert (refused.status, refused.problem) == (410, "expired")
    assert cancelled.status == 200
    assert await hasty.balance("a") == {}
    assert (await hasty.kinds("a"))[1:] == [tries.expired]
    assert await violations(hasty, tries.name) == set()


async def test_a_confirm_too_late_is_refused_though_nobody_has_given_it_back_yet(service: Participant, tries: Tries) -> None:
    await tries.do(service, "try", "a")
    await let_time_pass(service, tries)

    refused = await tries.do(service, "confirm", "a")

    assert (refused.status, refused.problem) == (410, "expired")
    assert await service.balance("a") == {tries.tried: AMOUNT}, "a refusal has no effect; the expiry comes by itself"


async def test_what_is_confirmed_does_not_expire(service: Participant, tries: Tries) -> None:
    await tries.do(service, "try", "a")
    await tries.do(service, "confirm", "a")
    await let_time_pass(service, tries)

    assert await expire(service, tries) == 0
    assert await service.balance("a") == {tries.stands: AMOUNT}


async def test_a_repeated_try_gives_the_stored_answer_though_it_has_expired(hasty: Participant, tries: Tries) -> None:
    first = await tries.do(hasty, "try", "a")
    await expiry_of(hasty, tries, "a")

    again = await tries.do(hasty, "try", "a")

    assert again.replayed
    assert again.body == first.body
    assert await hasty.balance("a") == {}, "a repeat holds nothing anew"


async def test_what_somebody_confirms_is_passed_by(service: Participant, tries: Tries) -> None:
    for id_ in ("a", "b"):
        await tries.do(service, "try", id_)
    await let_time_pass(service, tries)
    table = "reservation" if tries is STOCK else "payment"
    async with await service.connect() as confirming:
        await confirming.execute(f"select from {table} where order_id = 'a' for update")
        assert await expire(service, tries) == 1

    assert await service.balance("a") == {tries.tried: AMOUNT}
    assert await service.balance("b") == {}


async def test_more_than_a_batch_expires_in_one_go(service: Participant, tries: Tries) -> None:
    count = BATCH + 5
    for number in range(count):
        await tries.do(service, "try", f"a{number}")
    await let_time_pass(service, tries)

    assert await expire(service, tries) == count
    assert await expire(service, tries) == 0
    assert await service.balance() == {}
    assert await violations(service, tries.name) == set()


async def test_expiry_goes_on_after_an_error(participant_database: Callable[[str], str]) -> None:
    rounds, went_on = 0, asyncio.Event()

    async def expire(_: Connection) -> int:
        nonlocal rounds
        rounds += 1
        if rounds <= 2:
            raise psycopg.errors.DeadlockDetected if rounds == 1 else RuntimeError
        went_on.set()
        return 0

    async with open_pool(participant_database("inventory"), "inventory", 1) as pool:
        expiring = asyncio.create_task(expire_for_ever(pool, expire, SHORT_S))
        async with asyncio.timeout(10):
            await went_on.wait()
        expiring.cancel()

    assert rounds >= 3


@pytest.mark.parametrize("ends", [("try",), ("try", "confirm"), ("try", "cancel")], ids="+".join)
async def test_the_schema_can_be_taken_back_with_tries_in_it(service: Participant, tries: Tries, ends: tuple[str, ...]) -> None:
    for verb in ends:
        await tries.do(service, verb, "a")
    await tries.do(service, "try", "late")
    await let_time_pass(service, tries)
    await expire(service, tries)

    await asyncio.to_thread(migrate.rollback, service.database_url, tries.name)


async def let_time_pass(participant: Participant, tries: Tries) -> None:
    table = "reservation" if tries is STOCK else "payment"
    async with await participant.connect() as connection:
        await connection.execute(f"update {table} set expires_at = clock_timestamp()")


async def expire(participant: Participant, tries: Tries) -> int:
    """Do one sweep, as a process of the service does every few seconds."""
    name: Name = "inventory" if tries is STOCK else "payments"
    async with open_pool(participant.database_url, name, 1) as pool:
        return await sweep(pool, expire_stock if tries is STOCK else expire_payments)
