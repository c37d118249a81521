"""How a delivery proves where it comes from: the symmetric scheme (v1) of the Standard Webhooks specification."""

import base64
import hashlib
import hmac
import secrets as randomness
from collections.abc import Sequence
from typing import Final
from uuid import UUID

PREFIX: Final = "whsec_"
SECRET_BYTES: Final = 32
"""Within the specification's 24 to 64; as long as the digest."""


def new_secret() -> str:
    """Return a random secret as receivers get it: `whsec_` and base64."""
    return PREFIX + base64.b64encode(randomness.token_bytes(SECRET_BYTES)).decode()


def headers(secrets: Sequence[str], event_id: UUID, now_s: int, body: bytes) -> dict[str, str]:
    """Return the headers of one attempt.

    Args:
        secrets: At least one; there is a signature with each, and a receiver takes any that it can verify.
        event_id: The same in every attempt, for receivers to know it again.
        now_s: When the attempt is made, in seconds since 1970; receivers refuse old ones.
        body: The bytes that are sent.
    """
    signed = b"%s.%d.%s" % (str(event_id).encode(), now_s, body)
    return {
        "Content-Type": "application/json",
        "webhook-id": str(event_id),
        "webhook-timestamp": str(now_s),
        "webhook-signature": " ".join(f"v1,{_signature(secret, signed)}" for secret in secrets),
    }


def _signature(secret: str, signed: bytes) -> str:
    key = base64.b64decode(secret.removeprefix(PREFIX))
    return base64.b64encode(hmac.digest(key, signed, hashlib.sha256)).decode()
