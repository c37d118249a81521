"""What a preview holds for: a mark of the state that it was made of, which the act gives back.

Somebody else may have acted between the two, and then the same verb does something else: the retry of a STUCK order that was
resolved as FAILED meanwhile would place it anew. So a mark changes with what people do and with the status. It does not change
with each step of an order that goes on by itself: nobody would ever be quick enough to pause one.
"""

from orchestrator.progress import Progress
from orchestrator.verdict import Changed
from sql.models import TERMINAL, SagaRow


def mark_of(row: SagaRow, progress: Progress, about: object = None) -> str:
    """Return the mark of an order's state.

    Of one that nothing moves before an operator does, it has the position of the journal; of another one the round, and
    whether it is being cancelled.

    Args:
        row: The order.
        progress: Its state.
        about: What else the verb hangs on, such as the step that it leaves out; None for nothing.
    """
    if row.status in TERMINAL or progress.halted:
        parts = [row.status, str(row.last_seq)]
    else:
        parts = [row.status, f"round{progress.round}", *(["cancelling"] if progress.cancelling else [])]
    return "-".join([*parts, *([] if about is None else [str(about)])])


def refuse_changed(row: SagaRow, seen: str | None, now: str) -> None:
    """Have a verb refused that was decided on by another state.

    Args:
        row: The order, as the verb is about to be written on it.
        seen: The mark that the preview told; None from who has not looked, or does not mind.
        now: The mark of the order's state.

    Raises:
        Changed: It is another one.
    """
    if seen is not None and seen != now:
        raise Changed(f"order {row.order_ledger_id} has changed since you looked at it, and is {row.status} now: look again")
