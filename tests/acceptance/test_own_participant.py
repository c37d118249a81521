"""A participant that takes the fence along, as the document shows it: a process that has nothing else of this project."""

import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from participants import idempotency
from tests.acceptance.commands import ROOT, call, saga, wait_for
from tests.documents import blocks, commands
from tests.unit.test_architecture import imports

pytestmark = pytest.mark.acceptance
DOCUMENT = "docs/how-to/own-participant.md"
SECRET = "of-parcels"
MIGRATION = Path(idempotency.__file__).with_suffix(".sql")


@pytest.fixture
def database(new_database: Callable[[str], str]) -> str:
    """A database without tables, where the document's migration is applied at once."""
    url = new_database("ledger")
    (own,) = blocks(DOCUMENT, "sql")
    with psycopg.connect(url, autocommit=True) as conn:
        conn.execute("drop schema public cascade")
        conn.execute("create schema public")
        conn.execute((MIGRATION.read_text() + own).encode())
    return url


@pytest.fixture
def parcels(database: str, tmp_path: Path) -> Iterator[str]:
    """The document's service in a folder with the module; its address."""
    (service,) = blocks(DOCUMENT, "python")
    (tmp_path / "parcels.py").write_text(service)
    shutil.copy(idempotency.__file__, tmp_path)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    process = subprocess.Popen(
        [sys.executable, "parcels.py", str(port)],
        cwd=tmp_path,
        env=environment | {"PARCELS_DATABASE_URL": database, "PARCELS_SECRET": f"an-old-one,{SECRET}"},
    )
    try:
        url = f"http://127.0.0.1:{port}"
        wait_for(lambda: call(f"{url}/healthz")[0] == 200)
        yield url
    finally:
        process.kill()
        process.wait()


def test_the_documents_service_passes_the_kit(parcels: str, tmp_path: Path) -> None:
    (conform,) = [typed.split() for typed in commands(DOCUMENT) if typed.startswith("saga conform")]

    result = saga(*conform[1:2], parcels, *conform[3:], "--timeout", "30", cwd=tmp_path, timeout_s=300, PARCELS_SECRET=SECRET)

    assert result.returncode == 0, result.stdout + result.stderr
    assert "All" in result.stdout


def test_the_documents_service_lets_in_only_who_has_its_secret(parcels: str) -> None:
    given = [{}, *({"Authorization": value} for value in (SECRET, "Bearer other", f"Bearer {SECRET}", "Bearer an-old-one"))]

    assert [call(f"{parcels}/effects", None, **headers)[0] for headers in given] == [401, 401, 401, 200, 200]


def test_the_module_knows_nothing_of_the_rest() -> None:
    roots = {name.partition(".")[0] for name in imports(Path(idempotency.__file__))}

    assert roots <= sys.stdlib_module_names | {"psycopg"}


def test_its_migration_makes_what_the_participants_that_ship_have(database: str, new_database: Callable[[str], str]) -> None:
    assert _made(database) == _made(new_database("shipping"))
    assert "fence_undo_key" in str(_made(database))


def _made(url: str) -> Any:
    """Columns, constraints, indexes and triggers of the two tables, as the server writes them out."""
    with psycopg.connect(url) as conn:
        return [
            conn.execute(query).fetchall()
            for query in (
                "select attrelid::regclass::text, attname, format_type(atttypid, atttypmod), attnotnull, attidentity,"
                " pg_get_expr(adbin, adrelid) from pg_attribute left join pg_attrdef on adrelid = attrelid and adnum = attnum"
                " where attrelid in ('fence'::regclass, 'effect'::regclass) and attnum > 0 order by 1, attnum",
                "select conrelid::regclass::text, conname, pg_get_constraintdef(oid) from pg_constraint"
                " where conrelid in ('fence'::regclass, 'effect'::regclass) order by 1, 2",
                "select indexdef from pg_indexes where tablename in ('fence', 'effect') order by 1",
                "select pg_get_triggerdef(t.oid), prosrc from pg_trigger t join pg_proc p on p.oid = tgfoid"
                " where tgrelid in ('fence'::regclass, 'effect'::regclass) and not tgisinternal order by 1",
                "select relname, reloptions from pg_class where oid in ('fence'::regclass, 'effect'::regclass) order by 1",
            )
        ]


def test_every_file_that_the_document_names_to_be_copied_is_there() -> None:
    text = (ROOT / DOCUMENT).read_text(encoding="utf-8")

    for path in (Path(idempotency.__file__), MIGRATION):
        assert f"`{path.relative_to(ROOT)}`" in text
