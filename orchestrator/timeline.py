"""An order's course in time, from its row and journal: what the page and `saga ledger show` draw. Pure: no clock, no IO.

::

    statuses  |RECEIVED|RUNNING---------------------|COMPENSATING------|FAILED    how it stood
    create     [attempt]                                       [undo]             one lane a step, in the definition's
    reserve             [attempt]..delay..[attempt]      [undo]                   order, so undoing climbs back up
    marks                        ^takeover        ^cancel by ann

Moments are seconds since the order was recorded. Calls last milliseconds and waits days, so a drawing takes its places from
`Timeline.scale`, which gives a long time less room than its length asks for; bars say themselves how long they were.
"""

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from itertools import accumulate, pairwise
from math import log1p
from typing import Final

from sql.models import TERMINAL, Direction, Json, Kind, Status

_SHORT_S: Final = 0.001
"""What is shorter is drawn about as long as it is, what is longer by its logarithm: a call is a millisecond at the least."""
_ATTEMPT_AGAIN: Final = frozenset({"unknown", "compensating"})
"""States of a step whose next attempt is still to come."""
_GOES_ON: Final = frozenset({"resume", Status.STUCK, *TERMINAL})
"""What ends a hold, as the journal has it."""


class BarKind(StrEnum):
    """What a bar stands for."""

    ATTEMPT = "attempt"
    """A call was on its way, or may have been."""
    DELAY = "delay"
    """The order waited for the step's next attempt: after a failed one, or because its participant was away."""
    WAIT = "wait"
    """The step waited for an answer from outside, or for a time."""


@dataclass(frozen=True, slots=True)
class Bar:
    """Something that took time.

    Attributes:
        kind: What it stands for.
        direction: Whether the step was being done or undone.
        round: Of the attempt; each operator's retry begins another.
        attempt: Its number in this round and direction, from 1; of a delay that of the attempt that it comes before.
        start_s, end_s: From when to when; `end_s` None while it lasts.
        due_s: Of what lasts, when the order is looked at again at the latest; None where nobody knows.
        outcome: `succeeded`, `rejected` or `unknown`; None while it lasts, and of a delay.
        error: Why it did not succeed; of a delay that lasts, the order's last error.
        note: Why an attempt counts as none; None where it counts.
        duration_ms: How long the call itself took; None where nobody measured it.
        replica: Who made the call; None of a delay.
        taken_over: Whether the owner's lease ran out before it told of an outcome.
        seq, end_seq: Journal entries with the request and with the answer; None where there is none.
    """

    kind: BarKind
    direction: Direction
    round: int
    attempt: int
    start_s: float
    end_s: float | None = None
    due_s: float | None = None
    outcome: str | None = None
    error: str | None = None
    note: str | None = None
    duration_ms: float | None = None
    replica: str | None = None
    taken_over: bool = False
    seq: int | None = None
    end_seq: int | None = None


@dataclass(frozen=True, slots=True)
class Lane:
    """A step and all that was tried of it.

    Attributes:
        step: Its name.
        state: Where it stands, as `GET /orders/ID` says it.
        group: Of the steps that are called at once with it; None for a step by itself.
        bars: By their start; those of undoing come after those of doing.
    """

    step: str
    state: str
    group: str | None
    bars: tuple[Bar, ...]


@dataclass(frozen=True, slots=True)
class Phase:
    """For how long the order had a status, or was on hold.

    Attributes:
        name: The status; `PAUSED` of a hold.
        start_s, end_s: From when to when; `end_s` None while it lasts.
        reason: Why, where somebody or something said so.
    """

    name: str
    start_s: float
    end_s: float | None = None
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Mark:
    """Something that happened at a moment.

    Attributes:
        kind: `takeover` or `operator`: somebody asked for something.
        what: The verb as the journal has it; `takeover` of a takeover.
        at_s: When.
        step: The step that it is about; None for the whole order.
        actor: Who asked; None of a takeover.
        reason: Why.
        replica: Who wrote it.
        seq: Journal entry.
    """

    kind: Kind
    what: str
    at_s: float
    step: str | None
    actor: str | None
    reason: str | None
    replica: str
    seq: int


