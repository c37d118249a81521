"""What the head of a request must be, whatever it asks for: HTTP/1, no line twice, not too large, for a host served here."""

import re
from collections.abc import Callable
from ipaddress import ip_address
from typing import Final
from urllib.parse import unquote_to_bytes, urlsplit

from aiohttp import HttpVersion10, HttpVersion11, hdrs, web
from aiohttp.typedefs import Handler, Middleware

from edge_api.problems import Problem, ProblemType

HEAD_BYTES_MAX: Final = 32 * 1024
"""Of all header lines together: far more than any client or proxy needs, and bounded for each connection."""
_ONCE: Final = frozenset({b"authorization", b"content-length", b"content-type", b"host"})
"""Where two lines would leave it to each reader which of them counts."""
_HOST: Final = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(:[0-9]{1,5})?")

Serves = Callable[[str], bool]
"""Tells whether a host, by its name without a port, is served."""


def served_hosts(allowed: str | None, bound: str, *, guarded: bool) -> Serves | None:
    """Return which hosts a listener serves; None for any.

    A page from elsewhere whose name is made to resolve to this machine (DNS rebinding) still says its own name as host.

    Args:
        allowed: Names with commas between them; None for no list.
        bound: Address that the listener binds to. What is bound to loopback serves loopback's names beside the list.
        guarded: Whether, without a list, a listener on loopback serves loopback's names only.
    """
    local = _is_loopback(bound)
    if allowed is None and not (guarded and local):
        return None
    names = frozenset(_plain(name) for name in allowed.split(",")) if allowed else frozenset[str]()
    return lambda host: _plain(host) in names or (local and _is_loopback(host))


def check_heads(serves: Serves | None) -> Middleware:
    """Return the middleware that refuses heads that are wrong, before anything is made of them.

    Args:
        serves: Which hosts are served; None for any.
    """

    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        if request.version not in (HttpVersion11, HttpVersion10):
            raise _malformed("HTTP/1.1 is spoken here.")
        if request.version == HttpVersion10 and hdrs.TRANSFER_ENCODING in request.headers:
            raise _malformed("HTTP/1.0 has no Transfer-Encoding.")  # who speaks it may see another end of the body
        _check_lines(request)
        _check_target(request.raw_path)
        for host in _hosts(request):
            if serves is not None and not serves(host):
                raise Problem(ProblemType.MISDIRECTED, "The Host that the request names is not served here.")
        return await handler(request)

    return middleware


def _check_lines(request: web.Request) -> None:
    size, seen = 0, set()
    for name, value in request.raw_headers:
        size += len(name) + len(value)
        lowered = name.lower()
        if lowered in _ONCE:
            if lowered in seen:
                raise _malformed(f"{name.decode('ascii', errors='replace')} may stand once.")
            seen.add(lowered)
    if size > HEAD_BYTES_MAX:
        raise Problem(ProblemType.HEAD_TOO_LARGE, f"All headers together may have at most {HEAD_BYTES_MAX} bytes.")


def _check_target(target: str) -> None:
    if "%" not in target:
        return
    try:
        unquote_to_bytes(target).decode("utf-8", errors="strict")
    except UnicodeDecodeError:
        raise _malformed("The path or the query holds bytes that are no UTF-8.") from None


def _hosts(request: web.Request) -> list[str]:
    """Return the host of the request, without its port; two where the target is a whole URL, which counts by itself."""
    given = [request.headers.get(hdrs.HOST, "")]
    if not request.raw_path.startswith("/"):
        given += [urlsplit(request.raw_path).netloc] if "://" in request.raw_path else []
    found = [_HOST.fullmatch(host) for host in given]
    if request.version == HttpVersion11 and not all(found):
        raise _malformed("Host must name a host.")
    return [host[1] if host else "" for host in found]


def _is_loopback(host: str) -> bool:
    plain = _plain(host)
    if plain == "localhost":
        return True
    try:
        return ip_address(plain.strip("[]")).is_loopback
    except ValueError:
        return False


def _plain(host: str) -> str:
    return host.strip().lower().rstrip(".")


def _malformed(detail: str) -> Problem:
    return Problem(ProblemType.MALFORMED_REQUEST, detail)
