"""A server that has no room or no connections left: the edge says so, orders wait, and it goes on by itself afterwards."""

import asyncio
import contextlib
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import psycopg
import pytest

from tests.integration.edge.service import Edge, Reply, Scripted, StartEdge, eventually
from tests.preloads import FillableDisk
from tests.servers import Server, servers

LEDGER = "sagaledger"
CONNECTIONS_MAX = 10
ITEMS = [{"sku": f"sku-{n}", "quantity": 1, "unit_price_minor": 1, "description": "x" * 400} for n in range(500)]


ITS_CONNECTIONS = "select pg_terminate_backend(pid) from pg_stat_activity where application_name like 'saga edge%'"


@pytest.fixture
def server(stopped_server: Server) -> Iterator[Server]:
    """A server with a ledger that has not been started."""
    with servers(1) as (made,):
        made.copy(stopped_server)
        yield made


async def placed_in_the_end(edge: Edge, keys: list[str], **changes: Any) -> None:
    """Repeat requests with the same keys until each is accepted; there is one order for each key then."""

    async def accepted(key: str) -> bool:
        return (await edge.place(key, **changes)).status == 202

    for key in keys:
        await eventually(lambda key=key: accepted(key), timeout_s=30)
    assert {row["client_request_id"] for row in await edge.orders()} == set(keys)
    assert len(await edge.orders()) == len(keys)


def take_all(server: Server, held: ExitStack) -> None:
    """Take every connection that is free."""
    with contextlib.suppress(psycopg.OperationalError):
        while True:
            held.enter_context(psycopg.connect(server.url(LEDGER)))


def assert_told(replies: list[Reply]) -> None:
    """Each is accepted, or told to come again; none fails for another reason."""
    for reply in replies:
        assert reply.status == 202 or (reply.status in (409, 503) and "Retry-After" in reply.headers), reply


async def test_while_the_server_has_no_connections_left_requests_are_told_and_later_taken(
    server: Server, start_edge: StartEdge, payments: Scripted
) -> None:
    server.configure(max_connections=str(CONNECTIONS_MAX))
    server.start()
    edge = await start_edge(database_url=server.url(LEDGER), payments_url=payments.url, database_connections=30)
    edge.ledger_url = server.url(LEDGER)
    keys = [f"key-{n}" for n in range(30)]

    with ExitStack() as held:
        ours = held.enter_context(psycopg.connect(server.url(LEDGER), autocommit=True))
        take_all(server, held)
        scarce = await asyncio.gather(*(edge.place(key) for key in keys[:15]))
        while ours.execute(ITS_CONNECTIONS).fetchall():
            take_all(server, held)
        none = await asyncio.gather(*(edge.place(key) for key in keys[15:]))

    assert_told([*scarce, *none])
    assert {reply.status for reply in none} == {503}
    assert (await edge.get("/healthz")).status == 200
    await placed_in_the_end(edge, keys)


async def test_while_the_disk_is_full_requests_are_told_and_later_taken(
    server: Server, start_edge: StartEdge, payments: Scripted, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = FillableDisk(server.folder)  # where the server's account gets
    with monkeypatch.context() as environment:
        for name, value in disk.environment.items():
            environment.setenv(name, value)
        server.start()
    edge = await start_edge(database_url=server.url(LEDGER), payments_url=payments.url)
    edge.ledger_url = server.url(LEDGER)
    keys: list[str] = []
    replies: list[Reply] = []
    with disk.full():
        while all(reply.status == 202 for reply in replies):
            keys.append(f"key-{len(keys)}")
            replies.append(await edge.place(keys[-1], items=ITEMS))
            assert len(keys) < 100, "the disk does not fill"
    assert_told(replies)
    assert (await edge.get("/healthz")).status == 200

    if not server.answers():  # it stops itself when it can't write its log, until somebody makes room and starts it
        server.stop()
        server.start()
    await placed_in_the_end(edge, keys, items=ITEMS)
