"""What the code logs: events of ours, and of fields only those that are listed."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from sql.telling import ABOUT, FIELDS, FIRST

ROOT = Path(__file__).parents[2]
LEVELS = {"debug", "info", "warning", "error", "exception", "critical", "msg", "log"}
LOGGERS = {"log", "_log", "logger"}
MODULES = [path for package in ("sql", "participants", "orchestrator", "edge_api") for path in (ROOT / package).rglob("*.py")]


def calls(path: Path) -> Iterator[ast.Call]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute) or node.func.attr not in LEVELS:
            continue
        if isinstance(node.func.value, ast.Name) and node.func.value.id in LOGGERS:
            yield node


def names(event: ast.expr) -> bool:
    """Tell whether an event is a name of ours, and made of nothing that comes from elsewhere."""
    if isinstance(event, ast.IfExp):
        return names(event.body) and names(event.orelse)
    return isinstance(event, ast.Constant) and isinstance(event.value, str)


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_line_says_what_is_listed(path: Path) -> None:
    offences = []
    for call in calls(path):
        named = len(call.args) == 1 and names(call.args[0])
        fields = {keyword.arg for keyword in call.keywords} - {"exc_info"}
        if not named or not fields <= FIELDS:
            offences.append((call.lineno, sorted(str(field) for field in fields - FIELDS)))

    assert offences == []


def test_every_listed_field_is_used() -> None:
    used = {keyword.arg for path in MODULES for call in calls(path) for keyword in call.keywords}

    assert FIELDS - used - {*FIRST, *ABOUT, "exception", "repeated", "cut", "lines"} == set()


def test_nobody_logs_in_another_way() -> None:
    """Neither by print, which is for commands, nor by a logger of the library."""
    offences = []
    for path in MODULES:
        if "operations" in path.parts:
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and ast.unparse(node.func) in ("print", "logging.getLogger", "sys.stderr.write"):
                offences.append(f"{path.relative_to(ROOT)}:{node.lineno}")

    assert offences == []
