"""Checkpoints of the hash chains: a file that says where every journal ended, to be kept out of reach of the ledger's writers.

::

    {"checkpoint":1,"at":"2026-11-21T22:00:00Z"}
    6a0e6f0c-… 13 9f86d081…                         an order, its last entry and that entry's hash, by id
    {"orders":1,"entries":13,"highest":"6a0e6f0c-…","root":"…","signature":"…"}

`root` is the SHA-256 of everything before the last line; who has noted it down alone knows the whole file by it. `signature` is
the HMAC-SHA256 of the root under the operator's key, null where none was given.
"""

import hashlib
import hmac
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any, Final
from uuid import UUID

import orjson

from sql.chain import Head, Standing

FORMAT: Final = 1
KEY_BYTES_MIN: Final = 16
"""Of a key that can't be guessed."""
_NO_HASH: Final = "-"
_TOLD: Final = ("orders", "entries", "highest", "root", "signature")


class CheckpointError(Exception):
    """The file or the key can't be used; nothing was compared."""


@dataclass(frozen=True, slots=True)
class Summary:
    """What a checkpoint says as a whole.

    Attributes:
        at: When it was begun, by the database's clock, in RFC 3339.
        orders, entries: How many it knows.
        highest: The last order's id; None where there is none.
        root: SHA-256 of everything before the last line, in hexadecimal.
        signature: HMAC-SHA256 of the root, in hexadecimal; None for none.
    """

    at: str
    orders: int
    entries: int
    highest: str | None
    root: str
    signature: str | None = None


class Writer:
    """Writes a checkpoint as it is read, in constant memory.

    Args:
        file: Where to; it is left open.
        at: When it was begun, by the database's clock.
    """

    def __init__(self, file: IO[bytes], at: datetime) -> None:
        self._file, self._digest = file, hashlib.sha256()
        self._at = at.astimezone(UTC).isoformat().replace("+00:00", "Z")
        self._orders = self._entries = 0
        self._highest: str | None = None
        self._write(orjson.dumps({"checkpoint": FORMAT, "at": self._at}) + b"\n")

    def add(self, heads: Iterable[Head]) -> None:
        """Write where journals end; ids grow from one to the next."""
        for head in heads:
            self._orders, self._entries, self._highest = (
                self._orders + 1,
                self._entries + head.last_seq,
                str(head.order_ledger_id),
            )
            digest = _NO_HASH if head.chain_head is None else head.chain_head.hex()
            self._write(f"{head.order_ledger_id} {head.last_seq} {digest}\n".encode())

    def end(self, key: bytes | None) -> Summary:
        """Write the last line, signed where there is a key."""
        root = self._digest.hexdigest()
        signature = None if key is None else _signature(key, root)
        summary = Summary(self._at, self._orders, self._entries, self._highest, root, signature)
        told = {name: getattr(summary, name) for name in _TOLD}
        self._file.write(orjson.dumps(told) + b"\n")
        return summary

    def _write(self, line: bytes) -> None:
        self._digest.update(line)
        self._file.write(line)


def read_key(path: Path) -> bytes:
    """Read an operator's key.

    Raises:
        CheckpointError: It is too short to be one.
        OSError: The file can't be read.
    """
    key = path.read_bytes().strip()
    if len(key) < KEY_BYTES_MIN:
        raise CheckpointError(f"{path} is no key: it has fewer than {KEY_BYTES_MIN} characters")
    return key


def read_summary(path: Path, key: bytes | None) -> Summary:
    """Read what a checkpoint says as a whole, once it is sure that it is whole.

    Args:
        path: The file.
        key: What it must have been signed with; None when a signature is not looked at.

    Raises:
        CheckpointError: It is none, is not as it was written, or does not have that signature.
        OSError: The file can't be read.
    """
    digest, orders, entries, highest, told = hashlib.sha256(), 0, 0, None, None
    with path.open("rb") as file:
        first = file.readline()
        at = str(_document(path, first).get("at"))
        digest.update(first)
        for line in file:
            if told is not None:
                raise CheckpointError(f"{path} goes on after its end")
            if line.startswith(b"{"):
                told = _document(path, line)
                continue
            head = _head(path, line)
            digest.update(line)
            orders, entries, highest = orders + 1, entries + head.last_seq, str(head.order_ledger_id)
    if told is None:
        raise CheckpointError(f"{path} ends before its end: it was not written whole")
    found = Summary(at, orders, entries, highest, digest.hexdigest(), told.get("signature"))
    if any(getattr(found, name) != told.get(name) for name in _TOLD):
        raise CheckpointError(f"{path} was changed after it was written")
    if key is not None and not hmac.compare_digest(_signature(key, found.root), str(found.signature)):
        raise CheckpointError(f"{path} was not signed with this key")
    return found


def read_heads(path: Path) -> Iterator[Head]:
    """Read where the journals ended that a checkpoint knows of, after `read_summary`."""
    with path.open("rb") as file:
        file.readline()
        for line in file:
            if not line.startswith(b"{"):
                yield _head(path, line)


def compare(head: Head, standing: Standing | None) -> str | None:
    """Tell what has become of an order that must not; None when it stands as it did, has grown, or was purged.

    Args:
        head: Where its journal ended.
        standing: Where it stands now; None when nothing is known of it.
    """
    if standing is None:
        return "it was removed, and retention has left no trace of it"
    if standing.last_seq < head.last_seq:
        return f"its journal ended at entry {head.last_seq} and ends at {standing.last_seq} now"
    if standing.purged and standing.last_seq > head.last_seq:
        # It went on and was purged since: of the entry that is known nothing is left to compare.
        return None
    if standing.hash != head.chain_head and head.last_seq:
        return f"entry {head.last_seq} has another hash: what stands there was written anew"
    return None


def _signature(key: bytes, root: str) -> str:
    return hmac.new(key, root.encode(), hashlib.sha256).hexdigest()


def _document(path: Path, line: bytes) -> dict[str, Any]:
    try:
        document = orjson.loads(line)
    except orjson.JSONDecodeError:
        document = None
    if not isinstance(document, dict) or document.get("checkpoint", FORMAT) != FORMAT:
        raise CheckpointError(f"{path} is no checkpoint that this release knows")
    return document


def _head(path: Path, line: bytes) -> Head:
    try:
        order, seq, digest = line.decode().split()
        return Head(UUID(order), int(seq), None if digest == _NO_HASH else bytes.fromhex(digest))
    except ValueError:
        raise CheckpointError(f"{path} is no checkpoint: it has a line that names no order") from None
