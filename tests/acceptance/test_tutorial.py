"""The tutorial of a team's own saga, done as it stands there: its code, its commands, and what they are said to print.

Only addresses differ: every port is a free one.
"""

import asyncio
import os
import re
import shlex
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from pydantic import BaseModel

from orchestrator import outcome
from orchestrator.participant import Caller, Tracing
from orchestrator.prepared import Prepared
from orchestrator.transport import Client, open_transport
from participants.contracts import Answer, Endpoint
from tests.acceptance.commands import Up, call, clean_environment, run, wait_for
from tests.documents import blocks
from tests.unit.test_documents import table_under

pytestmark = pytest.mark.acceptance
DOCUMENT = "docs/how-to/own-saga.md"
COMMAND_S = 120.0
LIMIT_S = 1.0
"""Of a call, as the tutorial's table says."""


class Echo(Answer):
    url: str


@pytest.fixture(scope="module")
def httpbin() -> Iterator[str]:
    """httpbin as the tutorial starts it; its address."""
    (started,) = [typed for typed, _ in conversation() if "flask" in typed]
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    arguments = shlex.split(started.removesuffix("&").replace("8700", str(port)))
    assert arguments[0] == "python"
    process = subprocess.Popen([sys.executable, *arguments[1:]], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_for(lambda: call(f"http://127.0.0.1:{port}/anything")[0] == 200)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.kill()
        process.wait()


def conversation() -> list[tuple[str, str]]:
    """Everything that is typed, with what is said to be printed then."""
    found: list[tuple[str, str]] = []
    for block in blocks(DOCUMENT, "console"):
        for part in block.replace("\\\n", "").removeprefix("$ ").split("\n$ "):
            typed, _, printed = part.partition("\n")
            found.append((typed, printed))
    return found


def says(printed: str, said: str) -> bool:
    """Tell whether output is what the document says; `…` stands for anything, and spaces for any number of them."""
    pattern = ".*".join(r"\s+".join(map(re.escape, part.split())) for part in said.split("…"))
    return re.search(pattern.replace(r".*", r"\s*.*\s*"), printed, re.DOTALL) is not None


@contextmanager
def shell(folder: Path) -> Iterator[dict[str, str]]:
    """The environment of a shell in which `saga` and `python` are those of this test."""
    (folder / "bin").mkdir()
    for name, arguments in (("saga", '-m cli "$@"'), ("python", '"$@"')):
        script = folder / "bin" / name
        script.write_text(f"#!/bin/sh\nexec {shlex.quote(sys.executable)} {arguments}\n")
        script.chmod(0o755)
    yield clean_environment(PATH=f"{folder / 'bin'}{os.pathsep}{os.environ['PATH']}")


def test_the_tutorial_does_what_it_says(tmp_path: Path, httpbin: str) -> None:
    (code,) = blocks(DOCUMENT, "python")
    (tmp_path / "trips.py").write_text(code)
    up: Up | None = None
    edge = ""
    done = []
    with shell(tmp_path) as environment:
        try:
            for typed, said in conversation():
                command = typed.replace("http://127.0.0.1:8700", httpbin).replace("http://127.0.0.1:8080", edge)
                if command.startswith("pip") or "flask" in command:
                    continue  # it is installed, and runs
                if command.startswith("export "):
                    name, _, value = command.removeprefix("export ").partition("=")
                    environment[name] = value
                elif command == "saga up &":
                    up = Up(tmp_path, "--port", "0", SAGA_DEFINITIONS=environment["SAGA_DEFINITIONS"])
                    edge = up.ready()["edge_url"]
                    (tmp_path / ".sagaledger").symlink_to(up.data)
                else:
                    ended = run(["bash", "-c", command], cwd=tmp_path, env=environment, timeout_s=COMMAND_S)
                    assert ended.returncode == 0, (command, ended.stdout, ended.stderr)
                    assert says(ended.stdout, said.replace("http://127.0.0.1:8700", httpbin)), (command, said, ended.stdout)
                done.append(command.split()[0])
            assert done.count("curl") == 2
            assert up is not None
            _undone_in_reverse(edge)
        finally:
            if up is not None:
                assert up.stop(signal.SIGTERM) == 0, up.errors


def _undone_in_reverse(edge: str) -> None:
    """See for the failed trip what the tutorial says of it: undone, the newest first, and no guest in its journal."""
    _, found = call(f"{edge}/orders?saga=book_trip&status=FAILED")
    (order,) = found["orders"]
    _, journal = call(f"{edge}/orders/{order['order_ledger_id']}/journal")
    undone = [
        entry["step"] for entry in journal["entries"] if entry["kind"] == "intent" and entry["direction"] == "compensation"
    ]
    assert undone == ["take_money", "hold_room"]
    assert "Bob" not in str(journal)
    _, events = call(f"{edge}/events")
    assert [event["type"] for event in events["events"]].count("TripPaid") == 2


CASES = [tuple(row) for row in table_under(DOCUMENT, "| httpbin | outcome |")]


@pytest.mark.parametrize("client", Client)
@pytest.mark.parametrize(
    ("asked", "ends", "because"), CASES, ids=[case[0].replace("`", "").replace("/", "_") for case in CASES]
)
async def test_each_way_to_misbehave_is_understood_as_it_is_written(
    httpbin: str, client: Client, asked: str, ends: str, because: str
) -> None:
    method, path = re.match(r"`(\S+) (\S+)`", asked).groups()  # type: ignore[union-attr]
    size = re.search(r"with ([0-9,]+) bytes", asked)
    body = b'"' + b"x" * int(size[1].replace(",", "")) + b'"' if size else None
    endpoint = Endpoint("httpbin", method, path, BaseModel, Echo)
    async with open_transport(client, connections_max=1) as transport:
        caller = Caller(transport, {"httpbin": httpbin})
        async with asyncio.timeout(30 * LIMIT_S):  # far more than the call may take, far less than httpbin would
            found = await caller.call(
                Prepared(endpoint, "key", path, body, {}, {}), Tracing("c"), 5.0 if ends != "Unknown" else LIMIT_S
            )

    assert isinstance(found, getattr(outcome, ends)), found
    assert because in getattr(found, "reason", "")


def test_every_misbehaviour_is_in_the_table() -> None:
    text = " ".join(case[0] for case in CASES)

    for path in ("/status/500", "/delay", "/drip", "/redirect", "/gzip", "/bytes"):
        assert path in text
    assert {case[1] for case in CASES} == {"Succeeded", "Unknown", "Rejected"}
