"""`saga conform`: the five that ship keep their contracts, and whoever breaks one is told so by the right check."""

import asyncio
import io
import json
import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from rich.console import Console

from orchestrator.operations.conform import Conformance, ConformError, Result, conform, describe, render
from orchestrator.operations.conform_checks import CHECKS
from orchestrator.operations.conform_contracts import OPERATIONS, Contract
from tests.integration.participants.broken import BrokenOrders
from tests.integration.participants.service import StartParticipant
from tests.integration.participants.tries import violations

WAIT_S = 0.05


def failed(found: Conformance) -> set[str]:
    return {result.check for result in found.results if not result.passed}


@asynccontextmanager
async def served(app: web.Application) -> AsyncIterator[str]:
    async with TestServer(app) as server:
        yield str(server.make_url(""))


@pytest.mark.parametrize("contract", list(OPERATIONS))
async def test_each_of_the_five_keeps_its_contract(start: StartParticipant, contract: Contract) -> None:
    participant = await start(contract)

    found = await conform(participant.url, contract, wait_s=WAIT_S)

    assert [result for result in found.results if not result.passed] == []
    assert found.passed
    assert {result.operation for result in found.results} == {operation.name for operation in OPERATIONS[contract]}
    assert await violations(participant, contract) == set()
    if contract != "notifications":
        assert await participant.balance() == {}, "the shop is as it was"


async def test_a_service_that_keeps_its_contract_passes() -> None:
    async with served(BrokenOrders().app()) as url:
        found = await conform(url, "orders", wait_s=WAIT_S)

    assert failed(found) == set()
    assert len(found.results) == 19


IN_EVERY_RUN = (
    ("forgets keys", {"duplicate", "duplicates at once", "duplicate later"}),
    ("looks, then acts", {"duplicates at once"}),
    ("takes other content", {"other content, same key"}),
    ("tells that nothing was done", {"told by key"}),
    ("forgets tombstones", {"late action"}),
    ("undoes twice", {"double undo"}),
    ("takes nothing back", {"undo after confirm", "confirm against undo"}),
)
IN_LONG_RUNS = (
    ("words it anew", {"duplicate", "duplicate later", "double undo"}),
    ("takes any key", {"garbage keys"}),
    ("fails on garbage", {"garbage bodies"}),
    ("believes garbage", {"garbage bodies"}),
    ("keeps what it refused", {"garbage bodies"}),
    ("names another", {"done once"}),
    ("keeps no log", {"done once", "undo after confirm"}),
    ("tells that all was done", {"told by key", "late action"}),
    ("has nothing to undo", {"undo first", "late action"}),
    ("does undone work again", {"duplicate after undo"}),
    ("undoes beside the work", {"action against undo", "confirm against undo"}),
    ("confirms what is not there", {"late confirm"}),
)


@pytest.mark.parametrize(
    ("fault", "caught_by"),
    [*IN_EVERY_RUN, *(pytest.param(*fault, marks=pytest.mark.slow) for fault in IN_LONG_RUNS)],
    ids=lambda value: value if isinstance(value, str) else "",
)
async def test_a_broken_service_is_caught_by_the_right_check(fault: str, caught_by: set[str]) -> None:
    async with served(BrokenOrders(fault).app()) as url:
        found = await conform(url, "orders", wait_s=WAIT_S)

    assert not found.passed
    assert caught_by <= failed(found)


async def test_every_check_catches_somebody_but_those_that_others_come_before() -> None:
    caught = set().union(*(checks for _, checks in (*IN_EVERY_RUN, *IN_LONG_RUNS)))

    assert {check.name for check in CHECKS} - caught == {"undo", "undos at once", "confirm"}


async def test_operations_can_be_chosen() -> None:
    async with served(BrokenOrders().app()) as url:
        with pytest.raises(ConformError, match=r"no operation 'try': choose from create$"):
            await conform(url, "orders", only=("try",))


async def test_who_is_not_there_is_not_tried() -> None:
    with pytest.raises(ConformError, match=r"^http://127.0.0.1:1 can't be tried: no answer came"):
        await conform("http://127.0.0.1:1", "orders")


async def test_who_is_no_participant_is_not_tried() -> None:
    async with served(web.Application()) as url:
        with pytest.raises(ConformError, match=r"GET /healthz answered 404$"):
            await conform(url, "inventory")


async def test_what_answers_nothing_fails_every_check_and_takes_no_longer_than_its_time_limits() -> None:
    app = BrokenOrders().app()
    app.middlewares.append(_hang)
    async with served(app) as url:
        found = await conform(url, "orders", timeout_s=0.01, wait_s=WAIT_S)

    assert failed(found) == {result.check for result in found.results}
    assert {result.seen for result in found.results if "0.01 s" not in result.seen} == set()


@web.middleware
async def _hang(request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]) -> web.StreamResponse:
    if request.path != "/healthz":
        await asyncio.Event().wait()
    return await handler(request)


async def run(*arguments: str, cwd: Path) -> tuple[int | None, str, str]:
    """Run the command as people do."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("SAGA_", "MOCK_", "PYTEST"))}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "cli", "conform", *arguments),
        cwd=cwd,
        env=environment | {"PYTHONPATH": str(Path(__file__).parents[3])},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(60):
        stdout, stderr = await process.communicate()
    return process.returncode, stdout.decode(), stderr.decode()


async def test_the_command_tells_people_what_it_saw(tmp_path: Path) -> None:
    async with served(BrokenOrders("forgets tombstones").app()) as url:
        code, out, err = await run(url, "--contract", "orders", "--wait", "0.05", cwd=tmp_path)

    assert (code, err) == (1, "")
    lines = out.splitlines()
    assert [line.split()[0] for line in lines].count("pass") == 18
    (told,) = (line for line in lines if line.startswith("FAIL"))
    assert "late action" in told
    assert "the action that came after its undo was not refused with 409: answered 201" in told
    assert "Left behind: cancelled orders;" in out
    assert lines[-1] == "1 of 19 checks failed."


async def test_the_command_tells_programs_what_it_saw(tmp_path: Path) -> None:
    async with served(BrokenOrders("names another").app()) as url:
        code, out, err = await run(url, "--contract", "orders", "--wait", "0", "--json", cwd=tmp_path)

    found = json.loads(out)
    assert (code, err) == (1, "")
    assert (found["contract"], found["passed"]) == ("orders", False)
    assert {"operation": "create", "check": "garbage keys", "passed": True}.items() <= found["checks"][5].items()


async def test_the_command_ends_well_where_all_is_well(tmp_path: Path) -> None:
    async with served(BrokenOrders().app()) as url:
        code, out, err = await run(url, "--contract", "orders", "--operation", "create", "--wait", "0", cwd=tmp_path)

    assert (code, err) == (0, "")
    assert out.splitlines()[-1] == "All 19 checks passed."


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (("http://127.0.0.1:1", "--contract", "orders"), 1, "http://127.0.0.1:1 can't be tried"),
        (("ftp://127.0.0.1", "--contract", "orders"), 2, "must be an http or https address"),
        (("http://127.0.0.1:1", "--contract", "payment"), 2, "'payment' is not one of"),
        (("http://127.0.0.1:1",), 2, "Missing option '--contract'"),
    ],
)
async def test_what_is_wrongly_asked_is_told_in_a_sentence(
    arguments: tuple[str, ...], code: int, told: str, tmp_path: Path
) -> None:
    ended, out, err = await run(*arguments, cwd=tmp_path)

    assert (ended, out) == (code, "")
    assert told in err
    assert len(err.splitlines()) == 1


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
