"""Edge and orchestrator as processes: they stop in time whatever the database does, and refuse one that is unfit."""

import contextlib
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from orchestrator.operations.ports import Ports
from tests.acceptance.commands import assert_told, call, clean_environment, saga, wait_for
from tests.integration.database.conftest import LEDGER
from tests.servers import Server

STOP_S = 10.0  # the contract's limit for an orderly stop
PARTS = ("orchestrator", "edge")

pytestmark = pytest.mark.acceptance


@contextmanager
def running(part: str, folder: Path, database_url: str) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    """Start a part; its process and where its readiness is."""
    with contextlib.closing(Ports()) as ports, (folder / "err").open("wb") as err:
        port, other = (ports.reserve("127.0.0.1", 0, setting="nothing") for _ in range(2))
        settings = {"SAGA_PORT": f"{port}", "SAGA_ADMIN_PORT": f"{other}"}
        if part == "orchestrator":
            settings = {"SAGA_METRICS_PORT": f"{port}"}
        process = subprocess.Popen(
            [sys.executable, "-m", "cli", part],
            cwd=folder,
            env=clean_environment(SAGA_DATABASE_URL=database_url, **settings),
            stdout=err,
            stderr=err,
        )
        try:
            yield process, f"http://127.0.0.1:{port}/readyz"
        finally:
            process.kill()
            process.wait(STOP_S)


@pytest.mark.parametrize("part", PARTS)
def test_a_process_is_ready_only_while_its_ledger_answers_and_stops_in_time_while_it_hangs(
    server: Server, tmp_path: Path, part: str
) -> None:
    with running(part, tmp_path, server.url(LEDGER)) as (process, readiness):
        wait_for(lambda: call(readiness)[0] == 200)
        with server.frozen():
            assert call(readiness)[0] == 503
            process.send_signal(signal.SIGTERM)

            assert process.wait(STOP_S) == 0


@pytest.mark.slow
@pytest.mark.parametrize("part", PARTS)
def test_a_process_stops_in_time_though_its_ledger_does_not_answer_its_start(server: Server, tmp_path: Path, part: str) -> None:
    with server.frozen(), running(part, tmp_path, server.url(LEDGER)) as (process, _):
        wait_for(lambda: _heeds_sigterm(process.pid))
        process.send_signal(signal.SIGTERM)

        process.wait(STOP_S)


@pytest.mark.slow
@pytest.mark.parametrize("part", PARTS)
def test_a_process_that_starts_before_its_ledger_waits_for_it(server: Server, tmp_path: Path, part: str) -> None:
    server.stop()
    with running(part, tmp_path, server.url(LEDGER)) as (process, readiness):
        wait_for(lambda: _heeds_sigterm(process.pid))
        server.start()

        wait_for(lambda: call(readiness)[0] == 200)


@pytest.mark.slow
@pytest.mark.parametrize("part", PARTS)
def test_a_database_of_another_encoding_is_refused_in_one_sentence(server: Server, tmp_path: Path, part: str) -> None:
    server.do("drop database if exists latin", "create database latin encoding 'LATIN1' locale 'C' template template0")

    refused = saga(part, cwd=tmp_path, SAGA_DATABASE_URL=server.url("latin"))

    assert_told(refused, 1, "the database's encoding is LATIN1", "encoding 'UTF8'")


@pytest.mark.slow
@pytest.mark.parametrize("part", PARTS)
def test_a_role_without_rights_is_refused_in_one_sentence(server: Server, tmp_path: Path, part: str) -> None:
    server.do("drop role if exists stranger", "create role stranger login")

    refused = saga(part, cwd=tmp_path, SAGA_DATABASE_URL=f"{server.url(LEDGER)} user=stranger")

    assert_told(refused, 1, "lacks rights on the ledger", "permission denied")


@pytest.mark.slow
@pytest.mark.parametrize("part", PARTS)
def test_a_standby_alone_is_refused_in_one_sentence(pair: tuple[Server, Server], tmp_path: Path, part: str) -> None:
    refused = saga(part, cwd=tmp_path, SAGA_DATABASE_URL=pair[1].url(LEDGER))

    assert_told(refused, 1, "is PostgreSQL up, and SAGA_DATABASE_URL right?", "the server is a standby")


def _heeds_sigterm(pid: int) -> bool:
    """Tell whether a process has taken SIGTERM upon itself: from then on it starts, and stops in good order."""
    status = Path(f"/proc/{pid}/status").read_text()
    caught = next(line.split()[1] for line in status.splitlines() if line.startswith("SigCgt:"))
    return bool(int(caught, 16) & 1 << signal.SIGTERM - 1)
