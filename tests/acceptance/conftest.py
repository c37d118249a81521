"""Fixtures of the acceptance tests: one stack for all, whole again before each test, audited after each module.

When all have run, every journal is replayed: what a module leaves is there until then, and its orders are named.
"""

import json
import os
import subprocess
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest
from psycopg import sql as pgsql

from sql.embedded import with_database
from tests.acceptance.canaries import watch_database, watch_folder, with_password
from tests.acceptance.stack import Stack, running_stack
from tests.acceptance.stack_shop import Shop, open_shop
from tests.conftest import SCHEMAS


@pytest.fixture(autouse=True)
def watched_folder(tmp_path: Path) -> Iterator[None]:
    """Whatever a test starts writes nothing into the test's folder that must not be seen."""
    yield
    watch_folder(tmp_path)


@pytest.fixture
def new_database(new_database: Callable[[str], str]) -> Iterator[Callable[[str], str]]:
    """The same with a password in the address that must not be seen, and in the end nothing stored that must not be."""
    urls: list[str] = []

    def made(schema: str) -> str:
        urls.append(with_password(new_database(schema)))
        return urls[-1]

    yield made
    for url in urls:
        watch_database(url)


@pytest.fixture(scope="session")
def shared_stack(tmp_path_factory: pytest.TempPathFactory, server_url: str, template: Callable[[str], str]) -> Iterator[Stack]:
    """A stack that is started on first use."""
    databases = _databases(server_url, f"saga_acceptance_{os.getpid()}", template)
    with running_stack(tmp_path_factory.mktemp("stack"), databases) as running:
        yield running
        with psycopg.connect(running.databases["ledger"]) as conn:
            has_journals = conn.execute("select exists (select from ledger_journal)").fetchone()
        if has_journals == (True,):  # a module that runs alone may have placed no order
            _assert_clean(running.audit("replay", "--all"))


@pytest.fixture(scope="module")
def stack(shared_stack: Stack) -> Iterator[Stack]:
    """The stack; what the tests of a module leave behind must stand up to an audit."""
    yield shared_stack
    shared_stack.restore()
    _assert_clean(shared_stack.audit())


def _assert_clean(audit: subprocess.CompletedProcess[str]) -> None:
    assert audit.returncode == 0, audit.stdout + audit.stderr
    assert json.loads(audit.stdout)["clean"] is True


@pytest.fixture
async def shop(stack: Stack) -> AsyncIterator[Shop]:
    """A client of the stack, which is whole again."""
    stack.restore()
    async with open_shop(stack) as opened:
        yield opened


@contextmanager
def _databases(server_url: str, prefix: str, template: Callable[[str], str]) -> Iterator[Mapping[str, str]]:
    names = {schema: f"{prefix}_{schema}" for schema in SCHEMAS}
    create = pgsql.SQL("create database {} template {}")
    drop = pgsql.SQL("drop database if exists {} with (force)")
    try:
        for schema, name in names.items():
            source = template(schema)
            with psycopg.connect(server_url, autocommit=True) as conn:
                conn.execute(create.format(pgsql.Identifier(name), pgsql.Identifier(source)))
        yield {schema: with_database(server_url, name) for schema, name in names.items()}
    finally:
        with psycopg.connect(server_url, autocommit=True) as conn:
            for name in names.values():
                conn.execute(drop.format(pgsql.Identifier(name)))
