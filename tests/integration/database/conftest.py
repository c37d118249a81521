"""PostgreSQL servers of the tests' own, for what the shared one must not suffer."""

from collections.abc import Iterator

import pytest

from tests.servers import Server, servers

LEDGER = "sagaledger"


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
