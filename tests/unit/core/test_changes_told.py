"""What is told of an entry, from the entries up to it alone, against what the core decided: by the journals of all releases."""

import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from orchestrator import machine, retrace
from orchestrator.changes import change_of
from orchestrator.progress import BEGINNING, StepState
from orchestrator.snapshot import saga_of
from sql.changes import Appended
from sql.histories import History
from sql.models import Direction, Kind, Status

JOURNALS = sorted((Path(__file__).parents[2] / "fixtures/journals").glob("*/*.json"))
AT = datetime(2026, 1, 1, tzinfo=UTC)


def history_of(path: Path) -> History:
    return History.from_json(json.loads(path.read_text(encoding="utf-8")))


def appended(history: History, place: int, beginning: Status) -> Appended:
    """Return an entry as the ledger gives it: with what `list_entries` adds to it."""
    recorded, before = history.journal[place], history.journal[: place + 1]
    entry = recorded.entry
    step: dict[str, Any] = next((s for s in history.definition["steps"] if s["name"] == entry.step), {})
    same = [
        r.entry
        for r in before
        if (r.entry.step, r.entry.direction, r.entry.round) == (entry.step, entry.direction, entry.round)
    ]
    return Appended(
        history.order_ledger_id, recorded.seq, 0, AT,
        status=next((Status(r.entry.outcome or "") for r in reversed(before) if r.entry.kind is Kind.STATUS), beginning),
        saga=history.definition["saga"],
        kind=entry.kind, step=entry.step, direction=entry.direction, attempt=entry.attempt, outcome=entry.outcome,
        optional=step.get("optional", False), probed=step.get("probed", False),
        attempts_max=step.get("retry", {}).get("attempts_max"),
        spared=sum(e.kind is Kind.TAKEOVER or (e.kind is Kind.OUTCOME and e.reason is not None) for e in same),
    )  # fmt: skip


@pytest.mark.parametrize("path", JOURNALS, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_what_is_told_is_what_the_core_decided(path: Path) -> None:
    history = history_of(path)
    saga = saga_of(history.definition)
    beginning = machine.status_of(saga, BEGINNING)
    work, place = retrace._start(saga, history), 0
    while place < len(history.journal):
        work, entries = retrace._decide(work, history.journal, place)
        told = [change_of(appended(history, place + n, beginning), 1) for n in range(len(entries))]
        # Of a wait whose answer has come already, beginning and end are one decision.
        for step, state in {change.step: change.state for change in told if change.step is not None}.items():
            assert state == work.progress.of(step).state, (place, step)
        # A decision's own entry of a new status stands last.
        assert told[-1].status == work.row.status
        place += len(entries)
    assert told[-1].status == history.status


def test_the_journals_show_every_state_that_an_entry_can_bring_about() -> None:
    histories = [history_of(path) for path in JOURNALS]
    told = {change_of(appended(h, n, Status.RECEIVED), 1).state for h in histories for n in range(len(h.journal))}

    assert told == {None, *StepState} - {StepState.PENDING}


def test_an_order_that_was_recorded_without_a_call_is_told_as_a_whole() -> None:
    history: History = history_of(JOURNALS[0])
    entry = Appended(history.order_ledger_id, 0, 77, AT, Status.PENDING, "errand")

    assert change_of(entry, entry.place).document() == {
        "seq": 77,
        "order_ledger_id": history.order_ledger_id,
        "status": "PENDING",
        "step": None,
        "state": None,
        "at": AT,
    }


@pytest.mark.parametrize(
    ("attempt", "spared", "probed", "done", "undone"),
    [
        (4, 0, False, "unknown", "compensating"),
        (5, 0, False, "skipped", "compensation_failed"),
        (5, 1, False, "unknown", "compensating"),
        (6, 1, False, "skipped", "compensation_failed"),
        (5, 0, True, "unknown", "compensation_failed"),
        (6, 0, True, "skipped", "compensation_failed"),
    ],
)
def test_an_attempt_that_counts_for_nothing_leaves_one_more_and_a_probe_follows_the_last(
    attempt: int, spared: int, probed: bool, done: str, undone: str
) -> None:
    """Of an optional step of five attempts, whose newest ended Unknown."""
    ended: dict[str, Any] = {
        "kind": Kind.OUTCOME, "step": "send", "attempt": attempt, "outcome": "unknown", "optional": True, "probed": probed,
        "attempts_max": 5, "spared": spared,
    }  # fmt: skip
    entry = Appended(history_of(JOURNALS[0]).order_ledger_id, 9, 0, AT, Status.RUNNING, "a_saga", **ended)

    assert change_of(replace(entry, direction=Direction.ACTION), 9).state == done
    assert change_of(replace(entry, direction=Direction.COMPENSATION), 9).state == undone
