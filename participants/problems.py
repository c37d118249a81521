"""Errors as answers: `application/problem+json` (RFC 9457) with a stable `type`."""

from collections.abc import Mapping
from typing import Any, Final

import orjson
import psycopg
import structlog
from aiohttp import web
from aiohttp.typedefs import Handler
from psycopg_pool import PoolClosed, PoolTimeout
from pydantic import ValidationError

from participants.idempotency import PROBLEMS, Refused

RETRY_AFTER_S: Final = 1  # a restarted database is back within seconds

_log = structlog.get_logger("participants")


class Problem(Exception):
    """An answer that is not the one hoped for; raised inside a transaction, it takes the transaction back.

    Args:
        status: HTTP status.
        kind: Last part of the problem's `type`; stable, callers may compare it.
        title: What the kind means, in a sentence that does not change.
        detail: What happened this time; no data of a person.
        headers: Headers to send with it.
        members: Further members of the body.
    """

    def __init__(
        self,
        status: int,
        kind: str,
        title: str,
        detail: str | None = None,
        *,
        headers: Mapping[str, str] | None = None,
        **members: Any,
    ) -> None:
        super().__init__(title)
        self.status = status
        self.headers = headers
        self.body = {"type": PROBLEMS + kind, "title": title, "status": status}
        if detail is not None:
            self.body["detail"] = detail
        self.body.update(members)

    def response(self) -> web.Response:
        """Return the problem as a response."""
        response = web.Response(
            status=self.status,
            body=orjson.dumps(self.body),
            headers=self.headers,
            content_type="application/problem+json",
        )
        if self.status == 408:
            response.force_close()  # what is left of the body is not waited for
        return response


def invalid(error: ValidationError) -> Problem:
    """Make the problem of a body or query that is not valid; each error points to its member (RFC 6901)."""
    errors = [
        {"pointer": "".join(f"/{_escaped(part)}" for part in item["loc"]), "detail": item["msg"]}
        for item in error.errors(include_url=False, include_context=False, include_input=False)
    ]
    return Problem(422, "invalid", "The request is not valid.", errors=errors)


def invalid_member(pointer: str, detail: str) -> Problem:
    """Make the problem of one member that is not valid."""
    return Problem(422, "invalid", "The request is not valid.", errors=[{"pointer": pointer, "detail": detail}])


def unavailable() -> Problem:
    """Make the problem of a database that is away or too busy."""
    return Problem(
        503,
        "unavailable",
        "The service cannot reach its database now.",
        headers={"Retry-After": str(RETRY_AFTER_S)},
    )


@web.middleware
async def answer_problems(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Turn everything that is raised into a problem; what is unforeseen is told to the log only."""
    try:
        return await handler(request)
    except Problem as problem:
        return problem.response()
    except Refused as refused:
        headers = {"Retry-After": str(RETRY_AFTER_S)} if refused.status == 503 else None
        return Problem(refused.status, refused.kind, refused.title, refused.detail, headers=headers).response()
    except web.HTTPException as error:
        kind = (error.reason or "error").lower().replace(" ", "-")
        allow = {"Allow": error.headers["Allow"]} if "Allow" in error.headers else None
        return Problem(error.status, kind, f"{error.reason}.", headers=allow).response()
    except psycopg.DataError:
        # A value that no column can hold, such as a NUL character or a sum beyond 64 bits.
        return Problem(422, "invalid", "The request is not valid.", "A value cannot be stored.").response()
    except (psycopg.OperationalError, psycopg.InterfaceError, PoolTimeout, PoolClosed, TimeoutError) as error:
        _log.warning("database unavailable", error=type(error).__name__)
        return unavailable().response()
    except Exception:
        _log.exception("request failed")
        return Problem(500, "internal-error", "The service failed.").response()


def _escaped(part: int | str) -> str:
    return str(part).replace("~", "~0").replace("/", "~1")
