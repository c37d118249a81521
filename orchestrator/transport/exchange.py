"""What every transport takes and gives."""

from collections.abc import Mapping, Sequence
from enum import StrEnum
from functools import cached_property
from typing import Final, Protocol

from msgspec import Struct

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


class Forbidden(TransportError):
    """The address is one that must not be called; nothing was sent."""


class Reply(Struct, frozen=True, dict=True):
    """An answer, as it came.

    Attributes:
        status: HTTP status code.
        fields: Headers as they came, name and value each.
        body: None when it was longer than `BODY_BYTES_MAX` bytes; it was not read to its end then.
    """

    status: int
    fields: Sequence[tuple[bytes, bytes]]
    body: bytes | None

    @cached_property
    def headers(self) -> Mapping[str, str]:
        """Headers by name in lower case; of one that was sent twice, the last."""
        return {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in self.fields}


class Transport(Protocol):
    """Sends requests."""

    async def exchange(self, method: str, url: str, headers: Mapping[str, str], body: bytes | None, timeout_s: float) -> Reply:
        """Send one request, once, and read its answer.

        Cancelling it closes its connection, so that a late answer reaches nobody.

        Args:
            method: HTTP method.
            url: Absolute; http or https.
            headers: Beside those that every request has.
            body: None for none.
            timeout_s: Seconds for all of it, from waiting for a connection to the last byte.

        Raises:
            TimeoutError: It took longer; the request may have been acted on.
            Forbidden: The address must not be called; nothing was sent.
            TransportError: No whole answer came.
            ValueError: The request can't be written as HTTP, such as a header value with a line break; nothing was sent.
        """
        ...
