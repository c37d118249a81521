"""PostgreSQL servers of the tests' own, for what the shared one must not suffer."""

from collections.abc import AsyncIterator, Iterator

import pytest

from orchestrator import listener
from tests.integration.edge.conftest import payments, start_edge
from tests.integration.orchestrator.shop import Shop, open_shop
from tests.servers import Server, servers

LEDGER = "sagaledger"
__all__ = ["payments", "start_edge"]  # fixtures


@pytest.fixture(scope="module")
def server(stopped_server: Server) -> Iterator[Server]:
    """A server with a ledger, for the tests of a module."""
    with servers(1) as (made,):
        made.copy(stopped_server)
        made.configure(max_notify_queue_pages="64")
        made.start()
        yield made


@pytest.fixture
def pair(stopped_server: Server) -> Iterator[tuple[Server, Server]]:
    """A primary with a ledger, and its standby."""
    with servers(2) as (primary, standby):
        primary.copy(stopped_server)
        primary.start()
        standby.stand_by(primary)
        standby.start()
        yield primary, standby


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Probes every moment."""
    monkeypatch.setattr(listener, "PROBE_INTERVAL_S", 0.2)
    monkeypatch.setattr(listener, "PROBE_ANSWER_S", 0.5)


@pytest.fixture
async def shop() -> AsyncIterator[Shop]:
    async with open_shop() as opened:
        yield opened
