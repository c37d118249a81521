"""Bash completes `saga` after the script that the command prints: commands, statuses, sagas of the installation."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.acceptance.commands import clean_environment, saga

pytestmark = pytest.mark.acceptance
OWN = """
from dataclasses import replace

from orchestrator.sagas.place_order import PLACE_ORDER

MINE = replace(PLACE_ORDER, name="place_mine")
"""
ASK = """
source saga.bash
ask() { COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); COMPREPLY=(); _saga_completion saga; echo "${COMPREPLY[*]}"; }
ask saga led
ask saga ledger list --status ST
ask saga ledger list --saga place_
ask saga participants remove pay
"""


def test_bash_completes_what_is_typed(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(OWN)
    command = tmp_path / "bin" / "saga"
    command.parent.mkdir()
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m cli "$@"\n')
    command.chmod(0o755)
    script = saga("completion", "bash", cwd=tmp_path)
    assert script.returncode == 0, script.stderr
    (tmp_path / "saga.bash").write_text(script.stdout)
    environment = clean_environment(SAGA_DEFINITIONS="mine")
    environment["PATH"] = f"{command.parent}:{environment['PATH']}"

    shell = subprocess.run(
        ["bash", "--norc", "-c", ASK], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120, check=False
    )

    assert shell.stderr == ""
    assert shell.stdout.splitlines() == ["ledger", "STUCK", "place_mine place_order place_unpaid_order", "payments"]
