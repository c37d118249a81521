"""Retracing a journal: what the pure core decides on everything that was observed, compared with what the ledger says.

::

    journal ──observations (answers, takeovers, verbs)──▶ work, machine ──▶ entries, row
       └──────────────────────── must be the same ◀───────────────────────────┘

An entry that the core does not expect is an observation, and the core decides on it; every other entry must be the very
one that it decided on. So must the row at the end. Texts for people (errors, reasons) may be worded anew by a later release;
whether there is one is compared. Delays and requests are not in it: nothing of them is kept for ever.

A saga is built from the snapshot alone, so journals can be retraced when the code of their definition is gone. No IO.
"""

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from msgspec.structs import replace

from orchestrator import machine
from orchestrator.asked import RESOLVES
from orchestrator.outcome import Outcome, Rejected, Succeeded, Unknown
from orchestrator.progress import (
    BEGINNING,
    SIGNAL,
    Answered,
    Elapsed,
    GivenUp,
    Lapsed,
    Move,
    Observation,
    Progress,
    Round,
    Signalled,
    Skipped,
    TakenBack,
)
from orchestrator.saga import DefinitionError, Saga
from orchestrator.snapshot import Nothing, saga_of
from orchestrator.turns import waiting
from orchestrator.verb import CancelRequested, Paused, Resolved, Resumed, Retried
from orchestrator.work import Work
from sql.erasure import ERASE
from sql.histories import History, Recorded
from sql.models import Direction, Entry, Json, Kind, SagaRow, Status

_VERBS: Final[Mapping[str, Callable[[str, str], Observation]]] = {
    "cancel": CancelRequested,
    "retry": Retried,
    "pause": Paused,
    "resume": Resumed,
    **{verb: partial(Resolved, ending) for ending, verb in RESOLVES.items()},
}
_ROW: Final = ("status", "step", "direction", "retry_count", "last_seq", "results")


@dataclass(frozen=True, slots=True)
class Difference:
    """Where ledger and core part; what follows from it in the same journal is not looked at.

    Attributes:
        seq: Position of the entry; None where the row differs.
        what: The entry, or the row's column.
        recorded: What the ledger says; None for nothing.
        decided: What the core decides; None for nothing.
    """

    seq: int | None
    what: str
    recorded: Any
    decided: Any


def retrace(history: History, saga: Saga[Any] | None = None) -> tuple[Difference, ...]:
    """Run a journal through the core.

    Args:
        history: What the ledger says.
        saga: What `saga_of` returned for its definition, where it is known; None builds it.

    Returns:
        Where the two part; nothing when every decision and the row are the same.
    """
    try:
        saga = saga or saga_of(history.definition)
    except (KeyError, TypeError, DefinitionError) as error:
        return (Difference(None, "definition", repr(error), "a snapshot that says all that the core decides on"),)
    work = _start(saga, history)
    decided: deque[Entry] = deque()
    for place, recorded in enumerate(history.journal):
        if not decided:
            try:
                work, entries = _decide(work, history.journal, place)
            except (ValueError, LookupError) as error:
                return (Difference(recorded.seq, "entry", _said(recorded.entry), f"nothing: {error}"),)
            decided.extend(entries)
        entry = decided.popleft() if decided else None
        if entry is None or _compared(entry) != _compared(recorded.entry):
            return (Difference(recorded.seq, "entry", _said(recorded.entry), entry and _said(entry)),)
    if decided:
        return (Difference(history.last_seq + 1, "entry", None, _said(decided[0])),)
    return _row_differences(history, work)


def _start(saga: Saga[Any], history: History) -> Work:
    row = SagaRow(
        order_ledger_id=history.order_ledger_id,
        saga=saga.name,
        definition_id=history.definition_id,
        status=machine.status_of(saga, BEGINNING),
        progress=BEGINNING.to_json(),
        results={},
        input={},
        personal={},
        correlation_id="",
        traceparent=None,
        last_seq=0,
        lease_owner=None,
        lease_epoch=1,
        lapses=0,
        client_request_id="",
        last_error=None,
        step=saga.steps[0].name,
        direction=Direction.ACTION,
        retry_count=0,
        customer_id=None,
        currency=None,
        total_minor=None,
        parent_id=None,
    )
    return Work(saga, row, BEGINNING, Nothing(), str(history.order_ledger_id))


def _decide(work: Work, journal: tuple[Recorded, ...], place: int) -> tuple[Work, tuple[Entry, ...]]:
    """Return the order after the decision that an entry begins, and the entries of the decision."""
    entry = journal[place].entry
    if _is_put_aside(work, entry):
        return _put_aside(work, entry)
    if entry.kind is Kind.OPERATOR and (entry.outcome == ERASE or (place == 0 and entry.outcome == "retry")):
        # What the order said of a person was erased; or it stands for one that failed, and who asked for that is its first
        # entry. Neither changes anything.
        return _on(work, Move(work.progress, (entry,)))
    if entry.kind is Kind.INTENT:
        return _on(work, machine.proceed(work.saga, work.progress, work.row.status))
    if entry.kind is Kind.TAKEOVER:
        work = replace(work, row=replace(work.row, lapses=work.row.lapses + 1))
    return _on(work, work.advance(_observed(work, journal, place), go_on=False))


def _on(work: Work, move: Move) -> tuple[Work, tuple[Entry, ...]]:
    transition = work.transition(move, replica="")
    return work.after(transition, work.row.last_seq + len(move.entries)), move.entries


