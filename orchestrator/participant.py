"""One call to a participant over HTTP, and what its answer means.

Answers are hostile until they are read: capped, with one limit on the whole time, strict JSON of the agreed model that
repeats what the request named. What is not clearly done and not clearly refused is Unknown.
"""

import re
from collections.abc import Mapping
from typing import Any, Final

import orjson
import structlog
from msgspec import Struct
from prometheus_client import Counter
from pydantic import ValidationError

from orchestrator.credentials import authorization
from orchestrator.outcome import Outcome, Rejected, Succeeded, Unknown
from orchestrator.prepared import Prepared
from orchestrator.spans import note_called, note_status
from orchestrator.transport import BODY_BYTES_MAX, Forbidden, Reply, Transport, TransportError
from participants.contracts import ECHO_EXEMPT, Endpoint, masked, strict_json
from sql.models import Json
from sql.tracing import Span

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


class Tracing(Struct, frozen=True):
    """What is sent along for logs and traces.

    Attributes:
        correlation_id: Of the order's request.
        traceparent: Context of the call; None where the order has none.
        attempt: The span of the call, to be told of it; None where traces are off.
    """

    correlation_id: str
    traceparent: str | None = None
    attempt: Span | None = None


class Caller:
    """Calls participants.

    Args:
        transport: Sends requests.
        addresses: Base URL of each participant, by name.
        secrets: What participants want to see, by name; each is sent to the participant of that name and to no other.
        refused: Counts the calls that are wrong themselves, by participant and why; None to count nothing.
    """

    def __init__(
        self,
        transport: Transport,
        addresses: Mapping[str, str],
        secrets: Mapping[str, str] | None = None,
        refused: Counter | None = None,
    ) -> None:
        self._transport = transport
        self._addresses = addresses
        self._authorizations = {name: authorization(secret) for name, secret in (secrets or {}).items()}
        self._refused = refused

    async def call(self, prepared: Prepared, tracing: Tracing, timeout_s: float) -> Outcome:
        """Make one attempt of an operation.

        Args:
            prepared: What to send.
            tracing: Sent along.
            timeout_s: Total seconds, from the connection to the last byte.

        Returns:
            What the answer means; never raises for anything that a participant or the network does.
        """
        endpoint = prepared.endpoint
        headers = {"X-Correlation-ID": tracing.correlation_id, **self._authorizations.get(endpoint.participant, {})}
        if tracing.traceparent:
            headers["traceparent"] = tracing.traceparent
        if endpoint.method != "GET":
            headers["Idempotency-Key"] = prepared.key
        if prepared.body is not None:
            headers["Content-Type"] = "application/json"
        try:
            url = self._addresses[endpoint.participant] + prepared.path
            if tracing.attempt is not None:
                note_called(tracing.attempt, url)
            reply = await self._transport.exchange(endpoint.method, url, headers, prepared.body, timeout_s)
        except TimeoutError:
            return Unknown(f"{endpoint.participant} did not answer within {timeout_s:g} s")
        except (TransportError, ValueError) as error:
            if isinstance(error, Forbidden):
                self._tell_refused(prepared, "forbidden_address", error=str(error))
            return Unknown(f"{endpoint.participant} could not be asked: {_printable(str(error), prepared.personal or {})}")
        if tracing.attempt is not None:
            note_status(tracing.attempt, reply.status)
        if reply.body is None:
            return Unknown(f"{endpoint.participant} answered {reply.status} with more than {BODY_BYTES_MAX} bytes")
        outcome = read_answer(endpoint, prepared.echoed, reply, prepared.personal)
        is_ours = reply.status in OUR_BUG or 300 <= reply.status < 400
        if is_ours and isinstance(outcome, Unknown) and not _is_not_done(reply.status, reply.body):
            self._tell_refused(prepared, str(reply.status))
        return outcome

    def _tell_refused(self, prepared: Prepared, why: str, error: str | None = None) -> None:
        """Tell operators of a call that is wrong itself: an address, a secret, a version; no order can mend that."""
        endpoint, key = prepared.endpoint, prepared.key
        log.error("call_refused", participant=endpoint.participant, path=endpoint.path, reason=why, key=key, error=error)
        if self._refused is not None:
            self._refused.labels(endpoint.participant, why).inc()


def read_answer(endpoint: Endpoint[Any, Any], echoed: Json, reply: Reply, personal: Json | None = None) -> Outcome:
    """Tell what an answer means.

    Args:
        endpoint: What was asked.
        echoed: What an answer must repeat where it has members of the same name.
        reply: The answer, with a body.
        personal: What is known of the person whom the order is for. Nothing of it is in the outcome: not in the members that
            the answer's model marks, nor in whatever text an answer has that is no success.
    """
    outcome = _read(endpoint, echoed, reply, personal or {})
    match outcome:
        case Succeeded(result):
            kept = endpoint.kept_of(result)
            return outcome if kept is result else Succeeded(kept)
        case Rejected(reason, response):
            return Rejected(masked(reason, personal or {}), _kept(endpoint, response, personal))
        case Unknown(reason, retry_after_s, response):
            return Unknown(masked(reason, personal or {}), retry_after_s, _kept(endpoint, response, personal))


