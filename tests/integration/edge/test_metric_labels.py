"""Labels of metrics are bounded: whatever clients call and whoever they are, there are no more series than before."""

import asyncio
import re
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import pytest
from aiohttp import ClientSession

from participants.settings import NAMES
from tests.integration.edge.service import Edge, StartEdge
from tests.integration.participants.conftest import start  # noqa: F401
from tests.integration.participants.service import StartParticipant

CALLS = 10_000
AT_ONCE = 50
SERIES = re.compile(r"^[a-z_]+(?:\{.*\})? ", re.MULTILINE)
METHODS = ("GET", "POST", "PUT", "DELETE", "PATCH", "FROB", "BREW")


def calls(number: int, routes: tuple[str, ...]) -> Iterator[tuple[str, str, dict[str, str]]]:
    """Yield calls of which none is like another."""
    for place in range(number):
        mark = f"{uuid4().hex}-{place}"
        path = routes[place % len(routes)].format(mark)
        headers = {"Idempotency-Key": mark, "X-Correlation-ID": mark, "User-Agent": mark}
        method = METHODS[place % len(METHODS)]
        yield (method if place % 11 else f"M{mark[:8].upper()}"), path, headers


async def made(session: ClientSession, url: str, wanted: Iterator[tuple[str, str, dict[str, str]]]) -> None:
    """Make calls, some at once, until none is left."""

    async def work() -> None:
        for method, path, headers in wanted:
            async with session.request(method, url + path, headers=headers) as response:
                await response.read()

    await asyncio.gather(*(work() for _ in range(AT_ONCE)))


def series(metrics: Any) -> set[str]:
    return set(SERIES.findall(metrics.decode()))


@pytest.mark.slow
async def test_ten_thousand_clients_and_paths_are_no_more_series(start_edge: StartEdge) -> None:
    edge: Edge = await start_edge(connections_max=1000, connections_per_address=1000, rate_per_s=0)
    routes = ("/{}", "/orders/{}", "/orders/{}/journal", "/sagas/{}", "/orders?customer_id={}", "/orders/{}/signals/{0}")
    some = calls(len(METHODS) * len(routes) * 11, routes)
    await made(edge.session, edge.url, some)
    before = await _scraped(edge)

    await made(edge.session, edge.url, calls(CALLS, routes))

    assert await _scraped(edge) == before
    assert not re.search(r"[0-9a-f]{32}", str(before))


async def _scraped(edge: Edge) -> set[str]:
    async with edge.session.get(f"{edge.admin_url}/metrics") as response:
        return series(await response.read())


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES[:1])
async def test_nor_are_they_at_a_participant(name: Any, start: StartParticipant) -> None:  # noqa: F811
    participant = await start(name)
    routes = ("/{}", "/orders/{}", "/customers/{}", "/operations/{}", "/effects?order_id={}")
    await made(participant.session, participant.url, calls(len(METHODS) * len(routes) * 11, routes))

    async def scraped() -> set[str]:
        async with participant.session.get(f"{participant.url}/metrics") as response:
            return series(await response.read())

    before = await scraped()
    await made(participant.session, participant.url, calls(CALLS // 5, routes))

    assert await scraped() == before
