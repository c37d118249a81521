"""The checks of a chaos run find what is planted, and what is chosen follows from the seed alone."""

from collections import Counter
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

from orchestrator.identity import order_id
from tests.chaos.auditor import Violation
from tests.chaos.faults import STEPS, Doom, Fault, Faults, Odds, Operation
from tests.chaos.generator import Generator, Json, Plan, total_minor
from tests.chaos.history import check_history
from tests.chaos.http_proxy import Bank, Strike
from tests.chaos.recorder import Recorded, Recorder, digest
from tests.chaos.report import REQUIRED, Report
from tests.chaos.schedule import WEIGHTS, Disruption, schedule
from tests.chaos.stuck import unexplained

PLAN = next(plan for plan in Generator(3, 50).plans() if plan.payable and not plan.other_body and not plan.rare)
ORDER = str(order_id(PLAN.client, PLAN.key))
ROW: Json = {
    "order_ledger_id": ORDER,
    "client_id": PLAN.client,
    "client_request_id": PLAN.key,
    "status": "COMPLETED",
    "total_minor": total_minor(PLAN.body),
    "customer_id": PLAN.body["customer_id"],
    "response_status": 202,
    "response_body": "{}",
    "by_operator": False,
}
TOLD = digest([202, "{}", f"/orders/{ORDER}"])
ACCEPTED = Recorded(PLAN.client, PLAN.key, "order", digest(PLAN.body), 0.0, 1.0, 202, TOLD, ORDER)
UNANSWERED = replace(ACCEPTED, status=None, answer_hash="", order=None)
CANCELLED = replace(ACCEPTED, kind="cancel", body_hash="", answer_hash="")


def history(tmp_path: Path, calls: list[Recorded], rows: list[Json], *plans: Plan) -> list[Violation]:
    recorder = Recorder(tmp_path / "calls.jsonl")
    for call in calls:
        recorder.record(call)
    recorder.close()
    return list(check_history(recorder, {(plan.client, plan.key): plan for plan in (PLAN, *plans)}, rows))


def test_a_history_without_fault_is_found_clean(tmp_path: Path) -> None:
    assert history(tmp_path, [UNANSWERED, ACCEPTED, replace(ACCEPTED, replayed=True)], [ROW]) == []


def test_an_order_that_was_never_acknowledged_may_be_missing(tmp_path: Path) -> None:
    assert history(tmp_path, [UNANSWERED], []) == []


@pytest.mark.parametrize(
    ("calls", "rows", "found"),
    [
        ([ACCEPTED], [], "lost"),
        ([replace(ACCEPTED, order="another")], [ROW], "not the one id"),
        ([ACCEPTED, replace(ACCEPTED, answer_hash="other")], [ROW], "answered in different ways"),
        ([ACCEPTED], [{**ROW, "response_body": "{ }"}], "the stored answer"),
        ([ACCEPTED], [{**ROW, "total_minor": 1}], "another order than"),
        ([ACCEPTED], [{**ROW, "status": "RUNNING"}], "not finished"),
        ([ACCEPTED, CANCELLED], [ROW], "told that it is cancelled"),
        ([replace(ACCEPTED, status=500)], [ROW], "answered 500"),
        ([ACCEPTED, replace(ACCEPTED, kind="read", status=404)], [ROW], "answered 404"),
        ([], [{**ROW, "client_request_id": "nobody's"}], "nobody asked for"),
    ],
)
def test_what_a_client_was_told_and_is_not_so_is_found(
    tmp_path: Path, calls: list[Recorded], rows: list[Json], found: str
) -> None:
    assert any(found in violation.what for violation in history(tmp_path, calls, rows))


def test_a_last_unit_that_is_sold_twice_is_found(tmp_path: Path) -> None:
    one, two = (replace(PLAN, key=key, rare="rare-0") for key in ("one", "two"))
    rows = [{**ROW, "client_request_id": p.key, "order_ledger_id": str(order_id(p.client, p.key))} for p in (one, two)]

    assert any("was sold 2 times" in violation.what for violation in history(tmp_path, [], rows, one, two))


def story(**changes: Any) -> list[dict[str, Any]]:
    attempt = {
        "order_id": ORDER,
        "kind": "outcome",
        "step": "create_order",
        "direction": "compensation",
        "round": 1,
        "outcome": "unknown",
        "reason": None,
        "at_s": 100.0,
        "duration_ms": 5.0,
        **changes,
    }
    return [attempt, {**attempt, "kind": "status", "step": None, "direction": None, "outcome": "STUCK", "reason": "why"}]


def test_being_stuck_by_what_was_injected_is_explained_and_by_nothing_is_found() -> None:
    bank = Bank(Faults(1, Odds()), "")
    struck = Bank(Faults(1, Odds()), "")
    struck.strikes[f"{ORDER}:create_order:compensation"].append(Strike(100.0, Fault.ERROR_BEFORE, None))

    assert list(unexplained(story(), struck, [], 1.0)) == []
    assert list(unexplained(story(), bank, [Disruption(99.0, 101.0, "SIGKILL")], 1.0)) == []
    assert list(unexplained(story(duration_ms=1000.0), bank, [], 1.0)) == []
    assert len(list(unexplained(story(), bank, [Disruption(10.0, 11.0, "SIGKILL")], 1.0))) == 1
    assert len(list(unexplained(story(kind="takeover"), bank, [], 1.0))) == 1


def test_a_run_in_which_something_never_happened_is_not_good() -> None:
    counters = dict.fromkeys(REQUIRED, 1)
    report = Report(1, 1, {}, {}, counters, {}, {})

    assert report.good
    assert not replace(report, counters={**counters, REQUIRED[0]: 0}).good
    assert not replace(report, violations=[Violation("lost")]).good
    assert "## Never happened" in replace(report, counters={}).markdown()


def test_orders_and_harm_follow_from_the_seed_alone() -> None:
    assert list(Generator(5, 40).plans()) == list(Generator(5, 40).plans())
    assert list(Generator(5, 40).plans()) != list(Generator(6, 40).plans())
    assert list(islice(schedule(5), 50)) == list(islice(schedule(5), 50))
    assert {act.deed for act in islice(schedule(5), 1_000)} == set(WEIGHTS)


def test_faults_follow_from_seed_operation_and_number_of_the_call() -> None:
    operations = [Operation(f"order-{n}", step, "action") for n in range(200) for step in STEPS]
    dealt = [Faults(5, Odds()).strike(operation, 0) for operation in operations]

    assert dealt == [Faults(5, Odds()).strike(operation, 0) for operation in operations]
    assert {Fault.LATE, Fault.SILENCE, Fault.OTHER, Fault.GARBAGE} <= set(dealt)
    assert Counter(dealt)[None] > len(dealt) / 2


def test_a_doomed_step_is_struck_in_every_attempt() -> None:
    faults = Faults(5, Odds(doom=1.0))
    for number in range(50):
        fate = faults.fate(f"order-{number}")
        action = [faults.strike(Operation(f"order-{number}", fate.step, "action"), attempt) for attempt in range(5)]
        assert None not in action
        assert (set(action) == {Fault.LATE}) == (fate.doom is Doom.LATE)
        assert (fate.undo is not None) == (fate.doom is Doom.STUCK)
