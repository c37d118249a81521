"""What one client that floods costs another: the quiet one alone, then beside the flood, taking turns on one stack.

The flood is a process of its own that sends orders over a few connections as fast as they are answered, far more than its
limit (`SAGA_RATE_PER_S`), and is frozen while the quiet one is alone. The quiet one keeps a pace below the limit, so what it
waits for is the stack and nothing else.
"""

import asyncio
import contextlib
import http.client
import json
import os
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any, Final
from urllib.parse import urlsplit
from uuid import uuid4

import aiohttp
import psycopg

from bench.job import ROOT
from bench.named import Sizes
from bench.stack import percentile, running_stack

RATE: Final = 10
"""Orders a second that one client may place: a small part of what the stack does on two cores, as a limit should be."""
PACE_S: Final = 1 / 8
"""Between two orders of the quiet client."""
CONNECTIONS: Final = 16
"""Of the flood: each has one request on its way at all times."""
ORDERS: Final = 80
"""Of the quiet client, a turn."""
TURNS: Final = 10
SETTLE_S: Final = 1.5
"""Before each turn, until what the other way left has ended, and until the flood has used up what it had saved of its limit."""
_KEYS: Final = {"quiet": "key-of-the-quiet-one", "flood": "key-of-the-flood"}
_FINISHED: Final = """
select extract(epoch from finished_at - created_at)::float8 * 1000 from order_ledger
where order_ledger_id = any(%s::uuid[]) and finished_at is not null
"""


def fairness(sizes: Sizes) -> dict[str, Any]:
    """How much longer the quiet client waits beside the flood.

    Returns:
        `p95_ratio`, `p50_ratio`, `completed_p95_ratio`: medians of the turns' ratios, of `POST /orders` and of an order from
        its row to its end; `alone_p95_ms`, `beside_p95_ms`: medians; `turns`, `orders`: of each way; `flood_s`: answers a
        second that the flood got, `taken_s`: those that took an order.

    Raises:
        RuntimeError: The stack or the flood did not start, or an order of the quiet client was refused.
    """
    turns = max(int(TURNS * sizes.share), 2)
    keys = ",".join(f"{client}={key}" for client, key in _KEYS.items())
    found: dict[str, list[dict[str, float]]] = {"alone": [], "beside": []}
    with running_stack(api_keys=keys, rate_per_s=str(RATE), rate_burst=str(RATE)) as stack, _flood(stack) as flood:
        _stock(stack)
        for turn in range(turns + 1):
            for way in sorted(found, reverse=bool(turn % 2)):
                with flood.running() if way == "beside" else contextlib.nullcontext():
                    time.sleep(SETTLE_S)
                    seen = _turn(stack)
                if turn:  # the first is for warming up
                    found[way].append(seen)
        flood_s, taken_s = flood.told()
    alone, beside = found["alone"], found["beside"]
    ratios = {
        f"{figure.removesuffix('_ms')}_ratio": statistics.median(
            b[figure] / a[figure] for a, b in zip(alone, beside, strict=True)
        )
        for figure in alone[0]
    }
    return {
        **ratios,
        "alone_p95_ms": statistics.median(a["p95_ms"] for a in alone),
        "beside_p95_ms": statistics.median(b["p95_ms"] for b in beside),
        "turns": turns,
        "orders": ORDERS,
        "rate": RATE,
        "connections": CONNECTIONS,
        "flood_s": flood_s,
        "taken_s": taken_s,
    }


def _stock(stack: dict[str, Any]) -> None:
    product = {"sku": "bench", "name": "Bench", "initial_stock": 1_000_000}
    connection = http.client.HTTPConnection(urlsplit(stack["participants"]["inventory"]["url"]).netloc, timeout=30)
    with contextlib.closing(connection):
        headers = {"Content-Type": "application/json", "Idempotency-Key": "bench"}
        connection.request("POST", "/inventory/products", json.dumps(product), headers)
        if connection.getresponse().status != 201:
            raise RuntimeError("there is nothing to sell")


