"""Logs of edge and orchestrators: one line an event on stderr, and nobody waits for whoever reads them.

What a line may say, and how, is in `sql/telling.py`; what an order at work says of a person is taken out of errors that repeat
it (`hide`).

A thread of its own writes the lines, from a queue with a limit. While the reader is stopped, or the disk is full, what does
not fit is dropped and counted, and the count is told when lines go through again.
"""

import atexit
import contextlib
import json
import logging
import os
import queue
import threading
import time
from collections.abc import Mapping
from contextvars import ContextVar
from types import MappingProxyType
from typing import Any, Final, TextIO, cast

import structlog

from participants.contracts import masked
from sql.telling import Fields, as_json, as_text, cut, form

LINES_MAX: Final = 5_000
"""Lines that wait at most: some megabytes, and minutes of a busy process at the default level."""
FLUSH_S: Final = 1.0
"""Seconds that the end of the process waits for lines to be written."""
REPEAT_S: Final = 1.0
"""Seconds in which a library says the same thing once: a server that is away, or no free descriptor, says it very often."""
KINDS_MAX: Final = 1_000
_STDERR: Final = 2


_WORDS: Final = ("error", "reason", "exception")
"""Fields that may repeat what somebody else wrote."""
_hidden: ContextVar[Mapping[str, Any]] = ContextVar("hidden", default=MappingProxyType({}))


def configure_logs(level: str, *, readable: bool = False) -> None:
    """Write one line an event, from this severity on, those of libraries and warnings too.

    Args:
        level: Least severity that is written.
        readable: Whether for a person on a terminal; else each line is a JSON object.
    """
    lines = Lines(_STDERR)
    atexit.register(lines.finish)
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    rendered: list[structlog.typing.Processor] = [*FORMED, as_text if readable else as_json]
    structlog.configure(
        processors=[*shared, *rendered],
        wrapper_class=structlog.make_filtering_bound_logger(getattr(logging, level.upper())),
        logger_factory=structlog.PrintLoggerFactory(file=cast(TextIO, lines)),
        cache_logger_on_first_use=True,
    )
    foreign = logging.StreamHandler(lines)
    only_the_event = structlog.stdlib.ProcessorFormatter.remove_processors_meta
    foreign.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*shared, structlog.stdlib.ExtraAdder(["repeated"])], processors=[only_the_event, *rendered]
        )
    )
    foreign.addFilter(Repeats())
    logging.basicConfig(level=level.upper(), handlers=[foreign], force=True)
    logging.captureWarnings(True)


def hide(personal: Mapping[str, Any]) -> None:
    """Take what is known of a person out of the errors that the present task, and what it starts, logs from now on."""
    _hidden.set(personal)


def _without_persons(_logger: Any, _method: str, fields: Fields) -> Fields:
    personal = _hidden.get()
    for name in _WORDS if personal else ():
        if name in fields:
            fields[name] = masked(fields[name], personal)
    return fields


FORMED: Final[tuple[structlog.typing.Processor, ...]] = (form, _without_persons, cut)
"""What every line goes through before it is written."""


class Repeats(logging.Filter):
    """Lets the same message of the same logger through once in `REPEAT_S` seconds, with the number of those kept back."""

    def __init__(self) -> None:
        super().__init__()
        self._seen: dict[tuple[str, int, str], tuple[float, int]] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Tell whether a record is written; see `logging.Filter`."""
        key, now_s = (record.name, record.levelno, str(record.msg)), time.monotonic()
        written_at_s, kept_back = self._seen.get(key, (-REPEAT_S, 0))
        if now_s - written_at_s < REPEAT_S:
            self._seen[key] = (written_at_s, kept_back + 1)
            return False
        if len(self._seen) >= KINDS_MAX:  # of a library that formats its messages itself
            self._seen.clear()
        self._seen[key] = (now_s, 0)
        if kept_back:
            record.repeated = kept_back
        return True


class Lines:
    """A text file that never makes its writer wait.

    Args:
        fd: Descriptor that is written to.
        lines_max: Lines that wait at most; more are dropped.

    Attributes:
        dropped: How many lines were dropped so far.
    """

    def __init__(self, fd: int, lines_max: int = LINES_MAX) -> None:
        self.dropped = 0
        self._fd = fd
        self._waiting: queue.Queue[str | None] = queue.Queue(lines_max)
        # A daemon that writes past Python's own buffers: a write that never ends can't keep the process from ending.
        self._thread = threading.Thread(target=self._write_all, name="logs", daemon=True)
        self._thread.start()

    def write(self, line: str) -> int:
        """Have a line written soon, or drop it."""
        try:
            self._waiting.put_nowait(line)
        except queue.Full:
            self.dropped += 1
        return len(line)

    def flush(self) -> None:
        """Do nothing: whoever logs does not wait."""

    def finish(self) -> None:
        """Write what waits, as far as that goes within `FLUSH_S` seconds."""
        with contextlib.suppress(queue.Full):
            self._waiting.put(None, timeout=FLUSH_S)
            self._thread.join(FLUSH_S)

    def _write_all(self) -> None:
        told = 0
        while (line := self._waiting.get()) is not None:
            dropped = self.dropped
            if dropped > told and self._written(json.dumps({"event": "log_lines_dropped", "lines": dropped - told}) + "\n"):
                told = dropped
            if not self._written(line):
                self.dropped += 1

    def _written(self, line: str) -> bool:
        rest = line.encode(errors="backslashreplace")
        try:
            while rest:
                rest = rest[os.write(self._fd, rest) :]
        except OSError:  # a full disk, or nobody is there any more
            return False
        return True
