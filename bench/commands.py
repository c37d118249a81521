"""What an operator at a command line waits for: every reading command as a process, from its start to its end."""

import os
import subprocess
import sys
import time
from typing import Any, Final

import psycopg

from bench.job import ROOT
from bench.stack import percentile

WARM_UP: Final = 1
COMMANDS: Final = {
    "help": "--help",
    "the newest orders": "ledger list",
    "1,000 orders": "ledger list --limit 1000 --json",
    "completed orders": "ledger list --status COMPLETED",
    "failed orders": "ledger list --status FAILED",
    "cancelled orders, of which there are none": "ledger list --status CANCELLED",
    "stuck orders": "ledger list --stuck",
    "orders on hold": "ledger list --paused",
    "orders of a saga": "ledger list --saga four_steps",
    "orders of a saga that nobody has": "ledger list --saga nobody_has_this",
    "orders of a customer": "ledger list --customer c7",
    "orders with an error": "ledger list --error-like too.little",
    "orders since a time": "ledger list --since {since}",
    "one order": "ledger show {order}",
    "statistics": "stats",
    "dead letters": "outbox dead",
    "breakers": "breaker list",
    "participants": "participants list",
    "keys": "keys list",
    "acts": "acts",
    "runs of retries": "ledger retry --runs",
    "what a retry of all stuck orders would be": "ledger retry --all --status STUCK --reason why --dry-run",
}
"""Read commands; each by what it shows."""
_SAMPLE: Final = """
select order_ledger_id, to_char(created_at at time zone 'utc', 'YYYY-MM-DD"T"HH24:MI:SS') from order_ledger
where finished_at is not null order by created_at desc offset 5000 limit 1
"""


def measure(url: str, asked: int) -> dict[str, dict[str, Any]]:
    """Return milliseconds of each command, p50 and p95.

    Args:
        url: The ledger's.
        asked: How often each is run.
    """
    with psycopg.connect(url) as conn:
        row = conn.execute(_SAMPLE).fetchone()
    assert row is not None
    return {what: _timed(url, words.format(order=row[0], since=row[1]).split(), asked) for what, words in COMMANDS.items()}


def _timed(url: str, words: list[str], asked: int) -> dict[str, Any]:
    environment = {**os.environ, "SAGA_DATABASE_URL": url, "PYTHONPATH": str(ROOT)}
    times_ms = []
    for number in range(asked + WARM_UP):
        began_s = time.perf_counter()
        subprocess.run(
            [sys.executable, "-m", "cli", *words], cwd=ROOT, env=environment, check=True, capture_output=True, timeout=60
        )
        if number >= WARM_UP:
            times_ms.append((time.perf_counter() - began_s) * 1000)
    return {"p50_ms": percentile(times_ms, 50), "p95_ms": percentile(times_ms, 95)}
