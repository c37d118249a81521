"""`saga conform` as people and programs run it."""

import asyncio
import io
import json
import os
import sys
from pathlib import Path

import pytest
from aiohttp.test_utils import TestServer
from click.testing import CliRunner
from rich.console import Console

from cli import saga
from orchestrator.operations.conform import Conformance, Result, describe, render
from tests.integration.participants.broken import BrokenOrders
from tests.integration.participants.service import StartParticipant


async def run(*arguments: str, cwd: Path, **settings: str) -> tuple[int | None, str, str]:
    """Run the command as people do."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("SAGA_", "MOCK_", "PYTEST"))}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "cli", "conform", *arguments),
        cwd=cwd,
        env=environment | {"PYTHONPATH": str(Path(__file__).parents[3])} | settings,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(60):
        stdout, stderr = await process.communicate()
    return process.returncode, stdout.decode(), stderr.decode()


async def test_the_command_tells_people_what_it_saw(tmp_path: Path) -> None:
    async with TestServer(BrokenOrders("forgets tombstones").app()) as server:
        code, out, err = await run(str(server.make_url("")), "--contract", "orders", "--wait", "0.05", cwd=tmp_path)

    assert (code, err) == (1, "")
    lines = out.splitlines()
    assert [line.split()[0] for line in lines].count("pass") == 18
    (told,) = (line for line in lines if line.startswith("FAIL"))
    assert "late action" in told
    assert "the action that came after its undo was not refused with 409: answered 201" in told
    assert "Left behind: cancelled orders;" in out
    assert lines[-1] == "1 of 19 checks failed."


async def test_the_command_tells_programs_what_it_saw(tmp_path: Path) -> None:
    async with TestServer(BrokenOrders("names another").app()) as server:
        code, out, err = await run(str(server.make_url("")), "--contract", "orders", "--wait", "0", "--json", cwd=tmp_path)

    found = json.loads(out)
    assert (code, err) == (1, "")
    assert (found["contract"], found["passed"]) == ("orders", False)
    assert {"operation": "create", "check": "garbage keys", "passed": True}.items() <= found["checks"][5].items()


SECRET = "of-shipping"


@pytest.mark.parametrize(
    ("arguments", "settings", "passed"),
    [
        (("--secret-file", "secret.txt"), {}, True),
        (("--secret-env", "MINE"), {"MINE": SECRET}, True),
        ((), {"SAGA_PARTICIPANT_SECRETS": f"payments=other,shipping={SECRET}", "SAGA_SHIPPING_URL": "its own"}, True),
        ((), {"SAGA_PARTICIPANT_SECRETS": f"payments={SECRET}", "SAGA_SHIPPING_URL": "its own"}, False),
        ((), {"SAGA_PARTICIPANT_SECRETS": f"shipping={SECRET}", "SAGA_PAYMENTS_URL": "its own"}, False),
        (("--secret-env", "MINE"), {"MINE": "other", "SAGA_PARTICIPANT_SECRETS": f"shipping={SECRET}"}, False),
    ],
)
async def test_a_participant_is_shown_its_secret(
    start: StartParticipant, tmp_path: Path, arguments: tuple[str, ...], settings: dict[str, str], passed: bool
) -> None:
    participant = await start("shipping", shipping_secret=SECRET)
    (tmp_path / "secret.txt").write_text(f"{SECRET}\n")
    settings = {name: participant.url if value == "its own" else value for name, value in settings.items()}

    tried = (participant.url, "--contract", "shipping", "--wait", "0", *arguments)
    code, out, err = await run(*tried, cwd=tmp_path, **settings)

    assert (code == 0) is passed, (out, err)
    assert passed or "401" in out
    assert SECRET not in out + err


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--secret-env", "NOBODY_SET_THIS"), "the variable NOBODY_SET_THIS is not set"),
        (("--secret-env", "A", "--secret-file", "secret.txt"), "not both"),
        (("--secret-file", "secret.txt"), "holds no secret"),
    ],
)
async def test_a_secret_that_is_none_is_told(tmp_path: Path, arguments: tuple[str, ...], told: str) -> None:
    (tmp_path / "secret.txt").write_text("two words")

    code, out, err = await run("http://127.0.0.1:1", "--contract", "shipping", *arguments, cwd=tmp_path)

    assert (code, out) == (2, "")
    assert told in err
    assert "two words" not in err


async def test_who_is_away_is_told_in_a_sentence(tmp_path: Path) -> None:
    code, out, err = await run("http://127.0.0.1:1", "--contract", "orders", cwd=tmp_path)

    assert (code, out) == (1, "")
    assert err.startswith("saga: http://127.0.0.1:1 can't be tried: no answer came")
    assert len(err.splitlines()) == 1


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("ftp://127.0.0.1", "--contract", "orders"), "must be an http or https address"),
        (("http://127.0.0.1:1", "--contract", "payment"), "'payment' is not one of"),
        (("http://127.0.0.1:1",), "Missing option '--contract'"),
    ],
)
def test_wrong_usage_is_told_with_code_2(arguments: tuple[str, ...], told: str) -> None:
    asked = CliRunner().invoke(saga, ["conform", *arguments])

    assert asked.exit_code == 2
    assert told in asked.output


def test_a_report_fits_eighty_columns_and_takes_nothing_for_markup() -> None:
    seen = "answered 500: [red]<b>" + "x" * 200
    found = Conformance("orders", "http://x", (Result("create", "other content, same key", False, seen),), 1, 0.1, ("a",))
    console = Console(width=80, file=io.StringIO())

    render(found, console)

    shown = console.file.getvalue()  # type: ignore[attr-defined]
    assert max(map(len, shown.splitlines())) <= 80
    assert "[red]<b>" in shown
    assert describe(found)["checks"] == [
        {"operation": "create", "check": "other content, same key", "passed": False, "seen": seen}
    ]
