"""From a declared operation to a route: read the request, fence it, do the work, keep the answer.

A service declares what it offers as data and writes the work of each as a function over a connection::

    Action(POST, /inventory/reservations, ReserveStock, subject, perform)
    Compensation(DELETE, /inventory/reservations/{order_id}, ReservationRef, undoes, reverse)

Everything else about a call is here, once for all services.
"""

import asyncio
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

import orjson
from aiohttp import web
from pydantic import BaseModel, ValidationError

from participants.contracts import strict_json
from participants.database import Connection, Pool, transaction
from participants.faults import Faults
from participants.idempotency import Operation, Posting, StoredAnswer, hash_request, once
from participants.problems import Problem, invalid, invalid_member

BODY_MAX_BYTES: Final = 1024**2
BODY_TIMEOUT_S: Final = 10.0
SUBJECT_MAX: Final = 512  # characters; far below what an index row takes

POOL: Final = web.AppKey("pool", Pool)
FAULTS: Final = web.AppKey("faults", Faults)

_KEY: Final = re.compile(r"[\x21-\x7e]{1,255}")
_QUOTED_KEY: Final = re.compile(r'"((?:[\x20\x21\x23-\x5b\x5d-\x7e]|\\["\\])*)"')


@dataclass(frozen=True, slots=True)
class Done:
    """What came of the work of a call.

    Args:
        answer: The answer's body.
        effect: What was changed for an order; None when nothing was.
        status: HTTP status of the answer.
    """

    answer: BaseModel
    effect: Posting | None = None
    status: int = 200


@dataclass(frozen=True, slots=True)
class Action:
    """An operation of a saga that does something.

    Args:
        method: HTTP method.
        path: Path template; its fields are members of the request.
        request: Model of the request.
        subject: Names the thing that is made; the same for every repeat.
        perform: Makes the effect; raises Problem to refuse, which leaves no trace.
    """

    method: Literal["POST", "PUT"]
    path: str
    request: type[BaseModel]
    subject: Callable[[Any], str]
    perform: Callable[[Connection, Any], Awaitable[Done]]


@dataclass(frozen=True, slots=True)
class Compensation:
    """An operation of a saga that undoes.

    Args:
        method: HTTP method.
        path: Path template; its fields are members of the request.
        request: Model of the request.
        undoes: Subjects of the actions that must not happen any more; the first names the compensation.
        reverse: Reverses what stands, if anything does; raises Problem to refuse, which leaves no trace.
    """

    method: Literal["POST", "PUT", "DELETE"]
    path: str
    request: type[BaseModel]
    undoes: Callable[[Any], tuple[str, ...]]
    reverse: Callable[[Connection, Any], Awaitable[Done]]


@dataclass(frozen=True, slots=True)
class Change:
    """An operation outside of sagas, such as adding a product; each key is done once.

    Args:
        path: Path template of a POST; its fields are members of the request.
        request: Model of the request.
        perform: Makes the change, given the key; raises Problem to refuse.
    """

    path: str
    request: type[BaseModel]
    perform: Callable[[Connection, Any, str], Awaitable[Done]]


@dataclass(frozen=True, slots=True)
class Lookup:
    """An operation that only reads.

    Args:
        path: Path template of a GET.
        request: Model of the path's fields and the query's.
        read: Reads the answer, or one that was stored; raises Problem 404 when there is none.
    """

    path: str
    request: type[BaseModel]
    read: Callable[[Connection, Any], Awaitable[BaseModel | StoredAnswer]]


Route = Action | Compensation | Change | Lookup


def add_route(router: web.UrlDispatcher, route: Route) -> None:
    """Offer an operation on a router."""

    async def answer(request: web.Request) -> web.Response:
        match route:
            case Lookup():
                return await request.app[FAULTS].strike(request, lambda: _look_up(route, request))
            case Change():
                return await _change(route, request)
            case Action() | Compensation():
                return await request.app[FAULTS].strike(request, lambda: _operate(route, request))

    match route:
        case Lookup():
            router.add_get(route.path, answer)
        case Change():
            router.add_post(route.path, answer)
        case Action() | Compensation():
            router.add_route(route.method, route.path, answer)


