"""The edge process: everything opened in order, two listeners, stopped in reverse."""

import asyncio
import contextlib
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from typing import Any, Final
from uuid import uuid4

import structlog

from edge_api.admission import Backlog
from edge_api.app import Parts, admin_app, clients_app
from edge_api.changes import Changes
from edge_api.clients import KeyRing, read_api_keys
from edge_api.connections import Connections
from edge_api.doors import check_start
from edge_api.errors import EdgeError
from edge_api.feed import Feed
from edge_api.listening import Listening, listen
from edge_api.monitoring import EdgeMetrics
from edge_api.waking import Finishes, Waker
from orchestrator.connecting import LedgerUnusable, open_ledger
from orchestrator.credentials import secrets_for
from orchestrator.definitions import Definitions
from orchestrator.fleet import Fleet
from orchestrator.loading import registered
from orchestrator.logs import configure_logs
from orchestrator.participant import Caller
from orchestrator.settings import Settings
from orchestrator.tracing import Tracer
from orchestrator.transport import open_transport
from orchestrator.transport.fallback import open_session
from sql.connect import ALL_CLIENTS, Pool
from sql.tasks import end_task
from sql.telling import is_readable, versions
from sql.tracing import Traces, TracesError, open_traces

CALLS_MAX: Final = 100
"""Most calls to payments on their way at once."""
PROBES_MAX: Final = 10
"""Most questions for one participant's health on their way at once."""
_CLOSING_S: Final = 2.0
"""Kept of the time to stop for closing what requests use."""

Announce = Callable[[str, str | None], None]
log = structlog.get_logger(__name__)


def run(settings: Settings, *, admin: bool = True, announce: Announce | None = None) -> None:
    """Serve until SIGTERM or SIGINT.

    Args:
        settings: Where the ledger, the participants and the listeners are.
        admin: Whether the admin listener is opened too.
        announce: Given the base URLs of the clients' and the admin listener once requests are taken.

    Raises:
        EdgeError: The ledger can't be reached or is not migrated, a port is in use, a key is wrong or, outside
            `dev`, missing, or a part of the edge failed.
        SettingsError: No database is set, or a module of a team's own sagas can't be used.
        DefinitionError: A saga's code was changed under its version, or is not what the saga's configuration is for.
    """
    configure_logs(settings.log_level, readable=is_readable(settings.log_format, settings.environment))
    _allow_descriptors()
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        runner.run(serve(settings, admin=admin, announce=announce))


async def serve(
    settings: Settings, *, admin: bool = True, announce: Announce | None = None, stop: asyncio.Event | None = None
) -> None:
    """Serve until told to stop; see `run`.

    Args:
        settings: As for `run`.
        admin: As for `run`.
        announce: As for `run`.
        stop: Ends it when set; None to be ended by SIGTERM or SIGINT.
    """
    stop = stop or _stopped_by_signal()  # before anybody can know that there is something to stop
    async with AsyncExitStack() as stack:
        parts = await stack.enter_async_context(open_parts(settings))
        check_start(settings, parts.ring, admin=admin)
        loops = _start_loops(stack, parts)
        listeners: list[Listening] = []
        # Both are stopped at once, so that together they take no longer than one.
        stack.push_async_callback(_stop, parts, listeners)
        stop_s = max(settings.shutdown_s - _CLOSING_S, settings.shutdown_s / 2)
        clients = clients_app(parts)
        room = partial(Connections, settings.connections_max, settings.connections_per_address)
        host, port = settings.host, settings.port
        listeners.append(await listen(clients, host, port, setting="SAGA_PORT", stop_s=stop_s, connections=room()))
        if admin:
            host, port = settings.admin_host, settings.admin_port
            admins = admin_app(parts)
            listeners.append(await listen(admins, host, port, setting="SAGA_ADMIN_PORT", stop_s=stop_s, connections=room()))
        parts.ready.set()
        url, admin_url = listeners[0].url, listeners[1].url if admin else None
        if not settings.takes_orders:
            log.warning(
                "switched_off", cause="SAGA_ENABLED is off", consequence="what would begin something is answered with 503"
            )
        log.info("edge_listening", clients=url, admin=admin_url, versions=versions())
        if announce is not None:
            announce(url, admin_url)
        await _until(stop, loops)


