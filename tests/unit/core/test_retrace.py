"""Journals are replayed through the core: those of every release for ever, and no other decision passes for the same."""

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from orchestrator.retrace import Difference, retrace
from sql.histories import History
from sql.models import Status

JOURNALS = Path(__file__).parents[2] / "fixtures/journals"
RELEASES = sorted(path.name for path in JOURNALS.iterdir())
EVERY_ENTRY_COUNTS = (
    "completed", "out_of_stock", "stuck_and_retried", "taken_over", "given_up", "cancelled", "resumed", "cancelled_on_hold",
    "gone_on_without", "left_standing", "completed_by_hand", "failed_by_hand",
)  # fmt: skip
Stored = dict[str, Any]

ADVICE = """
The core no longer decides as the release that wrote this journal. Orders that are on their way, and every order that an
auditor replays, were decided on by the old rule: keep it for the definitions that have it (let the snapshot say which
rule it is under, and give new definitions the new one), instead of changing this fixture.
"""


def stored(name: str, release: str = "0.1") -> Stored:
    document: Stored = json.loads((JOURNALS / release / f"{name}.json").read_text(encoding="utf-8"))
    return document


def differences(document: Stored) -> list[str]:
    """Where they part, as text: the position and the thing."""
    return [f"{found.seq} {found.what}" if found.seq else found.what for found in retrace(History.from_json(document))]


@pytest.mark.parametrize("path", sorted(JOURNALS.glob("*/*.json")), ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_journals_of_every_release_replay_for_ever(path: Path) -> None:
    found = retrace(History.from_json(json.loads(path.read_text(encoding="utf-8"))))

    assert found == (), ADVICE


@pytest.mark.parametrize("release", RELEASES)
def test_the_journals_of_a_release_hold_every_kind_of_decision(release: str) -> None:
    entries = [entry for path in (JOURNALS / release).glob("*.json") for entry in json.loads(path.read_text())["journal"]]
    seen = {(entry["kind"], entry["outcome"]) for entry in entries}

    assert {outcome for kind, outcome in seen if kind == "outcome"} == {"succeeded", "rejected", "unknown"}
    verbs = {"cancel", "retry", "give-up", "signal", "skip", "pause", "resume", "resolve-completed", "resolve-failed"}
    assert {outcome for kind, outcome in seen if kind == "operator"} == verbs
    assert {outcome for kind, outcome in seen if kind == "takeover"} == {"unknown", None}
    reached = {outcome for kind, outcome in seen if kind == "status"}
    assert reached == {status.value for status in Status} - {Status.RECEIVED}, "RECEIVED is where orders begin"
    assert any(entry["reason"] for entry in entries if entry["kind"] == "outcome"), "a trial that spent no attempt"
    assert {entry["round"] for entry in entries} == {1, 2}


@pytest.mark.parametrize("name", EVERY_ENTRY_COUNTS)
def test_no_entry_can_be_left_out(name: str) -> None:
    whole = stored(name)
    for place in range(len(whole["journal"])):
        without = {**whole, "journal": whole["journal"][:place] + whole["journal"][place + 1 :]}

        assert differences(without), f"entry {place + 1} is not missed"


@pytest.mark.parametrize("name", EVERY_ENTRY_COUNTS)
def test_no_entry_can_stand_twice(name: str) -> None:
    whole = stored(name)
    for place, entry in enumerate(whole["journal"]):
        doubled = {**whole, "journal": [*whole["journal"][: place + 1], entry, *whole["journal"][place + 1 :]]}

        assert differences(doubled), f"entry {place + 1} may stand twice"


@pytest.mark.parametrize(
    ("kind", "member", "value"),
    [
        ("intent", "step", "confirm"),
        ("intent", "attempt", 7),
        ("intent", "round", 2),
        ("intent", "direction", "compensation"),
        ("intent", "kind", "status"),
        ("outcome", "step", "confirm"),
        ("outcome", "attempt", 7),
        ("outcome", "round", 2),
        ("outcome", "direction", "compensation"),
        ("outcome", "outcome", "unknown"),
        ("outcome", "outcome", "unheard of"),
        ("outcome", "error", "but it succeeded"),
        ("status", "outcome", "FAILED"),
        ("status", "outcome", "STUCK"),
        ("status", "round", 2),
        ("status", "step", "pay"),
    ],
)
def test_no_entry_can_say_something_else(kind: str, member: str, value: Any) -> None:
    whole = stored("completed")
    for place, entry in enumerate(whole["journal"]):
        if entry["kind"] == kind and entry[member] != value:
            other = copy.deepcopy(whole)
            other["journal"][place][member] = value

            assert differences(other), f"entry {place + 1} may say {value!r}"


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("status", "FAILED"),
        ("step", "hold"),
        ("direction", "compensation"),
        ("retry_count", 1),
        ("results", ["pay"]),
        ("last_seq", 99),
        ("lapses", -1),
        ("lapses", 99),
        ("progress", {}),
        ("progress", {"steps": 7}),
    ],
)
def test_no_column_of_the_row_can_be_another(column: str, value: Any) -> None:
    assert differences({**stored("completed"), column: value}) == [column]


