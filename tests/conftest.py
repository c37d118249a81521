"""Fixtures that every height of test shares: a real PostgreSQL with one template database per schema.

The server is the one that `SAGA_TEST_DATABASE_URL` names, or an embedded one that lives as long as the session.
"""

import itertools
import os
import signal
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest
from pytest_postgresql.janitor import DatabaseJanitor

from sql import migrate
from sql.embedded import embedded_server, with_database
from tests.servers import Server, servers

# A shell that runs the tests in the background has them, and what they start, ignore Ctrl-C, which some tests send.
signal.signal(signal.SIGINT, signal.default_int_handler)
_NUMBERS = itertools.count()
SCHEMAS = ("ledger", "orders", "inventory", "payments", "shipping", "notifications")


@pytest.fixture(scope="session")
def server_url() -> Iterator[str]:
    """URL of a PostgreSQL server on which databases may be created."""
    given = os.environ.get("SAGA_TEST_DATABASE_URL")
    if given:
        yield given
        return
    with tempfile.TemporaryDirectory(prefix="saga-test-") as folder, embedded_server(Path(folder) / "pg", durable=False) as url:
        yield with_database(url, "postgres")


@pytest.fixture(scope="session")
def template(server_url: str) -> Iterator[Callable[[str], str]]:
    """Name of the template database of a schema, migrated once a session, on first use."""
    janitors: dict[str, DatabaseJanitor] = {}

    def named(schema: str) -> str:
        if schema not in janitors:
            janitor = _janitor(server_url, f"saga_template_{schema}_{os.getpid()}", as_template=True)
            janitor.init()
            janitor.load(lambda **connection: migrate.apply(with_database(server_url, connection["dbname"]), schema))
            janitors[schema] = janitor
        return janitors[schema].dbname

    yield named
    for janitor in janitors.values():
        janitor.drop()


@pytest.fixture(scope="session")
def stopped_server() -> Iterator[Server]:
    """A server with a ledger that does not run: what a test copies that needs a server for itself."""
    with servers(1) as (made,):
        made.create()
        made.start()
        migrate.apply(made.url("sagaledger"), "ledger")
        made.stop()
        yield made


@pytest.fixture
def new_database(server_url: str, template: Callable[[str], str]) -> Iterator[Callable[[str], str]]:
    """Make a database of a schema (`ledger` or a participant's) for this test alone; gives its URL."""
    with _databases(server_url, template) as made:
        yield made


@pytest.fixture(scope="module")
def new_shared_database(server_url: str, template: Callable[[str], str]) -> Iterator[Callable[[str], str]]:
    """The same for all tests of a module: where each of many cases leaves a database as it was."""
    with _databases(server_url, template) as made:
        yield made


@contextmanager
def _databases(server_url: str, template: Callable[[str], str]) -> Iterator[Callable[[str], str]]:
    janitors: list[DatabaseJanitor] = []

    def made(schema: str) -> str:
        name = f"saga_test_{schema}_{os.getpid()}_{next(_NUMBERS)}"
        janitor = _janitor(server_url, name, template=template(schema))
        janitor.init()
        janitors.append(janitor)
        return with_database(server_url, name)

    yield made
    for janitor in janitors:
        janitor.drop()


@pytest.fixture
def ledger_url(new_database: Callable[[str], str]) -> str:
    """URL of a fresh ledger."""
    return new_database("ledger")


@pytest.fixture
def participant_database(new_database: Callable[[str], str]) -> Callable[[str], str]:
    """Make a fresh database of a participant, by its name; gives its URL."""
    return new_database


def _janitor(server_url: str, name: str, *, template: str | None = None, as_template: bool = False) -> DatabaseJanitor:
    with psycopg.connect(server_url) as conn:
        info = conn.info
        return DatabaseJanitor(
            user=info.user,
            host=info.host,
            port=info.port,
            password=info.password or None,
            dbname=name,
            template_dbname=template,
            as_template=as_template,
        )
