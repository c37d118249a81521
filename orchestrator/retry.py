"""How often a call is tried, and how long is waited between; apart from steps, because settings need nothing else of them."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Retry:
    """How a transient failure is repeated.

    Attributes:
        first_s: Seconds before the second attempt.
        factor: Each further wait is this many times the one before.
        attempts_max: Attempts in all; after the last one the saga is undone, or STUCK where it can't be.
        wait_max_s: No wait is longer, in seconds; None for no cap.
    """

    first_s: float = 1.0
    factor: float = 4.0
    attempts_max: int = 5
    wait_max_s: float | None = None

    def delay_s(self, failed_attempts: int) -> float:
        """Return the wait after so many failed attempts (from 1), without jitter."""
        # Beyond that many doublings a float overflows; a cap has been reached long before.
        wait_s = self.first_s * self.factor ** min(failed_attempts - 1, 200)
        return wait_s if self.wait_max_s is None else min(wait_s, self.wait_max_s)

    def budget_s(self, call_timeout_s: float) -> float:
        """Return the longest time a step may take with all its attempts."""
        waits = sum(self.delay_s(attempt) for attempt in range(1, self.attempts_max))
        return waits + self.attempts_max * call_timeout_s
