"""What operators and clients may ask of an order on its way.

Each verb is a journal entry with actor and reason, fenced like every other write, and can be previewed. One that comes
while a replica holds the order is appended under the replica's own claim: the replica's next write misses, and it
decides again knowing both the verb and the outcome of its call.
"""

import asyncio
import contextlib
import re
from collections.abc import Callable
from typing import Any, Final
from uuid import UUID

from msgspec.structs import replace

from orchestrator.definitions import Definitions
from orchestrator.identity import order_id
from orchestrator.opening import Request, open_order
from orchestrator.preview import preview, remains
from orchestrator.progress import Observation, Progress, Signalled, Skipped, StepState
from orchestrator.saga import Saga
from orchestrator.seen import mark_of, refuse_changed
from orchestrator.taking_back import Back, NotTakenBack, back_of, write_with_parent
from orchestrator.turns import waiting
from orchestrator.undoing import is_committed
from orchestrator.verb import CancelRequested, Retried
from orchestrator.verdict import Busy, Completed, NotAllowed, NotCancellable, NotRetryable, Unreadable, Verdict
from orchestrator.work import Work
from sql import ledger
from sql.erasure import is_erased
from sql.ledger import OrderNotFound
from sql.models import TERMINAL, Entry, Kind, SagaRow, Status, Transition

TRY_AGAIN_S: Final = 0.02
TRIES_MAX: Final = 50
"""A row that changes this often while a verb is written is busy: the caller may try again."""
RETRIES_MAX: Final = 100
"""A failed order can be placed again so often."""
UNDONE: Final = frozenset({Status.FAILED, Status.DECLINED, Status.CANCELLED})
CANCELLABLE: Final = frozenset({Status.RECEIVED, Status.PENDING, Status.RUNNING})


async def cancel(
    conn: ledger.Connection,
    definitions: Definitions,
    order_ledger_id: UUID,
    *,
    actor: str,
    reason: str,
    dry_run: bool = False,
    seen: str | None = None,
) -> Verdict:
    """Have an order that is on its way undone.

    The outcome of a call that is on its way is waited for and counts. An order that is cancelled already is left alone.
    `cancelling.cancel` takes completed ones back, too.

    Raises:
        OrderNotFound: There is no such order.
        Completed: It has completed.
        NotCancellable: It has ended otherwise, or is being undone already.
        Changed: It is not as it was `seen`.
        Busy: It changed too often meanwhile.
    """

    def decide(row: SagaRow, saga: Saga[Any]) -> Observation | None:
        progress = Progress.from_json(row.progress)
        if row.status is Status.CANCELLED or progress.cancelling or progress.ending is Status.CANCELLED:
            return None
        if row.status is Status.COMPLETED:
            raise Completed(f"order {order_ledger_id} is COMPLETED and can't be turned round")
        if row.status not in CANCELLABLE:
            raise NotCancellable(f"order {order_ledger_id} is {row.status} and can't be cancelled")
        if is_committed(saga, progress):
            raise NotCancellable(f"order {order_ledger_id} has passed the point from which it only goes forward")
        return CancelRequested(actor, reason)

    return await apply(conn, definitions, order_ledger_id, decide, actor=actor, dry_run=dry_run, seen=seen)


async def retry(
    conn: ledger.Connection,
    definitions: Definitions,
    order_ledger_id: UUID,
    *,
    actor: str,
    reason: str,
    dry_run: bool = False,
    seen: str | None = None,
    wake: bool = True,
) -> Verdict:
    """Have a stuck order go on in a new round, or a failed one tried anew.

    What failed was undone, and its participants refuse its operations for ever: it is tried anew as an order of its own,
    under the key `retry:N:KEY`. Without `wake` orchestrators are not told: who has a transaction does it after the commit.

    Raises:
        OrderNotFound: There is no such order.
        NotRetryable: It is neither stuck nor failed; or Unreadable, a kind of it: the ledger's row does not fit the definition.
        Changed: It is not as it was `seen`.
        Busy: It changed too often meanwhile.
    """
    row = await _row(conn, order_ledger_id)
    if row.status is Status.FAILED:
        if not (await definitions.of(conn, row.definition_id)).startable:
            raise NotRetryable(f"{row.saga} {order_ledger_id} is begun anew on order {row.parent_id}, by no retry")
        said = Entry(Kind.OPERATOR, outcome="retry", actor=actor, reason=reason)
        return await _place_again(conn, definitions, row, said, dry_run=dry_run, seen=seen, wake=wake)

    def decide(current: SagaRow, _: Saga[Any]) -> Observation:
        if current.status is not Status.STUCK:
            raise NotRetryable(f"order {order_ledger_id} is {current.status}: only a stuck or failed order is retried")
        return Retried(actor, reason)

    return await apply(conn, definitions, order_ledger_id, decide, actor=actor, dry_run=dry_run, seen=seen, wake=wake)


