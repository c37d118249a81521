"""Scripted misbehaviour for tests and demos, and the mock bank's own.

Faults strike the calls that a saga makes, before or after their work, and nothing else. A read is struck only where a script
names its path: not every read is a saga's::

    delay ─ reject | error ─┤ work, committed ├─ error_after | drop_after | garbage
"""

import asyncio
import contextlib
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Final, Generic, Literal, Protocol, TypeVar

import structlog
from aiohttp import web
from pydantic import Field

from participants.contracts.endpoint import Wire
from participants.problems import Problem

Work = Callable[[], Awaitable[web.Response]]
GARBAGE: Final = b'{"garbage": true}'

_log = structlog.get_logger("participants")


class FailNext(Wire):
    """Makes the next calls fail.

    Attributes:
        count: How many.
        mode: `reject`: 422 without effect. `error`: 500 before the effect. `error_after`: 500 after it. `drop_after`: the
            connection is closed after it, without an answer. `garbage`: 200 after it, with a body of another form.
        path: Only calls whose path contains this; None for every call that changes something.
    """

    count: int = Field(default=1, ge=1, le=1_000_000)
    mode: Literal["reject", "error", "error_after", "drop_after", "garbage"]
    path: str | None = None


class Delay(Wire):
    """Makes the next calls wait before their work.

    Attributes:
        count: How many.
        ms: Wait of each, in milliseconds.
        path: Only calls whose path contains this; None for every call that changes something.
    """

    count: int = Field(default=1, ge=1, le=1_000_000)
    ms: int = Field(ge=0, le=600_000)
    path: str | None = None


class _Scripted(Protocol):
    @property
    def count(self) -> int: ...
    @property
    def path(self) -> str | None: ...


S = TypeVar("S", bound=_Scripted)


@dataclass(slots=True)
class _Script(Generic[S]):
    """Orders still to be carried out, oldest first, each with how often it still applies."""

    orders: list[tuple[S, int]] = field(default_factory=list)

    def add(self, order: S) -> None:
        self.orders.append((order, order.count))

    def take(self, request: web.Request) -> S | None:
        """Use up one turn of the first order that applies to a call."""
        for place, (order, left) in enumerate(self.orders):
            if order.path in request.path if order.path is not None else request.method != "GET":
                if left > 1:
                    self.orders[place] = (order, left - 1)
                else:
                    del self.orders[place]
                return order
        return None


@dataclass(slots=True)
class Faults:
    """What is wrong with this process at present.

    Args:
        latency_ms: Wait of every call that changes something, in milliseconds.
        failure_rate: Share of those that fail before their effect, 0 to 1.
    """

    latency_ms: int = 0
    failure_rate: float = 0.0
    _failures: _Script[FailNext] = field(default_factory=lambda: _Script[FailNext]())
    _delays: _Script[Delay] = field(default_factory=lambda: _Script[Delay]())

    def fail_next(self, order: FailNext) -> None:
        """Script failures; they come after those that were scripted before."""
        self._failures.add(order)

    def delay(self, order: Delay) -> None:
        """Script delays; they come after those that were scripted before."""
        self._delays.add(order)

    def reset(self) -> None:
        """Forget what is scripted."""
        self._failures.orders.clear()
        self._delays.orders.clear()

    async def strike(self, request: web.Request, work: Work) -> web.Response:
        """Do the work of a call, as badly as is scripted.

        Raises:
            Problem: 422 or 500, without an effect or after it, as the mode says.
        """
        # Both are taken on arrival: the order of arrival is the order of the script.
        delay, failure = self._delays.take(request), self._failures.take(request)
        is_read = request.method == "GET"
        wait_ms = (0 if is_read else self.latency_ms) + (delay.ms if delay else 0)
        if wait_ms:
            await asyncio.sleep(wait_ms / 1000)
        if not is_read and self.failure_rate and random.random() < self.failure_rate:
            raise Problem(500, "mock-failure", "The mock bank failed.")
        if failure is None:
            return await work()
        _log.info("fault", mode=failure.mode, path=request.path)
        if failure.mode == "reject":
            raise Problem(422, "scripted-rejection", "A test asked for this refusal.")
        if failure.mode == "error":
            raise Problem(500, "scripted-error", "A test asked for this failure.")
        with contextlib.suppress(Problem):  # a refusal is lost like any other answer
            await work()
        if failure.mode == "error_after":
            raise Problem(500, "scripted-error", "A test asked for this failure.")
        if failure.mode == "drop_after" and request.transport is not None:
            request.transport.abort()
        return web.Response(body=GARBAGE, content_type="application/json")
