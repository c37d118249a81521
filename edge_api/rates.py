"""How often one who asks may ask: a bucket of tokens for each name, refilled at a steady pace. It reads no clock.

Each process counts for itself, in memory: a request costs no look at the database, and with several edges a client may ask
as often at each of them.
"""

from typing import Final

NAMES_MAX: Final = 10_000
"""Names that one process remembers; about 2 MB of memory."""


class Rates:
    """Buckets by name; one that is not known is full.

    Of more than `names_max` names, who asked longest ago is forgotten: at worst somebody gets a full bucket too early, while
    nobody ever is refused for what others do, nor memory is.

    Args:
        per_s: Tokens that a bucket gets each second.
        burst: Tokens that it holds.
        names_max: Most names.
    """

    def __init__(self, per_s: float, burst: int, *, names_max: int = NAMES_MAX) -> None:
        self._interval_s = 1 / per_s
        # What a name has taken, as the time at which its bucket will be full again; in the order of its last taking.
        self._full_at_s: dict[str, float] = {}
        self._spread_s = burst / per_s
        self._names_max = names_max

    def take(self, name: str, now_s: float) -> float:
        """Take a token.

        Args:
            name: Who asks.
            now_s: Now, on a clock that never goes back.

        Returns:
            Seconds until there is a token again: 0 when one was taken, more when there was none.
        """
        wait_s = self._until_taken(name, now_s)
        # A rounding of the clock's fractions is no reason to refuse somebody who keeps to the pace.
        if wait_s > self._interval_s * 1e-6:
            return wait_s
        self._take(name, now_s)
        return 0.0

    def take_turn(self, name: str, now_s: float, *, wait_max_s: float) -> float:
        """Take the next token that nobody has taken, which may not be there yet.

        Args:
            name: Who waits.
            now_s: Now, on a clock that never goes back.
            wait_max_s: The longest wait.

        Returns:
            Seconds until the token is there; `wait_max_s` where it takes longer, and then none was taken.
        """
        wait_s = self._until_taken(name, now_s)
        if wait_s > wait_max_s:
            return wait_max_s
        self._take(name, now_s)
        return max(wait_s, 0.0)

    def _until_taken(self, name: str, now_s: float) -> float:
        return max(self._full_at_s.get(name, now_s), now_s) + self._interval_s - now_s - self._spread_s

    def _take(self, name: str, now_s: float) -> None:
        full_at_s = max(self._full_at_s.pop(name, now_s), now_s) + self._interval_s
        self._full_at_s[name] = full_at_s
        if len(self._full_at_s) > self._names_max:
            del self._full_at_s[next(iter(self._full_at_s))]

    def __len__(self) -> int:
        return len(self._full_at_s)
