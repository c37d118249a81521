"""`/admin/orders/ID/VERB`: what operators do to an order; see `orchestrator/operating.py` and `orchestrator/mending.py`."""

from collections.abc import Awaitable, Callable
from dataclasses import asdict
from typing import Any, Final, Literal

from aiohttp import web
from pydantic import Field

from edge_api import keys
from edge_api.breakers import ByOperator
from edge_api.doors import actor_of
from edge_api.monitoring import METRICS
from edge_api.reading import json_response
from edge_api.requests import order_id_of, read_body
from edge_api.rows import visible_rows
from orchestrator import cancelling, mending, operating
from orchestrator.verdict import Verdict
from sql import ledger
from sql.models import Status


class ActAsked(ByOperator):
    """Body of `POST /admin/orders/ID/retry`, `/cancel`, `/pause` and `/resume`.

    Attributes:
        dry_run: Whether only to tell what would follow.
        seen: What the preview told of the order's state: it is refused when that is another one now; None to act as it stands.
    """

    dry_run: bool = False
    seen: str | None = Field(default=None, min_length=1, max_length=256)


class SkipAsked(ActAsked):
    """Body of `POST /admin/orders/ID/skip-step`.

    Attributes:
        step: The step that is meant; None for whichever it is.
    """

    step: str | None = Field(default=None, min_length=1, max_length=128)


class ResolveAsked(ActAsked):
    """Body of `POST /admin/orders/ID/resolve`.

    Attributes:
        ending: How the order ends.
    """

    ending: Literal["completed", "failed"] = Field(alias="as")


async def retry(request: web.Request) -> web.Response:
    """Let a STUCK order go on, or place a FAILED one anew."""
    return await _act(request, operating.retry, await read_body(request, ActAsked))


async def cancel(request: web.Request) -> web.Response:
    """Have an order on its way undone, or a completed one taken back."""
    return await _act(request, cancelling.cancel, await read_body(request, ActAsked))


async def pause(request: web.Request) -> web.Response:
    """Have no further call of an order made until it is resumed."""
    return await _act(request, mending.pause, await read_body(request, ActAsked))


async def resume(request: web.Request) -> web.Response:
    """Have a paused order go on where it stands."""
    return await _act(request, mending.resume, await read_body(request, ActAsked))


async def skip_step(request: web.Request) -> web.Response:
    """Have an order go on without its next step, or without undoing the one that can't be undone."""
    asked = await read_body(request, SkipAsked)
    return await _act(request, mending.skip_step, asked, step=asked.step)


async def resolve(request: web.Request) -> web.Response:
    """End a STUCK or paused order as the operator says."""
    asked = await read_body(request, ResolveAsked)
    return await _act(request, mending.resolve, asked, ending=Status(asked.ending.upper()))


async def _act(request: web.Request, verb: Callable[..., Awaitable[Verdict]], asked: ActAsked, **options: Any) -> web.Response:
    order_ledger_id = order_id_of(request)
    said = {"actor": actor_of(request, asked.actor), "reason": asked.reason, "dry_run": asked.dry_run, "seen": asked.seen}
    async with visible_rows(request) as conn:
        verdict = await verb(conn, request.app[keys.DEFINITIONS], order_ledger_id, **said, **options)
        if verdict.done:
            request.app[keys.TRACER].rests(verdict.order_ledger_id, verdict.status)
        if verdict.done and verdict.order_ledger_id != order_ledger_id:
            begun = (await ledger.get_rows(conn, [verdict.order_ledger_id]))[verdict.order_ledger_id]
            request.app[METRICS].started.labels(begun.saga).inc()
    return json_response({**asdict(verdict), "dry_run": asked.dry_run})


_ORDER: Final = "/admin/orders/{order_ledger_id}"
ROUTES: Final = [
    web.post(f"{_ORDER}/retry", retry),
    web.post(f"{_ORDER}/cancel", cancel),
    web.post(f"{_ORDER}/pause", pause),
    web.post(f"{_ORDER}/resume", resume),
    web.post(f"{_ORDER}/skip-step", skip_step),
    web.post(f"{_ORDER}/resolve", resolve),
]
