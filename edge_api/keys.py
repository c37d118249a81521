"""What handlers find in the application and in the request, typed."""

from typing import Final

from aiohttp import web

from orchestrator.definitions import Definitions
from orchestrator.fleet import Fleet
from orchestrator.participant import Caller
from orchestrator.settings import Settings
from orchestrator.tracing import Tracer
from sql.connect import Pool
from sql.tracing import Span

SETTINGS: Final = web.AppKey("settings", Settings)
POOL: Final = web.AppKey("pool", Pool)
SEES_ALL_CLIENTS: Final = web.AppKey("sees_all_clients", bool)
"""Whether who asks on this listener may see what belongs to any client."""
DEFINITIONS: Final = web.AppKey("definitions", Definitions)
CALLER: Final = web.AppKey("caller", Caller)
FLEET: Final = web.AppKey("fleet", Fleet)
TRACER: Final = web.AppKey("tracer", Tracer)

CLIENT_ID: Final = web.RequestKey("client_id", str)
"""Key of the request: who is asking. Set by the middleware, never taken from the request itself."""
ACTOR: Final = web.RequestKey("actor", str)
"""Key of the request: who acts on the admin listener."""
CORRELATION_ID: Final = web.RequestKey("correlation_id", str)
REQUEST_ID: Final = web.RequestKey("request_id", str)
TRACEPARENT: Final = web.RequestKey("traceparent", str)
SPAN: Final = web.RequestKey("span", Span)
"""Key of the request: its span, where its trace is told."""