def _read(endpoint: Endpoint[Any, Any], echoed: Json, reply: Reply, personal: Json) -> Outcome:
    who, status, body = endpoint.participant, reply.status, reply.body or b""
    if status in SUCCESS:
        outcome = _read_success(endpoint, echoed, status, body, personal)
        return outcome if isinstance(outcome, Unknown) else _refusal(endpoint, status, outcome.result, personal) or outcome
    problem = _json_object(body)
    if refused := _refusal(endpoint, status, problem, personal):
        return refused
    detail = _detail(problem, personal)
    if status in REJECTION and not (status == 409 and _problem_type(problem) == IN_PROGRESS):
        return Rejected(f"{who} answered {status}{detail}", problem)
    return Unknown(f"{who} answered {status}{detail}", parse_retry_after(reply.headers.get("retry-after")), problem)


def _kept(endpoint: Endpoint[Any, Any], response: Json | None, personal: Json | None) -> Json | None:
    """Return what is kept of an answer that is no success: it may have any shape, and repeat whatever was sent."""
    kept: Json | None = response and masked(endpoint.kept_of(response), personal or {})
    return kept


def parse_retry_after(value: str | None) -> float | None:
    """Return the seconds that a `Retry-After` header asks for; None for no header, a date or garbage."""
    return float(value) if value is not None and re.fullmatch(r"[0-9]{1,100}", value) else None


def _refusal(endpoint: Endpoint[Any, Any], status: int, answer: Json | None, personal: Json) -> Rejected | None:
    """Return the refusal that only this endpoint's answers have, in spite of their status; None for none."""
    why = endpoint.refusal(status, answer or {}) if endpoint.refusal else None
    return Rejected(f"{endpoint.participant} answered {status}: {_printable(why, personal)}", answer) if why else None


def _read_success(endpoint: Endpoint[Any, Any], echoed: Json, status: int, body: bytes, personal: Json) -> Succeeded | Unknown:
    who = endpoint.participant
    parsed = _json_object(body)
    if parsed is None:
        return Unknown(f"{who} answered {status} with what is no JSON object")
    try:
        result: Json = endpoint.response.model_validate_json(body).model_dump(mode="json")
    except ValidationError as error:
        first = error.errors()[0]
        where = _printable(".".join(str(part) for part in first["loc"]), personal)
        what = _printable(first["msg"], personal)
        return Unknown(f"{who} answered {status} with another shape: {where}: {what}", response=parsed)
    for name, value in result.items():
        if name in echoed and echoed[name] != value and name not in ECHO_EXEMPT:
            log.error("answer_of_another_operation", participant=who, member=name)
            return Unknown(f"{who} answered for another operation: {name} differs", response=result)
    return Succeeded(result)


def _json_object(body: bytes) -> Json | None:
    """Return an answer that is a JSON object, can be read in one way only and can be kept by the ledger; None for others."""
    try:
        parsed = orjson.loads(body)
        # Written as this side writes it, it has no member twice and no number beyond 64 bits; else that is looked for.
        if orjson.dumps(parsed) != body:
            parsed = strict_json.loads(body)
    except (ValueError, orjson.JSONEncodeError):
        return None
    # PostgreSQL stores no NUL in text, and no encoder writes what is nested too deep: such an answer could not be recorded.
    if not isinstance(parsed, dict) or b"\\u0000" in body or not _is_shallow(parsed):
        return None
    return parsed


def _is_shallow(parsed: Json) -> bool:
    level: list[Any] = [value for value in parsed.values() if isinstance(value, (dict, list))]
    if not level:
        return True
    for _ in range(ANSWER_DEPTH_MAX - 1):
        insides = (value.values() if isinstance(value, dict) else value for value in level)
        level = [value for inside in insides for value in inside if isinstance(value, (dict, list))]
    return not level


def _detail(problem: Json | None, personal: Json) -> str:
    problem = masked(problem, personal)
    text = problem.get("detail") or problem.get("title") if problem else None
    return f": {_printable(text, personal)}" if isinstance(text, str) else ""


def _problem_type(problem: Json | None) -> str:
    value = problem.get("type") if problem else None
    return value.rpartition("/")[2] if isinstance(value, str) else ""


def _is_not_done(status: int, answer: bytes) -> bool:
    return status == 404 and _problem_type(_json_object(answer)) == NOT_DONE


def _printable(text: str, personal: Json) -> str:
    """Return what can be shown of a text. It is masked before it is cut: half a name is one as well."""
    known: str = masked(text, personal)
    return "".join(character if character.isprintable() else " " for character in known)[:300]
