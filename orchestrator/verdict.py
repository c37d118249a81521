"""What somebody is told who asked something of an order: what it did, or why it was refused."""

from dataclasses import dataclass, field
from uuid import UUID

from sql.ledger import LedgerError
from sql.models import Status


class NotAllowed(LedgerError):
    """The order's state does not allow what is asked; nothing was changed."""


class NotRetryable(NotAllowed):
    """The order is neither stuck nor failed; nothing was changed."""


class NotCancellable(NotAllowed):
    """The order has ended, or is being undone already; nothing was changed."""


class Completed(NotCancellable):
    """The order has completed: it can't be turned round any more, only be taken back (`cancelling.py`)."""


class Changed(NotAllowed):
    """The order is not as it was when somebody looked at it and decided; nothing was changed."""


class Unreadable(NotRetryable, NotCancellable):
    """What the ledger says of the order does not fit its definition; nothing was changed."""


class Busy(LedgerError):
    """The order changed again and again while the verb was being written; nothing was changed."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a verb did, or would do.

    Attributes:
        order_ledger_id: The order that goes on: the one that was named, or the new one that takes its place.
        status: Where it stands after the verb.
        done: False for a preview, or when the verb had been done before.
        calls: The calls that follow if every one succeeds, in order: method, participant and path.
        irreversible: What of the order can't be undone any more, in sentences.
        paused: Whether it is on hold after the verb; then the calls follow once it is resumed.
        seen: Mark of the state that it was made of (`seen.py`).
    """

    order_ledger_id: UUID
    status: Status
    done: bool
    calls: tuple[str, ...]
    irreversible: tuple[str, ...] = ()
    paused: bool = False
    seen: str = field(kw_only=True)
