"""Paying for an order that was placed without payment: when that can be begun, and how.

A payment is begun under the lock of the order's row (`sql/families.py`), so an order is neither paid twice nor paid while
somebody cancels it.
"""

from datetime import datetime

import msgspec

from orchestrator.sagas.orders import PlaceOrder
from orchestrator.sagas.pay_order import PAY_ORDER, PLACE_UNPAID_ORDER, PayOrder
from sql import ledger
from sql.families import Family, lock_family
from sql.ledger import LedgerError, OrderNotFound
from sql.models import NewOrder, SagaRow, Status


class NotPayable(LedgerError):
    """There is nothing of the order to pay for now; nothing was changed."""


def payment_of(row: SagaRow, payment_method: str) -> PayOrder:
    """Return what pays an order.

    Args:
        row: The order.
        payment_method: Token of the payment method.

    Raises:
        NotPayable: It is no order that is paid for after it was placed.
    """
    if row.saga != PLACE_UNPAID_ORDER.name:
        raise NotPayable(f"order {row.order_ledger_id} is not paid for later: its saga is {row.saga}")
    # Whatever version of its saga the order ran on, and whatever personal data of it were erased since.
    placed = PlaceOrder.model_validate_json(msgspec.json.encode({**row.input, **row.personal}))
    return PayOrder.of(str(row.order_ledger_id), placed, payment_method)


async def insert_payment(conn: ledger.Connection, order: NewOrder) -> datetime | None:
    """Insert a run of `pay_order` if the order that it is about can be paid for.

    Returns:
        As `ledger.insert_order`: None for a repeat of a payment that was begun before, whatever became of it.

    Raises:
        OrderNotFound: There is no such order any more.
        NotPayable: It can't be paid for now.
    """
    assert order.parent_id is not None
    async with conn.transaction():
        family = await lock_family(conn, order.parent_id)
        if family is None:
            raise OrderNotFound(f"the ledger has no order {order.parent_id}")
        if all(child.order_ledger_id != order.order_ledger_id for child in family.children):
            _check(family)
        return await ledger.insert_order(conn, order)


def _check(family: Family) -> None:
    parent = family.parent
    if parent.status is not Status.COMPLETED:
        raise NotPayable(f"order {parent.order_ledger_id} is {parent.status} and can't be paid for")
    if family.completed(PAY_ORDER.name) is not None:
        raise NotPayable(f"order {parent.order_ledger_id} is paid for")
    if (child := family.unfinished) is not None:
        raise NotPayable(f"{child.saga} {child.order_ledger_id} on order {parent.order_ledger_id} has not ended")
