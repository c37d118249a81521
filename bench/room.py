"""What an operator waits for: the requests of the page's overview, list of orders and queue of what is stuck.

They come one after another, on a ledger that holds very many orders of three months.
"""

import asyncio
import statistics
import time
from typing import Any, Final, LiteralString

import aiohttp
import psycopg

from bench import commands, measure
from bench.edge import running_edge
from bench.named import Sizes, indexed_afterwards
from bench.ours import OURS, copy_rows
from bench.server import Server
from bench.stack import percentile

WARM_UP: Final = 2
APART_S: Final[LiteralString] = "7.776"
"""Between two orders: a million of them in ninety days."""
MIDDLE_S: Final = 45 * 86_400
FINISHED_OF_ONE: Final = 100
"""For each order that waits: the page is looked at when something is wrong, with ten times the backlog that is told of."""
STUCK: Final = 200
COMMANDS_SHARE: Final = 4
"""Of the requests of a kind as many times a command is run, which takes longer."""
JOURNALS: Final = 10_000
"""Of the newest orders, those that statistics look into."""
FINISHED: Final[dict[str, LiteralString]] = {
    "client_request_id": "'key-' || n",
    "client_id": "'client-' || n % 5",
    "customer_id": "'c' || n % 10000",
    "currency": "case n % 3 when 0 then 'GBP' else 'EUR' end",
    "total_minor": "n % 100000",
    "metadata": "jsonb_build_object('channel', case n % 3 when 0 then 'web' else 'shop' end, 'shop', n % 5000)",
    "status": "case when n % 50 = 0 then 'FAILED' when n % 33 = 0 then 'DECLINED' else 'COMPLETED' end",
    "last_error": "case when n % 50 = 0 then 'inventory answered 422: too little of SKU ' || n end",
    "created_at": f"statement_timestamp() - make_interval(secs => n * {APART_S})",
    "finished_at": f"statement_timestamp() - make_interval(secs => n * {APART_S} - 1)",
}
STOPPED: Final[dict[str, LiteralString]] = {
    "status": "'STUCK'",
    "customer_id": "'c' || n % 10000",
    "currency": "'GBP'",
    "total_minor": "n",
    "last_error": "'could not be undone: step ' || n % 4",
}
JOURNAL: Final[LiteralString] = """
insert into ledger_journal (order_ledger_id, seq, at, kind, step, direction, round, attempt, outcome, duration_ms, replica,
    lease_epoch, hash)
select l.order_ledger_id, s * 2 + k, l.finished_at, (array['intent', 'outcome'])[k], 'step_' || s, 'action', 1, 1,
    case k when 2 then 'succeeded' end, case k when 2 then 5 + s end, 'bench', 1, ''
from (select * from order_ledger where finished_at is not null order by created_at desc limit %s) l,
    generate_series(0, 3) s, generate_series(1, 2) k
"""
"""As four steps leave it, without what nobody asks here."""


def room(server: Server, sizes: Sizes) -> dict[str, Any]:
    """Milliseconds of each request of the operators' page, through an edge, and of each command that reads.

    Args:
        server: Has the ledger.
        sizes: How many orders, how many requests of each kind.

    Returns:
        `orders`; `requests`, `commands`: by what is asked, p50 and p95.
    """
    url, name = measure.prepared(OURS, server, "bench_room")
    OURS.enqueue(url, 1)
    with psycopg.connect(url, autocommit=True) as conn:
        with indexed_afterwards(conn):
            copy_rows(conn, sizes.orders, columns=FINISHED)
            copy_rows(conn, sizes.orders // FINISHED_OF_ONE)
            copy_rows(conn, STUCK, columns=STOPPED)
        with conn.transaction():
            conn.execute("set local session_replication_role = replica")
            conn.execute(JOURNAL, (JOURNALS,))
        conn.execute("vacuum analyze")
    with running_edge(url) as (_, admin):
        requests = asyncio.run(_ask_all(admin, sizes.asked))
    typed = commands.measure(url, max(sizes.asked // COMMANDS_SHARE, 3))
    server.drop_database(name)
    return {"orders": sizes.orders, "requests": requests, "commands": typed}


ASKED: Final = {
    "overview: statistics of 5 minutes": "/statistics?window=300&sample=1000",
    "overview: statistics of a day": "/statistics?window=86400&sample=1000",
    "overview: the fleet": "/admin/fleet",
    "orders: the newest": "/admin/orders",
    "orders: before a time": "/admin/orders?until={middle}",
    "orders: running": "/admin/orders?status=RUNNING",
    "orders: completed": "/admin/orders?status=COMPLETED",
    "orders: cancelled, which none is": "/admin/orders?status=CANCELLED",
    "orders: STUCK": "/admin/orders?stuck=true",
    "orders: on hold": "/admin/orders?paused=true",
    "orders: of a saga": "/admin/orders?saga=four_steps",
    "orders: of a customer": "/admin/orders?customer_id=c7",
    "orders: of a client": "/admin/orders?client_id=client-3",
    "orders: of a key, whoever's": "/admin/orders?client_request_id=key-500001",
    "orders: of a frequent label": "/admin/orders?metadata.channel=web",
    "orders: of a rare label": "/admin/orders?metadata.shop=4711",
    "orders: of a frequent error": "/admin/orders?error=answered+422",
    "orders: of an error that none has": "/admin/orders?error=nobody+has+this",
    "stuck: by age": "/admin/stuck",
    "stuck: by value": "/admin/stuck?by=value",
}


async def _ask_all(admin: str, asked: int) -> dict[str, dict[str, float]]:
    found = {}
    async with aiohttp.ClientSession(admin) as session:
        middle = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() - MIDDLE_S))
        for what, path in ASKED.items():
            times_ms = []
            for number in range(asked + WARM_UP):
                began_s = time.perf_counter()
                await _ask(session, path.format(middle=middle))
                if number >= WARM_UP:
                    times_ms.append((time.perf_counter() - began_s) * 1000)
            found[what] = {"p50_ms": statistics.median(times_ms), "p95_ms": percentile(times_ms, 95)}
    return found


async def _ask(session: aiohttp.ClientSession, path: str) -> Any:
    async with session.get(path) as answer:
        answer.raise_for_status()
        return await answer.json()