def _turn(stack: dict[str, Any]) -> dict[str, float]:
    """Have the quiet client place its orders at its pace; what it waited for."""
    connection = http.client.HTTPConnection(urlsplit(stack["edge_url"]).netloc, timeout=30)
    times_ms, placed = [], []
    with contextlib.closing(connection):
        next_s = time.perf_counter()
        for _ in range(ORDERS):
            time.sleep(max(next_s - time.perf_counter(), 0.0))
            next_s += PACE_S
            began_s = time.perf_counter()
            connection.request("POST", "/orders", *_request("quiet"))
            answer = connection.getresponse()
            body = answer.read()
            times_ms.append((time.perf_counter() - began_s) * 1000)
            if answer.status != 202:
                raise RuntimeError(f"an order of the quiet client was answered {answer.status}")
            placed.append(json.loads(body)["order_ledger_id"])
    deadline_s = time.monotonic() + 30.0
    with psycopg.connect(stack["database_url"], autocommit=True) as conn:
        finished = conn.execute(_FINISHED, (placed,)).fetchall()
        while len(finished) < len(placed) and time.monotonic() < deadline_s:
            time.sleep(0.05)
            finished = conn.execute(_FINISHED, (placed,)).fetchall()
    completed_ms = [row[0] for row in finished]
    return {
        "p95_ms": percentile(times_ms, 95),
        "p50_ms": percentile(times_ms, 50),
        "completed_p95_ms": percentile(completed_ms, 95),
    }


def _request(client: str) -> tuple[str, dict[str, str]]:
    order = {
        "customer_id": "bench",
        "currency": "EUR",
        "items": [{"sku": "bench", "quantity": 1, "unit_price_minor": 100}],
        "payment_method": "pm_card",
    }
    headers = {"Authorization": f"Bearer {_KEYS[client]}", "Idempotency-Key": str(uuid4()), "Content-Type": "application/json"}
    return json.dumps(order), headers


# --- the flood --------------------------------------------------------------------------------------------------------


class _Flood:
    """The process of the flood, frozen but for while it is wanted."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self._ran_s = 0.0
        process.send_signal(signal.SIGSTOP)

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        if self._process.poll() is not None:
            raise RuntimeError("the flood has ended")
        began_s = time.monotonic()
        self._process.send_signal(signal.SIGCONT)
        try:
            yield
        finally:
            self._process.send_signal(signal.SIGSTOP)
            self._ran_s += time.monotonic() - began_s

    def told(self) -> tuple[float, float]:
        """End it; answers, and orders taken, a second."""
        self._process.send_signal(signal.SIGTERM)
        self._process.send_signal(signal.SIGCONT)
        told, _ = self._process.communicate(timeout=30)
        counts = json.loads(told.splitlines()[-1])
        return sum(counts.values()) / self._ran_s, counts.get("202", 0) / self._ran_s


@contextlib.contextmanager
def _flood(stack: dict[str, Any]) -> Iterator[_Flood]:
    command = [sys.executable, "-m", "bench.fairness", stack["edge_url"]]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        if process.stdout.readline() != "floods\n":
            raise RuntimeError("the flood did not start")
        yield _Flood(process)
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        process.wait(30)


async def _send(url: str) -> None:
    counts: dict[str, int] = {}
    ended = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ended.set)
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=CONNECTIONS)) as session:

        async def one_after_the_other() -> None:
            while not ended.is_set():
                body, headers = _request("flood")
                try:
                    async with session.post(f"{url}/orders", data=body, headers=headers) as answer:
                        await answer.read()
                        told = str(answer.status)
                except aiohttp.ClientError:
                    told = "cut off"  # in the middle of a request, while it was frozen
                counts[told] = counts.get(told, 0) + 1

        print("floods", flush=True)
        async with asyncio.TaskGroup() as tasks:
            for _ in range(CONNECTIONS):
                tasks.create_task(one_after_the_other())
    print(json.dumps(counts), flush=True)


if __name__ == "__main__":
    # Of its own accord it takes no more of the machine than is left: what is asked is what the stack does.
    os.nice(19)
    asyncio.run(_send(sys.argv[1]))
