"""What an optional step did is neither required nor undone, so an audit does not hold it against an order."""

from uuid import UUID

import pytest

from orchestrator.operations.audit_compare import Finding, check_order, expect
from orchestrator.operations.audit_spool import Logged, Spool
from orchestrator.sagas.deliver_order import DELIVER_ORDER
from sql.auditing import FinishedOrder
from sql.models import Status

ORDER = UUID("0198c0de-0000-8000-8000-000000000001")
INPUT = {"customer_id": "c", "currency": "GBP", "items": [{"sku": "tea", "quantity": 2, "unit_price_minor": 400}]}
PARTICIPANTS = frozenset({"orders", "inventory", "payments", "shipping", "notifications"})
STANDS = {
    "orders": {"created": 1, "confirmed": 1},
    "inventory": {"reserved": 2},
    "payments": {"captured": 800},
    "shipping": {"shipments": 1},
}
SENT = {"notifications": {"notifications": 1}}


def findings(status: Status, effects: dict[str, dict[str, int]], *done: str) -> list[Finding]:
    order = FinishedOrder(ORDER, "deliver_order", 1, status, INPUT, frozenset(done))
    expected, unchecked = expect(order, {("deliver_order", 1): DELIVER_ORDER})
    assert unchecked is None
    with Spool() as spool:  # as it comes back from the files that the audit keeps it in
        spool.put(expected)
        (read,) = [one for part in spool.partitions() for one in part.orders.values()]
    logged = [
        Logged(name, seq, f"{ORDER}:{name}:action", str(ORDER), True, "done", amounts)
        for seq, (name, amounts) in enumerate(effects.items())
    ]
    return list(check_order(read, logged, PARTICIPANTS))


@pytest.mark.parametrize("message", [{}, SENT])
def test_a_message_may_be_there_or_not(message: dict[str, dict[str, int]]) -> None:
    assert findings(Status.COMPLETED, {**STANDS, **message}) == []
    assert findings(Status.CANCELLED, message) == []


def test_everything_else_of_the_order_has_to_stand() -> None:
    assert [(check, row["account"]) for check, row in findings(Status.COMPLETED, {**STANDS, "shipping": {}})] == [
        ("effects_completed_stand", "shipping.shipments")
    ]
    assert [(check, row["account"]) for check, row in findings(Status.FAILED, {"shipping": {"shipments": 1}})] == [
        ("effects_undone_net_zero", "shipping.shipments")
    ]


def test_a_message_that_the_ledger_knows_of_has_to_be_there() -> None:
    (found,) = findings(Status.COMPLETED, STANDS, "send_notification")

    assert (found[0], found[1]["operation_key"]) == ("effects_action_once", f"{ORDER}:send_notification:action")
