"""The spans of an order, from its journal: which there are, their ids, and what they say. Pure: no clock, no randomness, no IO.

A saga lives for hours and in many processes, and a span is told when it has ended. So ids are derived from the order's:
whoever makes a call can name the step that it is an attempt of, and whoever the order comes to rest with tells the steps
and, at its end, the saga, with the times of the journal. What was on its way when its owner died is told then as well, since
its participant may have told its own part of it.
"""

from collections.abc import Iterator, Sequence
from typing import Final
from urllib.parse import urlsplit
from uuid import UUID

from orchestrator.identity import derived_id
from orchestrator.outcome import Outcome, Succeeded
from sql.histories import Course, Moment
from sql.models import TERMINAL, Direction, Kind, Status
from sql.tracing import Attributes, Context, Event, Role, Span, read_context

EVENTS_MAX: Final = 128
"""Of one span, the first ones: as many as OpenTelemetry's own limit."""
RESTS: Final = frozenset({Status.STUCK, *TERMINAL})
"""Statuses in which nothing happens by itself: what has ended by then is told."""

_Attempts = tuple[str, Direction, int]
"""Attempts of a step in one direction and round: what one span of a step is about."""


def saga_span_id(order: UUID | str) -> str:
    """Return the id of the span of a whole order."""
    return _id(order)


def step_span_id(order: UUID | str, step: str, direction: Direction, round: int) -> str:
    """Return the id of the span of a step, done or undone in one round."""
    return _id(order, step, direction.value, str(round))


def attempt_span_id(order: UUID | str, step: str, direction: Direction, round: int, attempt: int) -> str:
    """Return the id of the span of one call."""
    return _id(order, step, direction.value, str(round), str(attempt))


def _id(order: UUID | str, *parts: str) -> str:
    return derived_id("span", str(order), *parts).hex[:16]


def attempt_attributes(
    order: UUID | str, saga: str, step: str, direction: Direction, round: int, attempt: int, epoch: int
) -> Attributes:
    """Return what is known of a call before it is made."""
    return {
        "saga.order_ledger_id": str(order),
        "saga.name": saga,
        "saga.step": step,
        "saga.direction": direction.value,
        "saga.round": round,
        "saga.attempt": attempt,
        "saga.lease_epoch": epoch,
    }


def note_called(span: Span, url: str) -> None:
    """Note who is called."""
    address = urlsplit(url)
    span.attributes["server.address"] = address.hostname or ""
    if address.port is not None:
        span.attributes["server.port"] = address.port


def note_status(span: Span, status: int) -> None:
    """Note the status of a call's answer."""
    span.attributes["http.response.status_code"] = status


def note_outcome(span: Span, outcome: Outcome) -> None:
    """Note what a call's answer means."""
    said = type(outcome).__name__.lower()
    span.attributes["saga.outcome"] = said
    if not isinstance(outcome, Succeeded):
        status = span.attributes.get("http.response.status_code", 0)
        span.failed = True
        span.attributes["error.type"] = str(status) if isinstance(status, int) and status >= 400 else said


def spans_of(course: Course, last_seq: int | None = None) -> list[Span]:
    """Return what is to be told of an order when it comes to rest: what has happened since it last did.

    Args:
        course: The order's.
        last_seq: Position of the journal at the rest; None for the last rest in it.

    Returns:
        Nothing where its trace is not told at all, or it does not rest.
    """
    context = read_context(course.traceparent)
    rests = [
        place
        for place, entry in enumerate(course.journal)
        if entry.kind is Kind.STATUS and entry.outcome in RESTS and (last_seq is None or entry.seq <= last_seq)
    ]
    if context is None or not context.sampled or not rests:
        return []
    until, since = rests[-1], rests[-2] + 1 if len(rests) > 1 else 0
    journal, rest = course.journal[: until + 1], course.journal[until]
    spans = [*_lost_attempts(course, journal, since, context), *_steps(course, journal, since, context)]
    return [*spans, _saga(course, journal, context)] if rest.outcome in TERMINAL else spans


