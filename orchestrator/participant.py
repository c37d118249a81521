"""One call to a participant over HTTP, and what its answer means.

Answers are hostile until they are read: capped, with one limit on the whole time, strict JSON of the agreed model that
repeats what the request named. What is not clearly done and not clearly refused is Unknown.
"""

import asyncio
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import orjson
import structlog
from pydantic import BaseModel, ValidationError

from orchestrator.outcome import Outcome, Rejected, Succeeded, Unknown
from orchestrator.transport import BODY_BYTES_MAX, Transport, TransportError
from participants.contracts import ECHO_EXEMPT, Endpoint
from sql.models import Json

ANSWER_DEPTH_MAX: Final = 32
SUCCESS: Final = frozenset({200, 201})
REJECTION: Final = frozenset({402, 409, 410, 422})
"""A business answer: no effect, and never will have one."""
OUR_BUG: Final = frozenset({400, 401, 403, 404, 405, 415})
"""The call itself is wrong. Unknown and loud, so that a bad deployment does not refund every customer."""
IN_PROGRESS: Final = "in-progress"
NOT_DONE: Final = "operation-not-found"
"""What a probe is told of an operation that was not done by now: no bug of ours, and no refusal either."""

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Tracing:
    """What is sent along for logs and traces."""

    correlation_id: str
    traceparent: str | None = None


class Caller:
    """Calls participants.

    Args:
        transport: Sends requests.
        addresses: Base URL of each participant, by name.
    """

    def __init__(self, transport: Transport, addresses: Mapping[str, str]) -> None:
        self._transport = transport
        self._addresses = addresses

    async def call(
        self,
        endpoint: Endpoint[Any, Any],
        request: BaseModel,
        *,
        key: str,
        tracing: Tracing,
        timeout_s: float,
        operation: BaseModel | None = None,
    ) -> Outcome:
        """Make one attempt of an operation.

        Args:
            endpoint: What to do.
            request: Its request.
            key: Idempotency key; the same for every attempt of the operation.
            tracing: Sent along.
            timeout_s: Total seconds, from the connection to the last byte.
            operation: What the answer must repeat; None for the request itself.

        Returns:
            What the answer means; never raises for anything that a participant or the network does.
        """
        headers = {"X-Correlation-ID": tracing.correlation_id}
        if tracing.traceparent:
            headers["traceparent"] = tracing.traceparent
        if endpoint.method != "GET":
            headers["Idempotency-Key"] = key
        body = endpoint.body(request)
        if body is not None:
            headers["Content-Type"] = "application/json"
        try:
            async with asyncio.timeout(timeout_s):
                reply = await self._transport.exchange(
                    endpoint.method,
                    self._addresses[endpoint.participant] + endpoint.url_path(request),
                    headers,
                    None if body is None else orjson.dumps(body),
                )
        except TimeoutError:
            return Unknown(f"{endpoint.participant} did not answer within {timeout_s:g} s")
        except (TransportError, ValueError) as error:
            return Unknown(f"{endpoint.participant} could not be asked: {_printable(str(error))}")
        if reply.body is None:
            return Unknown(f"{endpoint.participant} answered {reply.status} with more than {BODY_BYTES_MAX} bytes")
        outcome = read_answer(endpoint, operation or request, reply.status, reply.body, reply.headers.get("retry-after"))
        if (reply.status in OUR_BUG or 300 <= reply.status < 400) and not _is_not_done(reply.status, reply.body):
            log.error("call_refused", participant=endpoint.participant, path=endpoint.path, status=reply.status, key=key)
        return outcome


def read_answer(endpoint: Endpoint[Any, Any], request: BaseModel, status: int, body: bytes, retry_after: str | None) -> Outcome:
    """Tell what an answer means.

    Args:
        endpoint: What was asked.
        request: What an answer must repeat where it has members of the same name.
        status: HTTP status code.
        body: At most `BODY_BYTES_MAX` bytes.
        retry_after: Value of the header of that name; None when there was none.
    """
    who = endpoint.participant
    if status in SUCCESS:
        return _read_success(endpoint, request, status, body)
    problem = _json_object(body)
    detail = _detail(problem)
    if status in REJECTION and not (status == 409 and _problem_type(problem) == IN_PROGRESS):
        return Rejected(f"{who} answered {status}{detail}", problem)
    return Unknown(f"{who} answered {status}{detail}", parse_retry_after(retry_after), problem)


def parse_retry_after(value: str | None) -> float | None:
    """Return the seconds that a `Retry-After` header asks for; None for no header, a date or garbage."""
    return float(value) if value is not None and re.fullmatch(r"[0-9]{1,10}", value) else None


def _read_success(endpoint: Endpoint[Any, Any], request: BaseModel, status: int, body: bytes) -> Outcome:
    who, parsed = endpoint.participant, _json_object(body)
    if parsed is None:
        return Unknown(f"{who} answered {status} with what is no JSON object")
    try:
        answer = endpoint.response.model_validate_json(body)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        return Unknown(f"{who} answered {status} with another shape: {where}: {first['msg']}", response=parsed)
    result: Json = answer.model_dump(mode="json")
    asked = request.model_dump(mode="json", include=set(result) - ECHO_EXEMPT)
    for name, value in asked.items():
        if result[name] != value:
            log.error("answer_of_another_operation", participant=who, member=name)
            return Unknown(f"{who} answered for another operation: {name} differs", response=parsed)
    return Succeeded(result)


def _json_object(body: bytes) -> Json | None:
    try:
        parsed = orjson.loads(body)
    except orjson.JSONDecodeError:
        return None
    # PostgreSQL stores no NUL in text, and no encoder writes what is nested too deep: such an answer could not be recorded.
    if not isinstance(parsed, dict) or b"\\u0000" in body or not _is_shallow(parsed):
        return None
    return parsed


def _is_shallow(parsed: Json) -> bool:
    level: list[Any] = [parsed]
    for _ in range(ANSWER_DEPTH_MAX):
        insides = (value.values() if isinstance(value, dict) else value for value in level)
        level = [value for inside in insides for value in inside if isinstance(value, dict | list)]
        if not level:
            return True
    return False


def _detail(problem: Json | None) -> str:
    text = problem.get("detail") or problem.get("title") if problem else None
    return f": {_printable(text)}" if isinstance(text, str) else ""


def _problem_type(problem: Json | None) -> str:
    value = problem.get("type") if problem else None
    return value.rpartition("/")[2] if isinstance(value, str) else ""


def _is_not_done(status: int, answer: bytes) -> bool:
    return status == 404 and _problem_type(_json_object(answer)) == NOT_DONE


def _printable(text: str) -> str:
    return "".join(character if character.isprintable() else " " for character in text)[:300]
