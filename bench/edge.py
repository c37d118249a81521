"""An edge of its own, on a ledger that was made for a measurement."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from typing import Final

from bench import measure
from bench.job import ROOT

CLIENT: Final = "bench"
KEY: Final = "bench-key"
START_S: Final = 30.0
STOP_S: Final = 20.0


@contextlib.contextmanager
def running_edge(url: str) -> Iterator[tuple[str, str]]:
    """Run an edge on a ledger, with a key for the client `CLIENT`.

    Args:
        url: Of the ledger.

    Yields:
        The base URLs of its clients' and of its admin listener.

    Raises:
        measure.Failed: It did not start in time.
    """
    with socket.create_server(("127.0.0.1", 0)) as first, socket.create_server(("127.0.0.1", 0)) as second:
        ports = [first.getsockname()[1], second.getsockname()[1]]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("SAGA_")} | {
        "PYTHONPATH": str(ROOT),
        "SAGA_DATABASE_URL": url,
        "SAGA_API_KEYS": f"{CLIENT}={KEY}",
        "SAGA_PORT": str(ports[0]),
        "SAGA_ADMIN_PORT": str(ports[1]),
    }
    command = [sys.executable, "-m", "cli", "edge"]
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        base, admin = (f"http://127.0.0.1:{port}" for port in ports)
        deadline_s = time.monotonic() + START_S
        while not _is_ready(base):
            if process.poll() is not None or time.monotonic() > deadline_s:
                raise measure.Failed("the edge did not start")
            time.sleep(0.05)
        yield base, admin
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(timeout=STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _is_ready(base: str) -> bool:
    try:
        with urllib.request.urlopen(f"{base}/readyz", timeout=2) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False