def _saga(course: Course, journal: Sequence[Moment], context: Context) -> Span:
    rest = journal[-1]
    attributes: Attributes = {
        "saga.order_ledger_id": str(course.order_ledger_id),
        "saga.name": course.saga,
        "saga.status": str(rest.outcome),
        "saga.round": rest.round,
        "saga.lease_epoch": rest.lease_epoch,
    }
    if course.parent_id is not None:
        attributes["saga.parent_id"] = str(course.parent_id)
    own = Context(context.trace_id, saga_span_id(course.order_ledger_id))
    events = [event for entry in journal if (event := _event(entry)) is not None][:EVENTS_MAX]
    failed = rest.outcome == Status.FAILED
    start_ns = min(course.created_ns, rest.at_ns)
    return Span(course.saga, Role.INTERNAL, own, context.parent_id, start_ns, rest.at_ns, attributes, events, failed)


def _event(entry: Moment) -> Event | None:
    """Return what an entry tells of the order as a whole; None for what is told of a step."""
    attributes: Attributes
    match entry.kind:
        case Kind.STATUS:
            attributes = {"saga.status": str(entry.outcome)}
        case Kind.TAKEOVER:
            attributes = {"saga.lease_epoch": entry.lease_epoch, "saga.replica": entry.replica}
        case Kind.OPERATOR:
            attributes = {"saga.verb": str(entry.outcome)}
        case _:
            return None
    if entry.step is not None:
        attributes["saga.step"] = entry.step
    return Event(entry.kind.value, entry.at_ns, attributes)


def _steps(course: Course, journal: Sequence[Moment], since: int, context: Context) -> Iterator[Span]:
    parent = saga_span_id(course.order_ledger_id)
    for (step, direction, round), entries in _tried(journal[since:]).items():
        begun = [entry for entry in entries if entry.kind is Kind.INTENT]
        ended = [entry for entry in entries if entry.kind is not Kind.INTENT]
        if not begun:  # its span was told when the order rested before
            continue
        # A wait that nobody waits for any more has no end of its own.
        last = ended[-1] if ended else journal[-1]
        attributes: Attributes = {
            "saga.order_ledger_id": str(course.order_ledger_id),
            "saga.name": course.saga,
            "saga.step": step,
            "saga.direction": direction.value,
            "saga.round": round,
            "saga.attempts": len(begun),
        }
        if ended:
            attributes["saga.outcome"] = str(last.outcome)
        yield Span(
            f"undo {step}" if direction is Direction.COMPENSATION else step,
            Role.INTERNAL,
            Context(context.trace_id, step_span_id(course.order_ledger_id, step, direction, round)),
            parent,
            begun[0].at_ns,
            max(last.at_ns, begun[0].at_ns),
            attributes,
            [_retried(entry) for entry in begun[1 : EVENTS_MAX + 1]],
            failed=bool(ended) and last.outcome != "succeeded",
        )


def _retried(entry: Moment) -> Event:
    attributes: Attributes = {"saga.attempt": entry.attempt or 0, "saga.replica": entry.replica}
    return Event("retry", entry.at_ns, attributes)


def _lost_attempts(course: Course, journal: Sequence[Moment], since: int, context: Context) -> Iterator[Span]:
    """Give the calls whose owner's lease ran out: it told nothing of them, whether it made them or not."""
    order = course.order_ledger_id
    for entry in journal[since:]:
        if entry.kind is not Kind.TAKEOVER or entry.step is None or entry.direction is None or entry.attempt is None:
            continue
        attempt = (entry.step, entry.direction, entry.round, entry.attempt)
        intent = next(e for e in journal if e.kind is Kind.INTENT and (e.step, e.direction, e.round, e.attempt) == attempt)
        attributes = attempt_attributes(order, course.saga, *attempt, intent.lease_epoch)
        yield Span(
            f"{entry.step} taken over",
            Role.CLIENT,
            Context(context.trace_id, attempt_span_id(order, *attempt)),
            step_span_id(order, *attempt[:3]),
            intent.at_ns,
            max(entry.at_ns, intent.at_ns),
            {**attributes, "saga.outcome": "unknown", "saga.replica": intent.replica, "error.type": "taken_over"},
            failed=True,
        )


def _tried(entries: Sequence[Moment]) -> dict[_Attempts, list[Moment]]:
    """Return the entries of attempts by what they are attempts of, in the order in which that began."""
    found: dict[_Attempts, list[Moment]] = {}
    for entry in entries:
        if entry.kind in (Kind.INTENT, Kind.OUTCOME, Kind.TAKEOVER) and entry.step and entry.direction:
            found.setdefault((entry.step, entry.direction, entry.round), []).append(entry)
    return found
