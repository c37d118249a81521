"""A stack of real processes under load: the edge API, two orchestrators, five participants, each with a database of its own."""

import asyncio
import contextlib
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

import aiohttp
import psycopg

from bench.job import ROOT

READY_S: Final = 90.0
ENDED_S: Final = 60.0


@dataclass(frozen=True, slots=True)
class Load:
    """What a number of clients met.

    Attributes:
        posts_s: Orders accepted a second.
        post_ms: Milliseconds of each POST.
        completed_ms: From when the client begins its POST to the order's end in the ledger, on one machine and so by one clock;
            of those that are completed.
        errors: POSTs that were not accepted, and orders that did not complete.
    """

    posts_s: float
    post_ms: list[float]
    completed_ms: list[float]
    errors: int


@contextlib.contextmanager
def running_stack(**settings: str) -> Iterator[dict[str, Any]]:
    """Run a stack in a folder of its own; yields its `stack.json`.

    Args:
        **settings: By name without `SAGA_`, in small letters; all else is as it comes.
    """
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("SAGA_", "MOCK_"))}
    environment |= {f"SAGA_{name.upper()}": value for name, value in settings.items()} | {"PYTHONPATH": str(ROOT)}
    with tempfile.TemporaryDirectory(prefix="sagaledger-bench-") as folder:
        command = [sys.executable, "-m", "cli", "up", "--port", "0", "--admin-port", "0", "--data-dir", f"{folder}/data"]
        process = subprocess.Popen(command, cwd=folder, env=environment, stdout=subprocess.PIPE, text=True)
        try:
            assert process.stdout is not None
            deadline_s = time.monotonic() + READY_S
            while "is ready" not in process.stdout.readline():
                if process.poll() is not None or time.monotonic() > deadline_s:
                    raise RuntimeError("the stack did not start; see its messages above")
            yield json.loads(Path(folder, "data", "stack.json").read_text(encoding="utf-8"))
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(timeout=60)


async def place(
    stack: dict[str, Any], *, clients: int, orders: int, to_the_end: bool = True, saga: str = "place_order", products: int = 1
) -> Load:
    """Have clients place orders at once, each its share one after the other, and wait for their end unless nobody works."""
    skus = [await _stocked(stack, orders) for _ in range(products)]
    post_ms: list[float] = []
    posted_at_s: dict[str, float] = {}
    left = iter(range(orders))
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=clients)) as session:

        async def one_after_the_other() -> None:
            for number in left:
                at_s, began_s = time.time(), time.perf_counter()
                order = {
                    "customer_id": "bench",
                    "currency": "EUR",
                    "items": [{"sku": skus[number % products], "quantity": 1, "unit_price_minor": 100}],
                    "payment_method": "pm_card",
                    "saga": saga,
                }
                headers = {"Idempotency-Key": str(uuid4())}
                async with session.post(f"{stack['edge_url']}/orders", json=order, headers=headers) as answer:
                    told = await answer.json()
                post_ms.append((time.perf_counter() - began_s) * 1000)
                if answer.status == 202:
                    posted_at_s[told["order_ledger_id"]] = at_s

        began_s = time.perf_counter()
        await asyncio.gather(*(one_after_the_other() for _ in range(clients)))
        elapsed_s = time.perf_counter() - began_s
    if not to_the_end:
        return Load(len(posted_at_s) / elapsed_s, post_ms, [], orders - len(posted_at_s))
    completed_ms = await asyncio.to_thread(_ended, stack["database_url"], posted_at_s)
    return Load(len(posted_at_s) / elapsed_s, post_ms, completed_ms, orders - len(completed_ms))


async def _stocked(stack: dict[str, Any], orders: int) -> str:
    sku = f"bench-{uuid4().hex[:8]}"
    product = {"sku": sku, "name": "Bench", "initial_stock": 10 * orders}
    async with aiohttp.ClientSession() as session:
        url = f"{stack['participants']['inventory']['url']}/inventory/products"
        async with session.post(url, json=product, headers={"Idempotency-Key": str(uuid4())}) as answer:
            answer.raise_for_status()
    return sku


def _ended(url: str, posted_at_s: dict[str, float]) -> list[float]:
    """Wait until every order has ended; returns milliseconds from POST to end of those that are completed."""
    deadline_s = time.monotonic() + ENDED_S
    with psycopg.connect(url, autocommit=True) as conn:
        while True:
            rows = conn.execute(
                "select order_ledger_id::text, status, extract(epoch from finished_at)::float8 from order_ledger"
                " where order_ledger_id = any(%s) and finished_at is not null",
                (list(posted_at_s),),
            ).fetchall()
            if len(rows) == len(posted_at_s) or time.monotonic() > deadline_s:
                return [(at_s - posted_at_s[id_]) * 1000 for id_, status, at_s in rows if status == "COMPLETED"]
            time.sleep(0.2)


def percentile(samples: list[float], percent: int) -> float:
    """Return a percentile of at least two samples."""
    return statistics.quantiles(samples, n=100, method="inclusive")[percent - 1]