@asynccontextmanager
async def open_parts(settings: Settings) -> AsyncIterator[Parts]:
    """Open what handlers work with.

    Raises:
        EdgeError: The ledger can't be reached or is not migrated, SAGA_API_KEYS is wrong, or traces can't be told.
    """
    static_keys = read_api_keys(settings.api_keys)
    name = f"edge-{uuid4().hex[:8]}"  # the random part makes a restart on the same host another edge
    structlog.contextvars.bind_contextvars(replica=name)  # on every line of every task that is started from here on
    metrics = EdgeMetrics()
    traces = _open_traces(settings, metrics, name)
    async with AsyncExitStack() as stack:
        sagas = registered(settings)
        secrets = secrets_for(settings, [saga.edge_step.action.participant for saga in sagas if saga.edge_step])
        definitions = Definitions(sagas, settings)
        pool = await _open_ledger(stack, settings, definitions)
        await _see_configuration(pool, definitions)
        ring = KeyRing(pool, static_keys)
        await ring.look()
        transport = await stack.enter_async_context(
            open_transport(settings.http_client, connections_max=CALLS_MAX, reach=settings.participant_reach)
        )
        fleet = Fleet(pool, settings, metrics.breaker_state)
        await fleet.look()
        tracer = Tracer(traces, partial(pool.acting_for, ALL_CLIENTS))
        stack.push_async_callback(tracer.close)
        backlog = Backlog(pool, settings.backlog_max)
        waker, finishes, feed = Waker(pool, enabled=settings.notify), Finishes(pool), Feed(pool)
        changes = Changes(pool)
        parts = Parts(
            name=name,
            settings=settings,
            ring=ring,
            pool=pool,
            definitions=definitions,
            caller=Caller(transport, fleet.addresses, secrets, metrics.calls_refused),
            fleet=fleet,
            probes=await stack.enter_async_context(open_session(PROBES_MAX, settings.participant_reach)),
            waker=waker,
            finishes=finishes,
            feed=feed,
            changes=changes,
            metrics=metrics,
            backlog=backlog,
            tracer=tracer,
            ready=asyncio.Event(),
        )
        yield parts


def _start_loops(stack: AsyncExitStack, parts: Parts) -> list[asyncio.Task[None]]:
    """Have the parts do by themselves what they do all the time, until the stack is closed."""
    loops = {
        "waker": parts.waker.run(),
        "finishes": parts.finishes.run(),
        "feed": parts.feed.run(),
        "changes": parts.changes.run(),
        "fleet": parts.fleet.run(),
        "ring": parts.ring.run(),
        "backlog": parts.backlog.run(),
        "tracer": parts.tracer.run(),
    }
    tasks = [asyncio.create_task(loop, name=name) for name, loop in loops.items()]
    for task in tasks:
        stack.push_async_callback(end_task, task)
    return tasks


async def _until(stop: asyncio.Event, loops: list[asyncio.Task[None]]) -> None:
    """Wait to be told to stop.

    Raises:
        EdgeError: One of the loops failed, and what depends on it would wait in vain. One that is switched off just ends.
    """
    stopped = asyncio.create_task(stop.wait())
    running: set[asyncio.Task[Any]] = {stopped, *loops}
    try:
        while stopped in running:
            done, running = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                if error := task.exception():
                    log.error("edge_failed", cause=f"the {task.get_name()} failed", exc_info=error)
                    raise EdgeError(f"the {task.get_name()} failed: {error}") from error
    finally:
        await end_task(stopped)


def _open_traces(settings: Settings, metrics: EdgeMetrics, name: str) -> Traces | None:
    try:
        traces = open_traces(settings.traces, "sagaledger-edge", name)
    except TracesError as error:
        raise EdgeError(str(error)) from None
    if traces is not None:
        metrics.registry.register(traces)
    return traces


async def _open_ledger(stack: AsyncExitStack, settings: Settings, definitions: Definitions) -> Pool:
    try:
        return await stack.enter_async_context(open_ledger(settings, definitions, "edge", name="edge"))
    except LedgerUnusable as error:
        raise EdgeError(str(error)) from None


async def _see_configuration(pool: Pool, definitions: Definitions) -> None:
    async with pool.connection() as conn:
        if not conn.walled:
            log.warning(
                "clients_not_walled_off",
                cause="the database's user is bound by no policy: it owns the tables, or may bypass them",
                consequence="only the edge's own statements keep one client from another's orders; see docs/security.md",
            )
        await definitions.look(conn)
    definitions.check_fit()


async def _stop(parts: Parts, listeners: list[Listening]) -> None:
    """Take no more requests and finish those in hand."""
    parts.ready.clear()
    parts.finishes.close()
    parts.feed.close()
    parts.changes.close()
    await asyncio.gather(*(listening.stop() for listening in listeners))


def _allow_descriptors() -> None:
    """Take as many file descriptors as the host lets this process have: each connection needs one, and 1,024 are few."""
    with contextlib.suppress(ImportError, ValueError, OSError):  # not on every platform
        import resource

        most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def _stopped_by_signal() -> asyncio.Event:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    return stop


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    with contextlib.suppress(ImportError):  # not on every platform
        import uvloop

        return uvloop.new_event_loop
    return None
