"""`/admin/breakers`: how breakers of participants stand, what operators do with them; see `orchestrator/breaking.py`."""

from typing import Final

from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field

from edge_api import keys
from edge_api.doors import actor_of
from edge_api.reading import json_response
from edge_api.requests import read_body
from edge_api.rows import visible_rows
from orchestrator import breaking


class ByOperator(BaseModel):
    """Body of `POST /admin/breakers/NAME/hold` and `/reset`.

    Attributes:
        actor, reason: Who and why, for the record.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    actor: str = Field(min_length=1, max_length=128)
    reason: str = Field(min_length=1, max_length=500)


async def list_breakers(request: web.Request) -> web.Response:
    """Answer `GET /admin/breakers`: the breaker of every participant, by name."""
    settings = request.app[keys.SETTINGS]
    async with visible_rows(request) as conn:
        rows = await breaking.list_known(conn, settings.participants)
    return json_response({"breakers": [breaking.describe(row, settings.breaker) for row in rows.values()]})


async def hold_breaker(request: web.Request) -> web.Response:
    """Answer `POST /admin/breakers/NAME/hold`: no calls are made until it is reset."""
    asked, name = await read_body(request, ByOperator), request.match_info["name"]
    actor, participants = actor_of(request, asked.actor), request.app[keys.SETTINGS].participants
    async with visible_rows(request) as conn:
        await breaking.hold(conn, participants, name, actor=actor, reason=asked.reason)
    return await _shown(request, name)


async def reset_breaker(request: web.Request) -> web.Response:
    """Answer `POST /admin/breakers/NAME/reset`: calls are made again."""
    asked, name = await read_body(request, ByOperator), request.match_info["name"]
    actor, participants = actor_of(request, asked.actor), request.app[keys.SETTINGS].participants
    async with visible_rows(request) as conn:
        await breaking.reset(conn, participants, name, actor=actor, reason=asked.reason)
    return await _shown(request, name)


ROUTES: Final = [
    web.get("/admin/breakers", list_breakers, allow_head=False),
    web.post(r"/admin/breakers/{name:[a-z][a-z0-9_-]{0,62}}/hold", hold_breaker),
    web.post(r"/admin/breakers/{name:[a-z][a-z0-9_-]{0,62}}/reset", reset_breaker),
]


async def _shown(request: web.Request, name: str) -> web.Response:
    settings = request.app[keys.SETTINGS]
    async with visible_rows(request) as conn:
        row = (await breaking.list_known(conn, settings.participants))[name]
    return json_response(breaking.describe(row, settings.breaker))
