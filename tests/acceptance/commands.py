"""Runs `saga` as people do: a process of its own, in a folder of its own, with nothing in its environment.

Whatever is shown in return is searched for what must not be seen (`canaries.py`).
"""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from tests.acceptance import canaries

ROOT = Path(__file__).resolve().parents[2]
T = TypeVar("T")
POLL_ONLY = {"SAGA_NOTIFY": "off", "SAGA_POLL_INTERVAL_S": "0.2"} if os.environ.get("SAGA_TEST_NOTIFY") == "off" else {}
"""With `SAGA_TEST_NOTIFY=off` nobody is woken by a notification: whatever holds must hold by the poll alone."""


def clean_environment(**settings: str) -> dict[str, str]:
    """This process's environment without settings of Sagaledger, and with these, whose secrets nobody may show."""
    canaries.plant(settings)
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("SAGA_", "MOCK_", "PYTEST"))}
    return kept | {"PYTHONPATH": str(ROOT)} | POLL_ONLY | settings


def saga(*arguments: str, cwd: Path, timeout_s: float = 60, **settings: str) -> subprocess.CompletedProcess[str]:
    """Run a command to its end."""
    return run([sys.executable, "-m", "cli", *arguments], cwd=cwd, env=clean_environment(**settings), timeout_s=timeout_s)


def run(
    command: Sequence[str], *, cwd: Path, env: Mapping[str, str], timeout_s: float = 60
) -> subprocess.CompletedProcess[str]:
    """Run a process to its end; it shows nothing that must not be seen."""
    done = subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, timeout=timeout_s, check=False)
    canaries.watch({f"{' '.join(command)}: {name}": text for name, text in (("out", done.stdout), ("err", done.stderr))})
    return done


def assert_told(result: subprocess.CompletedProcess[str], code: int, *parts: str) -> None:
    """Assert that a command failed with this code and said why in one sentence on stderr."""
    assert result.returncode == code, result
    lines = result.stderr.splitlines()
    assert len(lines) == 1, result.stderr
    assert lines[0].startswith("saga: ")
    for part in parts:
        assert part in lines[0]


def wait_for(look: Callable[[], T | None], *, timeout_s: float = 60.0) -> T:
    """Return the first thing that is seen."""
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        seen = look()
        if seen is not None and seen is not False:
            return seen
        time.sleep(0.02)
    raise AssertionError(f"not seen within {timeout_s} s")


def is_running(pid: int) -> bool:
    """Tell whether a process runs; one that has ended and waits to be collected does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def call(url: str, body: dict[str, Any] | None = None, **headers: str) -> tuple[int, Any]:
    """Call a URL; status and body, status 0 for no answer."""
    data = json.dumps(body).encode() if body is not None else None
    status, found = _answered(urllib.request.Request(url, data, {"Content-Type": "application/json", **headers}))
    return status, found if status >= 400 else json.loads(found or b"null")


def watch_metrics(url: str, secret: str | None = None) -> None:
    """Ask a process for its metrics, where it still answers, and see that they show nothing that must not be seen."""
    _answered(urllib.request.Request(f"{url}/metrics", headers={"Authorization": f"Bearer {secret}"} if secret else {}))


def _answered(request: urllib.request.Request) -> tuple[int, bytes]:
    try:
        with urllib.request.urlopen(request, timeout=40) as answer:
            status, found = answer.status, answer.read()
    except urllib.error.HTTPError as error:
        status, found = error.code, error.read()
    except OSError:
        return 0, b""
    canaries.watch_answer(request.full_url, found.decode(errors="replace"))
    return status, found


class Up:
    """A `saga up` that runs in a folder."""

    def __init__(self, folder: Path, *arguments: str, **settings: str) -> None:
        self.folder = folder
        self.data = folder / "data"
        self._settings = settings
        self._err = (folder / "err.txt").open("w")
        self._out = (folder / "out.txt").open("w")
        self.process = subprocess.Popen(
            [sys.executable, "-m", "cli", "up", "--data-dir", str(self.data), *arguments],
            cwd=folder,
            env=clean_environment(**settings),
            stdout=self._out,
            stderr=self._err,
        )

    @property
    def errors(self) -> str:
        return (self.folder / "err.txt").read_text()

    @property
    def postmaster(self) -> int:
        return int((self.data / "pg/postmaster.pid").read_text().split()[0])

    def addresses(self) -> dict[str, Any] | None:
        """What stack.json says; None while there is none."""
        assert self.process.poll() is None, self.errors
        try:
            addresses: dict[str, Any] = json.loads((self.data / "stack.json").read_text())
        except FileNotFoundError:
            return None
        canaries.plant({"SECRETS": ",".join(part.get("secret", "") for part in addresses["participants"].values())})
        return addresses

    def ready(self) -> dict[str, Any]:
        """Wait until everything is said to be ready; what stack.json says then."""
        wait_for(lambda: "ready" in (self.folder / "out.txt").read_text() or self.process.poll() is not None)
        return wait_for(self.addresses)

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Send a signal and wait for the end; the exit code. Nothing that it has shown or stored is what must not be seen."""
        try:
            self._watch()
        finally:
            with contextlib.suppress(ProcessLookupError):
                self.process.send_signal(number)
            code = self.process.wait(30)
            self._err.close()
            self._out.close()
        canaries.watch_folder(self.folder)
        return code

    def _watch(self) -> None:
        """Look at what is gone with the stack; where it has ended already, or has not come so far, there is nothing."""
        addresses = None if self.process.poll() is not None else self.addresses()
        if addresses is None:
            return
        canaries.watch({"stack.json": canaries.without_what_it_must_hold(addresses)})
        watch_metrics(addresses["admin_url"], self._settings.get("SAGA_ADMIN_TOKEN"))
        for part in addresses["participants"].values():
            watch_metrics(part["url"], part.get("secret"))
        for url in (addresses["database_url"], *(part["database_url"] for part in addresses["participants"].values())):
            canaries.watch_database(url)


def pids_of(addresses: dict[str, Any]) -> Iterator[int]:
    """Every process id that stack.json names."""
    for value in addresses["pids"].values():
        yield from value if isinstance(value, list) else [value]