async def read_body(request: web.Request, model: type[BaseModel]) -> Any:
    """Read a request's members from its body and its path.

    Raises:
        Problem: 400 when the body is not JSON or badly framed, 408 when it does not come, 413 when it is too large, 415 when
            it is called something else or is packed, 422 when a member is not valid or contradicts the path.
    """
    codings = {coding.lower() for coding in request.headers.getall("Content-Encoding", [])}
    if codings - {"identity"}:
        raise Problem(415, "unsupported-media-type", "A body is sent as it is: no Content-Encoding is undone here.")
    try:
        async with asyncio.timeout(BODY_TIMEOUT_S):
            raw = await request.read()
    except TimeoutError:
        raise Problem(408, "request-timeout", "The body did not come in time.") from None
    except web.RequestPayloadError:
        raise Problem(400, "malformed-request", "The request is not valid HTTP.") from None
    if raw and request.content_type != "application/json":
        raise Problem(415, "unsupported-media-type", "A body is JSON and says so in Content-Type.")
    try:
        members = strict_json.loads(raw) if raw else {}
    except strict_json.NotJson as error:
        raise Problem(400, "not-json", "The body is not JSON.", f"The body {error}.") from None
    if not isinstance(members, dict):
        raise invalid_member("", "The body must be an object")
    for name, value in request.match_info.items():
        if members.setdefault(name, value) != value:
            raise invalid_member(f"/{name}", "The body and the path name different things")
    try:
        return model.model_validate_json(orjson.dumps(members))
    except ValidationError as error:
        raise invalid(error) from None


async def _operate(route: Action | Compensation, request: web.Request) -> web.Response:
    key = _read_key(request)
    body = await read_body(request, route.request)
    undoes: tuple[str, ...] = ()
    if isinstance(route, Action):
        operation = _operation(request, _bounded(route.subject(body)), "action", key, body)
    else:
        undoes = tuple(_bounded(subject) for subject in route.undoes(body))
        operation = _operation(request, undoes[0], "compensation", key, body)
    work = route.perform if isinstance(route, Action) else route.reverse
    async with transaction(request.app[POOL]) as connection:
        answer = await once(connection, operation, lambda: _stored(work(connection, body)), undoes)
    return _response(answer)


async def _change(route: Change, request: web.Request) -> web.Response:
    key = _read_key(request)
    body = await read_body(request, route.request)
    operation = _operation(request, f"change/{key}", "action", key, body)
    async with transaction(request.app[POOL]) as connection:
        answer = await once(connection, operation, lambda: _stored(route.perform(connection, body, key)))
    return _response(answer)


async def _look_up(route: Lookup, request: web.Request) -> web.Response:
    try:
        wanted = route.request.model_validate({**request.query, **request.match_info})
    except ValidationError as error:
        raise invalid(error) from None
    async with transaction(request.app[POOL]) as connection:
        answer = await route.read(connection, wanted)
    return _response(answer if isinstance(answer, StoredAnswer) else StoredAnswer(200, answer.model_dump_json().encode()))


def _operation(
    request: web.Request, subject: str, direction: Literal["action", "compensation"], key: str, body: BaseModel
) -> Operation:
    members = body.model_dump(mode="json", exclude_defaults=True)
    return Operation(subject, direction, key, hash_request(request.method, request.path, members))


async def _stored(working: Awaitable[Done]) -> tuple[StoredAnswer, Posting | None]:
    done = await working
    return StoredAnswer(done.status, done.answer.model_dump_json().encode()), done.effect


def _response(answer: StoredAnswer) -> web.Response:
    headers: Mapping[str, str] | None = {"Idempotency-Replayed": "true"} if answer.replayed else None
    return web.Response(status=answer.status, body=answer.body, headers=headers, content_type="application/json")


def _read_key(request: web.Request) -> str:
    """Read the Idempotency-Key, bare or as a quoted string; two of them are none."""
    sent = request.headers.getall("Idempotency-Key", [])
    given = sent[0] if len(sent) == 1 else ""
    quoted = _QUOTED_KEY.fullmatch(given)
    key = re.sub(r"\\(.)", r"\1", quoted[1]) if quoted else given
    if not _KEY.fullmatch(key) or (given.startswith('"') and not quoted):
        raise Problem(
            400,
            "idempotency-key",
            "A call that changes something carries an Idempotency-Key of 1 to 255 visible ASCII characters.",
        )
    return key


def _bounded(subject: str) -> str:
    if len(subject) > SUBJECT_MAX:
        raise invalid_member("", "An id is too long")
    return subject
