"""An order's course in time, told from the journals of every kind of history, an entry a second."""

import json
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from orchestrator.timeline import Bar, BarKind, Timeline, timeline
from sql.models import TERMINAL, Direction, Kind

JOURNALS = Path(__file__).parents[2] / "fixtures/journals"
BEGAN = datetime(2026, 7, 1, 12, tzinfo=UTC)


def told(history: dict[str, Any], *, entries: int | None = None, age_s: float | None = None, **row: Any) -> Timeline:
    """Tell the course of a history, or of its first entries, whose row has these values besides its own."""
    kept = history["journal"][:entries]
    journal = [
        {**entry, "at": BEGAN + timedelta(seconds=second), "replica": f"replica-{entry['lease_epoch']}", "duration_ms": 7.5}
        for second, entry in enumerate(kept)
    ]
    ended = history["status"] in TERMINAL and entries is None
    order = {
        "status": history["status"] if entries is None else "RUNNING",
        "step": history["step"],
        "direction": history["direction"],
        "created_at": BEGAN,
        "finished_at": BEGAN + timedelta(seconds=len(kept) - 1) if ended else None,
        "next_retry_at": None,
        "paused_at": None,
        "last_error": None,
        "steps": [{"name": n, "state": s.get("state", "pending")} for n, s in history["progress"].get("steps", {}).items()],
        **row,
    }
    return timeline(order, journal, history["definition"], max(len(kept) - 1.0, 1.0) if age_s is None else age_s)


def stored(name: str) -> dict[str, Any]:
    history: dict[str, Any] = json.loads((JOURNALS / "0.1" / f"{name}.json").read_text(encoding="utf-8"))
    return history


def bars(found: Timeline, step: str) -> list[Bar]:
    return [bar for lane in found.lanes for bar in lane.bars if lane.step == step]


def said(found: Timeline, step: str) -> list[str]:
    """Bars in short: kind, direction, round.attempt, from, to, outcome."""
    return [
        f"{bar.kind} {bar.direction} {bar.round}.{bar.attempt} {bar.start_s:g}-{'' if bar.end_s is None else f'{bar.end_s:g}'}"
        f" {bar.outcome or ''}".rstrip()
        for bar in bars(found, step)
    ]


