"""The ledger in memory: one order's row and journal, under the rules of `sql/queries/ledger.sql` and of its constraints.

Statements are atomic, as in the database. Whatever the real constraints would refuse is a broken rule here: the core never
may ask for it.
"""

from typing import Final

from sql.models import Entry, Kind, Status
from tests.simulation.core import Decision, State
from tests.simulation.invariants import Broken, Invariants

LEASE_S: Final = 30.0
_WITH_LEASE: Final = frozenset({Status.RECEIVED, Status.PENDING, Status.RUNNING, Status.COMPENSATING})


class Row:
    """`order_ledger`, the columns that decide anything; times in seconds of the ledger's clock."""

    __slots__ = ("answer", "deadline_at", "epoch", "expires_at", "lapses", "last_seq", "owner", "retry_at", "state")

    def __init__(self, state: State, owner: str | None, expires_at: float | None, deadline_at: float | None) -> None:
        self.state = state
        self.owner = owner
        self.epoch = 1
        self.expires_at = expires_at
        self.deadline_at = deadline_at
        self.retry_at: float | None = None
        self.last_seq = 0
        self.lapses = 0
        self.answer: int | None = None

    def due_at(self) -> float | None:
        """The generated column; None for never."""
        if self.state.terminal or self.state.paused or self.state.status is Status.STUCK:
            return None
        return max(self.expires_at or 0.0, self.retry_at or 0.0)


class Ledger:
    """Holds one order.

    Args:
        invariants: Looks at everything that is written.
    """

    def __init__(self, invariants: Invariants) -> None:
        self.row: Row | None = None
        self.journal: list[tuple[int, str, Entry]] = []
        self.history: list[int] = []
        self._invariants = invariants
        self._unique: set[tuple[object, ...]] = set()

    def insert(self, decision: Decision, owner: str | None, lease_s: float, now_s: float) -> bool:
        """Insert the row with its first entries, held by an owner if there is one; False when the key was used before."""
        if self.row is not None:
            return False
        deadline_at = None if decision.deadline_s is None else now_s + decision.deadline_s
        self.row = Row(decision.state, owner, None if owner is None else now_s + lease_s, deadline_at)
        self._invariants.inserted(decision)
        self._append(self.row, owner or "edge", decision)
        return True

    def claim(self, owner: str, now_s: float) -> bool | None:
        """Take the row if it is due.

        Returns:
            Whether the owner before let its lease run out; None when the row is not due.
        """
        row = self.row
        due_at = row.due_at() if row is not None else None
        if row is None or due_at is None or due_at > now_s:
            return None
        lapsed = row.expires_at is not None
        row.owner, row.expires_at = owner, now_s + LEASE_S
        row.epoch += 1
        row.lapses += lapsed
        return lapsed

    def write(self, epoch: int, last_seq: int, replica: str, decision: Decision, now_s: float) -> bool:
        """Write a transition; False when its fence missed, and then nothing was written."""
        row = self.row
        assert row is not None
        if not self.fenced(row, epoch, last_seq):
            return False
        before = row.state
        row.state, row.lapses = decision.state, decision.lapses
        row.retry_at = None if decision.delay_s is None else now_s + decision.delay_s
        if decision.deadline_s is not None:
            row.deadline_at = now_s + decision.deadline_s
        if not decision.keep_lease:
            row.owner = row.expires_at = None
        if row.owner is not None and row.state.status not in _WITH_LEASE:
            raise Broken("a row at rest holds no lease (I15)", f"{row.state.status} is held by {row.owner}")
        self._append(row, replica, decision)
        self._invariants.written(before, decision)
        return True

    def fenced(self, row: Row, epoch: int, last_seq: int) -> bool:
        """Tell whether a write meets the row that its writer saw."""
        return row.epoch == epoch and row.last_seq == last_seq

    def has(self, epoch: int, last_seq: int, replica: str, decision: Decision) -> bool:
        """Tell whether a transition stands in the journal, after the answer to its commit was lost."""
        if not decision.entries or last_seq >= len(self.journal):
            return False
        wrote, name, entry = self.journal[last_seq]
        return wrote == epoch and name == replica and entry.kind is decision.entries[0].kind

    def renew(self, epoch: int, now_s: float) -> bool:
        """Extend a lease; False when it was lost."""
        row = self.row
        if row is None or row.epoch != epoch or row.expires_at is None:
            return False
        row.expires_at = now_s + LEASE_S
        return True

    def release(self, epoch: int, now_s: float) -> None:
        """End a lease now: the next claim takes over."""
        row = self.row
        if row is not None and row.epoch == epoch and row.expires_at is not None:
            row.expires_at = now_s

    def freeze(self, answer: int) -> int:
        """Freeze the answer to the request; return the one that stands."""
        assert self.row is not None
        if self.row.answer is None:
            self.row.answer = answer
        return self.row.answer

    def _append(self, row: Row, replica: str, decision: Decision) -> None:
        self.history.append(decision.code)
        for entry in decision.entries:
            self._refuse_repeated(entry)
            self.journal.append((row.epoch, replica, entry))
            row.last_seq += 1
            self._invariants.entry_written(entry, row.epoch, replica)

    def _refuse_repeated(self, entry: Entry) -> None:
        """Keep the unique indexes of `ledger_journal`."""
        kind, attempt = entry.kind, (entry.step, entry.direction, entry.round, entry.attempt)
        if entry.step is None or kind is Kind.STATUS or kind is Kind.OPERATOR:
            return
        key: tuple[object, ...] = ("intent" if kind is Kind.INTENT else "closed", *attempt)
        if key in self._unique:
            raise Broken("an attempt is intended once and closed once (I9)", f"{key} twice")
        self._unique.add(key)
        if entry.outcome == "succeeded":
            done = (entry.step, entry.direction)
            if done in self._unique:
                raise Broken("a step is done at most once (I10)", f"{done} twice")
            self._unique.add(done)
