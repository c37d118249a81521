"""What operators do to an order that needs a hand: hold it, let it go on, leave a step out, say how it ends.

Like every verb (`operating.py`) each is a journal entry with actor and reason, fenced, and can be previewed. An order's state
decides what is allowed; what is refused says why.
"""

from typing import Any
from uuid import UUID

from orchestrator import asked
from orchestrator.definitions import Definitions
from orchestrator.operating import apply
from orchestrator.progress import Observation, Progress, Skipped, StepState
from orchestrator.saga import Saga
from orchestrator.verb import Paused, Resolved, Resumed
from orchestrator.verdict import NotAllowed, Verdict
from sql import ledger
from sql.models import TERMINAL, SagaRow, Status


async def pause(
    conn: ledger.Connection,
    definitions: Definitions,
    order_ledger_id: UUID,
    *,
    actor: str,
    reason: str,
    dry_run: bool = False,
    seen: str | None = None,
) -> Verdict:
    """Have no further call of an order made until it is resumed. One that is on its way ends, and its answer counts.

    While it is on hold neither its deadline nor a wait ends it; a cancel and signals are recorded. What is on hold already is
    left alone.

    Raises:
        OrderNotFound: There is no such order.
        NotAllowed: It has ended, or is STUCK, so that nothing of it happens anyway.
        Changed: It is not as it was `seen`.
        Busy: It changed too often meanwhile.
    """

    def decide(row: SagaRow, _: Saga[Any]) -> Observation | None:
        _refuse_ended(row)
        if row.status is Status.STUCK:
            raise NotAllowed(f"order {order_ledger_id} is STUCK: no call of it is made before an operator says so")
        return None if Progress.from_json(row.progress).paused else Paused(actor, reason)

    return await apply(conn, definitions, order_ledger_id, decide, actor=actor, dry_run=dry_run, seen=seen)


async def resume(
    conn: ledger.Connection,
    definitions: Definitions,
    order_ledger_id: UUID,
    *,
    actor: str,
    reason: str,
    dry_run: bool = False,
    seen: str | None = None,
) -> Verdict:
    """Have an order that is on hold go on where it stands, at once and with as much time as at first. A wait begins once more.

    A cancel that came meanwhile is carried out. What is not on hold is left alone.

    Raises:
        OrderNotFound: There is no such order.
        NotAllowed: It has ended, or is STUCK: that is retried.
        Changed: It is not as it was `seen`.
        Busy: It changed too often meanwhile.
    """

    def decide(row: SagaRow, _: Saga[Any]) -> Observation | None:
        _refuse_ended(row)
        if row.status is Status.STUCK:
            raise NotAllowed(f"order {order_ledger_id} is STUCK, not on hold: retry it")
        return Resumed(actor, reason) if Progress.from_json(row.progress).paused else None

    return await apply(conn, definitions, order_ledger_id, decide, actor=actor, dry_run=dry_run, seen=seen)


async def skip_step(
    conn: ledger.Connection,
    definitions: Definitions,
    order_ledger_id: UUID,
    *,
    actor: str,
    reason: str,
    step: str | None = None,
    dry_run: bool = False,
    seen: str | None = None,
) -> Verdict:
    """Have an order go on without its next step, or one that is being undone without undoing a step.

    Of one that is being undone it is the step that could not be undone, or else the one whose turn it is. An order on hold
    stays so. A named step that is left out already is left alone.

    Args:
        conn: Autocommit connection to the ledger.
        definitions: What this process knows.
        order_ledger_id: The order.
        actor: Who asks.
        reason: Why.
        step: The step that is meant; None for whichever it is. Asked twice without a name, two steps are left out.
        dry_run: Whether only to tell what would follow.
        seen: The mark that a preview told; None to act on the order as it stands.

    Raises:
        OrderNotFound: There is no such order.
        NotAllowed: It has ended, a call of it is on its way, or the step is not the one whose turn it is.
        Changed: It is not as it was `seen`.
        Busy: It changed too often meanwhile.
    """

    def decide(row: SagaRow, saga: Saga[Any]) -> Observation | None:
        progress = Progress.from_json(row.progress)
        if step is not None and step not in {each.name for each in saga.steps}:
            raise NotAllowed(f"saga {saga.name} has no step {step}")
        if step is not None and progress.of(step).state is StepState.SKIPPED:
            return None
        _refuse_ended(row)
        _refuse_on_its_way(row, progress)
        found = asked.skippable(saga, progress)
        if not found:
            raise NotAllowed(f"order {order_ledger_id} is {row.status} and has no step to leave out")
        if step is not None and step not in found:
            raise NotAllowed(
                f"step {step} of order {order_ledger_id} can't be left out now: it is the turn of {', '.join(found)}"
            )
        return Skipped(step or found[0], reason, actor)

    return await apply(conn, definitions, order_ledger_id, decide, actor=actor, dry_run=dry_run, seen=seen)


async def resolve(
    conn: ledger.Connection,
    definitions: Definitions,
    order_ledger_id: UUID,
    *,
    ending: Status,
    actor: str,
    reason: str,
    dry_run: bool = False,
    seen: str | None = None,
) -> Verdict:
    """End an order that is STUCK or on hold as an operator says; no call follows.

    What was not done of one that is to be COMPLETED, and not undone of one that is to be FAILED, is left out and stays visible
    as such. Where the order takes another one back and is to be COMPLETED, that one becomes CANCELLED with it.

    Args:
        conn: Autocommit connection to the ledger.
        definitions: What this process knows.
        order_ledger_id: The order.
        ending: COMPLETED or FAILED; an order that stands so already is left alone.
        actor: Who asks.
        reason: Why.
        dry_run: Whether only to tell what would be left.
        seen: The mark that a preview told; None to act on the order as it stands.

    Raises:
        OrderNotFound: There is no such order.
        NotAllowed: It has ended otherwise, or goes on by itself; or it takes an order back that is not completed any more.
        Changed: It is not as it was `seen`.
        Busy: It changed too often meanwhile.
    """

    def decide(row: SagaRow, _: Saga[Any]) -> Observation | None:
        progress = Progress.from_json(row.progress)
        if row.status is ending:
            return None
        _refuse_ended(row)
        if not progress.halted:
            raise NotAllowed(f"order {order_ledger_id} is {row.status} and goes on by itself: pause it first")
        _refuse_on_its_way(row, progress)
        return Resolved(ending, actor, reason)

    return await apply(conn, definitions, order_ledger_id, decide, actor=actor, dry_run=dry_run, seen=seen)


def _refuse_ended(row: SagaRow) -> None:
    if row.status in TERMINAL:
        raise NotAllowed(f"order {row.order_ledger_id} has ended: it is {row.status}")


def _refuse_on_its_way(row: SagaRow, progress: Progress) -> None:
    # What was on its way when an order was put aside has no owner any more: it is ended with the verb.
    if progress.on_its_way and progress.stuck is None:
        calls = ", ".join(progress.on_its_way)
        raise NotAllowed(
            f"the call of {calls} of order {row.order_ledger_id} is on its way: wait for its end, or pause the order"
        )
