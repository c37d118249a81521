"""The spans of an order, from its journal."""

from collections.abc import Iterable
from typing import Any
from uuid import UUID

import pytest

from orchestrator.outcome import Rejected, Succeeded, Unknown
from orchestrator.spans import (
    attempt_span_id,
    note_outcome,
    note_status,
    saga_span_id,
    spans_of,
    step_span_id,
)
from sql.histories import Course, Moment
from sql.models import Direction, Kind
from sql.tracing import Context, Role, Span, made_context, read_context

ORDER = UUID("0192f3c4-1111-8222-8333-444455556666")
TRACE, EDGE = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
ACTION, UNDO = Direction.ACTION, Direction.COMPENSATION


def moment(seq: int, kind: Kind, step: str | None = None, outcome: str | None = None, **changes: Any) -> Moment:
    attempt = changes.pop("attempt", 1 if step else None)
    given = {"direction": ACTION if step else None, "round": 1, "replica": "a-1", "lease_epoch": 1, **changes}
    return Moment(seq, seq * 1000, kind, step, attempt=attempt, outcome=outcome, **given)


def intent(seq: int, step: str, **changes: Any) -> Moment:
    return moment(seq, Kind.INTENT, step, **changes)


def outcome(seq: int, step: str, said: str = "succeeded", **changes: Any) -> Moment:
    return moment(seq, Kind.OUTCOME, step, said, **changes)


def status(seq: int, said: str, **changes: Any) -> Moment:
    return moment(seq, Kind.STATUS, None, said, **changes)


def course(*journal: Moment, traceparent: str | None = f"00-{TRACE}-{EDGE}-01", **changes: Any) -> Course:
    given = {"saga": "place_order", "parent_id": None, "created_ns": 500, **changes}
    return Course(order_ledger_id=ORDER, traceparent=traceparent, journal=journal, **given)


def told(spans: Iterable[Span]) -> list[tuple[str, int, int]]:
    return [(span.name, span.start_ns, span.end_ns) for span in spans]


DONE = (intent(1, "reserve"), outcome(2, "reserve"), status(3, "COMPLETED"))


def test_an_order_that_completed_has_a_span_of_its_own_in_that_of_its_request_and_one_of_each_step_in_that() -> None:
    step, saga = spans_of(course(*DONE))

    assert told([step, saga]) == [("reserve", 1000, 2000), ("place_order", 500, 3000)]
    assert (saga.parent_id, saga.context) == (EDGE, Context(TRACE, saga_span_id(ORDER)))
    assert (step.parent_id, step.context) == (saga.context.span_id, Context(TRACE, step_span_id(ORDER, "reserve", ACTION, 1)))
    assert {span.role for span in (step, saga)} == {Role.INTERNAL}
    assert (saga.failed, saga.attributes["saga.status"]) == (False, "COMPLETED")


def test_ids_are_the_same_wherever_they_are_derived_and_differ_between_all_that_has_a_span() -> None:
    again = (saga_span_id(str(ORDER)), step_span_id(ORDER, "a", ACTION, 1), attempt_span_id(ORDER, "a", ACTION, 1, 1))
    ids = [saga_span_id(ORDER), saga_span_id(UUID(int=1))]
    ids += [step_span_id(ORDER, step, direction, round) for step in "ab" for direction in Direction for round in (1, 11)]
    ids += [attempt_span_id(ORDER, "a", ACTION, *each) for each in ((1, 1), (1, 11), (11, 1))]

    assert all(len(each) == 16 and int(each, 16) for each in ids)
    assert len(set(ids)) == len(ids)
    assert set(again) <= set(ids)


def test_a_step_that_was_retried_is_one_span_from_its_first_attempt_to_its_last() -> None:
    journal = (intent(1, "reserve"), outcome(2, "reserve", "unknown"), intent(3, "reserve", attempt=2), outcome(4, "reserve"))

    step = spans_of(course(*journal, status(5, "COMPLETED")))[0]

    assert told([step]) == [("reserve", 1000, 4000)]
    assert (step.attributes["saga.attempts"], step.attributes["saga.outcome"], step.failed) == (2, "succeeded", False)
    assert [(event.name, event.at_ns) for event in step.events] == [("retry", 3000)]


def test_undoing_has_spans_of_its_own_and_an_order_that_failed_counts_as_an_error() -> None:
    undo = {"direction": UNDO}
    journal = (
        *(intent(1, "reserve"), outcome(2, "reserve"), intent(3, "capture"), outcome(4, "capture", "rejected")),
        *(status(5, "COMPENSATING"), intent(6, "reserve", **undo), outcome(7, "reserve", **undo), status(8, "FAILED")),
    )

    reserve, capture, undone, saga = spans_of(course(*journal))

    assert [span.name for span in (reserve, capture, undone)] == ["reserve", "capture", "undo reserve"]
    assert [span.failed for span in (reserve, capture, undone, saga)] == [False, True, False, True]
    assert len({span.context.span_id for span in (reserve, capture, undone, saga)}) == 4
    assert [(event.name, event.attributes["saga.status"]) for event in saga.events] == [
        ("status", "COMPENSATING"),
        ("status", "FAILED"),
    ]


