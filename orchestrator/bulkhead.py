"""How many calls one replica has on their way to one participant: so many, and a slow one can't starve the others.

A saga that finds every slot taken stands in line if its turn comes within a moment, as calls have gone of late. Else it gives
way: it is told when its turn may come, and is given back until then, so that it holds neither a place in the replica nor a
lease. So a fast participant is called without a break, and a slow one holds up nobody.

After a recovery the slots come back one by one: one call at once, then two, four, … until all are there. Each replica
counts for itself, so a fleet begins with as many calls as it has replicas.
"""

import asyncio
import time
from collections import deque
from typing import Final

LINE_WAIT_S: Final = 0.5
"""A saga joins a line that is expected to take no longer than this, and leaves one that has not moved for so long."""
LINE_MAX_S: Final = 5.0
"""Nobody stands in a line longer, even if it moves."""
TURN_MIN_S: Final = 0.05
TURN_MAX_S: Final = 5.0
"""A participant may become fast again: nobody is sent away for longer."""
_WEIGHT: Final = 0.2
"""Of the last call in the running mean of their durations."""


class Bulkhead:
    """The slots of one participant.

    Args:
        limit: Most calls on their way at once, at least 1.

    Attributes:
        limit: May be changed while calls are on their way.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._ramp: int | None = None  # slots while they come back after a recovery
        self._answers = 0  # since the ramp was last widened
        self._busy = 0
        self._line: deque[asyncio.Future[None]] = deque()
        self._call_s = 0.0
        self._moved_s = time.monotonic()  # when a slot was last taken or given back
        self._next_turn_s = 0.0

    @property
    def width(self) -> int:
        """Calls that may be on their way now."""
        return self.limit if self._ramp is None else min(self._ramp, self.limit)

    def enter_at_once(self) -> bool:
        """Take a slot that is free; False when there is none. One that was taken is given back by `leave`."""
        if self._line or self._busy >= self.width:
            return False
        self._take()
        return True

    async def enter(self) -> bool:
        """Take a slot, if its turn comes within a moment; False when there is none for this saga now."""
        if self.enter_at_once():
            return True
        if self._wait_s() > LINE_WAIT_S:
            return False
        place = asyncio.get_running_loop().create_future()
        self._line.append(place)
        try:
            until_s = time.monotonic() + LINE_MAX_S
            while not place.done() and self._stood_s() <= LINE_WAIT_S and time.monotonic() < until_s:
                await asyncio.wait([place], timeout=LINE_WAIT_S)
        except asyncio.CancelledError:
            if place.done():
                self._free()
            raise
        finally:
            if not place.done():
                self._line.remove(place)
        return place.done()

    def force(self) -> None:
        """Take a slot whether or not there is one: for the trial call of a breaker."""
        self._take()

    def leave(self, call_s: float | None = None, *, answered: bool = False) -> None:
        """Give a slot back.

        Args:
            call_s: How long the call took; None when none was made.
            answered: Whether the participant gave an answer.
        """
        if call_s is not None:
            self._call_s += _WEIGHT * (call_s - self._call_s)
        if answered and self._ramp is not None:
            self._answers += 1
            if self._answers >= self._ramp:
                self._answers, self._ramp = 0, self._ramp * 2
                if self._ramp >= self.limit:
                    self._ramp = None
        self._free()

    def recover(self) -> None:
        """Begin with one call at once; the participant is back."""
        self._ramp, self._answers = 1, 0

    def turn_s(self) -> float:
        """Return the seconds after which a saga that found no slot may find one, each a little later than the one before."""
        now_s = time.monotonic()
        turn_s = max(self._next_turn_s, now_s + self._stood_s()) + self._call_s / self.width
        self._next_turn_s = min(turn_s, now_s + TURN_MAX_S)
        return max(self._next_turn_s - now_s, TURN_MIN_S)

    def _wait_s(self) -> float:
        """Return how long the next in line would wait."""
        return max((len(self._line) + 1) * self._call_s / self.width, self._stood_s())

    def _stood_s(self) -> float:
        """Return for how long no slot has changed hands: what calls take that have not ended is not in their mean yet."""
        return time.monotonic() - self._moved_s

    def _take(self) -> None:
        self._busy += 1
        self._moved_s = time.monotonic()

    def _free(self) -> None:
        self._busy -= 1
        self._moved_s = time.monotonic()
        while self._line and self._busy < self.width:
            self._take()
            self._line.popleft().set_result(None)
