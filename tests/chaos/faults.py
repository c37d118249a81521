"""What goes wrong with which call: a pure function of the seed, the operation and how often it was called.

So the same seed strikes the same calls, whatever the order in which they come.
"""

import hashlib
import random
from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class Fault(StrEnum):
    """What happens to one call on its way to a participant and back.

    The first ones never reach the participant; `LATE` reaches it after the undo; the others reach it, and only the answer
    is lost or spoilt.
    """

    ERROR_BEFORE = "500 before the effect"
    DROP_BEFORE = "dropped before the effect"
    BUSY = "503 with any Retry-After"
    FORBIDDEN = "401"
    ACCEPTED = "202, later"
    LATE = "arrives after its undo"
    SILENCE = "time is over after the effect"
    ERROR_AFTER = "500 after the effect"
    DROP_AFTER = "dropped after the effect"
    RESET_AFTER = "reset after the effect"
    CUT = "closed in mid-body"
    DRIP = "drips"
    GARBAGE = "garbage"
    BOMB = "300 MB"
    GZIP = "gzip bomb"
    HEADERS = "10,000 headers"
    LONG_LINE = "1 MB in a header"
    REDIRECT = "redirect to another host"
    OTHER = "another order's answer"
    TWICE = "delivered twice at once"
    SLOW = "slow"
    UNREACHABLE = "participant away"


BEFORE: Final = (Fault.ERROR_BEFORE, Fault.DROP_BEFORE, Fault.BUSY, Fault.FORBIDDEN, Fault.ACCEPTED)
SPOILT: Final = (
    Fault.SILENCE,
    Fault.ERROR_AFTER,
    Fault.DROP_AFTER,
    Fault.RESET_AFTER,
    Fault.CUT,
    Fault.DRIP,
    Fault.GARBAGE,
    Fault.BOMB,
    Fault.GZIP,
    Fault.HEADERS,
    Fault.LONG_LINE,
    Fault.REDIRECT,
    Fault.OTHER,
)
HARMLESS: Final = (Fault.TWICE, Fault.SLOW)
"""The caller gets the right answer."""
EXPENSIVE: Final = frozenset({Fault.BOMB, Fault.GZIP, Fault.HEADERS, Fault.LONG_LINE})
"""Cost the caller's processor so much that they come more seldom."""

STEPS: Final = ("authorize_payment", "create_order", "reserve_inventory", "capture_payment", "confirm_order")
UNDONE_BY: Final = {"confirm_order": "create_order"}
"""Steps that another step's compensation undoes."""


class Doom(StrEnum):
    """What becomes of one step of an order, in every attempt, while faults are on."""

    NONE = "none"
    NEVER = "never done"
    UNHEARD = "done, and its answer never heard"
    LATE = "done after its undo"
    STUCK = "never done, and a step before it never undone"


@dataclass(frozen=True, slots=True)
class Fate:
    """What is in store for an order.

    Attributes:
        doom: Of which kind.
        step: The step whose action is struck.
        undo: The step whose compensation is struck; None for none.
    """

    doom: Doom = Doom.NONE
    step: str = ""
    undo: str | None = None


@dataclass(frozen=True, slots=True)
class Odds:
    """How much goes wrong.

    Attributes:
        fault: Share of calls that are struck.
        doom: Share of orders that a step of is struck in every attempt.
        expensive: Share of the expensive faults that are really dealt.
    """

    fault: float = 0.08
    doom: float = 0.02
    expensive: float = 0.2


@dataclass(frozen=True, slots=True)
class Operation:
    """What an idempotency key of the ledger names: `ORDER:STEP:DIRECTION`."""

    order: str
    step: str
    direction: str

    @staticmethod
    def of(key: str) -> "Operation | None":
        parts = key.split(":")
        return Operation(*parts) if len(parts) == 3 and parts[2] in ("action", "compensation") else None

    @property
    def undo_key(self) -> str:
        """The key of the compensation that undoes it."""
        return f"{self.order}:{UNDONE_BY.get(self.step, self.step)}:compensation"


class Faults:
    """Deals faults out.

    Args:
        seed: Of the run.
        odds: How much goes wrong.
    """

    def __init__(self, seed: int, odds: Odds) -> None:
        self._seed = seed
        self._odds = odds

    def fate(self, order: str) -> Fate:
        """Return what is in store for an order."""
        dice = self._dice("fate", order)
        if dice.random() >= self._odds.doom:
            return Fate()
        doom = dice.choice((Doom.NEVER, Doom.UNHEARD, Doom.LATE, Doom.STUCK))
        if doom is not Doom.STUCK:
            return Fate(doom, dice.choice(STEPS))
        step = dice.choice(STEPS[1:])
        return Fate(doom, step, dice.choice(STEPS[: STEPS.index(step)]))

    def strike(self, operation: Operation, number: int) -> Fault | None:
        """Return what happens to a call; None for nothing.

        Args:
            operation: What is called.
            number: Calls of it that came before.
        """
        dice = self._dice("call", f"{operation.order}:{operation.step}:{operation.direction}:{number}")
        fate = self.fate(operation.order)
        if operation.direction == "action" and operation.step == fate.step:
            if fate.doom is Doom.LATE:
                return Fault.LATE
            return dice.choice(SPOILT[:4] if fate.doom is Doom.UNHEARD else BEFORE)
        if operation.direction == "compensation" and operation.step == fate.undo:
            return dice.choice(BEFORE)
        if dice.random() >= self._odds.fault:
            return None
        fault = dice.choice(BEFORE + SPOILT + HARMLESS)
        return Fault.SLOW if fault in EXPENSIVE and dice.random() >= self._odds.expensive else fault

    def flap(self, operation: Operation, number: int) -> Fault | None:
        """Return what a participant does that fails every second call."""
        dice = self._dice("flap", f"{operation.order}:{operation.step}:{operation.direction}:{number}")
        return dice.choice((Fault.ERROR_BEFORE, Fault.ERROR_AFTER)) if dice.random() < 0.5 else None

    def _dice(self, purpose: str, about: str) -> random.Random:
        digest = hashlib.sha256(f"{self._seed}/{purpose}/{about}".encode()).digest()
        return random.Random(digest)
