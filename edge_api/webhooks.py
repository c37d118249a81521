"""`/admin/webhooks` and `/admin/outbox/dead`: who gets events sent, and what could not be delivered."""

from typing import Annotated, Final
from uuid import UUID

from aiohttp import web
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from edge_api import keys
from edge_api.breakers import ByOperator
from edge_api.doors import actor_of
from edge_api.problems import Problem, ProblemType
from edge_api.reading import json_response
from edge_api.requests import parameters_of, read_body, whole_number
from edge_api.rows import visible_rows
from orchestrator import api_keys
from orchestrator.addresses import receiver_url
from orchestrator.webhooks import subscribing
from sql import acts, webhooks

DEAD_LIMIT_DEFAULT: Final = 50
DEAD_LIMIT_MAX: Final = 1_000
REASON_MAX: Final = 500


class _Asked(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class NewWebhook(_Asked):
    """Body of `POST /admin/webhooks`.

    Attributes:
        name: Unique: lower-case letters, digits, - and _.
        url: Where events go; http or https.
        types: Of the events it gets; none for all.
        from_start: Begin with the oldest event that is kept instead of what comes from now on.
        client_id: Whose orders' events it gets; none for every client's.
        reason: Why, for the record.
    """

    name: str = Field(pattern=f"^{subscribing.NAME}$")
    url: str
    types: list[Annotated[str, Field(pattern=f"^{subscribing.TYPE}$")]] = Field(default=[], max_length=subscribing.TYPES_MAX)
    from_start: bool = False
    client_id: str | None = Field(default=None, pattern=f"^{api_keys.CLIENT}$")
    reason: str = Field(default="", max_length=REASON_MAX)


class Rotation(_Asked):
    """Body of `POST /admin/webhooks/NAME/rotate`.

    Attributes:
        grace_s: Seconds for which the secret before signs too; 0 for one that somebody else knows.
        reason: Why, for the record.
    """

    grace_s: float = Field(default=subscribing.GRACE_S, ge=0, le=subscribing.GRACE_MAX_S)
    reason: str = Field(default="", max_length=REASON_MAX)


class Disabling(_Asked):
    """Body of `POST /admin/webhooks/NAME/disable`.

    Attributes:
        reason: Why; is shown with it.
    """

    reason: str = Field(min_length=1, max_length=REASON_MAX)


class ReplayAsked(ByOperator):
    """Body of `POST /admin/outbox/dead/replay`.

    Attributes:
        before: Those that were given up until then, so that what dies meanwhile is not among them.
        webhook: Those of this webhook; None for all.
    """

    before: AwareDatetime
    webhook: str | None = Field(default=None, pattern=f"^{subscribing.NAME}$")


async def list_webhooks(request: web.Request) -> web.Response:
    """Answer `GET /admin/webhooks`: every webhook by name, none with its secret."""
    async with visible_rows(request) as conn:
        return json_response({"webhooks": await webhooks.list_subscriptions(conn)})


async def add_webhook(request: web.Request) -> web.Response:
    """Answer `POST /admin/webhooks`: 201 with the secret, which nothing shows again."""
    asked = await read_body(request, NewWebhook)
    try:
        url = receiver_url(asked.url, request.app[keys.SETTINGS].webhook_reach)
    except ValueError as error:
        raise Problem(ProblemType.INVALID, "The body does not fit; see `errors`.", errors=(("#/url", f"{error}"),)) from None
    async with visible_rows(request) as conn:
        secret = await subscribing.subscribe(
            conn,
            asked.name,
            url,
            asked.types,
            from_start=asked.from_start,
            client_id=asked.client_id,
            actor=request[keys.ACTOR],
            reason=asked.reason,
        )
        row = await subscribing.describe(conn, asked.name)
    return json_response({**row, "secret": secret}, status=201, location=f"/admin/webhooks/{asked.name}")


async def get_webhook(request: web.Request) -> web.Response:
    """Answer `GET /admin/webhooks/NAME`."""
    async with visible_rows(request) as conn:
        return json_response(await subscribing.describe(conn, request.match_info["name"]))


async def remove_webhook(request: web.Request) -> web.Response:
    """Answer `DELETE /admin/webhooks/NAME?reason=`: 204, with its deliveries and dead letters."""
    name, reason = request.match_info["name"], _reason(request)
    async with visible_rows(request) as conn:
        await subscribing.remove(conn, name, actor=request[keys.ACTOR], reason=reason)
    return web.Response(status=204)


async def rotate_secret(request: web.Request) -> web.Response:
    """Answer `POST /admin/webhooks/NAME/rotate`: the new secret."""
    asked, name = await read_body(request, Rotation), request.match_info["name"]
    async with visible_rows(request) as conn:
        secret = await subscribing.rotate(conn, name, grace_s=asked.grace_s, actor=request[keys.ACTOR], reason=asked.reason)
        return json_response({**await subscribing.describe(conn, name), "secret": secret})


async def enable_webhook(request: web.Request) -> web.Response:
    """Answer `POST /admin/webhooks/NAME/enable?reason=`: it goes on where it stood."""
    name, reason = request.match_info["name"], _reason(request)
    async with visible_rows(request) as conn:
        await subscribing.enable(conn, name, actor=request[keys.ACTOR], reason=reason)
        return json_response(await subscribing.describe(conn, name))


async def disable_webhook(request: web.Request) -> web.Response:
    """Answer `POST /admin/webhooks/NAME/disable`: nothing more is sent until it is enabled."""
    asked, name = await read_body(request, Disabling), request.match_info["name"]
    async with visible_rows(request) as conn:
        await subscribing.disable(conn, name, actor=request[keys.ACTOR], reason=asked.reason)
        return json_response(await subscribing.describe(conn, name))


async def list_dead(request: web.Request) -> web.Response:
    """Answer `GET /admin/outbox/dead`: dead letters, those given up last first, and how many there are."""
    asked = _dead_query(request, "webhook", "limit")
    limit = whole_number("limit", asked.get("limit", str(DEAD_LIMIT_DEFAULT)), DEAD_LIMIT_MAX)
    async with visible_rows(request) as conn:
        dead = await webhooks.list_dead(conn, asked.get("webhook"), limit=limit)
        return json_response({"dead": dead, "total": await webhooks.count_dead(conn, asked.get("webhook"))})


async def replay_dead(request: web.Request) -> web.Response:
    """Answer `POST /admin/outbox/dead/ID/replay`: what is tried again of an event; the body may say who and why."""
    asked = _dead_query(request, "webhook")
    try:
        event_id = UUID(request.match_info["event_id"])
    except ValueError:
        raise _no_dead_letter() from None
    by = await read_body(request, ByOperator) if request.can_read_body else None
    actor, reason = (actor_of(request, by.actor), by.reason) if by else (request[keys.ACTOR], "")
    async with visible_rows(request) as conn:
        async with conn.transaction():
            replayed = await webhooks.replay_dead(conn, event_id, webhook=asked.get("webhook"), limit=DEAD_LIMIT_MAX)
            if not replayed:
                raise _no_dead_letter()
            await acts.insert_act(conn, "replay_dead", str(event_id), actor=actor, reason=reason, details=asked)
        await subscribing.wake(conn)
    return json_response({"replayed": replayed})


async def replay_all_dead(request: web.Request) -> web.Response:
    """Answer `POST /admin/outbox/dead/replay`: how many are tried again, a thousand at most, and whether more are left."""
    asked = await read_body(request, ReplayAsked)
    async with visible_rows(request) as conn:
        async with conn.transaction():
            found = await webhooks.replay_dead(conn, None, webhook=asked.webhook, limit=DEAD_LIMIT_MAX, before=asked.before)
            replayed = len(found)
            details = {"webhook": asked.webhook, "replayed": replayed}
            if replayed:
                actor = actor_of(request, asked.actor)
                await acts.insert_act(conn, "replay_dead", "all", actor=actor, reason=asked.reason, details=details)
        await subscribing.wake(conn)
    return json_response({"replayed": replayed, "more": replayed == DEAD_LIMIT_MAX})


_ONE: Final = f"/admin/webhooks/{{name:{subscribing.NAME}}}"
ROUTES: Final = [
    web.get("/admin/webhooks", list_webhooks, allow_head=False),
    web.post("/admin/webhooks", add_webhook),
    web.get(_ONE, get_webhook, allow_head=False),
    web.delete(_ONE, remove_webhook),
    web.post(f"{_ONE}/rotate", rotate_secret),
    web.post(f"{_ONE}/enable", enable_webhook),
    web.post(f"{_ONE}/disable", disable_webhook),
    web.get("/admin/outbox/dead", list_dead, allow_head=False),
    web.post("/admin/outbox/dead/replay", replay_all_dead),
    web.post("/admin/outbox/dead/{event_id}/replay", replay_dead),
]


def _dead_query(request: web.Request, *known: str) -> dict[str, str]:
    asked = parameters_of(request.query, known)
    if "\0" in asked.get("webhook", ""):
        raise _no_dead_letter()
    return asked


def _reason(request: web.Request) -> str:
    reason = parameters_of(request.query, ["reason"]).get("reason", "")
    if len(reason) > REASON_MAX or "\0" in reason:
        raise Problem(ProblemType.BAD_QUERY, f"'reason' may have at most {REASON_MAX} characters, none of them U+0000.")
    return reason


def _no_dead_letter() -> Problem:
    return Problem(ProblemType.NOT_FOUND, "There is no dead letter of this event; see GET /admin/outbox/dead.")
