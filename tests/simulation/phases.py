"""Where a replica stands with the order, and why it gives one up."""

from enum import Enum, IntEnum
from typing import Final

GIVEN_UP: Final = ("its deadline has passed", "does not wait", "can't be undone in time")


class Mode(Enum):
    """Whether a process runs."""

    UP = "up"
    FROZEN = "frozen"
    DOWN = "down"


class Phase(IntEnum):
    """Where a replica stands with the order; a crash is counted under it."""

    IDLE = 0
    WRITING = 1
    UNCERTAIN = 2
    CALLING = 3
    AWAITING = 4

    @property
    def words(self) -> str:
        """Return it as people say it."""
        return _WORDS[self]


_WORDS: Final = {
    Phase.IDLE: "with nothing in hand",
    Phase.WRITING: "before a write",
    Phase.UNCERTAIN: "with a commit unanswered",
    Phase.CALLING: "between intent and call",
    Phase.AWAITING: "during a call",
}
