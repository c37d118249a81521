"""Cancelling an order, wherever it stands: turned round while it is on its way, taken back once it has completed.

A completed order is taken back by a saga of its own (`sagas/cancel_order.py`), begun under the lock of the order's row
(`sql/families.py`): there is one of them at a time, and none beside a payment. What it has to take back is read off the steps
that succeeded, of the order and of what was completed on it: by the participants' operations that they called, so that a
team's own saga over these participants can be taken back as well.
"""

import hashlib
from typing import Any, Final
from uuid import UUID

from orchestrator import operating
from orchestrator.definitions import Definitions
from orchestrator.identity import order_id
from orchestrator.opening import Request, open_order
from orchestrator.operating import RETRIES_MAX
from orchestrator.preview import preview
from orchestrator.progress import Progress, StepProgress, StepState
from orchestrator.saga import Context, DefinitionError, Saga, StepKind
from orchestrator.sagas.cancel_order import CANCEL_ORDER, CancelOrder
from orchestrator.seen import mark_of, refuse_changed
from orchestrator.verdict import Completed, NotCancellable, Verdict
from orchestrator.work import Work
from participants.contracts import inventory, orders, payments, shipping
from sql import ledger
from sql.families import Family, lock_family
from sql.ledger import OrderNotFound
from sql.models import Json, SagaRow, Status

FINAL: Final = ("what is called off, given back and released does not come back to the order",)
"""What can't be undone of it, in the words of a preview."""


async def cancel(
    conn: ledger.Connection,
    definitions: Definitions,
    order_ledger_id: UUID,
    *,
    actor: str,
    reason: str,
    dry_run: bool = False,
    seen: str | None = None,
    again: bool = True,
) -> Verdict:
    """Have an order cancelled: one on its way is undone, what a completed one has done is taken back.

    One that completes while it is asked for counts as completed. Asked for twice it is done once; after a run that failed
    for want of answers the next one is begun.

    Args:
        conn: Autocommit connection to the ledger.
        definitions: What this process knows.
        order_ledger_id: The order.
        actor: Who asks.
        reason: Why.
        dry_run: Whether only to tell what would follow.
        seen: The mark that a preview told; None to act on the order as it stands.
        again: Whether to ask participants once more that have refused it before.

    Returns:
        Of a completed order the verdict is on the saga that takes it back.

    Raises:
        OrderNotFound: There is no such order.
        NotCancellable: It has ended otherwise, is being undone already, or can't be taken back; the sentence says why.
        DefinitionError: This process is not configured to run `cancel_order`; nothing was begun.
        Changed: It is not as it was `seen`.
        Busy: It changed too often meanwhile.
    """
    try:
        return await operating.cancel(
            conn, definitions, order_ledger_id, actor=actor, reason=reason, dry_run=dry_run, seen=seen
        )
    except Completed:
        pass
    # Its snapshot has this process's settings, which nobody may have registered yet.
    await definitions.register(conn)
    await definitions.look(conn)
    async with conn.transaction():
        family = await lock_family(conn, order_ledger_id)
        if family is None:
            raise OrderNotFound(f"the ledger has no order {order_ledger_id}")
        # What was begun on it meanwhile, such as a payment, is taken back with it.
        now = mark_of(family.parent, Progress.from_json(family.parent.progress), len(family.children))
        if family.parent.status is Status.CANCELLED:
            return Verdict(order_ledger_id, Status.CANCELLED, False, (), seen=now)
        found = await _begun(conn, definitions, family, now, again=again)
        if found is not None:
            return found
        start = await _start(conn, definitions, family, actor=actor, reason=reason)
        refuse_changed(family.parent, seen, now)
        verdict = await _begin(conn, definitions, family, start, now, dry_run=dry_run)
    if verdict.done:
        await ledger.wake_orchestrators(conn)
    return verdict


async def _begun(conn: ledger.Connection, definitions: Definitions, family: Family, now: str, *, again: bool) -> Verdict | None:
    """Return the verdict on what was begun before; None where something is to be begun.

    Raises:
        NotCancellable: Something else was begun on the order, or a participant has refused to have it taken back.
    """
    order, child = family.parent.order_ledger_id, family.unfinished
    if child is not None and child.saga != CANCEL_ORDER.name:
        raise NotCancellable(f"order {order} can't be cancelled before {child.saga} {child.order_ledger_id} on it has ended")
    if child is not None:
        row = (await ledger.get_rows(conn, [child.order_ledger_id]))[child.order_ledger_id]
        work = Work.of(await definitions.of(conn, row.definition_id), row)
        return Verdict(child.order_ledger_id, child.status, False, _calls(work), FINAL, seen=now)
    runs = [child for child in family.children if child.saga == CANCEL_ORDER.name]
    if runs and not again:
        row = (await ledger.get_rows(conn, [runs[-1].order_ledger_id]))[runs[-1].order_ledger_id]
        progress = Progress.from_json(row.progress)
        if any(step.state is StepState.REJECTED for step in progress.steps.values()):
            raise NotCancellable(f"order {order} can't be cancelled: {progress.reason}")
    return None


