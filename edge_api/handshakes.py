"""WebSocket handshakes: who asks, from which page, and whether it is one at all.

A browser tells each server which page opens a WebSocket (`Origin`), and lets the page send no header of its own; CORS does not
hold. So a page gives its key as a subprotocol, and only pages of hosts that are served here may open one. What names no origin
is no browser's, unless it says so in other ways.
"""

import binascii
from base64 import b64encode, urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from aiohttp import hdrs, web

from edge_api.problems import Problem, ProblemType

PROTOCOL: Final = "saga.v1"
"""The subprotocol that is spoken."""
TOKEN: Final = "saga.token."
"""Begins the subprotocol that carries a page's key, in base64url without padding."""


@dataclass(frozen=True, slots=True)
class Standing:
    """Whether who opened a WebSocket may still have it.

    Attributes:
        holds: Tells whether it would be let in now as well; it may raise `edge_api.clients.KeysUnknown`.
    """

    holds: Callable[[], Awaitable[bool]]


STANDING: Final = web.RequestKey("standing", Standing)
_FROM_BROWSERS: Final = "sec-fetch-"
_SCHEMES: Final = frozenset({"http", "https"})


def check_handshake(request: web.Request) -> None:
    """See that a request opens a WebSocket, in a way that is spoken here.

    Raises:
        Problem: 426.
    """
    offered = _offered(request)
    key = request.headers.get(hdrs.SEC_WEBSOCKET_KEY, "")
    fits = (
        is_handshake(request)
        and "upgrade" in request.headers.get(hdrs.CONNECTION, "").lower()
        and request.headers.get(hdrs.SEC_WEBSOCKET_VERSION) == "13"
        and _is_nonce(key)
        and (not offered or PROTOCOL in offered)
    )
    if not fits:
        raise Problem(
            ProblemType.UPGRADE_REQUIRED,
            f"This is a WebSocket: send a handshake of version 13; of subprotocols it speaks {PROTOCOL}, or none.",
            headers={hdrs.UPGRADE: "websocket", hdrs.SEC_WEBSOCKET_VERSION: "13"},
        )


def is_handshake(request: web.Request) -> bool:
    """Tell whether a request wants to open a WebSocket."""
    return request.headers.get(hdrs.UPGRADE, "").strip().lower() == "websocket"


def token_of(request: web.Request) -> str | None:
    """Return the key that a page gave with its handshake; None for none, and for what can be none."""
    found = [offered.removeprefix(TOKEN) for offered in _offered(request) if offered.startswith(TOKEN)]
    if len(found) != 1 or not is_handshake(request):
        return None
    try:
        token = urlsafe_b64decode(found[0] + "=" * (-len(found[0]) % 4))
        return token.decode() if urlsafe_b64encode(token).decode().rstrip("=") == found[0] and token else None
    except (binascii.Error, ValueError):
        return None


def refuse_other_origins(request: web.Request, served: frozenset[str]) -> None:
    """Refuse a handshake of a page from elsewhere.

    Args:
        request: A handshake.
        served: Names of hosts whose pages are ours, beside that of the host which the request names.

    Raises:
        Problem: 403.
    """
    origins = request.headers.getall(hdrs.ORIGIN, [])
    if origins:
        is_ours = len(origins) == 1 and _is_ours(origins[0], request.host, served)
    else:
        # Every browser names the origin. Who has taken it out on the way has left what else only browsers send.
        is_ours = not any(name.lower().startswith(_FROM_BROWSERS) for name in request.headers) and not any(
            offered.startswith(TOKEN) for offered in _offered(request)
        )
    if not is_ours:
        raise Problem(ProblemType.FORBIDDEN, "Pages of other origins may open nothing here.")


def _is_ours(origin: str, host: str, served: frozenset[str]) -> bool:
    try:
        found = urlsplit(origin)
        name, port = (found.hostname or "").rstrip("."), found.port
    except ValueError:
        return False
    # An origin has no more than these.
    if found.scheme not in _SCHEMES or origin != f"{found.scheme}://{found.netloc}" or "@" in found.netloc or not name:
        return False
    # A name says nothing of who serves its other ports.
    return found.netloc.lower() == host.lower() or (port is None and name in served)


def _offered(request: web.Request) -> list[str]:
    lines = request.headers.getall(hdrs.SEC_WEBSOCKET_PROTOCOL, [])
    return [offered.strip() for line in lines for offered in line.split(",")]


def _is_nonce(key: str) -> bool:
    try:
        nonce = urlsafe_b64decode(key.replace("+", "-").replace("/", "_"))
    except (binascii.Error, ValueError):
        return False
    return len(nonce) == 16 and b64encode(nonce).decode() == key
