"""A configuration that is tried on a share of new orders: who judges it, by what, and how that ends."""

import asyncio
import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any
from uuid import uuid4

import pytest

from orchestrator import canary, configuring
from orchestrator.canary import Judge, verdict
from orchestrator.configuring import CanaryTerms
from orchestrator.definitions import Definitions, in_share
from orchestrator.identity import order_id
from orchestrator.saga import Invariant
from sql import config
from sql.models import Json, Status
from tests.integration.orchestrator.absence import Pool, eventually
from tests.integration.orchestrator.shop import ERRAND, Replica, Shop, open_replica, status, until
from tests.integration.orchestrator.test_configuring import TURNED, applied, opened, started

INVARIANT = "ledger_completed_whole"
WATCHED = replace(ERRAND, invariants=(Invariant(INVARIANT, "what completed was done whole"),))
HALF: dict[str, Any] = {"percent": 50.0, "failure_rate_max": 0.25, "orders_min": 2}
TERMS: Json = {"canary_failure_rate_max": 0.25, "canary_orders_min": 4, "is_over": False}
FIGURES: Json = {
    "started": 9,
    "ended": 4,
    "failed": 0,
    "others_ended": 9,
    "others_failed": 0,
    "violations": [],
    "unchecked": None,
}


@pytest.fixture(autouse=True)
def due_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(canary, "EVERY_S", 0.0)


@asynccontextmanager
async def judged(pool: Pool, url: str, shop: Shop, **options: Any) -> AsyncIterator[tuple[Replica, Judge]]:
    async with open_replica(pool, url, shop, WATCHED, retry_attempts=1, **options) as replica:
        yield replica, Judge(pool, url, replica.definitions, replica.fleet, "one")


async def tried(pool: Pool, definitions: Definitions, *, for_s: float = 600.0, **terms: Any) -> int:
    return await applied(pool, definitions, CanaryTerms(for_s=for_s, **{**HALF, **terms}), **TURNED)


async def ended(pool: Pool, definitions: Definitions, shop: Shop, *, of_share: bool, failing: bool = False) -> None:
    """Have an order end that is of the share, or of the others."""
    keys = (uuid4().hex for _ in itertools.count())
    key = next(key for key in keys if in_share(order_id("tests", key), 1, HALF["percent"]) is of_share)
    shop.behaviours["/first"] = [status(422)] if failing else []
    order = await started(pool, definitions, key)
    await until(pool, order, Status.FAILED if failing else Status.COMPLETED)


async def entry(pool: Pool, definitions: Definitions) -> Json:
    """The newest entry of the history."""
    async with pool.connection() as conn:
        return (await configuring.history(conn, definitions, "errand"))[0]


@pytest.mark.parametrize(
    ("terms", "figures", "expected"),
    [
        ({}, {}, None),
        ({}, {"failed": 1}, None),
        ({}, {"failed": 2}, (False, "2 of 4 orders failed, more than 25.0%")),
        ({}, {"failed": 3, "ended": 3}, None),
        ({}, {"violations": ["x (1, for example y)"]}, (False, "an invariant does not hold: x (1, for example y)")),
        ({}, {"unchecked": "timeout"}, None),
        ({"is_over": True}, {}, (True, "its time is over; 0 of 4 orders failed")),
        ({"is_over": True}, {"failed": 1}, (True, "its time is over; 1 of 4 orders failed")),
        ({"is_over": True}, {"failed": 2}, (False, "2 of 4 orders failed, more than 25.0%")),
        (
            {"is_over": True},
            {"ended": 3, "failed": 3},
            (True, "its time is over; only 3 orders ended, too few to judge them by"),
        ),
        (
            {"is_over": True},
            {"unchecked": "timeout"},
            (False, "its time is over and its invariants could not be checked: timeout"),
        ),
    ],
)
def test_a_canary_is_judged_by_its_figures(terms: Json, figures: Json, expected: tuple[bool, str] | None) -> None:
    said = verdict({**TERMS, **terms}, {**FIGURES, **figures})

    assert (said and (said.keep, said.reason)) == expected


async def test_a_share_that_fails_too_often_is_taken_back(pool: Pool, ledger_url: str, shop: Shop) -> None:
    async with judged(pool, ledger_url, shop) as (replica, judge):
        definitions = replica.definitions
        await tried(pool, definitions)
        await ended(pool, definitions, shop, of_share=True)
        await ended(pool, definitions, shop, of_share=False)
        assert await judge.run_once() is None
        await ended(pool, definitions, shop, of_share=True, failing=True)
        said = await judge.run_once()

        assert said is not None
        assert not said.keep
        found = await entry(pool, definitions)
        assert (found["act"], found["revision"], found["actor"]) == ("withdraw", 1, "replica one")
        assert found["reason"] == "1 of 2 orders failed, more than 25.0%"
        assert (found["figures"]["ended"], found["figures"]["failed"]) == (2, 1)
        assert (found["figures"]["others_ended"], found["figures"]["others_failed"]) == (1, 0)
        async with pool.connection() as conn:
            assert await config.list_revisions(conn, "errand") == {}
        order = await started(pool, definitions)
        await until(pool, order, Status.COMPLETED)
        assert definitions.named("errand").config == 0


