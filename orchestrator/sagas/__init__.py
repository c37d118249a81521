"""The sagas that ship."""

from typing import Any, Final

from orchestrator.saga import Saga
from orchestrator.sagas.deliver_order import DELIVER_ORDER
from orchestrator.sagas.place_order import PLACE_ORDER

SHIPPED: Final[tuple[Saga[Any], ...]] = (PLACE_ORDER, DELIVER_ORDER)
