"""Edges as processes of their own."""

import asyncio
import contextlib
import fcntl
import os
import sys
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path

from aiohttp import ClientSession

from orchestrator.operations.ports import Ports
from tests.integration.edge.service import Edge, eventually

ROOT = Path(__file__).resolve().parents[3]


@dataclass(frozen=True)
class EdgeProcess:
    """An edge that runs by itself; nobody reads what it writes to stderr."""

    process: asyncio.subprocess.Process
    edge: Edge


@contextmanager
def unread_pipe() -> Iterator[int]:
    """Writing end of a pipe that holds as little as may be, and that nobody reads."""
    reading, writing = os.pipe()
    fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, 4096)
    try:
        yield writing
    finally:
        os.close(reading)
        os.close(writing)


@asynccontextmanager
async def edge_process(
    ledger_url: str, *, database_url: str | None = None, environment: Mapping[str, str] | None = None, **settings: str
) -> AsyncIterator[EdgeProcess]:
    """Start an edge, and kill it in the end.

    Args:
        ledger_url: Its ledger, as the test sees it.
        database_url: Its ledger as the edge sees it, where that is another address.
        environment: Variables beside its settings.
        **settings: Settings by their names without prefix, in lower case.
    """
    with contextlib.closing(Ports()) as ports, unread_pipe() as stderr:
        port, admin_port = (ports.reserve("127.0.0.1", 0, setting="nothing") for _ in range(2))
        given = {"database_url": database_url or ledger_url, "port": str(port), "admin_port": str(admin_port), **settings}
        variables = {name: value for name, value in os.environ.items() if not name.startswith("SAGA_")}
        variables |= {f"SAGA_{name}".upper(): value for name, value in given.items()} | dict(environment or {})
        started = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "cli", "edge", env=variables, cwd=ROOT, stderr=stderr
        )
        try:
            async with ClientSession() as session:
                edge = Edge(f"http://127.0.0.1:{port}", f"http://127.0.0.1:{admin_port}", ledger_url, session)

                async def ready() -> bool:
                    assert started.returncode is None
                    try:
                        return (await edge.get("/readyz")).status == 200
                    except OSError:
                        return False

                await eventually(ready, timeout_s=20)
                yield EdgeProcess(started, edge)
        finally:
            if started.returncode is None:
                started.kill()
            await started.wait()