async def test_failures_of_others_are_not_the_canarys(pool: Pool, ledger_url: str, shop: Shop) -> None:
    async with judged(pool, ledger_url, shop) as (replica, judge):
        await tried(pool, replica.definitions)
        for _ in range(2):
            await ended(pool, replica.definitions, shop, of_share=True)
            await ended(pool, replica.definitions, shop, of_share=False, failing=True)

        assert await judge.run_once() is None


async def test_a_canary_whose_invariant_fails_is_taken_back(pool: Pool, ledger_url: str, shop: Shop) -> None:
    async with judged(pool, ledger_url, shop) as (replica, judge):
        await tried(pool, replica.definitions, orders_min=99)
        await ended(pool, replica.definitions, shop, of_share=True)
        await ended(pool, replica.definitions, shop, of_share=False)
        assert await judge.run_once() is None
        await broken(pool, of_share=False)
        assert await judge.run_once() is None, "it is of another order"
        await broken(pool, of_share=True)
        said = await judge.run_once()

        assert said is not None
        assert said.reason.startswith(f"an invariant does not hold: {INVARIANT} (1, for example order_ledger_id ")
        assert (await entry(pool, replica.definitions))["act"] == "withdraw"


async def broken(pool: Pool, *, of_share: bool) -> None:
    """Plant a violation of the invariant: the snapshot of these orders demands a step that nobody did."""
    async with pool.connection() as conn:
        await conn.execute(
            """update saga_definition set body = jsonb_set(body, '{steps,3}', '{"name": "planted"}', true)
            where ((body ->> 'config') <> '0') = %s""",
            [of_share],
        )


async def test_what_nothing_speaks_against_becomes_active_when_its_time_is_over(
    pool: Pool, ledger_url: str, shop: Shop
) -> None:
    async with judged(pool, ledger_url, shop) as (replica, judge):
        await tried(pool, replica.definitions, for_s=0.001)
        await eventually(judge.run_once)
        found = await entry(pool, replica.definitions)
        order = await started(pool, replica.definitions)
        await until(pool, order, Status.COMPLETED)

    assert (found["act"], found["reason"]) == ("promote", "its time is over; only 0 orders ended, too few to judge them by")
    assert replica.definitions.named("errand").config == 1
    assert shop.paths() == ["/second", "/first", "/third"]


async def test_of_many_replicas_one_judges_at_a_time(
    pool: Pool, ledger_url: str, shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(canary, "EVERY_S", 600.0)
    definitions = await opened(pool, ledger_url)
    await tried(pool, definitions)

    async def take() -> Json | None:
        async with pool.connection() as conn:
            return await config.take_canary(conn, ["errand"], every_s=canary.EVERY_S)

    taken = await asyncio.gather(*(take() for _ in range(6)))

    assert sum(found is not None for found in taken) == 1


async def test_of_many_decisions_one_is_written(pool: Pool, ledger_url: str) -> None:
    definitions = await opened(pool, ledger_url)
    await tried(pool, definitions)

    async def conclude(keep: bool) -> bool:
        async with pool.connection() as conn:
            return await configuring.conclude(conn, "errand", 1, keep=keep, actor="a", reason="r", figures={})

    assert sum(await asyncio.gather(*(conclude(keep) for keep in (True, False, True, False)))) == 1
    async with pool.connection() as conn:
        assert len(await configuring.history(conn, definitions, "errand")) == 3


async def test_a_replica_judges_by_itself_once_it_sees_the_canary(
    pool: Pool, ledger_url: str, shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(canary, "TICK_S", 0.01)
    async with judged(pool, ledger_url, shop) as (replica, judge):
        judging = asyncio.create_task(judge.run())
        await tried(pool, replica.definitions, for_s=0.001)
        # The share's orders are claimed, and with a claim the replica looks at the fleet.
        await replica.fleet.look()
        await eventually(lambda: is_active(pool))
        await eventually(lambda: is_forgotten(replica))
        judging.cancel()


async def is_forgotten(replica: Replica) -> bool:
    return not replica.fleet.has_canary


async def is_active(pool: Pool) -> bool:
    async with pool.connection() as conn:
        return "active" in await config.list_revisions(conn, "errand")


async def test_what_another_release_configured_is_left_to_its_replicas(pool: Pool, ledger_url: str, shop: Shop) -> None:
    newer = replace(WATCHED, version=2, steps=(*ERRAND.steps, replace(ERRAND.call_of("third"), name="fourth")))
    terms = CanaryTerms(for_s=0.001, **HALF)
    await applied(pool, await opened(pool, ledger_url, [newer]), terms, steps={"fourth": {"timeout_s": 0.5}})

    async with judged(pool, ledger_url, shop) as (_, judge):
        assert await judge.run_once() is None
    assert not await is_active(pool)
