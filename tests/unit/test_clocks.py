"""One clock decides, the database's: no code asks another, and no statement takes its transaction's start for now."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MODULES = [path for package in ("sql", "orchestrator", "edge_api", "participants") for path in (ROOT / package).rglob("*.py")]
STATEMENTS = sorted((ROOT / "sql").rglob("*.sql"))
WALL = {
    "time": {"time", "time_ns", "localtime", "gmtime", "ctime", "strftime"},
    "datetime": {"now", "utcnow", "today"},
    "date": {"today"},
}
TELLING = {"sql/tracing.py": {"time.time_ns"}}
"""Spans are told by the clock of their process, as collectors expect it; nothing is decided by one."""
OF_THE_TRANSACTION = re.compile(
    r"\b(?:now\s*\(\s*\)|transaction_timestamp|current_timestamp|current_time\b|localtimestamp|localtime\b|current_date"
    r"|timeofday)|'now'",
    re.IGNORECASE,
)

PROMISED_BY_A_START = re.compile(
    r"(?<![<>!])=\s*statement_timestamp\(\)|statement_timestamp\(\)\s*\+|values.*statement_timestamp"
)


def named(path: Path) -> str:
    return str(path.relative_to(ROOT))


def wall_clocks(source: str) -> list[str]:
    """Where wall clocks are asked for."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Attribute):
            owner = node.value.attr if isinstance(node.value, ast.Attribute) else getattr(node.value, "id", "")
            if node.attr in WALL.get(owner, set()):
                found.append(f"{owner}.{node.attr} in line {node.lineno}")
        elif isinstance(node, ast.ImportFrom) and node.module == "time":
            found += [f"time.{alias.name} in line {node.lineno}" for alias in node.names if alias.name in WALL["time"]]
    return found


def statement_of(text: str) -> str:
    """SQL without its comments and the names of its queries."""
    return re.sub(r"--.*", "", text)


@pytest.mark.parametrize("path", [*MODULES, ROOT / "cli.py"], ids=named)
def test_no_code_asks_a_clock_on_the_wall(path: Path) -> None:
    asked = {clock.partition(" ")[0] for clock in wall_clocks(path.read_text(encoding="utf-8"))}

    assert asked == TELLING.get(named(path), set())


@pytest.mark.parametrize("path", STATEMENTS, ids=named)
def test_no_statement_takes_the_start_of_its_transaction_for_now(path: Path) -> None:
    assert OF_THE_TRANSACTION.findall(statement_of(path.read_text(encoding="utf-8"))) == []


def test_leases_begin_and_waits_end_by_the_clock_itself() -> None:
    """A statement may bound a scan by its own start, which only makes it look earlier; it may not promise a time by it."""
    for path in sorted((ROOT / "sql/queries").glob("*.sql")):
        for line in statement_of(path.read_text(encoding="utf-8")).splitlines():
            assert not PROMISED_BY_A_START.search(line), f"{path.name}: {line}"


@pytest.mark.parametrize(
    "source",
    ["import time\ntime.time()", "from time import time", "import datetime\ndatetime.datetime.now()", "datetime.utcnow()"],
)
def test_a_clock_on_the_wall_would_be_found(source: str) -> None:
    assert wall_clocks(source)


@pytest.mark.parametrize("text", ["select now()", "default current_timestamp", "x < NOW ( )", "'now'::timestamptz"])
def test_the_start_of_a_transaction_would_be_found(text: str) -> None:
    assert OF_THE_TRANSACTION.search(statement_of(text))
