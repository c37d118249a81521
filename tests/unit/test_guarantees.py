"""The lists of failure modes and of requirements of security, held against the tests that they name."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LISTED = {"docs/guarantees.md": 143, "docs/security.md": 32}
NUMBERED = [(document, number) for document, last in LISTED.items() for number in range(1, last + 1)]
ROW = re.compile(r"^\| (\d+) \| (.+?) \| (.+) \|$", re.MULTILINE)
TEST = re.compile(r"`(tests/[\w/]+\.py)::(\w+)`")
REASON_WORDS_MIN = 5


def rows(document: str) -> dict[int, tuple[str, str]]:
    """What must hold, and the tests or the reason, by number; the last one where a number stands twice."""
    text = (ROOT / document).read_text(encoding="utf-8")
    return {int(number): (must, shown) for number, must, shown in ROW.findall(text)}


@cache
def names_in(path: str) -> frozenset[str]:
    tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
    return frozenset(node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))


@pytest.mark.parametrize("document", LISTED)
def test_everything_is_listed_once_and_in_order(document: str) -> None:
    text = (ROOT / document).read_text(encoding="utf-8")

    assert [int(number) for number, _, _ in ROW.findall(text)] == list(range(1, LISTED[document] + 1))


@pytest.mark.parametrize(("document", "number"), NUMBERED)
def test_what_must_hold_has_a_test_that_exists_or_a_reason(document: str, number: int) -> None:
    must, shown = rows(document)[number]

    named = TEST.findall(shown)
    assert must
    assert shown.count("::") == len(named), "a test is not named as `tests/path.py::test_name`"
    for path, name in named:
        assert name.startswith("test_")
        assert (ROOT / path).is_file(), path
        assert name in names_in(path), f"{path} has no {name}"
    assert named or len(shown.split()) >= REASON_WORDS_MIN, "neither a test nor a reason"
