"""What the clients did and were told: every call, with its answer or that none came."""

import hashlib
import json
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final, Literal

Kind = Literal["order", "other body", "no order", "cancel", "read"]
ORDER_TOLD: Final = (202, 402)
"""Answers to an order that are frozen."""


@dataclass(frozen=True, slots=True)
class Recorded:
    """One call of a client.

    Attributes:
        client, key: Whose, and under which key; of a cancel or a read the key of its order.
        kind: What was asked for.
        body_hash: Digest of what the order means, the same for each spelling of it.
        began_s, ended_s: Wall-clock times.
        status: HTTP status; None for an answer that never came: whether the call had an effect is not known.
        answer_hash: Digest of status, body and Location of the answer.
        order: Id that the answer names; None for none.
        replayed: Whether the answer says that it was given before.
    """

    client: str
    key: str
    kind: Kind
    body_hash: str
    began_s: float
    ended_s: float
    status: int | None
    answer_hash: str = ""
    order: str | None = None
    replayed: bool = False


class Recorder:
    """Keeps every call, in memory and in a file.

    Args:
        path: The file, one JSON document a line.
    """

    def __init__(self, path: Path) -> None:
        self.calls: list[Recorded] = []
        self.statuses: Counter[str] = Counter()
        self._file = path.open("w", encoding="utf-8")

    def record(self, call: Recorded) -> None:
        """Keep a call."""
        self.calls.append(call)
        self.statuses[f"{call.kind}: {call.status or 'no answer'}"] += 1
        self._file.write(json.dumps(asdict(call)) + "\n")

    def close(self) -> None:
        self._file.close()

    def by_key(self) -> dict[tuple[str, str], list[Recorded]]:
        """Return the calls of each client's key, in the order of their ends."""
        found: defaultdict[tuple[str, str], list[Recorded]] = defaultdict(list)
        for call in self.calls:
            found[call.client, call.key].append(call)
        return dict(found)

    @property
    def replays(self) -> int:
        return sum(call.replayed for call in self.calls)

    def answered(self, kind: Kind, *statuses: int) -> Iterator[Recorded]:
        """Yield the calls of a kind that were answered so."""
        return (call for call in self.calls if call.kind == kind and call.status in statuses)


def digest(value: Any) -> str:
    """Return a short digest of anything that is JSON."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:16]
