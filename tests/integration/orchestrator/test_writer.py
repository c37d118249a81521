"""Group commit: what shares a statement shares no fate."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from msgspec.structs import replace
from psycopg_pool import AsyncConnectionPool

from orchestrator.definitions import Definitions
from orchestrator.work import Work
from orchestrator.writer import Superseded, Unstorable, Writer, Written
from sql import auditing, ledger
from sql.ledger import ClaimLost
from sql.models import Claim, Entry, Kind, Transition
from tests.integration.orchestrator.shop import ERRAND, new_order, row_of, settings_for

Pool = AsyncConnectionPool[Any]


@asynccontextmanager
async def writing(pool: Pool) -> AsyncIterator[Writer]:
    writer = Writer(pool)
    task = asyncio.create_task(writer.run())
    try:
        yield writer
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def claimed(pool: Pool, url: str, count: int = 1) -> list[Claim]:
    definitions = Definitions([ERRAND], settings_for(url))
    async with pool.connection() as conn:
        await definitions.register(conn)
        for _ in range(count):
            await ledger.insert_order(conn, new_order(definitions))
        found = await ledger.claim_due(conn, owner="r1", lease_s=60, limit=count, fingerprints=definitions.fingerprints)
    assert len(found.claims) == count
    return list(found.claims)


def transition(claim: Claim, replica: str = "r1") -> Transition:
    work = Work.of(ERRAND, claim.row)
    return work.transition(work.advance(None, go_on=True), replica=replica)


async def entries(pool: Pool) -> int:
    async with pool.connection() as conn:
        cursor = await conn.execute("select count(*) from ledger_journal")
        row = await cursor.fetchone()
    return int(row[0]) if row else 0


async def test_a_write_under_an_old_epoch_is_refused_whole(pool: Pool, ledger_url: str) -> None:
    [claim] = await claimed(pool, ledger_url)
    async with pool.connection() as conn:
        await conn.execute("update order_ledger set lease_epoch = lease_epoch + 1")

    async with writing(pool) as writer:
        with pytest.raises(ClaimLost):
            await writer.write(transition(claim))

    assert await entries(pool) == 0
    assert (await row_of(pool, claim.row.order_ledger_id)).status == claim.row.status


async def test_a_write_that_was_overtaken_under_its_own_claim_is_told_the_new_row(pool: Pool, ledger_url: str) -> None:
    [claim] = await claimed(pool, ledger_url)
    write = transition(claim)
    async with writing(pool) as writer:
        first = await writer.write(replace(write, entries=(Entry(Kind.OPERATOR, outcome="cancel", actor="a", reason="b"),)))
        second = await writer.write(write)

    assert first == Written(1)
    assert isinstance(second, Superseded)
    assert second.row.last_seq == 1


@pytest.mark.parametrize(
    "unstorable",
    [{"last_error": "nul \0 byte"}, {"last_error": "half of a pair \ud800"}, {"retry_count": 2**31}],
    ids=["NUL", "surrogate", "integer"],
)
async def test_one_row_that_can_not_be_stored_keeps_no_other_from_being_written(
    pool: Pool, ledger_url: str, unstorable: dict[str, Any]
) -> None:
    claims = await claimed(pool, ledger_url, 9)
    writes = [transition(claim) for claim in claims]
    writes[4] = replace(writes[4], **unstorable)

    async with writing(pool) as writer, asyncio.timeout(60):
        answers = await asyncio.gather(*(writer.write(write) for write in writes), return_exceptions=True)

    assert isinstance(answers[4], Unstorable)
    assert [type(answer) for answer in answers[:4] + answers[5:]] == [Written] * 8


async def test_transitions_that_collect_share_one_commit(pool: Pool, ledger_url: str) -> None:
    claims = await claimed(pool, ledger_url, 50)

    async with writing(pool) as writer:
        await asyncio.gather(*(writer.write(transition(claim)) for claim in claims))

    async with pool.connection() as conn:
        cursor = await conn.execute("select count(distinct xmin::text) from ledger_journal")
        row = await cursor.fetchone()
    assert row is not None
    assert row[0] <= 3


async def test_a_commit_whose_answer_was_lost_is_recognised_and_not_written_twice(pool: Pool, ledger_url: str) -> None:
    [claim] = await claimed(pool, ledger_url)
    write = transition(claim)
    async with pool.connection() as conn:
        await ledger.write_transitions(conn, [write])
        assert await ledger.list_written(conn, [write]) == {claim.row.order_ledger_id}
        assert await ledger.list_written(conn, [replace(write, replica="r2")]) == set()
        assert await ledger.list_written(conn, [replace(write, lease_epoch=99)]) == set()


async def test_a_write_goes_on_after_its_connection_was_terminated(pool: Pool, ledger_url: str) -> None:
    claims = await claimed(pool, ledger_url, 2)
    async with writing(pool) as writer:
        await writer.write(transition(claims[0]))
        with psycopg.connect(ledger_url, autocommit=True) as other:
            other.execute(
                "select pg_terminate_backend(pid) from pg_stat_activity"
                " where application_name = 'saga tests' and datname = current_database()"
            )
        answer = await asyncio.wait_for(writer.write(transition(claims[1])), 15)

    assert answer == Written(2)


async def test_the_chain_of_hashes_holds_over_every_way_of_writing(pool: Pool, ledger_url: str) -> None:
    [claim] = await claimed(pool, ledger_url)
    async with writing(pool) as writer:
        await writer.write(transition(claim))

    [chain] = [query for query in auditing.load_audit() if query.name == "ledger_chain_intact"]
    with psycopg.connect(ledger_url) as conn:
        assert conn.execute(chain.text).fetchall() == []
        hashes = [row[0] for row in conn.execute("select hash from ledger_journal order by seq").fetchall()]
        head = conn.execute("select chain_head from order_ledger").fetchone()
    assert [len(digest) for digest in hashes] == [0, 32]
    assert head == (hashes[-1],)


async def test_a_claim_takes_no_more_than_its_limit_and_skips_what_others_hold(pool: Pool, ledger_url: str) -> None:
    definitions = Definitions([ERRAND], settings_for(ledger_url))
    async with pool.connection() as conn, pool.connection() as other:
        await definitions.register(conn)
        for _ in range(5):
            await ledger.insert_order(conn, new_order(definitions))
        options: dict[str, Any] = {"lease_s": 60, "fingerprints": definitions.fingerprints}
        one, two = await asyncio.gather(
            ledger.claim_due(conn, owner="r1", limit=3, **options), ledger.claim_due(other, owner="r2", limit=3, **options)
        )

    ids = [claim.row.order_ledger_id for claim in one.claims + two.claims]
    assert len(ids) == len(set(ids)) == 5
    assert max(len(one.claims), len(two.claims)) == 3


async def test_an_insert_of_a_used_key_writes_nothing_at_all(pool: Pool, ledger_url: str) -> None:
    definitions = Definitions([ERRAND], settings_for(ledger_url))
    order = new_order(definitions)
    async with pool.connection() as conn:
        await definitions.register(conn)
        assert await ledger.insert_order(conn, order) is not None
        assert await ledger.insert_order(conn, replace(order, order_ledger_id=uuid4())) is None
        assert await ledger.insert_order(conn, order) is None
        cursor = await conn.execute("select (select count(*) from order_ledger), (select count(*) from outbox)")
        assert await cursor.fetchone() == (1, 1)
