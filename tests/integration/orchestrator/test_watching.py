"""`saga watch`: every change once and in order, through an outage of the database too; it ends as the order does."""

import asyncio
import contextlib
import json
from typing import Any
from uuid import UUID

import psycopg
import pytest
from psycopg import sql as pgsql
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg_pool import AsyncConnectionPool, PoolTimeout

from orchestrator.operations import watching
from orchestrator.operations.watching import Missed
from sql.ledger import OrderNotFound
from sql.models import SagaRow, Status
from tests.integration.orchestrator.shop import Shop, open_replica, place, row_of, status, until

Pool = AsyncConnectionPool[Any]


def lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


async def watched(url: str, order: UUID, *, after: int | None = None) -> Status:
    """Watch one order to its end, as the command does."""
    told = watching._printer(as_json=True, of_one=True)
    return await asyncio.wait_for(watching._watch_order(url, order, after, told), 30)


@pytest.mark.parametrize(
    ("second", "undo", "ends", "code"),
    [(200, 200, Status.COMPLETED, 0), (422, 200, Status.FAILED, 3), (422, 500, Status.STUCK, 6)],
)
async def test_an_order_is_followed_to_its_end_and_the_exit_code_says_which(
    second: int, undo: int, ends: Status, code: int, pool: Pool, ledger_url: str, shop: Shop, capsys: pytest.CaptureFixture[str]
) -> None:
    shop.behaviours["/second"] = [] if second == 200 else [status(second)]
    shop.behaviours["/undo-first"] = [] if undo == 200 else [status(undo)]
    async with open_replica(pool, ledger_url, shop, retry_attempts=1) as replica:
        order = await place(replica)
        capsys.readouterr()
        ending = await watched(ledger_url, order)
        await until(pool, order, ends)

    changes = [change for change in lines(capsys) if "seq" in change]
    assert (ending, watching.EXIT_CODES[ending]) == (ends, code)
    assert [change["seq"] for change in changes][-1] == (await row_of(pool, order)).last_seq
    assert [change["seq"] for change in changes] == sorted({change["seq"] for change in changes})
    assert (changes[-1]["status"], {change["order_ledger_id"] for change in changes}) == (ends, {str(order)})


async def test_one_that_has_ended_is_told_from_where_it_is_asked_for(
    pool: Pool, ledger_url: str, shop: Shop, capsys: pytest.CaptureFixture[str]
) -> None:
    async with open_replica(pool, ledger_url, shop) as replica:
        order = await place(replica)
        last = (await until(pool, order, Status.COMPLETED)).last_seq
    capsys.readouterr()

    assert await watched(ledger_url, order, after=last - 1) is Status.COMPLETED
    assert [change["seq"] for change in lines(capsys)] == [last]
    assert await watched(ledger_url, order, after=last) is Status.COMPLETED
    assert lines(capsys) == []
    with pytest.raises(OrderNotFound):
        await watched(ledger_url, UUID(int=0))


def shut(url: str, database: str, *, open_: bool) -> None:
    """Let nobody into a database, and throw out who is in; or let everybody in again."""
    with psycopg.connect(url, autocommit=True) as conn:
        let_in = pgsql.SQL("true" if open_ else "false")
        conn.execute(pgsql.SQL("alter database {} allow_connections {}").format(pgsql.Identifier(database), let_in))
        conn.execute("select pg_terminate_backend(pid) from pg_stat_activity where datname = %s", (database,))


class Watcher:
    """Somebody who watches all orders, and what that one was told: order, position in its journal, `seq`."""

    def __init__(self, url: str, after: int | None = None) -> None:
        self.told: list[tuple[UUID, int, int]] = []
        self._task = asyncio.create_task(watching._watch_all(url, after, self._tell))

    def _tell(self, entry: Any, change: Any) -> None:
        self.told.append((entry.order_ledger_id, entry.seq, change.seq))

    def of(self, order: UUID) -> list[int]:
        return [seq for told, seq, _ in self.told if told == order]

    async def sees_the_end_of(self, row: SagaRow) -> None:
        async with asyncio.timeout(30):
            while row.last_seq not in self.of(row.order_ledger_id):
                await asyncio.sleep(0.02)

    async def __aenter__(self) -> "Watcher":
        return self

    async def __aexit__(self, *_: object) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)


async def test_all_orders_are_followed_without_a_gap_through_an_outage_of_the_database(
    pool: Pool, ledger_url: str, shop: Shop, capsys: pytest.CaptureFixture[str]
) -> None:
    database = str(conninfo_to_dict(ledger_url)["dbname"])
    server = make_conninfo(ledger_url, dbname="postgres")
    async with open_replica(pool, ledger_url, shop) as replica, Watcher(ledger_url) as watcher:
        async with asyncio.timeout(30):
            while not watcher.told:
                await until(pool, await place(replica), Status.COMPLETED)
        await asyncio.to_thread(shut, server, database, open_=False)
        async with asyncio.timeout(30):
            while "stale since" not in capsys.readouterr().err:
                await asyncio.sleep(0.02)
        await asyncio.to_thread(shut, server, database, open_=True)
        order = None
        async with asyncio.timeout(30):
            while order is None:
                with contextlib.suppress(psycopg.OperationalError, PoolTimeout):
                    order = await place(replica)
        last = await until(pool, order, Status.COMPLETED)
        await watcher.sees_the_end_of(last)

    assert "the database is back" in capsys.readouterr().err
    assert watcher.of(order) == list(range(last.last_seq + 1)), "0 is its being recorded"
    assert [place for *_, place in watcher.told] == sorted({place for *_, place in watcher.told})


async def test_what_was_told_last_can_be_gone_on_from(pool: Pool, ledger_url: str, shop: Shop) -> None:
    async with open_replica(pool, ledger_url, shop) as replica, Watcher(ledger_url) as watcher:
        async with asyncio.timeout(30):
            while not watcher.told:
                last = await until(pool, await place(replica), Status.COMPLETED)
        await watcher.sees_the_end_of(last)
        known = list(watcher.told)
        async with Watcher(ledger_url, known[1][2]) as again:
            await again.sees_the_end_of(last)

    assert again.told == known[2:]
    with pytest.raises(Missed, match="leave out --after"):
        await asyncio.wait_for(watching._watch_all(ledger_url, 17, lambda *_: None), 30)