async def apply(
    conn: ledger.Connection,
    definitions: Definitions,
    order_ledger_id: UUID,
    decide: Callable[[SagaRow, Saga[Any]], Observation | None],
    *,
    actor: str,
    dry_run: bool,
    seen: str | None = None,
    wake: bool = True,
) -> Verdict:
    """Write a verb under the row's present fence, again on each newer row.

    Args:
        conn: Connection to the ledger, in autocommit or in a transaction that sees what others commit meanwhile.
        definitions: What this process knows.
        order_ledger_id: The order.
        decide: Says what is asked of a row; None where that was done before. What it raises is raised here, with nothing done.
        actor: Who asks.
        dry_run: Whether only to tell what would follow.
        seen: The mark that a preview told; None to act on the order as it stands.
        wake: Whether to tell orchestrators; a caller with a transaction does it after the commit.

    Raises:
        OrderNotFound: There is no such order.
        Unreadable: What the ledger says of it does not fit its definition.
        Changed: It is not as it was `seen`.
        Busy: It changed too often meanwhile.
    """
    for _ in range(TRIES_MAX):
        row = await _row(conn, order_ledger_id)
        saga = await definitions.of(conn, row.definition_id)
        work = _read(saga, row)
        observation = decide(row, saga)
        now = mark_of(row, work.progress, observation.step if isinstance(observation, Skipped) else None)
        if observation is None:
            paused = work.progress.paused
            return Verdict(order_ledger_id, row.status, False, preview(work, work.progress), paused=paused, seen=now)
        # Under the fence of this very row: what comes in between makes the write miss, and is looked at then.
        refuse_changed(row, seen, now)
        move = work.advance(observation, go_on=False)
        transition = _kept(work.transition(move, replica=f"operator {actor}"), row)
        if isinstance(observation, Signalled):
            # An answer to a later step changes nothing of what the order waits for now.
            transition = replace(transition, keep_due=waiting(saga, work.progress) == waiting(saga, move.progress))
        back = _back_of(work, transition)
        if dry_run:
            return _verdict(work, row.status, move.progress, now, back, done=False)
        if await _written(conn, transition, observation, back):
            if wake:
                await ledger.wake_orchestrators(conn)
            return _verdict(work, transition.status, move.progress, now, back, done=True)
        await asyncio.sleep(TRY_AGAIN_S)
    raise Busy(f"order {order_ledger_id} changed too often meanwhile: try again")


def _verdict(work: Work, status: Status, after: Progress, seen: str, back: Back | None = None, *, done: bool) -> Verdict:
    """Return what a verb did, or would do, that leads to a state."""
    left = remains(work.saga, work.progress, after)
    if back is not None:
        left += (f"order {back.order_ledger_id} becomes CANCELLED",)
    return Verdict(work.row.order_ledger_id, status, done, preview(work, after), left, after.paused, seen=seen)


def _back_of(work: Work, transition: Transition) -> Back | None:
    """Return which order is taken back where a verb ends the saga that takes it back."""
    if transition.status is not Status.COMPLETED or work.saga.takes_back is None:
        return None
    if work.input is None:
        raise Unreadable(f"order {work.order_id} can't take its order back: its input does not fit its definition")
    return back_of(work, transition)


async def _written(conn: ledger.Connection, transition: Transition, observation: Observation, back: Back | None) -> bool:
    """Write a verb with all that belongs to it: the end of an order that is taken back, what it says of a person."""
    if back is not None:
        try:
            return bool(await write_with_parent(conn, transition, back))
        except NotTakenBack as error:
            raise NotAllowed(str(error)) from None
    if not isinstance(observation, Signalled) or not observation.personal:
        return bool(await ledger.write_transitions(conn, [transition]))
    async with conn.transaction():
        written = bool(await ledger.write_transitions(conn, [transition]))
        if written:
            await ledger.keep_personal(conn, transition.order_ledger_id, observation.step, observation.personal)
    return written


