"""The running edge against its own description: requests that fit it and requests that don't, thousands of them, all checks on.

What is looked for: a fault of ours, a status, type, header or answer that is not described, what fits refused, what does not
fit taken, a missing header or a wrong method overlooked, a key not asked for.
"""

import subprocess
import sys
from pathlib import Path

import psycopg
import pytest

from tests.acceptance.commands import clean_environment
from tests.acceptance.stack import CLIENTS, Stack

pytestmark = pytest.mark.acceptance
SEED = 20_240_531
EXAMPLES = 8
BUDGET_S = 240  # it takes a fraction of this where nothing else runs
PHASES = "examples,coverage,fuzzing,stateful"


def fuzz(stack: Stack, folder: Path, key: str | None) -> str:
    """Run `schemathesis` against an edge of the stack; its report, once all checks have passed."""
    environment = clean_environment(SCHEMATHESIS_HOOKS="tests.acceptance.fuzz_hooks")
    configuration = folder / "fuzzing.toml"
    sent = f'[auth.openapi.key]\nbearer = "{key}"\n' if key else ""
    configuration.write_text(f"{sent}[phases.stateful.generation]\nmax-examples = {max(EXAMPLES // 2, 1)}\n")
    command = [sys.executable, "-m", "schemathesis.cli", "--config-file", str(configuration), "run"]
    limits = ["--max-examples", str(EXAMPLES), "--request-timeout", "40", "--seed", str(SEED), "--phases", PHASES]
    ended = subprocess.run(
        [*command, f"{stack.edge_urls[0]}/openapi.json", "--checks", "all", "--no-color", *limits],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=BUDGET_S,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout


def placed(stack: Stack) -> int:
    with psycopg.connect(stack.databases["ledger"]) as conn:
        row = conn.execute("select count(*) from order_ledger").fetchone()
    assert row is not None
    return int(row[0])


@pytest.mark.parametrize("keys", [True, False], ids=["with a key", "without keys"])
def test_the_api_is_what_its_description_says(stack: Stack, tmp_path: Path, keys: bool) -> None:
    before = placed(stack)
    settings = {"SAGA_RATE_PER_S": "0"} | ({} if keys else {"SAGA_API_KEYS": ""})
    with stack.only(**settings):
        report = fuzz(stack, tmp_path, CLIENTS["shop"] if keys else None)

    assert "12 selected / 12 total" in report
    assert placed(stack) - before > 20
