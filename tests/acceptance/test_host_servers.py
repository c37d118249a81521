"""Commands against servers that say nothing, or something else: one sentence, an exit code, valid JSON, in time."""

import contextlib
import json
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.acceptance.commands import assert_told, saga

pytestmark = pytest.mark.acceptance
ORDER = "00000000-0000-8000-8000-000000000000"
IN_TIME_S = 45  # of a command on a busy machine; each waits at most 5 s or so for a server
COMMANDS = [
    ["ledger", "list"],
    ["ledger", "show", ORDER],
    ["ledger", "retry", ORDER, "--reason", "r"],
    ["stats"],
    ["migrate", "status"],
    ["orchestrator"],
    ["edge"],
    ["participant", "orders"],
]
WITH_JSON = {("ledger", "list"), ("ledger", "show"), ("ledger", "retry"), ("stats",), ("migrate", "status")}


@contextmanager
def server(answer: bytes | None) -> Iterator[int]:
    """A server that answers so to whatever comes, or never; its port."""
    with socket.create_server(("127.0.0.1", 0)) as listening, contextlib.ExitStack() as open_ones:

        def serve() -> None:
            with contextlib.suppress(OSError):
                while True:
                    connection = open_ones.enter_context(listening.accept()[0])
                    if answer is not None:
                        with contextlib.suppress(OSError), connection:
                            connection.recv(4096)
                            connection.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield int(listening.getsockname()[1])
        finally:
            listening.shutdown(socket.SHUT_RDWR)
            thread.join()


def all_told(port: int, folder: Path) -> None:
    url = f"postgresql://someone:canary@127.0.0.1:{port}/ledger"

    def told(command: list[str]) -> tuple[list[str], subprocess.CompletedProcess[str], float]:
        as_json = tuple(part for part in command if part.islower())[:2] in WITH_JSON or tuple(command) in WITH_JSON
        began_s = time.monotonic()
        result = saga(*command, *(["--json"] if as_json else []), "--database-url", url, cwd=folder, timeout_s=IN_TIME_S)
        if as_json:
            assert json.loads(result.stdout)["error"] in result.stderr
        return command, result, time.monotonic() - began_s

    with ThreadPoolExecutor(4) as threads:
        for command, result, _ in threads.map(told, COMMANDS):
            assert_told(result, 1)
            assert "canary" not in result.stderr + result.stdout, command


def test_a_server_that_is_no_database_is_told(tmp_path: Path) -> None:
    with server(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n\x1b[31m") as port:
        all_told(port, tmp_path)


@pytest.mark.slow
def test_a_server_that_never_answers_is_told_in_time(tmp_path: Path) -> None:
    with server(None) as port:
        all_told(port, tmp_path)


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(None, id="never answers"),
        pytest.param(b"\xff\x00 no HTTP at all\r\n\r\n", id="no HTTP"),
        pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n<html>", id="another page"),
        pytest.param(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\n{", id="cut off"),
        pytest.param(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 1\r\n\r\n{", id="no JSON"),
    ],
)
def test_parts_that_are_not_what_they_should_be_are_told_by_health(
    tmp_path: Path, server_url: str, answer: bytes | None
) -> None:
    with server(answer) as port:
        url = f"http://127.0.0.1:{port}"
        result = saga(
            *("health", "--json", "--only", "orders"),
            cwd=tmp_path,
            timeout_s=IN_TIME_S,
            SAGA_DATABASE_URL=server_url,
            SAGA_ORDERS_URL=url,
        )

    assert result.returncode == 1, result
    assert "Traceback" not in result.stderr
    parts = json.loads(result.stdout)["parts"]
    assert [(part["name"], part["healthy"]) for part in parts] == [("orders", False)]
    assert parts[0]["detail"]