async def _start(conn: ledger.Connection, definitions: Definitions, family: Family, *, actor: str, reason: str) -> CancelOrder:
    """Return what starts the saga that takes an order back.

    Raises:
        NotCancellable: Nobody knows how to undo something that was done of it.
    """
    parent = family.parent
    completed = [child.order_ledger_id for child in family.children if child.status is Status.COMPLETED]
    rows = await ledger.get_rows(conn, completed)
    stands: Json = {}
    for row in (parent, *(rows[child] for child in completed)):
        try:
            saga = await definitions.of(conn, row.definition_id)
        except DefinitionError as error:
            raise NotCancellable(f"order {parent.order_ledger_id} can't be cancelled here: {error}") from None
        if row is parent and not saga.startable:
            raise NotCancellable(f"{saga.name} {parent.order_ledger_id} is about order {parent.parent_id}: cancel that one")
        stands |= _standing(saga, row, str(parent.order_ledger_id))
    return CancelOrder(
        order=str(parent.order_ledger_id),
        customer_id=parent.customer_id,
        currency=parent.currency,
        total_minor=parent.total_minor,
        shipment_id=stands.get("shipment_id"),
        authorization_id=stands.get("authorization_id"),
        captured=stands.get("captured", False),
        holds_stock=stands.get("holds_stock", False),
        recorded=stands.get("recorded", False),
        actor=actor,
        reason=reason,
    )


def _standing(saga: Saga[Any], row: SagaRow, order: str) -> Json:
    """Return what a completed row has done at the participants, as members of `CancelOrder`."""
    stands: Json = {}
    for step in saga.calls:
        answer = row.results.get(step.name)
        if answer is None:
            continue
        match step.action:
            case payments.authorize:
                stands["authorization_id"] = answer["authorization_id"]
            case payments.try_payment:
                stands["authorization_id"] = answer["reservation_id"]
            case payments.capture | payments.confirm_payment:
                stands["captured"] = True
            case inventory.reserve | inventory.try_stock:
                # A payment tries goods that the order itself holds: those are released with the order's.
                if answer["order_id"] == order:
                    stands["holds_stock"] = True
            case orders.create:
                stands["recorded"] = True
            case shipping.schedule:
                stands["shipment_id"] = answer["shipment_id"]
            case orders.confirm | inventory.confirm_stock:
                pass
            case _ if step.kind is not StepKind.READ_ONLY and not step.optional:
                raise NotCancellable(f"order {order} can't be cancelled: nothing takes back what {step.name} did")
    return stands


async def _begin(
    conn: ledger.Connection, definitions: Definitions, family: Family, start: CancelOrder, now: str, *, dry_run: bool
) -> Verdict:
    """Insert the saga that takes an order back, under the first free key: `cancel:ID`, then `retry:N:cancel:ID`."""
    parent = family.parent
    for number in range(RETRIES_MAX + 1):
        key = f"retry:{number}:cancel:{start.order}" if number else f"cancel:{start.order}"
        request = Request(
            order_ledger_id=order_id(family.client_id, key),
            client_id=family.client_id,
            client_request_id=key,
            request_hash=hashlib.sha256(key.encode()).digest(),
            input=start,
            metadata={},
            correlation_id=parent.correlation_id,
            traceparent=parent.traceparent,
            parent_id=parent.order_ledger_id,
        )
        if await ledger.get_rows(conn, [request.order_ledger_id]):
            continue
        # Nothing is inserted where it was configured anew since this process has looked: so it looks once, and tries again.
        for _ in range(2):
            chosen = definitions.chosen(CANCEL_ORDER.name, request.order_ledger_id)
            opening = open_order(chosen.saga, request, config_seq=chosen.config_seq)
            calls = _calls(opening.work)
            verdict = Verdict(request.order_ledger_id, opening.order.status, not dry_run, calls, FINAL, seen=now)
            if dry_run or await ledger.insert_order(conn, opening.order):
                return verdict
            await definitions.look(conn)
    raise NotCancellable(f"order {start.order} was to be cancelled {RETRIES_MAX} times already")


def _calls(work: Work) -> tuple[str, ...]:
    """Return the calls that follow: what they depend on is known when the saga starts."""
    context = Context(work.order_id, work.input, {})
    left_out = {
        step.name: StepProgress(StepState.SKIPPED)
        for step in work.saga.steps
        if step.when is not None and not step.when(context)
    }
    return preview(work, work.progress.having_all({**left_out, **work.progress.steps}), judged=True)
