"""A pipe between the stack and each of its parts: one byte starts the part, the pipe's end ends it.

The stack holds the writing end. A part that finds its pipe closed knows that the stack is gone, however it went: a
SIGKILL closes pipes too. That works on every platform that has pipes; parent-death signals do not.
"""

import os
import signal
import threading
import time
from pathlib import Path
from typing import Final

VARIABLE: Final = "SAGA_LIFELINE_FD"
GUARDED_DATA: Final = "SAGA_LIFELINE_DATA"
GRACE_S: Final = 3.0  # in which parts that end with the stack still write what they hold
STOP_S: Final = 12.0  # a part stops by itself within 10 s; one that hangs is ended


def attach() -> None:
    """Wait for the stack's word to start, and from then on end when it ends; without a stack do nothing."""
    number = os.environ.pop(VARIABLE, None)
    if number is None:
        return
    fd = int(number)
    if os.read(fd, 1) == b"":
        os._exit(0)
    threading.Thread(target=_end_with, args=(fd,), name="lifeline", daemon=True).start()


def _end_with(fd: int) -> None:
    while os.read(fd, 1) != b"":
        pass
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(STOP_S)
    os._exit(1)


def guard() -> None:
    """Wait until the stack is gone without a farewell, then stop the PostgreSQL it ran, which is no child of it.

    A stack that stops in good order stops PostgreSQL itself and ends this process first.
    """
    fd, data = int(os.environ[VARIABLE]), Path(os.environ[GUARDED_DATA])
    while os.read(fd, 1) != b"":
        pass
    # SIGINT is PostgreSQL's fast shutdown: sessions are ended, what was committed is kept.
    time.sleep(GRACE_S)
    try:
        os.kill(int((data / "postmaster.pid").read_text(encoding="ascii").split()[0]), signal.SIGINT)
    except (OSError, ValueError, IndexError):
        return


if __name__ == "__main__":
    guard()
