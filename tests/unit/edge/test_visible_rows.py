"""Handlers get their connection in one place, which says for whom they act; nothing else in the edge lends one of its own."""

import ast
from pathlib import Path

import pytest

import edge_api

MODULES = sorted(Path(edge_api.__file__).parent.glob("*.py"))
ACTS_FOR_ALL = {"admission", "changes", "feed", "waking"}
"""Loops of the edge's own, for all who wait."""
NEEDS_NO_ROWS = {"clients", "main", "waking"}
"""What asks for keys, for configuration, or to wake somebody: of clients' rows a session that names nobody sees none."""


def calls(tree: ast.AST, attribute: str) -> list[ast.Call]:
    found = [node for node in ast.walk(tree) if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)]
    return [call for call in found if call.func.attr == attribute]  # type: ignore[attr-defined]


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.stem)
def test_connections_are_lent_where_it_is_said_whose_rows_they_show(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    if path.stem == "rows":
        assert len(calls(tree, "acting_for")) == 1
        return
    assert not calls(tree, "connection") or path.stem in NEEDS_NO_ROWS
    assert not calls(tree, "getconn")
    for call in calls(tree, "acting_for"):
        assert path.stem in ACTS_FOR_ALL
        assert [ast.unparse(argument) for argument in call.args] == ["ALL_CLIENTS"]
    # The pool itself is put into the application, and taken out by `rows` alone.
    named = [node for node in ast.walk(tree) if isinstance(node, ast.Attribute) and node.attr == "POOL"]
    assert not named or path.stem == "app"


def test_the_exceptions_are_there() -> None:
    assert {path.stem for path in MODULES} >= ACTS_FOR_ALL | NEEDS_NO_ROWS
