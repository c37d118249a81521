"""Orders and effects, brought together order by order in files, so that a large ledger needs no large memory."""

import tempfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import orjson

PARTITIONS: Final = 64
"""A million orders with their effects are some 20 MB in a partition."""


@dataclass(frozen=True, slots=True)
class Expected:
    """What a finished order must have left at the participants.

    Attributes:
        order: Its id.
        status: How it ended.
        stands: Balance by `participant.account`; every account that is not named is zero. None: not to be checked.
        actions: Participant and operation key of each action that must be there once.
        unchecked: Accounts whose balance is not to be checked.
        family: Tells whether what was begun on the order has changed since.
    """

    order: str
    status: str
    stands: Mapping[str, int] | None
    actions: tuple[tuple[str, str], ...] = ()
    unchecked: tuple[str, ...] = ()
    family: str = ""


@dataclass(frozen=True, slots=True)
class Logged:
    """An effect in a participant's log.

    Attributes:
        participant: Whose log.
        seq: Position in it.
        key: The operation key.
        order: The order that it counts for.
        ours: Whether the key has the form of the ledger's own.
        kind, amounts: As logged.
    """

    participant: str
    seq: int
    key: str
    order: str
    ours: bool
    kind: str
    amounts: dict[str, int]


@dataclass(frozen=True, slots=True)
class Partition:
    """Some of the orders, by id, and all effects of these and of orders that are not finished or not known."""

    orders: dict[str, Expected] = field(default_factory=dict)
    effects: dict[str, list[Logged]] = field(default_factory=dict)


class Spool:
    """Takes orders and effects in any order; gives them back in partitions by order.

    A context manager: its files are gone when it is left.
    """

    def __init__(self) -> None:
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        folder = Path(self._stack.enter_context(tempfile.TemporaryDirectory(prefix="saga-audit-")))
        self._paths = [folder / f"{number}.jsonl" for number in range(PARTITIONS)]
        self._files = [self._stack.enter_context(path.open("wb")) for path in self._paths]
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._stack.close()

    def put(self, record: Expected | Logged) -> None:
        """Add an order or an effect."""
        line = orjson.dumps([type(record).__name__, asdict(record)])
        self._files[zlib.crc32(record.order.encode()) % PARTITIONS].write(line + b"\n")

    def partitions(self) -> Iterator[Partition]:
        """Return everything, one partition after the other."""
        for file, path in zip(self._files, self._paths, strict=True):
            file.flush()
            yield _read(path)


def _read(path: Path) -> Partition:
    partition = Partition()
    with path.open("rb") as file:
        for line in file:
            kind, values = orjson.loads(line)
            if kind == "Expected":
                actions = tuple((participant, key) for participant, key in values["actions"])
                unchecked = tuple(values["unchecked"])
                partition.orders[values["order"]] = Expected(**{**values, "actions": actions, "unchecked": unchecked})
            else:
                partition.effects.setdefault(values["order"], []).append(Logged(**values))
    return partition
