"""`/admin/config`: what sagas are configured to be, for operators' programs; see `orchestrator/configuring.py`."""

from typing import Any, Final

from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field

from edge_api import keys
from edge_api.doors import actor_of
from edge_api.problems import Problem, ProblemType
from edge_api.reading import json_response
from edge_api.requests import read_body
from edge_api.rows import visible_rows
from orchestrator import config_shown, configuring
from orchestrator.configuration import Configuration
from orchestrator.configuring import FAILURE_RATE_MAX, ORDERS_MIN, CanaryTerms

FOR_S_MAX: Final = 30 * 86_400.0
"""A trial that is not over in a month was forgotten."""


class _Asked(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    actor: str = Field(min_length=1, max_length=128)
    reason: str = Field(min_length=1, max_length=500)


class PutConfiguration(_Asked):
    """Body of `PUT /admin/config/SAGA`.

    Attributes:
        configuration: All that is to differ from code and settings.
        actor, reason: Who and why, for the history.
    """

    configuration: dict[str, Any]


class CanaryAsked(BaseModel):
    """How what is pending is tried first; see `CanaryTerms`."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    percent: float = Field(gt=0, lt=100)
    for_s: float = Field(gt=0, le=FOR_S_MAX)
    failure_rate_max: float = Field(default=FAILURE_RATE_MAX, ge=0, le=1)
    orders_min: int = Field(default=ORDERS_MIN, ge=1, le=1_000_000)


class ApplyConfiguration(_Asked):
    """Body of `POST /admin/config/SAGA/apply`.

    Attributes:
        revision: The one that is meant; None for whichever is pending or tried.
        canary: How it is tried first; None to have every new order start on it.
        actor, reason: Who and why, for the history.
    """

    revision: int | None = None
    canary: CanaryAsked | None = None


async def list_configurations(request: web.Request) -> web.Response:
    """Answer `GET /admin/config`: every saga."""
    definitions = request.app[keys.DEFINITIONS]
    async with visible_rows(request) as conn:
        shown = [(await config_shown.show(conn, definitions, name)).document() for name in definitions.names]
    return json_response({"sagas": shown})


async def get_configuration(request: web.Request) -> web.Response:
    """Answer `GET /admin/config/SAGA`: what new orders start on, what is pending, and what that would change."""
    async with visible_rows(request) as conn:
        shown = await config_shown.show(conn, request.app[keys.DEFINITIONS], request.match_info["saga"])
    return json_response(shown.document())


async def put_configuration(request: web.Request) -> web.Response:
    """Answer `PUT /admin/config/SAGA`: what is pending now, in place of what was."""
    asked, saga = await read_body(request, PutConfiguration), request.match_info["saga"]
    configuration = Configuration.read(saga, asked.configuration)
    actor, definitions = actor_of(request, asked.actor), request.app[keys.DEFINITIONS]
    async with visible_rows(request) as conn:
        await configuring.put(conn, definitions, saga, configuration, actor=actor, reason=asked.reason)
    return await get_configuration(request)


async def discard_configuration(request: web.Request) -> web.Response:
    """Answer `DELETE /admin/config/SAGA?actor=&reason=`: what is pending is dropped, a canary taken back."""
    actor, reason = (request.query.get(name, "").strip() for name in ("actor", "reason"))
    if not actor or not reason:
        raise Problem(ProblemType.BAD_QUERY, "Say who and why: `?actor=NAME&reason=TEXT`.")
    definitions, saga = request.app[keys.DEFINITIONS], request.match_info["saga"]
    async with visible_rows(request) as conn:
        await configuring.discard(conn, definitions, saga, actor=actor_of(request, actor), reason=reason)
    return await get_configuration(request)


async def apply_configuration(request: web.Request) -> web.Response:
    """Answer `POST /admin/config/SAGA/apply`: every order that is inserted from now on, or a share of them, starts on it."""
    asked, saga = await read_body(request, ApplyConfiguration), request.match_info["saga"]
    canary = CanaryTerms(**asked.canary.model_dump()) if asked.canary else None
    async with visible_rows(request) as conn:
        await configuring.apply(
            conn,
            request.app[keys.DEFINITIONS],
            saga,
            actor=actor_of(request, asked.actor),
            reason=asked.reason,
            revision=asked.revision,
            canary=canary,
        )
    return await get_configuration(request)


async def get_history(request: web.Request) -> web.Response:
    """Answer `GET /admin/config/SAGA/history`: what was done, newest first, at most the newest thousand."""
    saga = request.match_info["saga"]
    async with visible_rows(request) as conn:
        found = await configuring.history(conn, request.app[keys.DEFINITIONS], saga)
    return json_response({"saga": saga, "history": found})


ROUTES: Final = [
    web.get("/admin/config", list_configurations, allow_head=False),
    web.get("/admin/config/{saga}", get_configuration, allow_head=False),
    web.put("/admin/config/{saga}", put_configuration),
    web.delete("/admin/config/{saga}", discard_configuration),
    web.post("/admin/config/{saga}/apply", apply_configuration),
    web.get("/admin/config/{saga}/history", get_history, allow_head=False),
]