@pytest.mark.parametrize("path", sorted(JOURNALS.glob("*/*.json")), ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_every_attempt_is_a_bar_and_nothing_lies_outside(path: Path) -> None:
    history = json.loads(path.read_text(encoding="utf-8"))

    found = told(history)

    every = [bar for lane in found.lanes for bar in lane.bars]
    intents = [entry["seq"] for entry in history["journal"] if entry["kind"] == "intent"]
    assert sorted(bar.seq for bar in every if bar.seq is not None) == intents
    closed = {entry["seq"] for entry in history["journal"] if entry["kind"] in ("outcome", "takeover") and entry["step"]}
    assert {bar.end_seq for bar in every if bar.end_seq is not None} == closed
    assert all(0 <= bar.start_s <= (bar.end_s if bar.end_s is not None else found.length_s) <= found.length_s for bar in every)
    assert [lane.step for lane in found.lanes] == [step["name"] for step in history["definition"]["steps"]]
    for before, after in pairwise(found.statuses):
        assert before.end_s == after.start_s
    assert found.statuses[-1].name == history["status"]
    assert (found.statuses[-1].end_s is not None) == found.ended
    asked = [entry["seq"] for entry in history["journal"] if entry["kind"] == "operator"]
    assert [mark.seq for mark in found.marks if mark.kind is Kind.OPERATOR] == asked
    places = [found.place(second / 4) for second in range(int(found.length_s) * 4 + 1)]
    assert (places[0], places[-1]) == (0.0, 1.0)
    assert all(before < after for before, after in pairwise(places))
    json.dumps(found.document())


def test_a_retried_call_is_bars_with_delays_between_them() -> None:
    assert said(told(stored("retried")), "create") == [
        "attempt action 1.1 3-5 unknown",
        "delay action 1.2 5-6",
        "attempt action 1.2 6-7 unknown",
        "delay action 1.3 7-8",
        "attempt action 1.3 8-9 succeeded",
    ]


def test_undoing_climbs_back_up() -> None:
    found = told(stored("cancelled"))

    undone = {lane.step: bar.start_s for lane in found.lanes for bar in lane.bars if bar.direction is Direction.COMPENSATION}
    assert list(undone) == ["pay", "create", "hold"]
    assert sorted(undone, key=lambda step: undone[step]) == ["hold", "create", "pay"]


def test_a_takeover_ends_a_bar_and_is_a_mark_with_who_took_over() -> None:
    found = told(stored("taken_over"))

    first, again = bars(found, "create")
    assert (first.taken_over, first.outcome, first.replica) == (True, "unknown", "replica-2")
    assert (again.taken_over, again.start_s) == (False, 6.0)
    assert [(mark.what, mark.at_s, mark.replica, mark.actor) for mark in found.marks] == [("takeover", 5.0, "replica-3", None)]


def test_calls_of_a_group_that_were_taken_over_together_are_one_mark() -> None:
    history = stored("group_taken_over")
    taken = [entry for entry in history["journal"] if entry["kind"] == "takeover"]

    found = told(history)

    assert len(taken) > 1
    assert len([mark for mark in found.marks if mark.kind is Kind.TAKEOVER]) == len({entry["lease_epoch"] for entry in taken})
    assert {lane.group for lane in found.lanes if lane.step in {entry["step"] for entry in taken}} == {"both"}


def test_waits_are_bars_and_what_was_skipped_has_none() -> None:
    found = told(stored("every_kind_completed"))

    assert said(found, "approval") == ["wait action 1.1 12-14 succeeded"]
    assert said(found, "rest") == ["wait action 1.1 15-16 succeeded"]
    assert said(found, "maybe") == []
    assert [(mark.what, mark.step, mark.actor) for mark in found.marks] == [
        ("skip", "maybe", "sagaledger"),
        ("signal", "approval", "ann"),
    ]


def test_between_two_rounds_an_order_stood_still_and_nobody_waited() -> None:
    found = told(stored("stuck_and_retried"))

    assert said(found, "pay")[-2:] == ["attempt compensation 1.5 19-20 unknown", "attempt compensation 2.1 24-25 succeeded"]
    assert [(phase.name, phase.start_s, phase.end_s) for phase in found.statuses if phase.name == "STUCK"] == [
        ("STUCK", 21.0, 23.0)
    ]


def test_an_order_begins_as_its_first_step_has_it() -> None:
    assert told(stored("completed")).statuses[0].name == "RECEIVED", "the edge makes its first call"
    assert told(stored("every_kind_completed")).statuses[0].name == "PENDING"


def test_a_hold_lasts_from_the_pause_to_the_resume() -> None:
    found = told(stored("cancelled_on_hold"))

    assert [(hold.name, hold.start_s, hold.end_s, hold.reason) for hold in found.holds] == [
        ("PAUSED", 8.0, 10.0, "mended by hand")
    ]
    assert [mark.what for mark in found.marks] == ["pause", "cancel", "resume"]
    assert told(stored("failed_by_hand")).holds[0].end_s == 12.0
    assert told(stored("cancelled_on_hold"), entries=9).holds[0].end_s is None


def test_what_is_on_its_way_has_no_end_yet() -> None:
    found = told(stored("completed"), entries=7, age_s=60.0)

    (bar,) = bars(found, "hold")
    assert (bar.start_s, bar.end_s, bar.outcome) == (6.0, None, None)
    assert (found.length_s, found.ended, found.statuses[-1].end_s) == (60.0, False, None)


def test_what_waits_for_its_next_attempt_says_until_when() -> None:
    due = BEGAN + timedelta(seconds=21)

    found = told(stored("retried"), entries=6, age_s=9.0, step="create", next_retry_at=due, last_error="503")
    held = told(stored("retried"), entries=6, age_s=9.0, step="create", next_retry_at=due, paused_at=BEGAN)

    *_, last = bars(found, "create")
    assert (last.kind, last.attempt, last.start_s, last.end_s, last.due_s, last.error) == (
        BarKind.DELAY,
        2,
        5.0,
        None,
        21.0,
        "503",
    )
    assert bars(held, "create")[-1].kind is BarKind.ATTEMPT


def test_a_parked_order_waits_before_its_first_attempt() -> None:
    due = BEGAN + timedelta(seconds=30)

    found = told(stored("completed"), entries=6, age_s=9.0, step="hold", next_retry_at=due, last_error="inventory is away")

    assert said(found, "hold") == ["delay action 1.1 5-"]


def test_a_wait_that_lasts_is_due_at_its_time() -> None:
    found = told(stored("every_kind_completed"), entries=13, step="approval", next_retry_at=BEGAN + timedelta(hours=1))

    (bar,) = bars(found, "approval")
    assert (bar.kind, bar.end_s, bar.due_s) == (BarKind.WAIT, None, 3600.0)


def test_a_long_time_gets_less_room_than_its_length_asks_for_and_a_short_one_is_seen() -> None:
    history = stored("completed")
    found = told(history, entries=4, age_s=86_400.0)

    assert found.place(3.0) > 0.3
    assert found.place(43_000.0) < found.place(86_400.0) == 1.0


def test_an_order_of_this_very_moment_can_be_drawn() -> None:
    found = told(stored("completed"), entries=1, age_s=0.0)

    assert (found.place(0.0), found.length_s) == (0.0, 0.0)
