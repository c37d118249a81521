"""The first steps of the README, typed in as they stand there, and what is said to be printed then.

Addresses differ, because every port is a free one; and so do numbers, times, and how long bars are.
"""

import os
import re
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.acceptance.commands import Up, call, run, wait_for
from tests.acceptance.test_tutorial import COMMAND_S, shell
from tests.documents import ROOT, blocks_in
from tests.servers import binaries

pytestmark = pytest.mark.acceptance
TEXT = (ROOT / "README.md").read_text(encoding="utf-8")
SECTIONS = ("A first order", "First SQL", "First look at an order")
PREPARED = ("make up", ". .venv/bin/activate")
"""What stands ready in a test."""
ORDER = "2e117608-861d-8c4b-a875-40d4c3ce47d8"
"""Derived from client and key, so it is the same on every machine."""


def conversation() -> Iterator[tuple[str, str]]:
    """Everything that is typed, with what is said to be printed then; a document that is typed belongs to its command."""
    for section in SECTIONS:
        text = TEXT.split(f"\n## {section}\n")[1].split("\n## ")[0]
        for block in blocks_in(text, "console"):
            for part in block.replace("\\\n", "").removeprefix("$ ").split("\n$ "):
                typed, _, printed = part.partition("\n")
                if "<<'END'" in typed:
                    document, _, printed = f"{printed}\n".partition("END\n")
                    typed += f"\n{document}END"
                yield typed, printed


def shape(line: str) -> str:
    """Return a line without what differs from run to run."""
    for pattern, instead in (
        (r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", lambda found: found[0] if found[0] == ORDER else "ID"),
        (r'"status":"(PENDING|RECEIVED)"', '"status":"OPEN"'),
        (r"^ *\|.*", "|"),
        (r"\d+(\.\d+)?( m?s\b)?", "N"),
        (r"[=+]{2,}|-{2,}", "-"),
        (r" +", " "),
    ):
        line = re.sub(pattern, instead, line)  # type: ignore[arg-type]
    return line.strip()


def lacking(said: str, printed: str) -> list[str]:
    """Return the lines that were to be printed, in their order, from the first on that was not."""
    told = iter([shape(line) for line in printed.splitlines()])
    wanted = [shape(line) for line in said.splitlines() if line.strip() not in ("", "…")]
    return [line for line in wanted if line not in told]


def test_the_first_steps_do_what_they_say(tmp_path: Path) -> None:
    up = Up(tmp_path, "--port", "0", "--admin-port", "0")
    try:
        addresses = up.ready()
        (tmp_path / ".sagaledger").symlink_to(up.data)
        served = {
            "http://127.0.0.1:8080": addresses["edge_url"],
            "http://127.0.0.1:8102": addresses["participants"]["inventory"]["url"],
            "sql/audit/": f"{ROOT}/sql/audit/",
        }
        wrong = {}
        with shell(tmp_path) as environment:
            environment["PATH"] = f"{binaries()}{os.pathsep}{environment['PATH']}"
            exported = "true"
            for typed, said in conversation():
                if typed in PREPARED:
                    continue
                command = typed
                for written, here in served.items():
                    command = command.replace(written, here)
                if command.startswith("export "):
                    exported = command
                    continue
                done = run(["bash", "-c", f"{exported}\n{command}"], cwd=tmp_path, env=environment, timeout_s=COMMAND_S)
                assert done.returncode == 0, (typed, done.stdout, done.stderr)
                if missing := lacking(said, done.stdout):
                    wrong[typed] = (missing, done.stdout)
                if "my-first-order" in typed:
                    wait_for(lambda: call(f"{addresses['edge_url']}/orders/{ORDER}")[1]["status"] == "COMPLETED")
        assert wrong == {}
    finally:
        assert up.stop(signal.SIGTERM) == 0, up.errors
