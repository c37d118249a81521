"""What the clients were told, held against the ledger: nothing that was acknowledged may be missing, doubled or different."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from orchestrator.identity import order_id
from tests.chaos.auditor import Violation
from tests.chaos.generator import Json, Plan, total_minor
from tests.chaos.recorder import ORDER_TOLD, Recorded, Recorder, digest

ORDERS: Final = """
    select order_ledger_id::text, client_id, client_request_id, status, total_minor, customer_id, response_status,
        response_body, parent_id is not null as by_operator from order_ledger
"""
TERMINAL: Final = frozenset({"COMPLETED", "FAILED", "CANCELLED", "DECLINED"})
EXPECTED: Final = {
    "order": {200, 202, 402, 409, 422, 503},
    "other body": {200, 202, 402, 409, 422, 503},
    "no order": {400, 422, 503},
    "cancel": {200, 202, 404, 409, 503},
    "read": {200, 503},
}
"""Answers that a client may get; a 404 to a read of an acknowledged order or any 500 is none of them."""


def check_history(recorder: Recorder, plans: Mapping[tuple[str, str], Plan], rows: Sequence[Json]) -> Iterator[Violation]:
    """Find everything that clients were told and that is not so.

    Args:
        recorder: Every call.
        plans: By client and key.
        rows: The whole ledger, as `ORDERS` reads it.
    """
    ledger = {(row["client_id"], row["client_request_id"]): row for row in rows}
    for call in recorder.calls:
        if call.status is not None and call.status not in EXPECTED[call.kind]:
            yield Violation(f"a client was answered {call.status} to a call of kind {call.kind!r}: {call}", call.order)
    for who, calls in recorder.by_key().items():
        yield from _check_key(plans[who], calls, ledger.get(who))
    for who, row in ledger.items():
        if who not in plans and not row["by_operator"]:
            yield Violation(f"an order that nobody asked for: {row}", row["order_ledger_id"])
    yield from _check_last_units(plans, ledger)


def _check_key(plan: Plan, calls: Sequence[Recorded], row: Json | None) -> Iterator[Violation]:
    told = [call for call in calls if call.kind in ("order", "other body") and call.status in (*ORDER_TOLD, 200)]
    frozen = [call for call in told if call.status in ORDER_TOLD]
    order = str(order_id(plan.client, plan.key))
    if row is None:
        for call in told:
            yield Violation(f"lost: acknowledged and not in the ledger: {call}", order)
        return
    if row["order_ledger_id"] != order or any(call.order != order for call in told):
        yield Violation(f"not the one id of its key: {row['order_ledger_id']}, told {[c.order for c in told]}", order)
    if len({call.answer_hash for call in frozen}) > 1:
        yield Violation(f"one key was answered in different ways: {frozen}", order)
    if frozen:
        stored = digest([row["response_status"], row["response_body"], f"/orders/{order}"])
        if stored != frozen[-1].answer_hash:
            yield Violation(f"the stored answer is not the one that was told: {row}", order)
    bodies = {digest(body): body for body in (plan.body, plan.other_body) if body}
    if len({call.body_hash for call in told}) > 1:
        yield Violation(f"two orders were acknowledged under one key: {told}", order)
    for call in told:
        body = bodies[call.body_hash]
        if (row["total_minor"], row["customer_id"]) != (total_minor(body), body["customer_id"]):
            yield Violation(f"another order than the acknowledged one stands under the key: {row}", order)
    yield from _check_end(plan, calls, told, row)


def _check_end(plan: Plan, calls: Sequence[Recorded], told: Sequence[Recorded], row: Json) -> Iterator[Violation]:
    order, status = row["order_ledger_id"], row["status"]
    if status not in TERMINAL:
        yield Violation(f"not finished: {status}", order)
    if any(call.status == 402 for call in told) and status != "DECLINED":
        yield Violation(f"told that it was declined, and it is {status}", order)
    if not plan.payable and status == "COMPLETED":
        yield Violation("completed without a payment", order)
    if any(call.kind == "cancel" and call.status in (200, 202) for call in calls) and status == "COMPLETED":
        yield Violation("told that it is cancelled, and it is COMPLETED", order)


def _check_last_units(plans: Mapping[tuple[str, str], Plan], ledger: Mapping[tuple[Any, Any], Json]) -> Iterator[Violation]:
    holders: dict[str, list[str]] = {}
    for who, row in ledger.items():
        # An order that an operator placed again is found by the key that it had first.
        plan = plans.get(who) or plans.get((who[0], who[1].partition(":")[2].partition(":")[2]))
        if plan is not None and plan.rare and row["status"] == "COMPLETED":
            holders.setdefault(plan.rare, []).append(row["order_ledger_id"])
    for sku, orders in holders.items():
        if len(orders) > 1:
            yield Violation(f"the last unit of {sku} was sold {len(orders)} times: {orders}", orders[0])
