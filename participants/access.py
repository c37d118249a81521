"""Who may call a participant: whoever sends its secret."""

import hmac
from collections.abc import Sequence
from typing import Final

from aiohttp import hdrs, web
from aiohttp.typedefs import Handler, Middleware

from participants.problems import Problem

OPEN_PATH: Final = "/healthz"
"""Liveness, which tells nothing; whoever restarts processes need not know a secret."""


def require_secret(secrets: Sequence[str]) -> Middleware:
    """Make the middleware that refuses every call without one of these secrets, whatever its path, before its body is read.

    Args:
        secrets: Those that are accepted; several while one is changed.
    """
    accepted = tuple(secret.encode() for secret in secrets)

    @web.middleware
    async def guard(request: web.Request, handler: Handler) -> web.StreamResponse:
        if request.path != OPEN_PATH and not _is_accepted(request, accepted):
            # One answer for every reason: what was wrong helps only whoever guesses.
            title = "Send this service's secret as `Authorization: Bearer SECRET`."
            raise Problem(401, "unauthorized", title, headers={hdrs.WWW_AUTHENTICATE: "Bearer"})
        return await handler(request)

    return guard


def _is_accepted(request: web.Request, accepted: Sequence[bytes]) -> bool:
    scheme, _, secret = ",".join(request.headers.getall(hdrs.AUTHORIZATION, ())).partition(" ")
    given = secret.encode(errors="surrogateescape")
    # Each is compared, whatever was found, so that the time tells nothing.
    found = [hmac.compare_digest(given, one) for one in accepted]
    return any(found) and scheme.lower() == "bearer"