@dataclass(frozen=True, slots=True)
class Timeline:
    """An order's course.

    Attributes:
        length_s: From its record to its end, or to now.
        ended: Whether it has ended.
        statuses: How it stood, one after the other.
        holds: When operators had it on hold.
        lanes: One a step, in the order of the definition.
        marks: What happened at a moment, in order.
        scale: Moments and the places, 0 to 1, at which to draw them, both growing; between two of them it is linear.
    """

    length_s: float
    ended: bool
    statuses: tuple[Phase, ...]
    holds: tuple[Phase, ...]
    lanes: tuple[Lane, ...]
    marks: tuple[Mark, ...]
    scale: tuple[tuple[float, float], ...]

    def place(self, at_s: float) -> float:
        """Return where to draw a moment, 0 to 1."""
        index = min(max(bisect_right(self.scale, at_s, key=lambda point: point[0]), 1), len(self.scale) - 1)
        (before_s, before), (after_s, after) = self.scale[index - 1 : index + 1]
        share = (at_s - before_s) / (after_s - before_s)
        return before + (after - before) * min(max(share, 0.0), 1.0)

    def document(self) -> Json:
        """Return it as JSON."""
        return asdict(self)


def timeline(order: Json, journal: Sequence[Json], snapshot: Json, age_s: float) -> Timeline:
    """Return the course of an order.

    Args:
        order: The order as `sql.reading.get_order` returns it.
        journal: Its entries as `sql.reading.get_journal` returns them.
        snapshot: The definition that it runs on, as the ledger stores it.
        age_s: Seconds since it was recorded, by the database's clock.
    """
    began = order["created_at"]
    entries = [{**entry, "at_s": max((entry["at"] - began).total_seconds(), 0.0)} for entry in journal]
    ended = order["status"] in TERMINAL
    length_s = (order["finished_at"] - began).total_seconds() if ended else age_s
    length_s = max([length_s, *(entry["at_s"] for entry in entries)])
    due_at = None if ended or order["paused_at"] else order["next_retry_at"]
    due_s = None if due_at is None else max((due_at - began).total_seconds(), 0.0)
    lanes = tuple(_lanes(order, entries, snapshot, due_s))
    marks = tuple(_marks(entries))
    statuses, holds = tuple(_statuses(entries, snapshot, ended)), tuple(_holds(entries, ended))
    moments = {0.0, length_s, *(entry["at_s"] for entry in entries)}
    return Timeline(length_s, ended, statuses, holds, lanes, marks, _scale(sorted(moments)))


def _lanes(order: Json, entries: Sequence[Json], snapshot: Json, due_s: float | None) -> Iterator[Lane]:
    states = {step["name"]: step["state"] for step in order["steps"]}
    for said in snapshot["steps"]:
        name = said["name"]
        waits = "signal" in said or "timer" in said
        tried = list(_tried(name, entries, BarKind.WAIT if waits else BarKind.ATTEMPT))
        state = states.get(name, "pending")
        if due_s is not None:
            tried = _lasting(order, name, state, tried, entries, due_s)
        bars = sorted([*tried, *_delays(tried)], key=lambda bar: (bar.start_s, bar.attempt))
        yield Lane(name, state, said.get("group"), tuple(bars))


def _tried(step: str, entries: Sequence[Json], kind: BarKind) -> Iterator[Bar]:
    """Give the attempts of a step, those that undo it among them."""
    ends = {_attempt(entry): entry for entry in entries if entry["kind"] in (Kind.OUTCOME, Kind.TAKEOVER)}
    for entry in entries:
        if entry["kind"] != Kind.INTENT or entry["step"] != step:
            continue
        bar = Bar(kind, Direction(entry["direction"]), entry["round"], entry["attempt"], entry["at_s"], seq=entry["seq"])
        end = ends.get(_attempt(entry))
        yield replace(bar, replica=entry["replica"], **({} if end is None else _ended(end)))


