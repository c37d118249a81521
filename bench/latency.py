"""How long one order takes on an idle stack, and what it costs.

A stack of real processes (`saga up`, default settings, free ports, a data folder of its own) is given one order after
the other. Each is timed twice: by the client, from sending `POST /orders` with `Prefer: wait=10` to the answer, and by the
ledger's own clock, from `created_at` to `finished_at`, with the journal telling where the time went. Commits and flushes are
the database server's own counts.

    python bench/latency.py            # writes the figures into bench/README.md
    python bench/latency.py --dry-run  # only prints them
"""

import argparse
import contextlib
import datetime
import http.client
import json
import os
import platform
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit
from uuid import uuid4

import psycopg
from psycopg.rows import dict_row, scalar_row

ROOT: Final = Path(__file__).resolve().parents[1]
REPORT: Final = ROOT / "bench" / "README.md"
BEGIN: Final = "<!-- latency: written by bench/latency.py -->"
END: Final = "<!-- latency: end -->"

ORDERS: Final = 200
WARMUP: Final = 20
READY_S: Final = 90.0
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


@dataclass(frozen=True)
class Run:
    """What was measured.

    Attributes:
        times_ms: Samples by what they time.
        costs: Counts of one order, by what is counted.
        facts: What the figures depend on.
    """

    times_ms: Mapping[str, Sequence[float]]
    costs: Mapping[str, float]
    facts: Mapping[str, str]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--orders", type=int, default=ORDERS, help=f"orders to time (default {ORDERS})")
    parser.add_argument("--dry-run", action="store_true", help="leave bench/README.md as it is")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="sagaledger-bench-") as folder, running_stack(Path(folder)) as stack:
        text = rendered(measure(stack, asked.orders))
    print(text)
    if not asked.dry_run:
        write_between_marks(text)


@contextlib.contextmanager
def running_stack(folder: Path) -> Iterator[dict[str, Any]]:
    """Run a stack with the default settings; yields its `stack.json`."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("SAGA_", "MOCK_"))}
    command = [sys.executable, "-m", "cli", "up", "--port", "0", "--admin-port", "0", "--data-dir", str(folder / "data")]
    process = subprocess.Popen(
        command, cwd=folder, env=environment | {"PYTHONPATH": str(ROOT)}, stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        deadline = time.monotonic() + READY_S
        while "is ready" not in process.stdout.readline():
            if process.poll() is not None or time.monotonic() > deadline:
                raise SystemExit("the stack did not start; see its messages above")
        yield json.loads((folder / "data" / "stack.json").read_text(encoding="utf-8"))
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=60)


def measure(stack: Mapping[str, Any], orders: int) -> Run:
    """Place the orders one by one and read what the ledger says of them."""
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
        facts = described(ledger, orders, load)
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
    return Run(times, costs, facts)


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


def described(ledger: psycopg.Connection[Any], orders: int, load: float) -> dict[str, str]:
    setting = ledger.cursor(row_factory=scalar_row)
    version, fsync, synchronous = (
        setting.execute("select current_setting(%s)", (name,)).fetchone()
        for name in ("server_version", "fsync", "synchronous_commit")
    )
    return {
        "command": "`python bench/latency.py`" if orders == ORDERS else f"`python bench/latency.py --orders {orders}`",
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "code": commit(),
        "machine": f"{processor()}, {os.cpu_count()} cores, {platform.system()} {platform.machine()}; "
        f"load average {load:.1f} when the timing began",
        "versions": f"Python {platform.python_version()}, PostgreSQL {version}"
        f" (fsync {fsync}, synchronous_commit {synchronous})",
        "orders": f"{orders} of one line, one after the other, after {WARMUP} to warm up; two orchestrators",
    }


def commit() -> str:
    told = subprocess.run(["git", "describe", "--always", "--dirty"], cwd=ROOT, capture_output=True, text=True, check=False)
    return told.stdout.strip() or "unknown"


def processor() -> str:
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or "unknown processor"


def column(rows: Sequence[Mapping[str, Any]], name: str) -> list[float]:
    return [float(row[name]) for row in rows]


def percentile(samples: Sequence[float], percent: int) -> float:
    return statistics.quantiles(samples, n=100, method="inclusive")[percent - 1]


def rendered(run: Run) -> str:
    lines = ["| milliseconds | p50 | p95 | p99 | greatest |", "| --- | ---: | ---: | ---: | ---: |"]
    for name, samples in run.times_ms.items():
        figures = [*(percentile(samples, percent) for percent in (50, 95, 99)), max(samples)]
        lines.append(f"| {name} | {' | '.join(f'{figure:.0f}' for figure in figures)} |")
    lines += ["", "| what one order costs | |", "| --- | ---: |"]
    lines += [f"| {name} | {cost:.1f} |" for name, cost in run.costs.items()]
    lines += ["", "| measured | |", "| --- | --- |"]
    lines += [f"| {name} | {fact} |" for name, fact in run.facts.items()]
    return "\n".join(lines)


def write_between_marks(text: str) -> None:
    before, _, rest = REPORT.read_text(encoding="utf-8").partition(BEGIN)
    _, mark, after = rest.partition(END)
    if not mark:
        raise SystemExit(f"{REPORT} has lost its marks {BEGIN} and {END}")
    REPORT.write_text(f"{before}{BEGIN}\n\n{text}\n\n{END}{after}", encoding="utf-8")


if __name__ == "__main__":
    main()
