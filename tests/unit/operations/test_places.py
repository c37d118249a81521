"""Which installation a command talks to."""

import json
from pathlib import Path

import pytest

from orchestrator.operations.place import find_place

STACK = "postgresql://saga:secret@127.0.0.1:5433/ledger"
EDGE = "http://127.0.0.1:40001"


@pytest.mark.parametrize(
    ("set_", "edge"),
    [
        (STACK, EDGE),
        ("postgresql://ann@127.0.0.1:5433/ledger?application_name=psql", EDGE),
        ("host=127.0.0.1 port=5433 dbname=ledger user=ann", EDGE),
        ("postgresql://saga:secret@127.0.0.1:5433/another", "http://127.0.0.1:8080"),
        ("postgresql://saga:secret@127.0.0.1/ledger", "http://127.0.0.1:8080"),
    ],
)
def test_a_stack_whose_database_is_set_says_where_its_edge_is(
    set_: str, edge: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SAGA_DATABASE_URL", set_)
    (tmp_path / "stack.json").write_text(json.dumps({"database_url": STACK, "edge_url": EDGE, "participants": {}}))

    place = find_place(None, tmp_path, lambda _: {})

    assert place.edge_url == edge
    assert place.database_url == set_
