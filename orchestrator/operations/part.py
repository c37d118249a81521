"""One process of a stack."""

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from orchestrator.operations import lifeline
from orchestrator.operations.plan import PartPlan, clean_environment, command

STOP_TIMEOUT_S: Final = 10.0


class Part:
    """A process that waits for `release`, then runs until it ends or is stopped.

    Args:
        plan: What it is.
        process: The process.
        lifeline_fd: Writing end of its lifeline.
        log: File that holds what it writes.
        log_start: Size of that file when it was started.
    """

    def __init__(self, plan: PartPlan, process: subprocess.Popen[bytes], lifeline_fd: int, log: Path, log_start: int) -> None:
        self.plan = plan
        self.log = log
        self._process = process
        self._lifeline_fd: int | None = lifeline_fd
        self._log_start = log_start

    @property
    def name(self) -> str:
        """What people call it."""
        return self.plan.name

    @property
    def pid(self) -> int:
        """The process's id."""
        return self._process.pid

    def release(self) -> None:
        """Let the process start its work; one that is gone already is found by `ended`."""
        if self._lifeline_fd is not None:
            try:
                os.write(self._lifeline_fd, b".")
            except BrokenPipeError:
                return

    def ended(self) -> int | None:
        """Return the exit code, below zero for a signal; None while it runs."""
        return self._process.poll()

    def wait(self, timeout_s: float | None) -> None:
        """Wait until it has ended, or the time is over."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(timeout_s)

    def signal(self, number: int) -> None:
        """Send a signal; to one that is gone, none."""
        self._process.send_signal(number)

    def close(self) -> None:
        """Close the lifeline of a process that has ended."""
        if self._lifeline_fd is not None:
            os.close(self._lifeline_fd)
            self._lifeline_fd = None

    def last_words(self) -> str:
        """Return the last line that it wrote since it was started."""
        with self.log.open("rb") as file:
            file.seek(self._log_start)
            lines = file.read().decode(errors="replace").split("\n")
        words = next((line.strip() for line in reversed(lines) if line.strip()), "")
        return words.removeprefix("saga: ") or f"it ended with code {self.ended()} and said nothing"


def start_part(plan: PartPlan, logs: Path, cwd: Path | None) -> Part:
    """Start a process that waits for its release."""
    return _start(plan, command(plan), logs / f"{plan.name}.log", cwd)


def start_guard(data: Path) -> Part:
    """Start the process that stops PostgreSQL if the stack is gone without doing so."""
    environment = clean_environment(PYTHONPATH=str(Path(__file__).resolve().parents[2])) | {lifeline.GUARDED_DATA: str(data)}
    plan = PartPlan("guard", (), environment, "")
    # -S: it needs nothing that is installed, and is there at once.
    return _start(plan, [sys.executable, "-P", "-S", "-m", lifeline.__name__], Path(os.devnull), None)


async def stop_parts(parts: Sequence[Part]) -> None:
    """Stop processes: SIGTERM to all, and SIGKILL to those that are still there after 10 s."""
    for part in parts:
        part.signal(signal.SIGTERM)
        # One that somebody has stopped (SIGSTOP) would never see its SIGTERM.
        part.signal(signal.SIGCONT)
    await asyncio.to_thread(_wait, parts, STOP_TIMEOUT_S)
    for part in parts:
        part.signal(signal.SIGKILL)
    await asyncio.to_thread(_wait, parts, None)
    for part in parts:
        part.close()


def _wait(parts: Sequence[Part], timeout_s: float | None) -> None:
    """Wait until all have ended, or the time is over."""
    deadline = None if timeout_s is None else time.monotonic() + timeout_s
    for part in parts:
        part.wait(None if deadline is None else max(0.0, deadline - time.monotonic()))


def _start(plan: PartPlan, arguments: Sequence[str], log: Path, cwd: Path | None) -> Part:
    reading, writing = os.pipe()
    try:
        with log.open("ab") as file:
            log_start = file.tell()
            process = subprocess.Popen(
                arguments,
                env={**plan.environment, lifeline.VARIABLE: str(reading)},
                cwd=cwd,
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=file,
                pass_fds=(reading,),
                # Ctrl-C goes to the stack alone, which stops its parts in order.
                start_new_session=True,
            )
    except BaseException:
        os.close(writing)
        raise
    finally:
        os.close(reading)
    return Part(plan, process, writing, log, log_start)
