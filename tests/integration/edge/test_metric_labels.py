"""Labels of metrics are bounded: whatever clients call and whoever they are, the series stay few and name none of it."""

import asyncio
import re
from collections.abc import Iterator
from uuid import uuid4

import pytest
from aiohttp import ClientSession
from prometheus_client.parser import text_string_to_metric_families

from tests.integration.edge.service import StartEdge
from tests.integration.participants.conftest import start  # noqa: F401
from tests.integration.participants.service import StartParticipant

CALLS = 10_000
AT_ONCE = 50
SERIES_MAX = 200
METHODS = ("GET", "POST", "PUT", "DELETE", "PATCH", "PROPFIND", "MKCOL")
Call = tuple[str, str, dict[str, str]]


def calls(number: int, *routes: str) -> Iterator[Call]:
    """Yield calls of which none is like another."""
    for place in range(number):
        mark = f"{uuid4().hex}-{place}"
        headers = {"Idempotency-Key": mark, "X-Correlation-ID": mark, "User-Agent": mark}
        yield METHODS[place % len(METHODS)], routes[place % len(routes)].format(mark), headers


async def series_after(session: ClientSession, url: str, metrics_url: str, wanted: Iterator[Call]) -> set[tuple[str, str]]:
    """Make calls, some at once, until none is left; the series that there are then, without the bounds of buckets."""

    async def work() -> None:
        for method, path, headers in wanted:
            async with session.request(method, url + path, headers=headers) as response:
                await response.read()

    await asyncio.gather(*(work() for _ in range(AT_ONCE)))
    async with session.get(metrics_url) as response:
        families = text_string_to_metric_families(await response.text())
    samples = [sample for family in families for sample in family.samples]
    return {(s.name, str(sorted((n, v) for n, v in s.labels.items() if n != "le"))) for s in samples}


@pytest.mark.slow
async def test_ten_thousand_clients_and_paths_are_no_more_series(start_edge: StartEdge) -> None:
    edge = await start_edge(connections_max=1000, connections_per_address=1000, rate_per_s=0)
    routes = ("/{}", "/orders/{}", "/orders/{}/journal", "/sagas/{}", "/orders?customer_id={}", "/orders/{}/signals/name")

    series = await series_after(edge.session, edge.url, f"{edge.admin_url}/metrics", calls(CALLS, *routes))

    assert any("/orders/{order_ledger_id}" in labels for _, labels in series)
    assert len(series) < SERIES_MAX
    assert not re.search(r"[0-9a-f]{32}", str(series))


@pytest.mark.slow
async def test_nor_are_they_at_a_participant(start: StartParticipant) -> None:  # noqa: F811
    participant = await start("orders")
    url = participant.url
    routes = ("/{}", "/orders/{}", "/customers/{}", "/operations/{}", "/effects?order_id={}")

    series = await series_after(participant.session, url, f"{url}/metrics", calls(CALLS // 5, *routes))

    assert any("/customers/{customer_id}" in labels for _, labels in series)
    assert len(series) < SERIES_MAX
    assert not re.search(r"[0-9a-f]{32}", str(series))
