"""Who may come in: one door a listener, deny by default; `edge_api/access.py` says what each route needs.

A listener is closed outside `dev`, and there from its first key on; an open one takes every caller for the same.
"""

import time
from typing import Final

from aiohttp import hdrs, web
from aiohttp.typedefs import Handler, Middleware

from edge_api import access, keys
from edge_api.admission import Refusals
from edge_api.clients import Caller, KeyRing, KeysUnknown
from edge_api.connections import address_of
from edge_api.errors import EdgeError
from edge_api.handshakes import STANDING, Standing, is_handshake, refuse_other_origins, token_of
from edge_api.middlewares import unavailable
from edge_api.problems import Problem, ProblemType
from edge_api.rates import Rates
from edge_api.requests import check_type
from orchestrator.api_keys import Scope
from orchestrator.bearer import bearer_of, digest_of, same_token
from orchestrator.settings import Environment, Settings

ANONYMOUS: Final = "default"
"""The one client of an installation without keys."""
NOBODY: Final = "anonymous"
"""Who acts on an admin listener that is open."""
OPERATOR: Final = "admin"
"""Who acts with the admin token."""
FAILURES_PER_S: Final = 10
"""Wrong keys of one address, and requests of one client that its key does not allow, that are answered as such. Right ones of
the same address are never refused for them: behind a proxy all have one address, and nobody guesses 256 bits."""
SAFE: Final = frozenset({hdrs.METH_GET, hdrs.METH_HEAD, hdrs.METH_OPTIONS})
_OWN_SITE: Final = frozenset({"same-origin", "none"})


class Failures:
    """Requests that the door refused, by name."""

    def __init__(self) -> None:
        self._rates = Rates(FAILURES_PER_S, FAILURES_PER_S)
        self._refusals = Refusals()

    async def count(self, name: str, detail: str) -> None:
        """Count one more of a name.

        Raises:
            Problem: 429, with this detail, after too many.
        """
        wait_s = self._rates.take(name, time.monotonic())
        if wait_s:
            await self._refusals.refuse(name, detail, wait_s)


def check_start(settings: Settings, ring: KeyRing, *, admin: bool) -> None:
    """See that nobody is shut out for good, or let in, by what was forgotten.

    Args:
        settings: Of this edge.
        ring: The keys.
        admin: Whether the admin listener is opened too.

    Raises:
        EdgeError: Outside `dev` there is no key of a client, or no admin token.
    """
    if settings.environment is Environment.DEV:
        return
    if not ring.has_client_keys:
        raise EdgeError(
            f"SAGA_ENVIRONMENT is {settings.environment} and no client has a key: make one by"
            " `saga keys create CLIENT --scope orders --scope events`, or set SAGA_API_KEYS"
        )
    if admin and settings.admin_token is None:
        raise EdgeError(
            f"SAGA_ENVIRONMENT is {settings.environment} and SAGA_ADMIN_TOKEN is not set: the admin listener needs one"
        )


def wants_key(settings: Settings, ring: KeyRing) -> bool:
    """Tell whether clients need a key: always outside `dev`, and there from the first key on."""
    return settings.environment is not Environment.DEV or ring.has_client_keys


def clients_door(settings: Settings, ring: KeyRing) -> Middleware:
    """Return the middleware that tells which client is asking.

    Args:
        settings: Of this edge.
        ring: The keys.
    """
    failures = Failures()
    pages = _pages_of(settings)

    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        path = access.path_of(request, access.CLIENT_ROUTES)
        need = access.CLIENT_ROUTES.get(path) if path is not None else None

        async def stands() -> bool:
            if not wants_key(settings, ring):
                return True
            caller = await _caller(request, ring)
            return caller is not None and need in caller.scopes and caller.client_id == request[keys.CLIENT_ID]

        if is_handshake(request):
            refuse_other_origins(request, pages)
            request[STANDING] = Standing(stands)
        if not wants_key(settings, ring):
            request[keys.CLIENT_ID] = ANONYMOUS
        elif need is not access.OPEN:
            caller = await _identify(request, ring, failures)
            # Where there is no route every client is told so.
            if need is not None and need not in caller.scopes:
                raise await _forbidden(need, caller, failures)
            request[keys.CLIENT_ID] = caller.client_id
        return await handler(request)

    return middleware


