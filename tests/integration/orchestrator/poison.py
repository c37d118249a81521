"""A replica of its own process whose saga does what code must not do, as the order asks for it.

Its participant is at the address of the orders service. `POISON_BYTES_MORE` is what it may take of memory; in
`POISON_FOLDER` it notes what it did already.
"""

import os
import resource
import sys
import threading
import time
from pathlib import Path
from typing import Any, NoReturn

from orchestrator.logs import configure_logs
from orchestrator.main import run
from orchestrator.saga import Context, Saga, Step
from orchestrator.settings import load_settings
from participants.contracts import Endpoint
from tests.integration.orchestrator.shop import Basket, Done, Thing

GULP_BYTES = 16 * 1024 * 1024
NAP_LEASES = 1.5


def _raise() -> NoReturn:
    raise ValueError("nothing can be made of this \ud800 \0")


def _raise_worse() -> NoReturn:
    class Speechless(Exception):
        def __str__(self) -> str:
            raise RuntimeError("not even its text")

    raise Speechless


def _die() -> NoReturn:
    os._exit(9)


def _leave() -> NoReturn:
    sys.exit(0)


def _loop() -> NoReturn:
    while True:
        pass


def _block() -> NoReturn:
    while True:
        threading.Event().wait()


def _recur() -> NoReturn:
    _recur()


def _gulp() -> NoReturn:
    gulps = []
    while True:
        gulps.append(b"x" * GULP_BYTES)


def _nap(done: Path) -> None:
    if not done.exists():
        done.touch()
        time.sleep(float(os.environ["SAGA_LEASE_S"]) * NAP_LEASES)


POISONS = {
    "raises": _raise,
    "raises what has no text": _raise_worse,
    "dies": _die,
    "leaves": _leave,
    "loops": _loop,
    "blocks": _block,
    "recurs": _recur,
    "gulps": _gulp,
}


def thing_of(ctx: Context[Basket]) -> Thing:
    if ctx.input.what == "naps once":
        _nap(Path(os.environ["POISON_FOLDER"]) / ctx.order_id)
    if ctx.input.what in POISONS:
        POISONS[ctx.input.what]()
    return Thing(order_id=ctx.order_id)


class Deadly(Basket):
    """An input that kills whoever reads it."""

    def model_post_init(self, _: Any) -> None:
        if self.what == "dies when it is read":
            _die()


def step(name: str, **options: Any) -> Step[Any, Thing]:
    does, undoes = (Endpoint("orders", "POST", path, Thing, Done) for path in (f"/{name}", f"/undo-{name}"))
    return Step(name=name, request=thing_of, action=does, compensation=undoes, **options)


POISON = Saga(name="poison", version=1, input=Deadly, steps=(step("first"), step("second")))

if __name__ == "__main__":
    if more := os.environ.get("POISON_BYTES_MORE"):
        taken = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (taken + int(more), taken + int(more)))
    settings = load_settings()
    configure_logs(settings.log_level)
    run(settings, (POISON,))
