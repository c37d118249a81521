"""Ids that can be derived again: whatever is lost, a repetition has the same identity and is recognised.

All are UUIDv8 (RFC 9562, section 5.8: the bits are the application's) over a SHA-256 of length-prefixed parts, so that no
two lists of parts give the same bytes.
"""

import hashlib
from uuid import UUID

from sql.models import Direction


def derived_id(*parts: str) -> UUID:
    """Return the UUIDv8 of these parts, in this order."""
    digest = hashlib.sha256()
    for part in parts:
        data = part.encode()
        digest.update(len(data).to_bytes(8, "big") + data)
    return uuid8(digest.digest())


def uuid8(digest: bytes) -> UUID:
    """Return a UUIDv8 from the first 128 bits of a digest."""
    value = int.from_bytes(digest[:16], "big")
    value = (value & ~(0xF << 76)) | (0x8 << 76)
    return UUID(int=(value & ~(0b11 << 62)) | (0b10 << 62))


def order_id(client_id: str, client_request_id: str) -> UUID:
    """Return the ledger id of a client's request."""
    return derived_id("order", client_id, client_request_id)


def resource_id(order_ledger_id: UUID | str, step: str) -> UUID:
    """Return the id of the thing that a step makes at its participant."""
    return derived_id("resource", str(order_ledger_id), step)


def operation_key(order_ledger_id: UUID | str, step: str, direction: Direction) -> str:
    """Return the idempotency key of a step's call: the same for every attempt, owner and round."""
    return f"{order_ledger_id}:{step}:{direction.value}"
