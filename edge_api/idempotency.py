"""The idempotency key of a request: its syntax, and the fingerprint that tells a repeat from a reuse.

After the IETF draft on the Idempotency-Key header (draft-ietf-httpapi-idempotency-key-header-07, work in progress): an
RFC 8941 string, and the bare form that clients really send.
"""

import hashlib
import re
from typing import Any, Final

from aiohttp import web

from edge_api import pointers
from edge_api.problems import Problem, ProblemType

KEY_MAX: Final = 255
FINGERPRINT_VERSION: Final = b"2"
_BARE: Final = re.compile(r"[\x21\x23-\x5b\x5d-\x7e]{1,255}")
"""Visible ASCII without the quote and the backslash, so that `"abc"` and `abc` are one key and nothing is escaped."""


def key_of(request: web.Request) -> str:
    """Return the key of a request.

    Raises:
        Problem: It is missing, stands twice, or is malformed.
    """
    values = request.headers.getall("Idempotency-Key", [])
    if not values or not values[0].strip(" \t"):
        raise Problem(
            ProblemType.KEY_MISSING,
            "Send an Idempotency-Key header, for example a UUID; repeat the request with the same key after a failure.",
            headers={"Link": '</openapi.json>; rel="service-desc"'},
        )
    value = values[0].strip(" \t")
    bare = value[1:-1] if len(value) >= 2 and value[0] == value[-1] == '"' else value
    if len(values) > 1 or not _BARE.fullmatch(bare):
        raise Problem(
            ProblemType.KEY_INVALID,
            f"Idempotency-Key must stand once, with 1 to {KEY_MAX} visible ASCII characters other than quote and backslash.",
        )
    return bare


def fingerprint(route: str, canonical: bytes) -> bytes:
    """Return the SHA-256 that tells whether two requests are the same.

    Args:
        route: Method and route template.
        canonical: The validated request as canonical JSON without personal data, so that another JSON writer makes no
            difference and nobody is found in it.
    """
    digest = hashlib.sha256(FINGERPRINT_VERSION)
    for part in (route.encode(), canonical):
        digest.update(len(part).to_bytes(8, "big") + part)
    return digest.digest()


def nul_pointer(document: Any, pointer: str = pointers.ROOT) -> str | None:
    """Return a JSON pointer to a string or member name that holds NUL, which PostgreSQL can't store; None for none."""
    if isinstance(document, str):
        return pointer if "\0" in document else None
    children: Any = ()
    if isinstance(document, dict):
        if any("\0" in name for name in document):
            return pointer
        children = document.items()
    elif isinstance(document, list):
        children = enumerate(document)
    return next((found for name, value in children if (found := nul_pointer(value, pointers.below(pointer, name)))), None)
