"""The orchestrator process: everything opened in order, stopped in reverse."""

import asyncio
import gc
import os
import signal
import socket
from collections.abc import Iterable, Mapping
from contextlib import AsyncExitStack
from typing import Any, Final
from uuid import uuid4

import structlog
import uvloop

from orchestrator.canary import Judge
from orchestrator.connecting import LedgerUnusable, open_ledger
from orchestrator.credentials import called_by, secrets_for
from orchestrator.definitions import Definitions
from orchestrator.exposing import PortUnusable, check_exposed, expose
from orchestrator.fleet import Fleet
from orchestrator.listener import Listener
from orchestrator.loading import find_queries, registered
from orchestrator.metrics import Metrics
from orchestrator.oncall.channels import open_channels
from orchestrator.participant import Caller
from orchestrator.retention import Retention
from orchestrator.runner import Runner
from orchestrator.saga import Saga
from orchestrator.settings import Settings
from orchestrator.switch import WhenDisabled
from orchestrator.tracing import Tracer
from orchestrator.transport import open_transport
from orchestrator.watchdog import watch_loop
from orchestrator.webhooks.sending import CONNECTIONS_MAX, Sender
from orchestrator.worker import Worker
from orchestrator.writer import Writer
from sql.connect import Pool
from sql.telling import versions
from sql.tracing import Traces, TracesError, open_traces

STOP_S: Final = 1.0
"""Seconds that loops get to end once they are cancelled; all that matters is written by then."""
GC_THRESHOLD: Final = (20_000, 50, 100)
"""Of the garbage collector, youngest generation first."""
log = structlog.get_logger(__name__)


class OrchestratorError(Exception):
    """The orchestrator can't start, or had to stop."""


def run(settings: Settings, sagas: Iterable[Saga[Any]] | None = None) -> None:
    """Run a replica until SIGTERM or SIGINT.

    Args:
        settings: How.
        sagas: What it can run; None for what the installation has.

    Raises:
        OrchestratorError: The ledger can't be reached or is not migrated, or a part of the replica failed.
        DefinitionError: A saga's code was changed under its version.
        SettingsError: A module of a team's own sagas can't be used, or a secret is missing outside dev.
    """
    # A batch of orders is tens of thousands of small values without cycles: at Python's own thresholds a seventh of a busy
    # replica's time goes into looking for some (`docs/performance.md`).
    gc.set_threshold(*GC_THRESHOLD)
    check_exposed(settings)
    sagas = registered(settings) if sagas is None else tuple(sagas)
    uvloop.run(_main(settings, sagas, secrets_for(settings, called_by(sagas))))


async def _main(settings: Settings, sagas: Iterable[Saga[Any]], secrets: Mapping[str, str]) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    # The random part makes a restart on the same host another replica.
    replica = f"{socket.gethostname()}-{os.getpid()}-{uuid4().hex[:8]}"
    structlog.contextvars.bind_contextvars(replica=replica)  # on every line of every task that is started from here on
    metrics = Metrics()
    traces = _open_traces(settings, metrics, replica)
    async with AsyncExitStack() as stack:
        definitions = Definitions(sagas, settings)
        pool = await _open_ledger(stack, settings, definitions, replica)
        tracer = Tracer(traces, pool.connection)
        stack.push_async_callback(tracer.close)
        transport = await stack.enter_async_context(
            open_transport(settings.http_client, connections_max=settings.concurrency, reach=settings.participant_reach)
        )
        fleet = Fleet(pool, settings, metrics.breaker_state)
        await fleet.look()
        writer = Writer(pool)
        runner = Runner(
            replica=replica,
            pool=pool,
            definitions=definitions,
            writer=writer,
            caller=Caller(transport, fleet.addresses, secrets, metrics.calls_refused),
            fleet=fleet,
            metrics=metrics,
            jitter=settings.retry_jitter,
            lease_s=settings.lease_s,
            lapses_max=settings.lapses_max,
            tracer=tracer,
        )
        worker = Worker(
            replica=replica,
            pool=pool,
            definitions=definitions,
            runner=runner,
            fleet=fleet,
            settings=settings,
            metrics=metrics,
        )
        if not settings.takes_orders:
            begun = "finished" if settings.when_disabled is WhenDisabled.FINISH else "paused"
            log.warning(
                "switched_off", cause="SAGA_ENABLED is off", consequence=f"orders wait; those that have begun are {begun}"
            )
        log.info("orchestrator_started", versions=versions())
        try:
            await expose(stack, settings, metrics, pool)
        except PortUnusable as error:
            raise OrchestratorError(str(error)) from None
        receivers = await stack.enter_async_context(
            open_transport(settings.http_client, connections_max=CONNECTIONS_MAX, reach=settings.webhook_reach)
        )
        # Whom it tells is the operators' own choice, unlike a webhook's receiver, and like a participant.
        sender = Sender(pool, receivers, settings, metrics, worker.has_work, open_channels(settings, transport))
        parts = _parts(settings, pool, writer, worker, fleet, metrics, sender, tracer)
        parts["canary"] = Judge(
            pool,
            settings.ledger_url("orchestrator"),
            definitions,
            fleet,
            replica,
            find_queries(settings.definition_modules),
        ).run()
        await _run_until(stop, worker, parts, settings.shutdown_s)


def _parts(
    settings: Settings,
    pool: Pool,
    writer: Writer,
    worker: Worker,
    fleet: Fleet,
    metrics: Metrics,
    sender: Sender,
    tracer: Tracer,
) -> dict[str, Any]:
    def wake() -> None:
        worker.wake()
        sender.wake()

    parts = {"writer": writer.run(), "worker": worker.run(), "fleet": fleet.run(worker.has_work), "webhooks": sender.run()}
    parts["tracer"] = tracer.run()
    parts["watchdog"] = watch_loop(settings.lease_s, metrics)
    if settings.retention_days:
        parts["retention"] = Retention(pool, days=settings.retention_days).run()
    if settings.notify:
        parts["listener"] = Listener(settings.listen_url(), pool, wake, metrics).run()
    return parts


async def _run_until(stop: asyncio.Event, worker: Worker, parts: dict[str, Any], shutdown_s: float) -> None:
    tasks = {asyncio.create_task(part, name=name) for name, part in parts.items()}
    stopped = asyncio.create_task(stop.wait(), name="stop")
    done, _ = await asyncio.wait({*tasks, stopped}, return_when=asyncio.FIRST_COMPLETED)
    try:
        await worker.stop(shutdown_s)
    finally:
        for task in (*tasks, stopped):
            task.cancel()
        await asyncio.wait((*tasks, stopped), timeout=STOP_S)
    for task in done - {stopped}:
        if not task.cancelled() and task.exception() is not None:
            raise OrchestratorError(f"the {task.get_name()} failed: {task.exception()}") from task.exception()


def _open_traces(settings: Settings, metrics: Metrics, replica: str) -> Traces | None:
    try:
        traces = open_traces(settings.traces, "sagaledger-orchestrator", replica)
    except TracesError as error:
        raise OrchestratorError(str(error)) from None
    if traces is not None:
        metrics.registry.register(traces)
    return traces


async def _open_ledger(stack: AsyncExitStack, settings: Settings, definitions: Definitions, replica: str) -> Pool:
    # The name's random part tells replicas apart in pg_stat_activity, where `saga health` counts them.
    name = f"orchestrator {replica.rpartition('-')[2]}"
    try:
        return await stack.enter_async_context(open_ledger(settings, definitions, "orchestrator", name=name))
    except LedgerUnusable as error:
        raise OrchestratorError(str(error)) from None