def test_a_call_whose_owner_died_is_told_by_who_takes_over_under_the_id_that_its_participant_knows() -> None:
    lost = moment(2, Kind.TAKEOVER, "reserve", "unknown", replica="b-2", lease_epoch=2)
    journal = (intent(1, "reserve"), lost, intent(3, "reserve", attempt=2, replica="b-2"), outcome(4, "reserve", attempt=2))

    attempt, step, saga = spans_of(course(*journal, status(5, "COMPLETED")))

    assert attempt.context.span_id == attempt_span_id(ORDER, "reserve", ACTION, 1, 1)
    assert (attempt.parent_id, attempt.role) == (step.context.span_id, Role.CLIENT)
    assert (attempt.start_ns, attempt.end_ns, attempt.failed) == (1000, 2000, True)
    assert attempt.attributes["saga.replica"] == "a-1"
    assert [event.attributes.get("saga.replica") for event in saga.events] == ["b-2", None]


def test_what_was_told_when_an_order_was_stuck_is_not_told_again_at_its_end() -> None:
    stuck = (intent(1, "a"), outcome(2, "a"), intent(3, "b"), outcome(4, "b", "unknown"), status(5, "STUCK"))
    verb = moment(6, Kind.OPERATOR, None, "retry", round=2)
    ended = (*stuck, verb, intent(7, "b", round=2), outcome(8, "b", round=2), status(9, "COMPLETED", round=2))

    assert [span.name for span in spans_of(course(*stuck))] == ["a", "b"]
    assert [span.name for span in spans_of(course(*ended), last_seq=5)] == ["a", "b"]
    assert told(spans_of(course(*ended))) == [("b", 7000, 8000), ("place_order", 500, 9000)]
    assert [event.name for event in spans_of(course(*ended))[-1].events] == ["status", "operator", "status"]


def test_a_wait_that_was_given_up_ends_with_the_order() -> None:
    asked = moment(2, Kind.OPERATOR, None, "cancel")

    wait, _ = spans_of(course(intent(1, "passport"), asked, status(3, "CANCELLED")))

    assert (wait.name, wait.end_ns, wait.failed) == ("passport", 3000, False)
    assert "saga.outcome" not in wait.attributes


@pytest.mark.parametrize(
    "not_told",
    [
        course(*DONE, traceparent=None),
        course(*DONE, traceparent="00-1-2-3"),
        course(*DONE, traceparent=f"00-{TRACE}-{EDGE}-00"),
        course(*DONE[:2]),
        course(),
    ],
    ids=["no trace", "no valid one", "not sampled", "not at rest", "no journal"],
)
def test_nothing_is_told_of_an_order_whose_trace_nobody_wants_or_that_does_not_rest(not_told: Course) -> None:
    assert spans_of(not_told) == []


def test_the_first_span_of_a_trace_that_was_only_made_up_has_no_parent() -> None:
    made = made_context()

    saga = spans_of(course(*DONE, traceparent=made.traceparent))[-1]

    assert (saga.context.trace_id, saga.parent_id) == (made.trace_id, None)


def test_the_events_of_one_span_have_a_limit() -> None:
    verbs = [moment(seq, Kind.OPERATOR, None, "pause") for seq in range(1, 400)]

    assert len(spans_of(course(*verbs, status(400, "CANCELLED")))[-1].events) == 128


@pytest.mark.parametrize(
    ("status_code", "said", "error"),
    [
        (200, Succeeded({}), None),
        (402, Rejected("no"), "402"),
        (503, Unknown("no"), "503"),
        (200, Unknown("garbage"), "unknown"),
        (None, Unknown("timeout"), "unknown"),
    ],
)
def test_a_call_says_what_its_answer_means_and_why_it_counts_as_an_error(
    status_code: int | None, said: Succeeded | Rejected | Unknown, error: str | None
) -> None:
    span = Span("POST /", Role.CLIENT, Context(TRACE, EDGE), None, 1)
    if status_code is not None:
        note_status(span, status_code)

    note_outcome(span, said)

    assert span.attributes["saga.outcome"] == type(said).__name__.lower()
    assert (span.attributes.get("error.type"), span.failed) == (error, error is not None)


@pytest.mark.parametrize(
    "traceparent",
    [
        None,
        "",
        f"00-{TRACE}-{EDGE}",
        f"00-{TRACE.upper()}-{EDGE}-01",
        f"00-{'0' * 32}-{EDGE}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"ff-{TRACE}-{EDGE}-01",
        f"00-{TRACE}-{EDGE}-01 ",
        f"00-{TRACE}-{EDGE}-01-more",
    ],
)
def test_what_is_no_trace_context_is_none(traceparent: str | None) -> None:
    assert read_context(traceparent) is None


@pytest.mark.parametrize(("flags", "sampled"), [("00", False), ("01", True), ("02", False), ("03", True)])
def test_a_trace_context_says_whether_its_trace_is_wanted(flags: str, sampled: bool) -> None:
    context = read_context(f"00-{TRACE}-{EDGE}-{flags}")

    assert context == Context(TRACE, EDGE, sampled)
    assert context.traceparent == f"00-{TRACE}-{EDGE}-0{int(sampled)}"
    assert context.parent_id == EDGE
