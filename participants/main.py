"""Runs one participant as a process."""

import asyncio
import contextlib
import os
import signal
from collections.abc import Callable
from typing import Final

import structlog
from aiohttp import web

from participants.app import create_app
from participants.errors import AddressUnavailable, SettingError
from participants.serving import listen
from participants.settings import NAMES, Name, ParticipantSettings, load_settings
from participants.telemetry import configure_logging
from sql.telling import is_readable, versions
from sql.tracing import Traces, TracesError, open_traces

_log = structlog.get_logger("participants")

SHUTDOWN_S: Final = 5.0  # calls in flight get this long; with closing the pool it stays below 10 s


def run(name: str, host: str | None = None, port: int | None = None, *, announce: Callable[[str], None] | None = None) -> None:
    """Run a participant until SIGTERM or Ctrl-C.

    Args:
        name: Which of the five.
        host: Address to listen on; None for the setting's.
        port: Port to listen on; 0 picks a free one; None for the setting's.
        announce: Given the base URL once calls are taken.

    Raises:
        ParticipantError: It cannot start; the sentence says why and what to do.
    """
    if name not in NAMES:
        raise SettingError(f"There is no participant {name!r}: choose one of {', '.join(NAMES)}.")
    settings = load_settings(participant_host=host, participant_port=port)
    configure_logging(settings.log_level, readable=is_readable(settings.log_format, settings.environment))
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        runner.run(serve(name, settings, announce=announce))


async def serve(
    name: Name,
    settings: ParticipantSettings,
    *,
    announce: Callable[[str], None] | None = None,
    stop: asyncio.Event | None = None,
) -> None:
    """Serve a participant until told to stop.

    Args:
        name: Which of the five.
        settings: Its settings.
        announce: Given the base URL once calls are taken.
        stop: Ends it when set; None to be ended by SIGTERM or SIGINT.

    Raises:
        ParticipantError: It cannot start.
    """
    stop = stop or _stopped_by_signal()  # before anybody can know that there is something to stop
    structlog.contextvars.bind_contextvars(replica=f"{name}-{os.getpid()}")  # on every line of every task from here on
    host, port = settings.participant_host, settings.port_of(name)
    traces = _open_traces(name, settings)
    runner = web.AppRunner(
        create_app(name, settings, traces), access_log=None, handle_signals=False, shutdown_timeout=SHUTDOWN_S
    )
    server: asyncio.Server | None = None
    try:
        await runner.setup()
        try:
            server = await listen(runner, host, port)
        except OSError as error:
            reason = error.strerror or str(error)
            raise AddressUnavailable(
                f"{name.capitalize()} cannot listen on {host}:{port}: {reason}; choose another port."
            ) from None
        _log.info("participant_listening", participant=name, versions=versions())
        if announce is not None:
            bound_host, bound_port = server.sockets[0].getsockname()[:2]
            announce(f"http://[{bound_host}]:{bound_port}" if ":" in bound_host else f"http://{bound_host}:{bound_port}")
        await stop.wait()
    finally:
        if server is not None:
            server.close()
        await runner.cleanup()
        if traces is not None:
            await traces.close()


def _open_traces(name: Name, settings: ParticipantSettings) -> Traces | None:
    try:
        return open_traces(settings.traces, name, f"{name}-{os.getpid()}")
    except TracesError as error:
        raise SettingError(f"{error}.") from None


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