def _kept(transition: Transition, row: SagaRow) -> Transition:
    """Leave the lease with the replica that holds the row, so that it can end its call."""
    kept = row.lease_owner is not None and transition.status not in TERMINAL
    return replace(transition, keep_lease=kept, last_error=transition.last_error or row.last_error)


async def _place_again(
    conn: ledger.Connection, definitions: Definitions, row: SagaRow, said: Entry, *, dry_run: bool, seen: str | None, wake: bool
) -> Verdict:
    """Insert a failed order once more, under the first free key `retry:N:KEY`, on what its saga is configured to be now."""
    if await is_erased(conn, row.order_ledger_id):
        raise NotRetryable(f"order {row.order_ledger_id} can't be placed anew: its personal data were erased")
    work = _read(await definitions.of(conn, row.definition_id), row, whole=True)
    stored = await ledger.get_request(conn, row.order_ledger_id)
    assert stored is not None
    # Its snapshot has this process's settings, which nobody may have registered yet.
    await definitions.register(conn)
    await definitions.look(conn)
    key = re.sub(r"^retry:[0-9]+:", "", row.client_request_id)
    for number in range(1, RETRIES_MAX + 1):
        again = f"retry:{number}:{key}"
        request = Request(
            order_ledger_id=order_id(stored["client_id"], again),
            client_id=stored["client_id"],
            client_request_id=again,
            request_hash=stored["request_hash"],
            input=work.input,
            metadata=stored["metadata"],
            correlation_id=row.correlation_id,
            traceparent=row.traceparent,
            parent_id=row.order_ledger_id,
        )
        chosen = definitions.chosen(row.saga, request.order_ledger_id)
        opening = open_order(chosen.saga, request, config_seq=chosen.config_seq)
        calls, left = preview(opening.work, opening.work.progress), _stands(row)
        now = mark_of(row, Progress.from_json(row.progress), number)
        before = (await ledger.get_rows(conn, [request.order_ledger_id])).get(request.order_ledger_id)
        if before is not None and (before.status in UNDONE or before.parent_id is None):
            # Failed as well; or no retry at all: a client may take for an order of its own whatever key it likes.
            continue
        if before is not None:
            # Asked for twice: it is on its way, or stands already. A second one would be paid a second time.
            return Verdict(request.order_ledger_id, before.status, False, (), seen=now)
        refuse_changed(row, seen, now)
        if dry_run:
            return Verdict(request.order_ledger_id, opening.order.status, False, calls, left, seen=now)
        if await ledger.insert_order(conn, replace(opening.order, entries=(said, *opening.order.entries))):
            if wake:
                await ledger.wake_orchestrators(conn)
            return Verdict(request.order_ledger_id, opening.order.status, True, calls, left, seen=now)
        if not await ledger.get_rows(conn, [request.order_ledger_id]):
            raise Busy(f"saga {row.saga} was configured anew meanwhile: try again")
        return Verdict(request.order_ledger_id, opening.order.status, False, calls, seen=now)
    raise NotRetryable(f"order {row.order_ledger_id} was tried anew {RETRIES_MAX} times already")


def _stands(row: SagaRow) -> tuple[str, ...]:
    """Return what an operator left standing of an order that failed, in sentences."""
    steps = Progress.from_json(row.progress).steps
    left = [
        name
        for name in row.results
        if name in steps and steps[name].state in (StepState.SKIPPED, StepState.COMPENSATION_FAILED)
    ]
    return tuple(f"of order {row.order_ledger_id}, what {name} did stays" for name in left)


def _read(saga: Saga[Any], row: SagaRow, *, whole: bool = False) -> Work:
    """Read a row, without its input where that does not fit the saga any more: a verb needs none, unless the whole order."""
    try:
        return Work.of(saga, row)
    except Exception as error:
        unreadable = Unreadable(f"order {row.order_ledger_id} does not fit its definition: {type(error).__name__}")
    if not whole:
        with contextlib.suppress(KeyError, TypeError, ValueError, AttributeError):
            return Work.unread(saga, row)
    raise unreadable


async def _row(conn: ledger.Connection, order_ledger_id: UUID) -> SagaRow:
    rows = await ledger.get_rows(conn, [order_ledger_id])
    if order_ledger_id not in rows:
        raise OrderNotFound(f"the ledger has no order {order_ledger_id}")
    return rows[order_ledger_id]
