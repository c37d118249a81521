"""The running edge against its own description: requests that fit it and requests that don't, thousands of them, all checks on.

What is looked for: a fault of ours, a status, type, header or answer that is not described, what fits refused, what does not
fit taken, a missing header or a wrong method overlooked, a key not asked for.
"""

import json
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
EXAMPLES_SLOW = 60
BUDGET_S = 240  # it takes a fraction of this where nothing else runs
FITTING = ["2xx", "401", "404", "409", "410", "426", "503"]
"""Of what fits the description: a cursor may be of its form and lead nowhere, a request for a WebSocket no handshake."""
PHASES = "examples,coverage,fuzzing,stateful"


def fuzz(stack: Stack, folder: Path, key: str | None, *, examples: int = EXAMPLES, budget_s: float = BUDGET_S) -> str:
    """Run `schemathesis` against an edge of the stack; its report, once all checks have passed."""
    environment = clean_environment(SCHEMATHESIS_HOOKS="tests.acceptance.fuzz_hooks")
    configuration = folder / "fuzzing.toml"
    sent = f'[auth.openapi.key]\nbearer = "{key}"\n' if key else ""
    fitting = f"[checks.positive_data_acceptance]\nexpected-statuses = {json.dumps(FITTING)}\n"
    configuration.write_text(f"{sent}{fitting}[phases.stateful.generation]\nmax-examples = {max(examples // 2, 1)}\n")
    command = [sys.executable, "-m", "schemathesis.cli", "--config-file", str(configuration), "run"]
    limits = ["--max-examples", str(examples), "--request-timeout", "40", "--seed", str(SEED), "--phases", PHASES]
    ended = subprocess.run(
        [*command, f"{stack.edge_urls[0]}/openapi.json", "--checks", "all", "--no-color", *limits],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=budget_s,
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
    if not keys:  # nor such as other tests have made, which no command takes out of the record
        with psycopg.connect(stack.databases["ledger"]) as conn:
            conn.execute("set session_replication_role = replica")
            conn.execute("delete from api_key")
    with stack.only(**settings):
        report = fuzz(stack, tmp_path, CLIENTS["shop"] if keys else None)

    assert "14 selected / 14 total" in report
    assert placed(stack) - before > 20


@pytest.mark.slow
@pytest.mark.timeout(1_800)
def test_the_api_is_what_its_description_says_at_length(stack: Stack, tmp_path: Path) -> None:
    with stack.only(SAGA_RATE_PER_S="0"):
        fuzz(stack, tmp_path, CLIENTS["shop"], examples=EXAMPLES_SLOW, budget_s=800)
