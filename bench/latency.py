"""How long one order takes on an idle stack, and what it costs.

A stack of real processes (`saga up`, default settings) is given one order after the other. Each is timed twice: by the
client, from sending `POST /orders` with `Prefer: wait=10` to the answer, and by the ledger's own clock, from `created_at` to
`finished_at`, with the journal telling where the time went. Commits and flushes are the database server's own counts.
"""

import contextlib
import http.client
import json
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final
from urllib.parse import urlsplit
from uuid import uuid4

import psycopg
from psycopg.rows import dict_row, scalar_row

from bench.stack import percentile, running_stack

WARMUP: Final = 20
SETTLE_S: Final = 12.0
"""An idle session reports what it did to the server's statistics within 10 s."""

STAGES: Final = """
select extract(epoch from l.finished_at - l.created_at) * 1000 as total,
    extract(epoch from pending.at - l.created_at) * 1000 as to_pending,
    extract(epoch from claimed.at - pending.at) * 1000 as to_claimed,
    extract(epoch from l.finished_at - claimed.at) * 1000 as to_completed,
    (select sum(duration_ms) from ledger_journal j where j.order_ledger_id = l.order_ledger_id and kind = 'outcome') as calls
from order_ledger l
    join ledger_journal pending on pending.order_ledger_id = l.order_ledger_id and pending.outcome = 'PENDING'
    join ledger_journal claimed on claimed.order_ledger_id = l.order_ledger_id
        and claimed.kind = 'intent' and claimed.step = 'create_order'
where l.status = 'COMPLETED' and l.order_ledger_id = any(%s)
"""
INTENTS: Final = "select count(*) from ledger_journal where kind = 'intent' and order_ledger_id = any(%s)"
COUNTS: Final = """
select (select xact_commit from pg_stat_database where datname = current_database()) as ledger_commits,
    (select sum(xact_commit) from pg_stat_database where datname like current_database() || '\\_%%') as participant_commits,
    (select sum(n_tup_ins) from pg_stat_user_tables) as ledger_inserts,
    (select sum(fsyncs) from pg_stat_io where object = 'wal') as flushes
"""


def measure(orders: int) -> dict[str, Any]:
    """Place orders one by one on a stack of their own and read what the ledger says of them.

    Returns:
        `times_ms`: percentiles by what they time; `costs`: counts of one order; `orders` and `load`.
    """
    with running_stack() as stack:
        return _measure(stack, orders)


def _measure(stack: Mapping[str, Any], orders: int) -> dict[str, Any]:
    inventory = stack["participants"]["inventory"]["url"]
    product = {"sku": "bench", "name": "Bench", "initial_stock": 10 * (orders + WARMUP)}
    with connected(inventory) as connection:
        status, answer = post(connection, "/inventory/products", product)
        assert status == 201, answer
    with connected(stack["edge_url"]) as edge, psycopg.connect(stack["database_url"], autocommit=True) as ledger:
        for _ in range(WARMUP):
            place(edge)
        before, load = settled_counts(ledger), os.getloadavg()[0]
        placed = [place(edge) for _ in range(orders)]
        after = settled_counts(ledger)
        ids = [order_ledger_id for order_ledger_id, _ in placed]
        stages = ledger.cursor(row_factory=dict_row).execute(STAGES, (ids,)).fetchall()
        assert len(stages) == orders, f"{len(stages)} of {orders} orders took the straight way"
        intents = ledger.cursor(row_factory=scalar_row).execute(INTENTS, (ids,)).fetchone()
    times = {
        "client: from sending the order to the answer that it is COMPLETED": [elapsed_ms for _, elapsed_ms in placed],
        "ledger: from `created_at` to `finished_at`": column(stages, "total"),
        "· to PENDING: payment authorized, the 202 is ready": column(stages, "to_pending"),
        "· from there to the first intent of an orchestrator: wake-up and claim": column(stages, "to_claimed"),
        "· from there to COMPLETED: four steps": column(stages, "to_completed"),
        "of all that: waiting for the answers to the five calls": column(stages, "calls"),
    }
    costs = {"HTTP calls to participants": float(intents or 0) / orders}
    costs |= {name: (after[name] - before[name]) / orders for name in before}
    percentiles = {name: [percentile(samples, p) for p in (50, 95, 99)] + [max(samples)] for name, samples in times.items()}
    return {"times_ms": percentiles, "costs": costs, "orders": orders, "load": load}


@contextlib.contextmanager
def connected(url: str) -> Iterator[http.client.HTTPConnection]:
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=30)
    try:
        yield connection
    finally:
        connection.close()


def post(connection: http.client.HTTPConnection, path: str, body: Mapping[str, Any]) -> tuple[int, dict[str, Any]]:
    headers = {"Content-Type": "application/json", "Idempotency-Key": str(uuid4()), "Prefer": "wait=10"}
    connection.request("POST", path, json.dumps(body), headers)
    response = connection.getresponse()
    answer: dict[str, Any] = json.loads(response.read())
    return response.status, answer


def place(edge: http.client.HTTPConnection) -> tuple[str, float]:
    """Place an order and wait for its end; returns its id and the milliseconds that it took."""
    order = {
        "customer_id": "bench",
        "currency": "EUR",
        "items": [{"sku": "bench", "quantity": 1, "unit_price_minor": 100}],
        "payment_method": "pm_card",
    }
    began_s = time.perf_counter()
    status, answer = post(edge, "/orders", order)
    elapsed_ms = (time.perf_counter() - began_s) * 1000
    assert (status, answer["status"]) == (200, "COMPLETED"), answer
    return str(answer["order_ledger_id"]), elapsed_ms


def settled_counts(ledger: psycopg.Connection[Any]) -> dict[str, float]:
    """Return what the server has counted, once every session has told it."""
    time.sleep(SETTLE_S)
    row = ledger.cursor(row_factory=dict_row).execute(COUNTS).fetchone()
    assert row is not None
    return {
        "transactions of the ledger, reads included": float(row["ledger_commits"]),
        "transactions of the participants' databases": float(row["participant_commits"]),
        "rows inserted into the ledger": float(row["ledger_inserts"]),
        "flushes of the write-ahead log, all databases": float(row["flushes"]),
    }


def column(rows: Sequence[Mapping[str, Any]], name: str) -> list[float]:
    return [float(row[name]) for row in rows]
