"""What traces cost: backlogs drained with traces off, on and told, on and not wanted, taking turns.

A second stub is the collector: it takes whatever it is sent. What is counted is processor time, of the replica with the thread
that exports, and of the server, which no wait can blur.
"""

import statistics
from dataclasses import replace
from typing import Any, Final

import psycopg

from bench import ours
from bench.contestant import Contestant
from bench.measure import drain
from bench.named import Sizes
from bench.ours import OURS
from bench.server import Server
from bench.stub import Stub, running_stub

TURNS: Final = 6
SAGAS: Final = 3000
ROOM: Final = {"OTEL_BSP_MAX_QUEUE_SIZE": "100000", "OTEL_BSP_SCHEDULE_DELAY": "200"}
"""So that no span is dropped: what is dropped costs nothing."""
_CONTEXT: Final = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-"


def traces(server: Server, stub: Stub, sizes: Sizes) -> dict[str, Any]:
    """Return CPU seconds of 1,000 sagas of four steps, medians of turns: the replica's and the server's."""
    sagas = max(int(SAGAS * sizes.share), 50)
    with running_stub() as collector:
        told = {"SAGA_TRACES": "otlp", "OTEL_EXPORTER_OTLP_ENDPOINT": collector.url, **ROOM}
        sides = {"off": _side({}, "01"), "told": _side(told, "01"), "not_wanted": _side(told, "00")}
        found: dict[str, list[tuple[float, float]]] = {name: [] for name in sides}
        for turn in range(TURNS):
            # Each turn begins with another, so that what warms up or grows favours none.
            names = [*sides][turn % len(sides) :] + [*sides][: turn % len(sides)]
            for name in names:
                done = drain(sides[name], server, stub, sagas)
                found[name].append((done.worker_cpu_s, done.server_cpu_s or 0.0))
        batches = collector.posts
    medians = {
        f"{name}_{of}_cpu_s": statistics.median(turn[place] for turn in turns)
        for name, turns in found.items()
        for place, of in enumerate(("worker", "server"))
    }
    return {"sagas": sagas, "turns": TURNS, "batches": batches, **medians}


def _side(environment: dict[str, str], flags: str) -> Contestant:
    def enqueue(url: str, count: int) -> None:
        ours.enqueue(url, count)
        with psycopg.connect(url, autocommit=True) as conn:
            conn.execute("update order_ledger set traceparent = %s", (_CONTEXT + flags,))
            conn.execute("vacuum analyze order_ledger")

    return replace(OURS, environment={**OURS.environment, **environment}, enqueue=enqueue)
