"""With a synchronous standby an answer means two servers; while it is away, nothing is vouched for."""

import time
from collections.abc import Iterator

import pytest

from tests.acceptance.commands import wait_for
from tests.integration.database.conftest import LEDGER
from tests.integration.edge.service import Edge, Scripted, StartEdge, eventually
from tests.servers import Server

WAITING = "select pid from pg_stat_activity where wait_event = 'SyncRep'"


@pytest.fixture
def synchronous(pair: tuple[Server, Server]) -> Iterator[tuple[Server, Server]]:
    """A primary whose commits wait for its standby."""
    primary, _ = pair
    primary.do("alter system set synchronous_standby_names = '*'", "select pg_reload_conf()")
    wait_for(primary.is_followed)
    return pair


async def test_while_the_standby_is_away_an_order_is_in_doubt_in_time_and_there_when_it_is_back(
    synchronous: tuple[Server, Server], start_edge: StartEdge, payments: Scripted
) -> None:
    primary, standby = synchronous
    edge = await start_edge(payments_url=payments.url, database_url=primary.url(LEDGER), notify=False)
    standby.stop()

    began_s = time.monotonic()
    doubtful = await edge.place(key="one")

    assert time.monotonic() - began_s < 10
    assert (doubtful.status, doubtful.problem, doubtful.headers["Retry-After"]) == (503, "outcome-unknown", "1")
    standby.start()
    await eventually(lambda: _is_accepted(edge), timeout_s=30)
    assert standby.do("select count(*) from order_ledger", database=LEDGER) == [(1,)]


async def test_a_repeat_vouches_for_nothing_that_stands_on_one_server_only(
    synchronous: tuple[Server, Server], start_edge: StartEdge, payments: Scripted
) -> None:
    primary, standby = synchronous
    edge = await start_edge(payments_url=payments.url, database_url=primary.url(LEDGER), notify=False)
    standby.stop()
    await edge.place(key="one")
    # Somebody ends the wait: the order is committed here, visible, and nowhere else.
    primary.do(f"select pg_cancel_backend(pid) from ({WAITING}) as w")
    await eventually(lambda: _is_visible(primary), timeout_s=20)

    repeat = await edge.place(key="one")

    assert (repeat.status, repeat.problem) in {(503, "outcome-unknown"), (409, "idempotency-request-in-progress")}
    standby.start()
    await eventually(lambda: _is_accepted(edge), timeout_s=30)


async def _is_accepted(edge: Edge) -> bool:
    reply = await edge.place(key="one")
    assert reply.status in (202, 409, 503)
    return reply.status == 202


async def _is_visible(server: Server) -> bool:
    return server.do("select count(*) from order_ledger", database=LEDGER) == [(1,)]
