"""Log lines: whole, one an event, and never waited for."""

import json
import logging
import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from orchestrator import logs
from orchestrator.logs import FLUSH_S, KINDS_MAX, REPEAT_S, Lines, Repeats

ROOT = Path(__file__).parents[2]
LINES_MAX = 10
FORGED = 'name\n{"event": "forged"}\x1b[31m\u202e'


def line(number: int) -> str:
    return json.dumps({"event": "x" * 50_000, "number": number}) + "\n"


def fill(lines: Lines) -> int:
    """Write until lines are dropped, and as many again; how many were written."""
    number = 0
    while not lines.dropped:
        lines.write(line(number))
        number += 1
    for extra in range(number):
        lines.write(line(number + extra))
    return 2 * number


def test_nobody_waits_for_a_reader_and_what_is_dropped_is_counted_and_told() -> None:
    reading, writing = os.pipe()
    lines = Lines(writing, LINES_MAX)
    written = fill(lines)

    with open(reading, "rb") as pipe, ThreadPoolExecutor() as threads:
        read = threads.submit(pipe.read)
        lines.finish()
        os.close(writing)
        events = [json.loads(each) for each in read.result().splitlines()]

    told = [event["lines"] for event in events if event["event"] == "log_lines_dropped"]
    assert sum(told) == lines.dropped >= written / 2
    assert len(events) - len(told) == written - lines.dropped


def test_the_end_of_a_process_does_not_wait_for_a_reader() -> None:
    reading, writing = os.pipe()
    lines = Lines(writing, LINES_MAX)
    fill(lines)

    began_s = time.monotonic()
    lines.finish()

    assert time.monotonic() - began_s < 2 * FLUSH_S + 2
    os.close(reading)  # what still waits is lost, and the thread goes on
    os.close(writing)


def test_lines_that_nobody_can_have_are_dropped() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    lines = Lines(writing, LINES_MAX)

    lines.write(line(1))
    lines.finish()

    assert lines.dropped == 1
    os.close(writing)


def test_every_event_is_one_line_of_json_whoever_tells_it() -> None:
    code = f"""
import logging, warnings, structlog
from orchestrator.logs import configure_logs
configure_logs("warning")
structlog.get_logger("ours").warning("told", text={FORGED!r})
structlog.get_logger("ours").info("quiet")
logging.getLogger("theirs").error("failed: %s", {FORGED!r})
logging.getLogger("theirs").info("quiet")
logging.getLogger("theirs").error("failed: %s", "again")
warnings.warn({FORGED!r})
try:
    1 / 0
except ZeroDivisionError:
    logging.getLogger("theirs").exception("broken")
"""
    ended = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=os.environ | {"PYTHONWARNINGS": "always"}, capture_output=True, check=True
    )

    events = [json.loads(each) for each in ended.stderr.splitlines()]
    assert [event["level"] for event in events] == ["warning", "error", "warning", "error"]
    assert events[0]["text"] == FORGED
    assert events[1]["event"] == f"failed: {FORGED}"
    assert "ZeroDivisionError" in events[3]["exception"]
    assert all("timestamp" in event for event in events)
    assert b"\x1b" not in ended.stderr


def test_what_a_library_says_again_and_again_is_written_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    now_s = 1000.0
    monkeypatch.setattr(logs.time, "monotonic", lambda: now_s)
    repeats, written = Repeats(), []
    for number in range(100):
        now_s += REPEAT_S / 10
        for kind in ("can't accept %s", "can't connect %s"):
            record = logging.LogRecord("theirs", logging.WARNING, "", 0, kind, (number,), None)
            if repeats.filter(record):
                written.append((kind, getattr(record, "repeated", 0)))

    assert sorted(written) == sorted(
        [(kind, 9 if n else 0) for kind in ("can't accept %s", "can't connect %s") for n in range(10)]
    )


def test_messages_that_are_all_different_are_all_written_and_not_all_kept() -> None:
    repeats = Repeats()

    for number in range(3 * KINDS_MAX):
        assert repeats.filter(logging.LogRecord("theirs", logging.WARNING, "", 0, f"at {number}", (), None))

    assert len(repeats._seen) <= KINDS_MAX
