"""A claim as long as a replica works on it: how long its lease holds, and how late it is."""

import time
from dataclasses import dataclass, field

from orchestrator.work import Moment
from sql.models import Claim
from sql.tracing import Span


@dataclass
class Hold:
    """A claim as long as it is worked on.

    Attributes:
        claim: What is held.
        ends_at_s: Monotonic time at which the lease surely still holds.
        suspect: Whether owner after owner let the lease run out, and there was no sign of life since.
        began_at_s: Monotonic time of the claim.
        attempts: Calls that have ended and whose outcomes are not written yet, as traces tell them; none where they are off.
    """

    claim: Claim
    ends_at_s: float
    suspect: bool = False
    began_at_s: float = field(default_factory=time.monotonic)
    attempts: list[Span] = field(default_factory=list)

    @property
    def left_s(self) -> float:
        """Seconds for which the lease surely still holds."""
        return self.ends_at_s - time.monotonic()

    @property
    def moment(self) -> Moment:
        """Now, by the database's clock."""
        since_s = time.monotonic() - self.began_at_s
        return Moment(self.claim.age_s + since_s, self.claim.now_s + since_s)

    @property
    def deadline_in_s(self) -> float | None:
        """Seconds until the order's deadline, negative past it; None where it has none."""
        left_s = self.claim.deadline_in_s
        return None if left_s is None else left_s - (time.monotonic() - self.began_at_s)

    def is_overdue(self, by_s: float = 0.0) -> bool:
        """Tell whether the order's deadline passed, so many seconds ago at least."""
        left_s = self.deadline_in_s
        return left_s is not None and left_s <= -by_s
