"""What a request says, checked in the order in which it is refused: type, size, time, JSON, members."""

import asyncio
import re
from collections.abc import Mapping, Sequence
from typing import Final
from uuid import UUID

from aiohttp import hdrs, web

from edge_api.idempotency import nul_pointer
from edge_api.problems import Problem, ProblemType, order_not_found
from edge_api.schemas import Model, validated
from participants.contracts import strict_json

BODY_BYTES_MAX: Final = 1024 * 1024
BODY_TIMEOUT_S: Final = 10.0
WAIT_MAX_S: Final = 30
_UUID: Final = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)


async def read_body(request: web.Request, model: type[Model]) -> Model:
    """Read a body that must fit a model.

    Raises:
        Problem: 400, 408, 413, 415 or 422; nothing was recorded.
    """
    check_type(request)
    body = await _read_bytes(request)
    try:
        document = strict_json.loads(body)
    except strict_json.NotJson as error:
        raise Problem(ProblemType.MALFORMED_JSON, f"The body {error}.") from None
    pointer = nul_pointer(document)
    if pointer is not None:
        raise Problem(ProblemType.INVALID, "The body does not fit; see `errors`.", errors=((pointer, "must not hold U+0000"),))
    return validated(body, model)


def order_id_of(request: web.Request) -> UUID:
    """Return the id of the order that a path names.

    Raises:
        Problem: 404; a text that is no id is answered like the id of nothing.
    """
    text = request.match_info["order_ledger_id"]
    if not _UUID.fullmatch(text):
        raise order_not_found()
    return UUID(text)


def parameters_of(query: Mapping[str, str], known: Sequence[str]) -> dict[str, str]:
    """Return the parameters of a query.

    Raises:
        Problem: 400; one is not known, or stands twice.
    """
    for name in query:
        if name not in known:
            raise Problem(ProblemType.BAD_QUERY, f"There is no parameter {name!r}; there are {', '.join(known)}.")
    asked = dict(query)
    if len(query) > len(asked):
        raise Problem(ProblemType.BAD_QUERY, "Each parameter may stand once.")
    return asked


def whole_number(name: str, text: str, most: int) -> int:
    """Return the number that a parameter gives, from 1.

    Raises:
        Problem: 400; it is none, or above the most.
    """
    if not re.fullmatch(r"[0-9]{1,9}", text) or not 1 <= int(text) <= most:
        raise Problem(ProblemType.BAD_QUERY, f"{name!r} must be a whole number from 1 to {most}.")
    return int(text)


def preferred_wait_s(request: web.Request) -> int:
    """Return the seconds that a client prefers to wait (RFC 7240), at most `WAIT_MAX_S`; 0 for none."""
    for preference in ",".join(request.headers.getall("Prefer", [])).split(","):
        found = re.fullmatch(r"\s*wait\s*=\s*([0-9]{1,6})\s*(;.*)?", preference, re.IGNORECASE)
        if found:
            return min(int(found[1]), WAIT_MAX_S)
    return 0


def check_type(request: web.Request) -> None:
    """Refuse a body that does not say that it is JSON in UTF-8.

    Raises:
        Problem: 415.
    """
    charset = request.charset
    is_json = request.content_type == "application/json" and hdrs.CONTENT_TYPE in request.headers
    is_utf8 = charset is None or charset.lower().replace("_", "-") in ("utf-8", "utf8")
    codings = request.headers.getall(hdrs.CONTENT_ENCODING, [])
    if not is_json or not is_utf8 or any(coding.lower() != "identity" for coding in codings):
        raise Problem(
            ProblemType.UNSUPPORTED_MEDIA_TYPE,
            "Send `Content-Type: application/json` in UTF-8, without a Content-Encoding.",
            headers={"Accept-Post": "application/json"},
        )


async def _read_bytes(request: web.Request) -> bytes:
    if request.content_length is not None and request.content_length > BODY_BYTES_MAX:
        raise Problem(ProblemType.TOO_LARGE, f"The body may have at most {BODY_BYTES_MAX} bytes.")
    try:
        async with asyncio.timeout(BODY_TIMEOUT_S):
            return await request.read()
    except TimeoutError:
        raise Problem(ProblemType.REQUEST_TIMEOUT, f"The body did not arrive within {BODY_TIMEOUT_S:g} s.") from None
    except web.RequestPayloadError:  # of aiohttp's parser in Python; the one in C leaves it to the time limit
        raise Problem(ProblemType.MALFORMED_REQUEST, "The body is not framed as HTTP says.") from None
    except ConnectionError:
        # Nobody is there to be told; it is the client's affair, not a fault of ours to be logged as one.
        raise Problem(ProblemType.REQUEST_TIMEOUT, "The body did not arrive whole.") from None
