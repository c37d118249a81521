"""What every transport takes and gives."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Protocol

BODY_BYTES_MAX: Final = 256 * 1024
"""Room for a refusal that names each of 2,000 lines."""
HEAD_BYTES_MAX: Final = 64 * 1024
HEADERS_MAX: Final = 128
CONNECT_TIMEOUT_S: Final = 2.0
KEEPALIVE_S: Final = 15.0
"""Shorter than any server's, so that no call is lost on a connection that is being closed."""


class Client(StrEnum):
    """Which HTTP client calls participants."""

    HTTP1 = "http1"
    AIOHTTP = "aiohttp"


class TransportError(Exception):
    """There is no whole answer, and the reason in a few words; the request may have been acted on."""


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer, as it came.

    Attributes:
        status: HTTP status code.
        headers: By name in lower case; of one that was sent twice, the last.
        body: None when it was longer than `BODY_BYTES_MAX` bytes; it was not read to its end then.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes | None


class Transport(Protocol):
    """Sends requests."""

    async def exchange(self, method: str, url: str, headers: Mapping[str, str], body: bytes | None) -> Reply:
        """Send one request, once, and read its answer.

        Cancelling it closes its connection, so that a late answer reaches nobody.

        Args:
            method: HTTP method.
            url: Absolute; http or https.
            headers: Beside those that every request has.
            body: None for none.

        Raises:
            TransportError: No whole answer came.
            ValueError: The request can't be written as HTTP, such as a header value with a line break; nothing was sent.
        """
        ...
