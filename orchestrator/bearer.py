"""What `Authorization: Bearer …` carries, and whether it is what was expected: for every listener of this project."""

import hashlib
import hmac
from collections.abc import Sequence


def bearer_of(headers: Sequence[str]) -> str | None:
    """Return the token of a request.

    Args:
        headers: Every `Authorization` of the request.

    Returns:
        None for none, for one of another scheme, and for several, of which nobody knows which counts.
    """
    if len(headers) != 1:
        return None
    scheme, _, token = headers[0].partition(" ")
    return token.strip() if scheme.lower() == "bearer" and token.strip() else None


def digest_of(token: str) -> bytes:
    """Return the SHA-256 of a token; of equal length for all, so that a comparison tells nothing of the token's."""
    return hashlib.sha256(token.encode(errors="surrogateescape")).digest()


def same_token(given: str, expected: bytes) -> bool:
    """Tell whether a token is the one with this digest, in a time that does not depend on where they differ."""
    return hmac.compare_digest(digest_of(given), expected)
