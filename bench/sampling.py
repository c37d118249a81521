"""Where a worker's CPU time goes: its stack is looked at every millisecond of CPU that it spends.

The kernel's profiling timer asks, so that idle time is not counted, and what C code spends is counted with the Python line that
called it. Costs a few per cent.
"""

import atexit
import json
import os
import signal
import sys
from collections import Counter
from pathlib import Path
from types import FrameType
from typing import Final

FILE_VARIABLE: Final = "BENCH_PROFILE"
"""Where the worker leaves its samples; unset: it takes none."""
EVERY_S: Final = 0.001

Frame = tuple[str, str, int]
"""File, function and the line that is being run."""

_PARTS: Final = {
    "/orchestrator/transport/": "HTTP client",
    "/aiohttp/": "HTTP client",
    "/orchestrator/participant.py": "reading answers, building requests (Caller)",
    "/participants/contracts/": "contracts (pydantic models to JSON)",
    "/pydantic/": "pydantic",
    "/psycopg_pool/": "connection pool",
    "/psycopg/": "psycopg",
    "/sql/": "store functions (rows and parameters)",
    "/orchestrator/machine.py": "core",
    "/orchestrator/undoing.py": "core",
    "/orchestrator/progress.py": "core",
    "/orchestrator/saga.py": "core",
    "/orchestrator/work.py": "transition and journal entries (Work)",
    "/orchestrator/writer.py": "writer",
    "/orchestrator/fleet.py": "breaker and bulkhead",
    "/orchestrator/breaker.py": "breaker and bulkhead",
    "/orchestrator/bulkhead.py": "breaker and bulkhead",
    "/orchestrator/circuit.py": "breaker and bulkhead",
    "/prometheus_client/": "metrics",
    "/orchestrator/metrics.py": "metrics",
    "/structlog/": "logging",
    "/orchestrator/logs.py": "logging",
    "/orchestrator/runner.py": "runner",
    "/orchestrator/worker.py": "claim loop",
}


def sample_if_asked() -> None:
    """Begin when the environment asks for it; the samples are written at the end of the process."""
    file = os.environ.get(FILE_VARIABLE)
    if file is None:
        return
    stacks: Counter[tuple[Frame, ...]] = Counter()

    def take(_: int, frame: FrameType | None) -> None:
        stack = []
        while frame is not None:
            stack.append((frame.f_code.co_filename, frame.f_code.co_qualname, frame.f_lineno))
            frame = frame.f_back
        stacks[tuple(stack)] += 1

    signal.signal(signal.SIGPROF, take)
    signal.setitimer(signal.ITIMER_PROF, EVERY_S, EVERY_S)
    atexit.register(lambda: Path(file).write_text(json.dumps([[list(stack), n] for stack, n in dict(stacks).items()])))


def summed_up(file: Path, rows: int = 25) -> str:
    """Return tables of what was sampled: by part of the program, by function itself, and by function with all it calls."""
    stacks = [([(f, name, line) for f, name, line in stack], n) for stack, n in json.loads(file.read_text())]
    total = sum(n for _, n in stacks) or 1
    parts: Counter[str] = Counter()
    alone: Counter[str] = Counter()
    within: Counter[str] = Counter()
    for stack, n in stacks:
        parts[_part(stack)] += n
        alone[_shown(stack[0])] += n
        for shown in {_shown(frame) for frame in stack}:
            within[shown] += n
    lines = []
    for title, counter in (("part", parts), ("function itself", alone), ("function with what it calls", within)):
        lines += [f"{title}:", *(f"  {n / total:6.1%}  {name}" for name, n in counter.most_common(rows)), ""]
    return "\n".join(lines)


def _part(stack: list[Frame]) -> str:
    """Name the part that a sample belongs to: the innermost frame that is told apart."""
    for file, _, _ in stack:
        for mark, part in _PARTS.items():
            if mark in file:
                return part
    return "event loop"


def _shown(frame: Frame) -> str:
    file, name, _ = frame
    return f"{'/'.join(file.rsplit('/', 2)[-2:])}:{name}"


if __name__ == "__main__":
    print(summed_up(Path(sys.argv[1])))
