"""Reads what PostgreSQL's own decoding plugin, pgoutput, says: the protocol (version 1) of change-data capture connectors."""

from dataclasses import dataclass
from struct import unpack_from


@dataclass(frozen=True)
class Insert:
    """A row that a committed transaction inserted.

    Attributes:
        table: Of the row.
        row: Its columns as text; None for null.
    """

    table: str
    row: dict[str, str | None]


def read_changes(messages: list[bytes]) -> list[Insert | str]:
    """Return the inserts of messages, in order; of any other change of a row, its letter in the protocol."""
    relations: dict[int, tuple[str, list[str]]] = {}
    found: list[Insert | str] = []
    for message in messages:
        kind = message[:1].decode()
        if kind == "R":
            (relation,) = unpack_from(">I", message, 1)
            relations[relation] = _relation(message)
        elif kind == "I":
            (relation,) = unpack_from(">I", message, 1)
            table, columns = relations[relation]
            found.append(Insert(table, dict(zip(columns, _row(message, 6), strict=True))))
        elif kind in "UDT":
            found.append(kind)
    return found


def _relation(message: bytes) -> tuple[str, list[str]]:
    _, at = _text(message, 5)
    table, at = _text(message, at)
    (count,) = unpack_from(">H", message, at + 1)
    at += 3
    columns = []
    for _ in range(count):
        name, at = _text(message, at + 1)
        columns.append(name)
        at += 8  # type and modifier
    return table, columns


def _row(message: bytes, at: int) -> list[str | None]:
    (count,) = unpack_from(">H", message, at)
    at += 2
    values: list[str | None] = []
    for _ in range(count):
        kind = message[at : at + 1]
        at += 1
        if kind == b"n":
            values.append(None)
            continue
        assert kind == b"t", "a value that was not sent"
        (length,) = unpack_from(">I", message, at)
        at += 4
        values.append(message[at : at + length].decode())
        at += length
    return values


def _text(message: bytes, at: int) -> tuple[str, int]:
    end = message.index(b"\0", at)
    return message[at:end].decode(), end + 1