def _ended(end: Json) -> Json:
    return {
        "end_s": end["at_s"],
        "outcome": end["outcome"],
        "error": end["error"],
        "note": end["reason"],
        "duration_ms": end["duration_ms"],
        "taken_over": end["kind"] == Kind.TAKEOVER,
        "end_seq": end["seq"],
    }


def _attempt(entry: Json) -> tuple[object, ...]:
    return entry["step"], entry["direction"], entry["round"], entry["attempt"]


def _delays(tried: Sequence[Bar]) -> Iterator[Bar]:
    """Give the waits between attempts; after a lapse nobody waited, and between two rounds the order stood still."""
    for before, after in pairwise(tried):
        follows = (before.direction, before.round, before.outcome) == (after.direction, after.round, "unknown")
        if follows and not before.taken_over and before.end_s is not None and before.end_s < after.start_s:
            yield Bar(BarKind.DELAY, after.direction, after.round, after.attempt, before.end_s, after.start_s)


def _lasting(order: Json, step: str, state: str, tried: list[Bar], entries: Sequence[Json], due_s: float) -> list[Bar]:
    """Return a step's bars with what lasts of it: a wait that is due some time, or the delay before an attempt to come."""
    if tried and tried[-1].end_s is None:
        return [*tried[:-1], replace(tried[-1], due_s=due_s)]
    direction = Direction(order["direction"])
    mine = [bar for bar in tried if bar.direction is direction]
    if step != order["step"] and not (mine and state in _ATTEMPT_AGAIN):
        return tried
    delay = Bar(BarKind.DELAY, direction, 1, 1, entries[-1]["at_s"] if entries else 0.0, due_s=due_s, error=order["last_error"])
    if mine:
        delay = replace(delay, round=mine[-1].round, attempt=mine[-1].attempt + 1, start_s=mine[-1].end_s or 0.0)
    return [*tried, delay]


def _statuses(entries: Sequence[Json], snapshot: Json, ended: bool) -> Iterator[Phase]:
    first = Status.RECEIVED if snapshot["steps"][0].get("at_edge") else Status.PENDING
    now = Phase(first, 0.0)
    for entry in entries:
        if entry["kind"] == Kind.STATUS:
            yield replace(now, end_s=entry["at_s"])
            now = Phase(entry["outcome"], entry["at_s"], reason=entry["reason"])
    yield replace(now, end_s=now.start_s) if ended else now


def _holds(entries: Sequence[Json], ended: bool) -> Iterator[Phase]:
    held: Phase | None = None
    for entry in entries:
        if entry["outcome"] == "pause":
            held = Phase("PAUSED", entry["at_s"], reason=entry["reason"])
        elif held is not None and entry["outcome"] in _GOES_ON:
            yield replace(held, end_s=entry["at_s"])
            held = None
    if held is not None and not ended:
        yield held


def _marks(entries: Sequence[Json]) -> Iterator[Mark]:
    taken_over = None
    for entry in entries:
        kind = Kind(entry["kind"])
        if kind is Kind.TAKEOVER:
            # Of calls that were made at once each has its entry; they were taken over together.
            if entry["lease_epoch"] != taken_over:
                yield _mark(entry, kind, "takeover", entry["error"])
            taken_over = entry["lease_epoch"]
        elif kind is Kind.OPERATOR:
            yield _mark(entry, kind, entry["outcome"], entry["reason"])


def _mark(entry: Json, kind: Kind, what: str, reason: str | None) -> Mark:
    return Mark(kind, what, entry["at_s"], entry["step"], entry["actor"], reason, entry["replica"], entry["seq"])


def _scale(moments: Sequence[float]) -> tuple[tuple[float, float], ...]:
    reached = list(accumulate((log1p((after - before) / _SHORT_S) for before, after in pairwise(moments)), initial=0.0))
    if not reached[-1]:
        return (0.0, 0.0), (_SHORT_S, 1.0)
    return tuple((moment, place / reached[-1]) for moment, place in zip(moments, reached, strict=True))