def _observed(work: Work, journal: tuple[Recorded, ...], place: int) -> Observation:
    """Return what an entry says was observed.

    Raises:
        ValueError: It is the record of no observation.
    """
    entry = journal[place].entry
    match entry.kind:
        case Kind.OUTCOME if not work.progress.on_its_way and (wait := waiting(work.saga, work.progress)) is not None:
            return Elapsed(wait.name)
        case Kind.OUTCOME:
            ended = [recorded.entry for recorded in journal[place : place + max(len(work.progress.on_its_way), 1)]]
            answers = [Answered(each.step or "", _outcome(each), trial=each.reason is not None) for each in ended]
            return answers[0] if len(answers) == 1 else Round(tuple(answers))
        case Kind.TAKEOVER:
            return Lapsed(too_often=_gave_up(journal, place))
        case Kind.OPERATOR if entry.outcome == "cancel" and work.row.status is Status.COMPLETED:
            return TakenBack(entry.actor or "", entry.reason or "")
        case Kind.OPERATOR if entry.outcome == SIGNAL:
            return Signalled(entry.step or "", entry.response or {}, entry.actor or "")
        case Kind.OPERATOR if entry.outcome == "skip":
            return Skipped(entry.step or "", entry.reason or "", entry.actor or "")
        case Kind.OPERATOR if (verb := _VERBS.get(entry.outcome or "")) is not None:
            return verb(entry.actor or "", entry.reason or "")
        case Kind.OPERATOR if entry.outcome == "give-up":
            return GivenUp(entry.reason or "")
    raise ValueError("nothing that can be observed leads to it")


def _outcome(entry: Entry) -> Outcome:
    match entry.outcome:
        case "succeeded":
            return Succeeded({})
        case "rejected":
            return Rejected(entry.error or "")
        case "unknown":
            return Unknown(entry.error or "")
    raise ValueError("no attempt ends so")


def _gave_up(journal: tuple[Recorded, ...], place: int) -> bool:
    """Tell whether the replica that took over gave the order up at once; how often it may lapse is in no journal."""
    after = next((recorded for recorded in journal[place:] if recorded.entry.kind is not Kind.TAKEOVER), None)
    if after is None or after.lease_epoch != journal[place].lease_epoch:
        return False
    return after.entry.kind is Kind.STATUS and after.entry.outcome == Status.STUCK


def _is_put_aside(work: Work, entry: Entry) -> bool:
    """Tell whether an entry says that the code failed on the order too often; that is observed, not decided."""
    return entry.kind is Kind.STATUS and entry.outcome == Status.STUCK and work.progress.stuck is None


def _put_aside(work: Work, entry: Entry) -> tuple[Work, tuple[Entry, ...]]:
    stuck = replace(work.progress, stuck=entry.reason or "", paused=False)
    row = replace(work.row, status=Status.STUCK, progress=stuck.to_json(), last_seq=work.row.last_seq + 1)
    return work.on(replace(row, lapses=row.lapses + 1)), (replace(entry, round=work.progress.round),)


# --- comparing --------------------------------------------------------------------------------------------------------


def _compared(entry: Entry) -> tuple[object, ...]:
    texts = (entry.error is None, entry.reason is None)
    return (entry.kind, entry.step, entry.direction, entry.round, entry.attempt, entry.outcome, *texts)


def _said(entry: Entry) -> str:
    """Return an entry in the words of a report."""
    of_step = (entry.step, entry.direction, entry.attempt and f"attempt {entry.attempt}")
    words = (entry.kind, *of_step, f"round {entry.round}", entry.outcome, entry.error and "error", entry.reason and "reason")
    return " ".join(str(word) for word in words if word)


def _row_differences(history: History, work: Work) -> tuple[Difference, ...]:
    row = work.row
    decided = {name: getattr(row, name) for name in _ROW} | {"results": sorted(row.results)}
    found = [
        Difference(None, name, getattr(history, name), decided[name])
        for name in _ROW
        if getattr(history, name) != decided[name]
    ]
    recorded = _readable(history.progress)
    if recorded != _without_texts(work.progress.to_json()):
        found.append(Difference(None, "progress", history.progress, work.progress.to_json()))
    least, most = _lapses(history, row.lapses)
    if not least <= history.lapses <= most:
        found.append(Difference(None, "lapses", history.lapses, f"{least} to {most}"))
    return tuple(found)


def _readable(progress: Json) -> Json | None:
    """Return a stored state as the core reads it; None when it can't."""
    try:
        return _without_texts(Progress.from_json(progress).to_json())
    except (KeyError, TypeError, ValueError, AttributeError):
        return None


def _without_texts(progress: Mapping[str, Any]) -> Json:
    steps = {name: {k: v for k, v in step.items() if k != "began_s"} for name, step in progress.get("steps", {}).items()}
    texts = {"reason": progress.get("reason") is not None, "stuck": progress.get("stuck") is not None}
    return {**progress, **texts, "steps": steps}


def _lapses(history: History, takeovers: int) -> tuple[int, int]:
    """Return within which bounds the counter must be.

    Not every lapse leaves an entry: a claim may run out before anything is written, and the code may fail on it. Each claim
    after the last sign of life adds two at most, and the claim of that sign one.
    """
    signs = [r.lease_epoch for r in history.journal if r.entry.kind in (Kind.OUTCOME, Kind.OPERATOR)]
    claims = history.lease_epoch - (signs[-1] if signs else 1)
    return takeovers, 2 * claims + 1