def actor_of(request: web.Request, given: str) -> str:
    """Return whom to record as the one who acts on the admin listener: the name that was given, and whose key it came with."""
    known = request[keys.ACTOR]
    return given if known in (NOBODY, given) else f"{given} ({known})"


def admin_door(settings: Settings, ring: KeyRing) -> Middleware:
    """Return the middleware that lets operators in, by the admin token or a key with the scope `admin`.

    Args:
        settings: Of this edge.
        ring: The keys.
    """
    failures = Failures()
    always = settings.environment is not Environment.DEV
    token = digest_of(settings.admin_token.get_secret_value()) if settings.admin_token else None
    pages = _pages_of(settings)

    def is_open() -> bool:
        return not always and token is None and not ring.has_admin_keys

    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        async def stands() -> bool:
            if is_open():
                return True
            caller = await _caller(request, ring, token)
            return caller is not None and Scope.ADMIN in caller.scopes

        if is_handshake(request):
            refuse_other_origins(request, pages)
            request[STANDING] = Standing(stands)
        if request.method not in SAFE:
            _refuse_other_pages(request)
        if access.path_of(request, access.ADMIN_OPEN) not in access.ADMIN_OPEN:
            if is_open():
                request[keys.ACTOR] = NOBODY
            else:
                caller = await _identify(request, ring, failures, token)
                if Scope.ADMIN not in caller.scopes:
                    raise await _forbidden(Scope.ADMIN, caller, failures)
                request[keys.ACTOR] = caller.client_id
        return await handler(request)

    return middleware


async def _identify(request: web.Request, ring: KeyRing, failures: Failures, token: bytes | None = None) -> Caller:
    """Return who is asking.

    Raises:
        Problem: 401 for whatever is wrong with the key, 429 after too many of these, 503 where it can't be told.
    """
    try:
        caller = await _caller(request, ring, token)
    except KeysUnknown:
        raise unavailable() from None
    if caller is not None:
        return caller
    peer = request.transport.get_extra_info("peername") if request.transport is not None else None
    await failures.count(address_of(peer), "There were too many requests without a valid key from this address.")
    raise Problem(ProblemType.UNAUTHORIZED, "Send `Authorization: Bearer KEY`.", headers={"WWW-Authenticate": "Bearer"})


async def _caller(request: web.Request, ring: KeyRing, token: bytes | None = None) -> Caller | None:
    """Return whose key a request bears; None for no key, and for nobody's.

    Raises:
        KeysUnknown: It can't be told.
    """
    lines = request.headers.getall(hdrs.AUTHORIZATION, [])
    given = bearer_of(lines) if lines else token_of(request)
    if given is None:
        return None
    if token is not None and same_token(given, token):
        return Caller(OPERATOR, frozenset({Scope.ADMIN}))
    return await ring.find(given)


def _pages_of(settings: Settings) -> frozenset[str]:
    """Return the names of hosts whose pages may open WebSockets, beside the host that each names."""
    names = settings.allowed_hosts.split(",") if settings.allowed_hosts else []
    return frozenset(name.strip().lower().rstrip(".") for name in names)


async def _forbidden(scope: Scope, caller: Caller, failures: Failures) -> Problem:
    # No address has a space.
    name = f"client {caller.client_id}"
    await failures.count(name, "There were too many requests that the key of this client does not allow.")
    return Problem(
        ProblemType.FORBIDDEN,
        f"This needs a key with the scope `{scope}`.",
        headers={"WWW-Authenticate": f'Bearer error="insufficient_scope", scope="{scope}"'},
    )


def _refuse_other_pages(request: web.Request) -> None:
    """Refuse what a page of somebody else's makes an operator's browser send; an open listener has no other protection.

    A form can send no JSON, and a script of another origin not without a preflight, which nothing here answers.

    Raises:
        Problem: 403, or 415 for a body that is no JSON.
    """
    site = request.headers.get("Sec-Fetch-Site")
    origin = request.headers.get(hdrs.ORIGIN)
    is_own = site in _OWN_SITE if site is not None else origin is None or origin.partition("://")[2] == request.host
    if not is_own:
        raise Problem(ProblemType.FORBIDDEN, "Pages of other origins may change nothing here.")
    # Of no body at all some programs say that it is of bytes.
    if request.can_read_body:
        check_type(request)
