"""The breaker of one participant as a state machine. Pure: no clock, no randomness, no IO.

::

    closed ──too many Unknown among the last calls──▶ open ──its time is over──▶ half_open: one trial in the fleet
      ▲  ▲ ◀──────────── the trial was answered ─────────────────────────────────────┘ │
      │  │                                             ▲───────── it was not, or can't be told ┘
      │  └─ reset ── held ◀─ hold ── any state

A rejection is an answer: only Unknown counts against a participant. Times are durations, measured by the database's clock
when the row was read; the database adds them to its clock when it is written.
"""

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

from orchestrator.outcome import Outcome, Unknown

ANSWERED: Final = "."
UNCLEAR: Final = "x"
TRIAL_MARGIN_S: Final = 1.0
"""A trial whose call should have ended this long ago lost its owner, and is given to another."""


class State(StrEnum):
    """Where a breaker stands; the values of `participant_breaker.state`, and in this order those of the metric."""

    CLOSED = "closed"
    """Calls are made."""
    HALF_OPEN = "half_open"
    """One call is on its way to find out whether the participant is back."""
    OPEN = "open"
    """No call is made for a while."""
    HELD = "held"
    """No call is made until an operator says so."""


@dataclass(frozen=True, slots=True)
class Policy:
    """When a breaker opens, and for how long.

    Attributes:
        window: How many of the last calls count.
        threshold: Share of the window that must have ended Unknown; calls that were never made count as answered.
        open_s: Seconds without a call.
    """

    window: int = 10
    threshold: float = 0.5
    open_s: float = 30.0


@dataclass(frozen=True, slots=True)
class Circuit:
    """One breaker, as its row is at the moment of reading.

    Attributes:
        state: Where it stands.
        recent: The last calls that were reported, oldest first: `.` answered, `x` Unknown.
        opened_for_s: Seconds since it opened; 0 where it is not open.
        trial_left_s: Seconds until the trial is given to another; 0 where there is none.
        actor, reason: Who held or reset it, and why; None where it went by itself since.
    """

    state: State = State.CLOSED
    recent: str = ""
    opened_for_s: float = 0.0
    trial_left_s: float = 0.0
    actor: str | None = None
    reason: str | None = None

    def aged(self, seconds: float) -> "Circuit":
        """Return it as it is that much later, if nobody changed it meanwhile."""
        opened_for_s = self.opened_for_s + seconds if self.state is State.OPEN else 0.0
        return replace(self, opened_for_s=opened_for_s, trial_left_s=max(self.trial_left_s - seconds, 0.0))


def mark_of(outcome: Outcome) -> str:
    """Return how an outcome is reported."""
    return UNCLEAR if isinstance(outcome, Unknown) else ANSWERED


def wait_s(circuit: Circuit, policy: Policy) -> float:
    """Return the seconds until a call may be made, or until it is worth asking again; 0 for now."""
    match circuit.state:
        case State.CLOSED:
            return 0.0
        case State.OPEN:
            return max(policy.open_s - circuit.opened_for_s, 0.0)
        case State.HALF_OPEN:
            return circuit.trial_left_s
        case State.HELD:
            return policy.open_s


def reported(circuit: Circuit, marks: str, policy: Policy) -> Circuit:
    """Return the breaker after more calls have ended; only a closed one minds, for the others they are late."""
    if circuit.state is not State.CLOSED:
        return circuit
    recent = (circuit.recent + marks)[-policy.window :]
    if recent.count(UNCLEAR) >= policy.threshold * policy.window:
        return Circuit(State.OPEN, recent)
    return replace(circuit, recent=recent)


def tried(circuit: Circuit, policy: Policy, call_s: float) -> Circuit:
    """Return the breaker with the fleet's one trial taken, for a call of so many seconds; the same where none is due."""
    if circuit.state not in (State.OPEN, State.HALF_OPEN) or wait_s(circuit, policy) > 0:
        return circuit
    return Circuit(State.HALF_OPEN, circuit.recent, trial_left_s=call_s + TRIAL_MARGIN_S)


def concluded(circuit: Circuit, mark: str) -> Circuit:
    """Return the breaker after a trial; what somebody did to it meanwhile stands."""
    if circuit.state is not State.HALF_OPEN:
        return circuit
    return Circuit() if mark == ANSWERED else Circuit(State.OPEN, circuit.recent)


def held(circuit: Circuit, actor: str, reason: str) -> Circuit:
    """Return the breaker held open by an operator."""
    return Circuit(State.HELD, circuit.recent, actor=actor, reason=reason)


def reset(actor: str, reason: str) -> Circuit:
    """Return the breaker closed by an operator; what was counted is forgotten."""
    return Circuit(State.CLOSED, actor=actor, reason=reason)
