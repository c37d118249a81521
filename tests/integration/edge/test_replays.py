"""Repeats of a request leave the ledger as large as it was, however many there are."""

import asyncio

import psycopg
import pytest
from psycopg import sql

from tests.integration.edge.service import Edge, Scripted, StartEdge

AT_ONCE = 20
GROWTH_MAX = 2**20
"""Bytes of the database: what is not cleared away yet of the counter of repeats. A thousand copies of the row are more."""
SIZES = """
select c.relname, pg_total_relation_size(c.oid)
from pg_class c where c.relkind = 'r' and c.relnamespace = 'public'::regnamespace and c.relname !~ 'yoyo'
"""


def rows_and_sizes(url: str) -> tuple[dict[str, int], dict[str, int]]:
    with psycopg.connect(url) as conn:
        sizes: dict[str, int] = dict(conn.execute(SIZES).fetchall())
        rows = {}
        for table in sizes:
            row = conn.execute(sql.SQL("select count(*) from {}").format(sql.Identifier(table))).fetchone()
            assert row is not None
            rows[table] = row[0]
        return rows, sizes


async def repeat(edge: Edge, times: int) -> None:
    async def some() -> None:
        for _ in range(times // AT_ONCE):
            reply = await edge.place(key="one")
            assert (reply.status, reply.replayed) == (202, True), reply

    await asyncio.gather(*(some() for _ in range(AT_ONCE)))


@pytest.mark.parametrize("times", [1_000, pytest.param(10_000, marks=pytest.mark.slow)])
async def test_repeats_leave_every_table_as_it_was(
    start_edge: StartEdge, payments: Scripted, ledger_url: str, times: int
) -> None:
    edge = await start_edge(payments_url=payments.url, rate_per_s=0)
    first = await edge.place(key="one")
    await repeat(edge, 200)
    rows, sizes = rows_and_sizes(ledger_url)

    await repeat(edge, times)

    after, sizes_after = rows_and_sizes(ledger_url)
    assert after == rows
    assert sum(sizes_after.values()) - sum(sizes.values()) <= GROWTH_MAX, (sizes, sizes_after)
    assert len(payments.calls) == 1
    assert (await edge.orders())[0]["replays"] == times + 200
    assert (await edge.place(key="one")).frozen == first.frozen


async def test_repeats_are_limited_like_other_requests(start_edge: StartEdge, payments: Scripted) -> None:
    edge = await start_edge(payments_url=payments.url, rate_per_s=1, rate_burst=5)
    await edge.place(key="one")

    replies = [await edge.place(key="one") for _ in range(10)]

    assert {reply.status for reply in replies} == {202, 429}
    assert all(reply.replayed for reply in replies if reply.status == 202)
    assert all("Retry-After" in reply.headers for reply in replies if reply.status == 429)
