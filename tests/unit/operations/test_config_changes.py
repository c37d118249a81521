"""`KEY=VALUE` and `--unset KEY` of `saga config set`, as changes of a configuration."""

from typing import Any

import pytest

from orchestrator.configuration import Unsafe
from orchestrator.operations.config_view import changed_by

BEGUN: dict[str, Any] = {"off": ["tells"], "steps": {"pay": {"timeout_s": 3, "retry": {"attempts_max": 2}}}}


def changed(*changes: str, unset: tuple[str, ...] = (), begun: Any = BEGUN) -> Any:
    return changed_by("errand", begun, changes, unset)


def test_what_is_not_named_stays_as_it_was() -> None:
    assert changed("steps.pay.timeout_s=4", "retry.first_s=0.5") == {
        "off": ["tells"],
        "steps": {"pay": {"timeout_s": 4, "retry": {"attempts_max": 2}}},
        "retry": {"first_s": 0.5},
    }
    assert BEGUN["steps"]["pay"]["timeout_s"] == 3, "what it began from is left alone"


@pytest.mark.parametrize(
    ("change", "found"),
    [
        ("order=a,b, c", {"order": ["a", "b", "c"]}),
        ('order=["a", "b"]', {"order": ["a", "b"]}),
        ("off=a", {"off": ["a"]}),
        ("version=2", {"version": 2}),
        ("steps.pay.when_open=fail", {"steps": {"pay": {"when_open": "fail"}}}),
        ('steps.pay={"timeout_s": 2}', {"steps": {"pay": {"timeout_s": 2}}}),
    ],
)
def test_values_are_lists_json_or_text(change: str, found: Any) -> None:
    assert changed(change, begun={}) == found


def test_what_is_unset_leaves_nothing_empty_behind() -> None:
    assert changed(unset=("off", "steps.pay.retry.attempts_max", "steps.pay.timeout_s")) == {}
    assert changed("off=") == {"steps": BEGUN["steps"]}
    assert changed(unset=("nothing.of.this",)) == BEGUN


@pytest.mark.parametrize("change", ["timeout_s", "=3"])
def test_what_is_no_change_is_told(change: str) -> None:
    with pytest.raises(Unsafe, match="is not KEY=VALUE"):
        changed(change)


def test_what_has_no_parts_is_told() -> None:
    with pytest.raises(Unsafe, match="timeout_s has no parts"):
        changed("steps.pay.timeout_s.of=3")
