"""What a saga costs the server, counted and not timed, so that it can't grow unnoticed.

On a server of its own, on which nothing else writes, without vacuum and without page images. Whoever makes a saga cheaper
lowers the bounds; who has a reason to make it dearer raises them and says why.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import pytest

from orchestrator.saga import Saga
from sql import ledger
from tests.integration.orchestrator.absence import eventually
from tests.integration.orchestrator.counting import Noting, open_noting
from tests.integration.orchestrator.shop import Basket, Shop, new_order, open_replica, step
from tests.servers import Server, servers

LEDGER: Final = "sagaledger"
FOUR: Final = Saga(name="errand", version=1, input=Basket, steps=tuple(step(name) for name in ("one", "two", "three", "four")))
UNHURRIED: Final = {"poll_interval_s": 60.0, "lease_s": 60.0}
"""Nothing is asked of the server but what the sagas need."""


@dataclass(frozen=True)
class Cost:
    """Of one saga, on average."""

    transactions: float
    statements: float
    wal_bytes: float


ALONE: Final = Cost(transactions=6.5, statements=6.4, wal_bytes=10_800)
"""Room for a replica's start, but for no statement more in a saga: one claim and five writes for four steps, which is 6.17 and
6.07 here with the start. Bytes do not depend on chance either: 10,450, and one index more on the journal is too much."""
TOGETHER: Final = Cost(transactions=0.8, statements=0.75, wal_bytes=12_000)
"""How many share a commit is chance: 0.25 to 0.5 of both here. So is which updates find room on their page before old versions
are cleared from it: 10,420 bytes, and 11,170 on a machine that was busy."""


@pytest.fixture(scope="module")
def alone(stopped_server: Server) -> Iterator[Server]:
    """A server with a ledger on which only a test of this module writes."""
    with servers(1) as (made,):
        made.copy(stopped_server)
        made.configure(autovacuum="off", checkpoint_timeout="1h", max_wal_size="1GB")
        made.start()
        yield made


async def drained(server: Server, shop: Shop, sagas: int, **options: Any) -> Cost:
    """Have sagas wait, let a replica run them all, and count what that took from the first claim to the last write."""
    url = server.url(LEDGER)
    async with open_noting(url) as pool, open_replica(pool, url, shop, FOUR, **UNHURRIED) as placing:
        await placing.worker.stop(1.0)
        async with pool.connection() as conn:
            for _ in range(sagas):
                assert await ledger.insert_order(conn, new_order(placing.definitions))
    transactions, wal_bytes = _counted(server)
    async with open_noting(url) as pool, open_replica(pool, url, shop, FOUR, **UNHURRIED, **options) as replica:
        completed = replica.metrics.finished.labels(FOUR.name, "COMPLETED")._value
        await eventually(lambda: completed.get() == sagas)
        statements = len(Noting.noted)
    # A session tells what it did at the latest when it ends, and here all have.
    await eventually(lambda: not server.do(f"select from pg_stat_activity where datname = '{LEDGER}'"))
    after = _counted(server)
    return Cost((after[0] - transactions) / sagas, statements / sagas, (after[1] - wal_bytes) / sagas)


def _counted(server: Server) -> tuple[int, int]:
    """Transactions that were committed in the ledger so far, and bytes of write-ahead log."""
    ((transactions, wal_bytes),) = server.do(
        f"select xact_commit, pg_current_wal_insert_lsn() - '0/0'::pg_lsn from pg_stat_database where datname = '{LEDGER}'"
    )
    return int(str(transactions)), int(str(wal_bytes))


async def test_a_saga_alone_costs_no_more_than_it_did(alone: Server, shop: Shop) -> None:
    cost = await drained(alone, shop, 60, concurrency=1)

    assert cost.statements <= ALONE.statements
    assert cost.transactions <= ALONE.transactions
    assert cost.wal_bytes <= ALONE.wal_bytes


async def test_sagas_that_run_together_share_their_commits(alone: Server, shop: Shop) -> None:
    cost = await drained(alone, shop, 200, concurrency=200, participant_concurrency=100)

    assert cost.statements <= TOGETHER.statements
    assert cost.transactions <= TOGETHER.transactions
    assert cost.wal_bytes <= TOGETHER.wal_bytes
