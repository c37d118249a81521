"""The log that every participant keeps of what it really did; audits read it.

An effect is a set of postings, as in double-entry bookkeeping: each names an account of the participant and by how much
it changed for that order. What was undone nets to zero in every account; what stands after a completed saga is what its
definition says. Units of money are minor units, all others are pieces.
"""

from pydantic import AwareDatetime, ConfigDict

from participants.contracts.endpoint import Answer


class Effect(Answer):
    """One thing that a participant did.

    Attributes:
        seq: Position in the participant's log, growing; the cursor of `GET /effects?after=`.
        operation_key: The Idempotency-Key of the call that did it.
        order_id: The order it was done for.
        kind: What was done: `authorized`, `captured`, `voided`, `refunded`, `order_created`, `stock_reserved`, …
        amounts: Change of each account, for example `{"authorized": -1500, "captured": 1500}`.
        at: When, by the participant's database clock.
    """

    model_config = ConfigDict(frozen=True, extra="ignore", strict=False)

    seq: int
    operation_key: str
    order_id: str
    kind: str
    amounts: dict[str, int]
    at: AwareDatetime


class EffectPage(Answer):
    """One page of the log, oldest first.

    Attributes:
        effects: At most 1,000.
        next_after: Cursor of the next page; None when this was the last.
    """

    model_config = ConfigDict(frozen=True, extra="ignore", strict=False)

    effects: tuple[Effect, ...]
    next_after: int | None
