"""Which verbs an order's state offers to an operator, so that a page has buttons for these and no others.

It is told from one look at the row: a verb decides for itself once more, under the row's fence, and says why it refuses.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from orchestrator.asked import skippable
from orchestrator.operating import CANCELLABLE
from orchestrator.progress import Progress
from orchestrator.saga import Saga
from orchestrator.undoing import is_committed
from sql.models import TERMINAL, SagaRow, Status


@dataclass(frozen=True, slots=True)
class Offer:
    """A verb that is not refused as the order stands.

    Attributes:
        verb: As in the address of its route.
        steps: Those that it can be done to; none where it is done to the whole order.
    """

    verb: str
    steps: tuple[str, ...] = ()


def offered(saga: Saga[Any], row: SagaRow) -> tuple[Offer, ...]:
    """Return what an operator may do to an order.

    Args:
        saga: What it runs on.
        row: Where it stands.

    Raises:
        KeyError, TypeError, ValueError: The row does not fit the saga.
    """
    return tuple(_offered(saga, row, Progress.from_json(row.progress)))


def _offered(saga: Saga[Any], row: SagaRow, progress: Progress) -> Iterator[Offer]:
    if row.status is Status.STUCK or (row.status is Status.FAILED and saga.startable):
        yield Offer("retry")
    if row.status in TERMINAL:
        if row.status is Status.COMPLETED and saga.startable:
            yield Offer("cancel")
        return
    if progress.paused:
        yield Offer("resume")
    elif row.status is not Status.STUCK:
        yield Offer("pause")
    if steps := skippable(saga, progress):
        yield Offer("skip-step", steps)
    # A call that is on its way when an order is put aside has no owner any more: the verb ends it.
    if progress.stuck is not None or (progress.paused and not progress.on_its_way):
        yield Offer("resolve")
    if row.status in CANCELLABLE and not progress.cancelling and not is_committed(saga, progress):
        yield Offer("cancel")