def _attempts(snapshot: Stored) -> None:
    for step in snapshot["steps"]:
        step["retry"]["attempts_max"] = 2


def _declines(snapshot: Stored) -> None:
    snapshot["steps"][0]["declines"] = False


def _undone(snapshot: Stored) -> None:
    snapshot["steps"][2]["compensated"] = False


def _probed(snapshot: Stored) -> None:
    snapshot["steps"][2]["probed"] = False


def _order(snapshot: Stored) -> None:
    snapshot["steps"].insert(0, snapshot["steps"].pop(1))
    snapshot["steps"][1]["at_edge"] = False


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("unknown_then_undone", _attempts),
        ("declined", _declines),
        ("probed_and_unclear", _undone),
        ("probed_and_done", _probed),
        ("completed", _order),
    ],
)
def test_another_rule_decides_otherwise(name: str, change: Callable[[Stored], None]) -> None:
    document = stored(name)
    change(document["definition"])

    assert differences(document)


def test_a_lost_status_at_the_end_is_missed() -> None:
    whole = stored("completed")
    cut = {**whole, "journal": whole["journal"][:-1], "last_seq": whole["last_seq"] - 1}

    (found,) = retrace(History.from_json(cut))

    assert found == Difference(whole["last_seq"], "entry", None, "status round 1 COMPLETED")


def test_other_words_are_no_other_decision() -> None:
    reworded = stored("unknown_then_undone")
    for entry in reworded["journal"]:
        for member in ("error", "reason"):
            entry[member] = entry[member] and "in other words"
    reworded["progress"]["reason"] = "in other words"

    assert differences(reworded) == []


def test_a_reason_that_is_gone_is_another_decision() -> None:
    silent = stored("unknown_then_undone")
    silent["progress"]["reason"] = None

    assert differences(silent) == ["progress"]


@pytest.mark.parametrize("snapshot", [{}, {"steps": 7, "saga": "x", "version": 1}, {"steps": [], "saga": "x", "version": 1}])
def test_an_order_whose_snapshot_says_nothing_differs(snapshot: Stored) -> None:
    assert differences({**stored("completed"), "definition": snapshot}) == ["definition"]


def test_an_answer_to_no_call_is_noticed() -> None:
    whole = stored("completed")
    outcome = next(entry for entry in whole["journal"] if entry["kind"] == "outcome")

    (found,) = retrace(History.from_json({**whole, "journal": [outcome]}))

    assert (found.seq, found.decided) == (2, "nothing: step pay is not on its way")


def test_a_verb_that_nobody_knows_is_noticed() -> None:
    other = stored("cancelled")
    entry = next(entry for entry in other["journal"] if entry["kind"] == "operator")
    entry["outcome"] = "sing"

    assert differences(other) == [f"{entry['seq']} entry"]
