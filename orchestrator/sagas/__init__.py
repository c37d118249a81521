"""The sagas that ship."""

from typing import Any, Final

from orchestrator.saga import Saga
from orchestrator.sagas.cancel_order import CANCEL_ORDER
from orchestrator.sagas.checkout_tcc import CHECKOUT_TCC
from orchestrator.sagas.deliver_order import DELIVER_ORDER
from orchestrator.sagas.pay_order import PAY_ORDER, PLACE_UNPAID_ORDER
from orchestrator.sagas.place_order import PLACE_ORDER

SHIPPED: Final[tuple[Saga[Any], ...]] = (
    PLACE_ORDER,
    DELIVER_ORDER,
    CHECKOUT_TCC,
    PLACE_UNPAID_ORDER,
    PAY_ORDER,
    CANCEL_ORDER,
)
