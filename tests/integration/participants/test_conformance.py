"""`saga conform`: the five that ship keep their contracts, and whoever breaks one is told so by the right check."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from orchestrator.operations import conform as conforming
from orchestrator.operations import conform_case as trial
from orchestrator.operations.conform import Conformance, ConformError, conform
from orchestrator.operations.conform_checks import CHECKS
from orchestrator.operations.conform_contracts import OPERATIONS, Contract
from tests.integration.participants.broken import BrokenOrders
from tests.integration.participants.service import StartParticipant
from tests.integration.participants.tries import violations

WAIT_S = 0.05
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


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
    ("forgets tombstones", {"late action"}),
    ("takes nothing back", {"undo after confirm", "confirm against undo"}),
)
IN_LONG_RUNS = (
    ("words it anew", {"duplicate", "duplicate later", "double undo"}),
    ("takes other content", {"other content, same key"}),
    ("takes any key", {"garbage keys"}),
    ("fails on garbage", {"garbage bodies"}),
    ("believes garbage", {"garbage bodies"}),
    ("keeps what it refused", {"garbage bodies"}),
    ("names another", {"done once"}),
    ("keeps no log", {"done once", "undo after confirm"}),
    ("tells that nothing was done", {"told by key"}),
    ("tells that all was done", {"told by key", "late action"}),
    ("has nothing to undo", {"undo first", "late action"}),
    ("undoes twice", {"double undo"}),
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


@pytest.mark.slow
async def test_what_answers_nothing_fails_every_check() -> None:
    async with served(_silent()) as url:
        found = await conform(url, "notifications", timeout_s=1.0, wait_s=WAIT_S)

    assert failed(found) == {result.check for result in found.results}
    assert {result.seen for result in found.results if "within 1 s" not in result.seen} == set()


@pytest.mark.parametrize(
    ("limit", "told"),
    [("CHECK_TIMEOUT_S", "not made within 0.05 s"), ("RUN_TIMEOUT_S", "not made: the 0.05 s of the run were over")],
)
async def test_a_run_ends_whatever_it_meets(limit: str, told: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(conforming, limit, 0.05)
    async with served(_silent()) as url:
        found = await conform(url, "notifications", wait_s=WAIT_S)

    assert failed(found) == {result.check for result in found.results}
    assert found.results[-1].seen == told


def _silent() -> web.Application:
    """A service that is healthy and answers nothing else."""

    async def hang(request: web.Request) -> web.Response:
        if request.path != "/healthz":
            await asyncio.Event().wait()
        return web.json_response({})

    app = web.Application()
    app.router.add_route("*", "/{tail:.*}", hang)
    return app


@pytest.mark.parametrize(
    ("page", "told"),
    [
        ('{"effects": 5}', "GET /effects answers another shape"),
        pytest.param(
            '{"effects": [], "next_after": 1}', "GET /effects has more than 20 pages for one order", marks=pytest.mark.slow
        ),
        pytest.param("x" * 300_000, "GET /effects can't be read: answered 200 with too long a body", marks=pytest.mark.slow),
    ],
    ids=["another shape", "no end", "too long"],
)
async def test_a_log_that_can_not_be_read_fails_what_is_read_from_it(page: str, told: str) -> None:
    app = _before(BrokenOrders().app(), "/effects", web.Response(text=page, content_type="application/json"))
    async with served(app) as url:
        found = await conform(url, "orders", wait_s=0)

    assert {result.check for result in found.results if result.seen == told} >= {"done once", "undo first", "late confirm"}


async def test_a_body_that_has_no_end_is_no_answer() -> None:
    app = _before(BrokenOrders().app(), "/orders", web.Response(text="x" * 300_000))
    async with served(app) as url:
        found = await conform(url, "orders", wait_s=0)

    assert found.results[0].seen == "it was not done: answered 200 with too long a body"


@pytest.mark.parametrize("ends", [True, pytest.param(False, marks=pytest.mark.slow)])
async def test_who_says_that_the_first_is_still_at_work_is_asked_again(ends: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trial, "IN_PROGRESS_POLL_S", 0.001)
    asked = 0

    @web.middleware
    async def at_work(request: web.Request, handler: Handler) -> web.StreamResponse:
        nonlocal asked
        if request.path != "/orders":
            return await handler(request)
        asked += 1
        busy = web.json_response({"type": "https://x.example/in-progress"}, status=409)
        return await handler(request) if ends and asked % 3 == 0 else busy

    app = BrokenOrders().app()
    app.middlewares.append(at_work)
    async with served(app) as url:
        found = await conform(url, "orders", wait_s=0)

    assert ("done once" in failed(found)) is not ends
    assert ("still says 409 in-progress after 0.05 s" in {result.seen for result in found.results}) is not ends


def _before(app: web.Application, path: str, answer: web.Response) -> web.Application:
    """Have a path answer something else."""

    @web.middleware
    async def instead(request: web.Request, handler: Handler) -> web.StreamResponse:
        if request.path != path:
            return await handler(request)
        return web.Response(body=answer.body, content_type=answer.content_type)

    app.middlewares.insert(0, instead)
    return app


async def test_stock_that_can_not_be_added_leaves_nothing_to_try() -> None:
    async with served(BrokenOrders().app()) as url:
        with pytest.raises(ConformError, match="a product could not be added: inventory answered 404"):
            await conform(url, "inventory")
