"""A stack whose ledger is a primary with a standby; the participants' databases are on another server and survive."""

import contextlib
import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from orchestrator.operations.ports import Ports
from tests.acceptance.stack import Stack
from tests.conftest import SCHEMAS
from tests.servers import Server, servers

LEDGER = "sagaledger"


@dataclass(frozen=True)
class Pair:
    """A stack that knows both servers by one address, in which the first comes before the second."""

    stack: Stack
    first: Server
    second: Server

    def fail_over(self) -> None:
        """Kill the first server, which is the primary, and promote the second."""
        self.first.stop(signal.SIGKILL)
        self.second.promote()
        # For the test's own eyes; the stack's processes keep the address of both.
        self.stack.databases["ledger"] = self.second.url(LEDGER)


@pytest.fixture
def pair(tmp_path: Path, stopped_server: Server, new_database: Callable[[str], str]) -> Iterator[Pair]:
    """The first server is the primary, the second its standby, asynchronous until told otherwise."""
    databases = {schema: new_database(schema) for schema in SCHEMAS if schema != "ledger"}
    with servers(2) as (first, second), contextlib.closing(Ports()) as ports:
        first.copy(stopped_server)
        first.start()
        second.stand_by(first)
        second.start()
        ledger = first.url(LEDGER, second, target_session_attrs="read-write")
        with contextlib.closing(Stack(tmp_path, {**databases, "ledger": ledger}, ports)) as stack:
            stack.start()
            yield Pair(stack, first, second)
