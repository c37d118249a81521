"""What operators do to a saga's configuration, and which definition orders start and go on with."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest

from orchestrator import configuring
from orchestrator.config_shown import show
from orchestrator.configuration import Configuration, Unsafe
from orchestrator.configuring import CanaryTerms, NoSuchSaga, NotInThisState
from orchestrator.definitions import Definitions, Unfit, in_share
from orchestrator.identity import order_id
from orchestrator.opening import Request, open_order
from sql import config, ledger
from sql.models import Status
from tests.integration.orchestrator.absence import Pool, eventually
from tests.integration.orchestrator.shop import ERRAND, Basket, Shop, open_replica, settings_for, until

BY = {"actor": "ann", "reason": "a try"}
TURNED = {"order": ["second", "first", "third"]}
CANARY = CanaryTerms(percent=50.0, for_s=600.0)


async def opened(pool: Pool, url: str, sagas: Sequence[Any] = (ERRAND,), **options: Any) -> Definitions:
    """The definitions of a process that starts now."""
    definitions = Definitions(sagas, settings_for(url, **options))
    async with pool.connection() as conn:
        await definitions.register(conn)
        await definitions.look(conn)
    return definitions


async def applied(pool: Pool, definitions: Definitions, canary: CanaryTerms | None = None, **said: Any) -> int:
    """Configure the saga so."""
    async with pool.connection() as conn:
        await configuring.put(conn, definitions, "errand", Configuration.read("errand", said), **BY)
        return await configuring.apply(conn, definitions, "errand", canary=canary, **BY)


async def inserted(pool: Pool, definitions: Definitions, key: str | None = None) -> UUID | None:
    """Insert an order on what this process knows; None where the ledger knows better."""
    key = key or uuid4().hex
    request = Request(order_id("tests", key), "tests", key, b"hash", Basket(), {}, "correlation")
    chosen = definitions.chosen("errand", request.order_ledger_id)
    opening = open_order(chosen.saga, request, config_seq=chosen.config_seq)
    async with pool.connection() as conn:
        return request.order_ledger_id if await ledger.insert_order(conn, opening.order) else None


async def started(pool: Pool, definitions: Definitions, key: str | None = None) -> UUID:
    """Insert an order as an edge does."""
    found = await inserted(pool, definitions, key)
    if found is None:
        async with pool.connection() as conn:
            await definitions.look(conn)
        found = await inserted(pool, definitions, key)
    assert found is not None
    return found


async def steps_of(pool: Pool, definitions: Definitions, order: UUID) -> list[str]:
    async with pool.connection() as conn:
        row = (await ledger.get_rows(conn, [order]))[order]
        return [step.name for step in (await definitions.of(conn, row.definition_id)).steps]


async def acts(pool: Pool, definitions: Definitions) -> list[tuple[str, int]]:
    async with pool.connection() as conn:
        return [(entry["act"], entry["revision"]) for entry in await configuring.history(conn, definitions, "errand")]


async def test_what_is_pending_changes_nothing_until_it_is_applied(pool: Pool, ledger_url: str) -> None:
    definitions = await opened(pool, ledger_url)
    async with pool.connection() as conn:
        await configuring.put(conn, definitions, "errand", Configuration.read("errand", TURNED), **BY)
        shown = await show(conn, definitions, "errand")

    assert await steps_of(pool, definitions, await started(pool, definitions)) == ["first", "second", "third"]
    assert shown.active is None
    assert shown.following is not None
    assert (shown.following["state"], shown.following["body"]) == ("pending", TURNED)
    assert shown.differences == [{"key": "order", "before": ["first", "second", "third"], "after": TURNED["order"]}]


async def test_an_applied_configuration_holds_at_once_in_every_process(pool: Pool, ledger_url: str) -> None:
    edges = [await opened(pool, ledger_url) for _ in range(2)]
    await applied(pool, edges[0], **TURNED)

    # Neither has looked, and neither inserts an order on what it knew.
    assert [await inserted(pool, edge) for edge in edges] == [None, None]
    orders = [await started(pool, edge) for edge in edges]
    assert [await steps_of(pool, edges[0], order) for order in orders] == [TURNED["order"]] * 2


async def test_no_order_that_begins_after_an_apply_starts_on_what_was_before(pool: Pool, ledger_url: str) -> None:
    """Whatever happens at the same time: many processes insert while revision after revision is applied."""
    edges = [await opened(pool, ledger_url) for _ in range(3)]
    applied_so_far, orders = 0, list[tuple[int, UUID]]()

    async def insert(edge: Definitions) -> None:
        while applied_so_far < 6:
            began_after, key = applied_so_far, uuid4().hex
            while (order := await inserted(pool, edge, key)) is None:
                async with pool.connection() as conn:
                    await edge.look(conn)
            orders.append((began_after, order))

    inserting = [asyncio.create_task(insert(edge)) for edge in edges]
    while applied_so_far < 6:
        begun = len(orders)
        await eventually(lambda begun=begun: len(orders) > begun + 2)
        applied_so_far = await applied(pool, edges[0], deadline_s=1_000.0 + applied_so_far)
    await asyncio.gather(*inserting)

    async with pool.connection() as conn:
        rows = await ledger.get_rows(conn, [order for _, order in orders])
        ran = [(after, (await edges[0].of(conn, rows[order].definition_id)).config) for after, order in orders]
    assert [each for each in ran if each[1] < each[0]] == []
    assert {config for _, config in ran} >= {0, 1, 5}


async def test_an_order_goes_on_with_what_it_started_with(pool: Pool, ledger_url: str, shop: Shop) -> None:
    definitions = await opened(pool, ledger_url)
    before = await started(pool, definitions)
    await applied(pool, definitions, **TURNED)
    after = await started(pool, definitions)

    async with open_replica(pool, ledger_url, shop):
        await until(pool, before, Status.COMPLETED)
        await until(pool, after, Status.COMPLETED)

    paths = {str(order): [path for path, key in shop.calls if key.startswith(str(order))] for order in (before, after)}
    assert paths == {str(before): ["/first", "/second", "/third"], str(after): ["/second", "/first", "/third"]}


async def test_a_repeat_of_a_request_finds_its_order_whatever_was_configured_since(pool: Pool, ledger_url: str) -> None:
    definitions = await opened(pool, ledger_url)
    order = await inserted(pool, definitions, "key")
    await applied(pool, definitions, **TURNED)
    async with pool.connection() as conn:
        await definitions.look(conn)

    assert order is not None
    assert await inserted(pool, definitions, "key") is None
    async with pool.connection() as conn:
        assert await ledger.find_repeat(conn, order) is not None


async def test_every_act_stands_in_the_history_with_who_and_why(pool: Pool, ledger_url: str) -> None:
    definitions = await opened(pool, ledger_url)
    async with pool.connection() as conn:
        await configuring.put(conn, definitions, "errand", Configuration(deadline_s=100.0), actor="ann", reason="short")
        await configuring.put(conn, definitions, "errand", Configuration(deadline_s=200.0), actor="bob", reason="longer")
        await configuring.apply(conn, definitions, "errand", actor="cleo", reason="agreed")
        await configuring.put(conn, definitions, "errand", Configuration(), actor="dan", reason="back")
        await configuring.discard(conn, definitions, "errand", actor="eve", reason="no")
        found = await configuring.history(conn, definitions, "errand")

    assert [(entry["act"], entry["revision"], entry["actor"], entry["reason"]) for entry in reversed(found)] == [
        ("set", 1, "ann", "short"),
        ("set", 2, "bob", "longer"),
        ("apply", 2, "cleo", "agreed"),
        ("set", 3, "dan", "back"),
        ("discard", 3, "eve", "no"),
    ]
    assert [entry["body"] for entry in found] == [{}, {}, {"deadline_s": 200.0}, {"deadline_s": 200.0}, {"deadline_s": 100.0}]


@pytest.mark.parametrize(
    "statement",
    [
        "update saga_config_history set reason = 'another'",
        "delete from saga_config_history",
        "truncate saga_config_history",
        "update saga_config set body = '{}'",
        "delete from saga_config",
        "truncate saga_config cascade",
    ],
)
async def test_nobody_changes_the_history(pool: Pool, ledger_url: str, statement: Any) -> None:
    await applied(pool, await opened(pool, ledger_url), **TURNED)

    async with pool.connection() as conn:
        with pytest.raises(psycopg.errors.InsufficientPrivilege, match="append-only"):
            await conn.execute(statement)


async def test_acts_that_make_no_sense_are_refused(pool: Pool, ledger_url: str) -> None:
    definitions = await opened(pool, ledger_url)
    async with pool.connection() as conn:
        with pytest.raises(NotInThisState, match="nothing is pending for saga errand"):
            await configuring.apply(conn, definitions, "errand", **BY)
        with pytest.raises(NotInThisState, match="nothing is pending for saga errand"):
            await configuring.discard(conn, definitions, "errand", **BY)
        with pytest.raises(NotInThisState, match="saga errand is configured so already"):
            await configuring.put(conn, definitions, "errand", Configuration(), **BY)
        with pytest.raises(NoSuchSaga, match="there is no saga arrand, only errand"):
            await configuring.put(conn, definitions, "arrand", Configuration(), **BY)
        with pytest.raises(Unsafe, match="step second can't be off"):
            await configuring.put(conn, definitions, "errand", Configuration(off=("second",)), **BY)
        await configuring.put(conn, definitions, "errand", Configuration.read("errand", TURNED), **BY)
        with pytest.raises(NotInThisState, match="revision 1 of saga errand is pending, not 4"):
            await configuring.apply(conn, definitions, "errand", revision=4, **BY)

    assert await acts(pool, definitions) == [("set", 1)]


async def test_what_was_safe_when_it_was_set_is_checked_again_when_it_is_applied(pool: Pool, ledger_url: str) -> None:
    definitions = await opened(pool, ledger_url)
    impatient = await opened(pool, ledger_url, lease_s=2.1, step_timeout_s=0.5)
    async with pool.connection() as conn:
        await configuring.put(conn, definitions, "errand", Configuration(timeout_s=1.2), **BY)

        with pytest.raises(Unsafe, match=r"a call of step first may take 1\.2 s, which must be less than 0\.9 s"):
            await configuring.apply(conn, impatient, "errand", **BY)

    assert await acts(pool, definitions) == [("set", 1)]


async def test_of_many_acts_at_once_one_is_done(pool: Pool, ledger_url: str) -> None:
    definitions = await opened(pool, ledger_url)
    async with pool.connection() as conn:
        await configuring.put(conn, definitions, "errand", Configuration.read("errand", TURNED), **BY)

    async def attempt() -> int:
        async with pool.connection() as conn:
            return await configuring.apply(conn, definitions, "errand", **BY)

    done = await asyncio.gather(*(attempt() for _ in range(5)), return_exceptions=True)

    assert sum(not isinstance(result, BaseException) for result in done) == 1
    assert {type(result) for result in done} == {int, NotInThisState}
    assert await acts(pool, definitions) == [("apply", 1), ("set", 1)]


async def test_an_act_waits_for_one_that_is_being_done_and_sees_what_came_of_it(pool: Pool, ledger_url: str) -> None:
    definitions = await opened(pool, ledger_url)
    async with pool.connection() as conn, pool.connection() as other, pool.connection() as third:
        await configuring.put(conn, definitions, "errand", Configuration.read("errand", TURNED), **BY)

        async def waits() -> bool:
            return bool(
                await (await third.execute("select from pg_locks where locktype = 'advisory' and not granted")).fetchall()
            )

        async with conn.transaction():
            await config.lock_config(conn, "errand")
            applying = asyncio.create_task(configuring.apply(other, definitions, "errand", **BY))
            await eventually(waits, timeout_s=10.0)
            await config.move_revision(conn, "errand", 1, "discarded")
        with pytest.raises(NotInThisState, match="nothing is pending"):
            await applying


async def test_a_canary_takes_its_share_and_a_repeat_is_of_the_same(pool: Pool, ledger_url: str) -> None:
    definitions = await opened(pool, ledger_url)
    revision = await applied(pool, definitions, canary=CANARY, **TURNED)

    orders = [await started(pool, definitions) for _ in range(30)]

    for order in orders:
        tried = in_share(order, revision, CANARY.percent)
        assert await steps_of(pool, definitions, order) == (TURNED["order"] if tried else ["first", "second", "third"])
    assert 0 < sum(in_share(order, revision, CANARY.percent) for order in orders) < 30


async def test_while_a_canary_runs_nothing_else_is_set_and_it_can_be_ended_by_hand(pool: Pool, ledger_url: str) -> None:
    definitions = await opened(pool, ledger_url)
    await applied(pool, definitions, canary=CANARY, **TURNED)
    async with pool.connection() as conn:
        with pytest.raises(NotInThisState, match=r"revision 1 is being tried on 50 % of new orders until .* UTC: wait"):
            await configuring.put(conn, definitions, "errand", Configuration(deadline_s=100.0), **BY)
        with pytest.raises(NotInThisState, match="already"):
            await configuring.apply(conn, definitions, "errand", canary=CANARY, **BY)
        await configuring.discard(conn, definitions, "errand", **BY)
    order = await started(pool, definitions)

    assert await steps_of(pool, definitions, order) == ["first", "second", "third"]
    assert await acts(pool, definitions) == [("discard", 1), ("canary", 1), ("set", 1)]


async def test_a_canary_is_made_active_by_hand(pool: Pool, ledger_url: str) -> None:
    definitions = await opened(pool, ledger_url)
    await applied(pool, definitions, canary=CANARY, **TURNED)
    async with pool.connection() as conn:
        await configuring.apply(conn, definitions, "errand", **BY)
        found = await config.list_revisions(conn, "errand")

    assert found.keys() == {"active"}
    assert await steps_of(pool, definitions, await started(pool, definitions)) == TURNED["order"]


async def test_a_process_whose_code_it_is_not_for_starts_no_order(pool: Pool, ledger_url: str) -> None:
    newer = replace(ERRAND, version=2, steps=(*ERRAND.steps, replace(ERRAND.call_of("third"), name="fourth")))
    old, new = await opened(pool, ledger_url), await opened(pool, ledger_url, [newer])
    await applied(pool, new, steps={"fourth": {"timeout_s": 0.5}})

    assert await inserted(pool, old) is None
    async with pool.connection() as conn:
        await old.look(conn)
    with pytest.raises(Unfit, match="there is no step fourth in version 1"):
        await inserted(pool, old)
    with pytest.raises(Unfit):
        old.check_fit()
    assert await inserted(pool, await opened(pool, ledger_url, [newer])) is not None


async def test_new_orders_start_on_the_newest_version_unless_another_is_pinned(pool: Pool, ledger_url: str) -> None:
    newer = replace(ERRAND, version=2, steps=tuple(reversed(ERRAND.steps)))
    definitions = await opened(pool, ledger_url, [ERRAND, newer])

    assert await steps_of(pool, definitions, await started(pool, definitions)) == ["third", "second", "first"]
    await applied(pool, definitions, version=1)
    assert await steps_of(pool, definitions, await started(pool, definitions)) == ["first", "second", "third"]


async def test_a_replica_claims_only_the_version_that_it_can_run(pool: Pool, ledger_url: str, shop: Shop) -> None:
    newer = replace(ERRAND, version=2, steps=tuple(reversed(ERRAND.steps)))
    old = await started(pool, await opened(pool, ledger_url))
    new = await started(pool, await opened(pool, ledger_url, [ERRAND, newer]))

    async with open_replica(pool, ledger_url, shop, newer):
        await until(pool, new, Status.COMPLETED)
        async with pool.connection() as conn:
            assert (await ledger.get_rows(conn, [old]))[old].lease_epoch == 1
            left = await config.count_unfinished(conn, "errand", 1)
        assert [(row["status"], row["orders"], row["oldest"]) for row in left] == [("PENDING", 1, old)]
        async with open_replica(pool, ledger_url, shop, ERRAND):
            await until(pool, old, Status.COMPLETED)

    async with pool.connection() as conn:
        assert await config.count_unfinished(conn, "errand", 1) == []
    assert [path for path, _ in shop.calls] == ["/third", "/second", "/first", "/first", "/second", "/third"]
