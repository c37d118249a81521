"""What an audit found, as values, and as JSON."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Final

import orjson

from sql.models import Json

ROWS_MAX: Final = 100
"""Rows of one query or check that are kept; the rest is only said to be there."""


@dataclass(frozen=True, slots=True)
class Violation:
    """Something that must never be, and is.

    Attributes:
        query: Name of the query of `sql/audit/`, or of the check of the effects.
        database: Where: a database's name; `effects` for what the ledger and the participants' logs disagree on.
        meaning: What a row of it means.
        row: The row.
    """

    query: str
    database: str
    meaning: str
    row: Json


@dataclass(frozen=True, slots=True)
class Unreachable:
    """A part that could not be audited, which is a failure of the audit.

    Attributes:
        part: Which, for example `database payments` or `effects payments`.
        reason: In a sentence.
    """

    part: str
    reason: str


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer to a question of `sql/audit/`."""

    query: str
    database: str
    title: str
    rows: tuple[Json, ...]


@dataclass(slots=True)
class Counts:
    """How much was checked, so that a part that was skipped shows.

    Attributes:
        queries: Invariants that ran to their end, by database.
        orders_finished: Finished orders in the ledger when the audit began to compare.
        orders_compared: Those of them whose balances were compared at every participant that could be read.
        orders_unchecked: Those of them that were not, by the reason why.
        orders_changed: Those of them that changed while the audit ran, and are left to the next one.
        effects: Effects read, by participant.
        unlogged: Participants of a team's own that keep no log of effects, so that nothing was compared with them.
        effects_unfinished: Of these, effects of orders that had not finished.
        effects_foreign: Of these, effects that are not the ledger's: other callers', for orders that it does not know.
    """

    queries: dict[str, int] = field(default_factory=dict)
    orders_finished: int = 0
    orders_compared: int = 0
    orders_unchecked: dict[str, int] = field(default_factory=dict)
    orders_changed: int = 0
    effects: dict[str, int] = field(default_factory=dict)
    unlogged: list[str] = field(default_factory=list)
    effects_unfinished: int = 0
    effects_foreign: int = 0

    def uncheck(self, reason: str) -> None:
        """Count an order that can't be checked."""
        self.orders_unchecked[reason] = self.orders_unchecked.get(reason, 0) + 1


@dataclass(frozen=True, slots=True)
class AuditReport:
    """The whole result.

    Attributes:
        violations: At most `ROWS_MAX` of one query or check.
        truncated: Names of queries and checks that found more than is shown.
        unreachable: Parts that were not audited.
        answers: Answers to the questions, where they were asked.
        counts: How much was checked.
    """

    violations: tuple[Violation, ...]
    truncated: tuple[str, ...]
    unreachable: tuple[Unreachable, ...]
    answers: tuple[Answer, ...]
    counts: Counts

    @property
    def clean(self) -> bool:
        """Whether every part was audited and nothing was found."""
        return not self.violations and not self.unreachable

    @property
    def exit_code(self) -> int:
        """0 when clean, 1 on a violation or a part that could not be audited."""
        return 0 if self.clean else 1

    def to_json(self) -> Json:
        """Return the report with plain JSON values only."""
        document: Json = orjson.loads(orjson.dumps({"clean": self.clean, **asdict(self)}, default=_plain))
        return document


class Findings:
    """Violations as they come up, bounded by `ROWS_MAX` for each name."""

    def __init__(self) -> None:
        self.violations: list[Violation] = []
        self._found: dict[str, int] = {}

    @property
    def truncated(self) -> tuple[str, ...]:
        """Names that found more than is kept."""
        return tuple(name for name, found in self._found.items() if found > ROWS_MAX)

    def add(self, query: str, database: str, meaning: str, row: Mapping[str, Any]) -> None:
        """Keep a violation, or only count it when there are enough of its name."""
        found = self._found[query] = self._found.get(query, 0) + 1
        if found <= ROWS_MAX:
            self.violations.append(Violation(query, database, meaning, dict(row)))


def _plain(value: object) -> object:
    if isinstance(value, bytes):
        return value.hex()
    return str(value)
