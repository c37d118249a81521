"""Traces: what each process tells a collector of its part in an order's course, in OpenTelemetry's terms; off unless asked for.

::

    POST /orders               server    of the edge; its context stands in the order's row as `traceparent`
    └ place_order              internal  told once, by whoever ends the order
      └ reserve_inventory      internal  told when the order rests: it has ended, or is STUCK
        └ POST /inventory/…    client    an attempt; its context is sent along with the call
          └ POST /inventory/…  server    of the participant

Spans are plain values here. Nothing of OpenTelemetry is imported before a process is told to trace (`otel.py`).
"""

import re
import secrets
import time
from collections.abc import Iterable
from enum import StrEnum
from os import environ
from typing import TYPE_CHECKING, Final, Literal, Protocol

from msgspec import Struct, field

if TYPE_CHECKING:
    from prometheus_client import Metric

Attributes = dict[str, str | bool | int | float]
Mode = Literal["off", "otlp"]

_TRACEPARENT: Final = re.compile(r"(?!ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})")
_SAMPLED: Final = 1


class TracesError(Exception):
    """Traces were asked for and can't be told; the sentence says why."""


class Role(StrEnum):
    """Of a span, towards others: OpenTelemetry's span kind."""

    SERVER = "server"
    CLIENT = "client"
    INTERNAL = "internal"


class Context(Struct, frozen=True):
    """Where in which trace something happens, as a `traceparent` of W3C Trace Context says it.

    Attributes:
        trace_id: 32 hexadecimal digits.
        span_id: Of the span that it happens in, 16 digits.
        sampled: Whether who began the trace wants it told.
    """

    trace_id: str
    span_id: str
    sampled: bool = True

    @property
    def traceparent(self) -> str:
        """As a header says it."""
        return f"00-{self.trace_id}-{self.span_id}-{int(self.sampled):02x}"

    @property
    def parent_id(self) -> str | None:
        """The span's id; None where nobody tells of that span, because the context was only made up (`made_context`)."""
        return None if self.span_id == self.trace_id[:16] else self.span_id


def read_context(traceparent: str | None) -> Context | None:
    """Return what a `traceparent` says; None where there is none, or it is not valid."""
    found = _TRACEPARENT.fullmatch(traceparent) if traceparent else None
    return Context(found[1], found[2], bool(int(found[3], 16) & _SAMPLED)) if found else None


def made_context(*, sampled: bool = True) -> Context:
    """Return the context of a new trace in which no span has begun: its id of one says so, for whoever begins the first."""
    trace_id = secrets.token_hex(16)
    return Context(trace_id, trace_id[:16], sampled)


class Event(Struct, frozen=True):
    """Something that happened at a moment of a span.

    Attributes:
        name: What.
        at_ns: When, in nanoseconds since 1970.
        attributes: What is known of it.
    """

    name: str
    at_ns: int
    attributes: Attributes = {}


class Span(Struct):
    """Something that took time, as part of a trace. Nothing of a person and no secret is in it.

    Attributes:
        name: Of few values.
        role: Towards others.
        context: Of the span itself.
        parent_id: Of the span that it is part of; None for the first of a trace.
        start_ns, end_ns: In nanoseconds since 1970; `end_ns` 0 while it lasts.
        attributes: What is known of it.
        events: What happened meanwhile.
        failed: Whether it counts as an error.
        began_ns: Of the clock that measures how long it lasts; 0 where that is known from elsewhere.
    """

    name: str
    role: Role
    context: Context
    parent_id: str | None
    start_ns: int
    end_ns: int = 0
    attributes: Attributes = field(default_factory=dict)
    events: list[Event] = field(default_factory=list)
    failed: bool = False
    began_ns: int = 0

    @property
    def lasted_ns(self) -> int:
        """Nanoseconds that it lasted."""
        return self.end_ns - self.start_ns


def begin(name: str, role: Role, within: Context, attributes: Attributes, span_id: str | None = None) -> Span:
    """Return a span that begins now.

    Args:
        name: Of few values.
        role: Towards others.
        within: Its trace, and the span that it is part of.
        attributes: What is known of it.
        span_id: Its id; None for a new one.
    """
    context = Context(within.trace_id, span_id or secrets.token_hex(8))
    # Told by this process's clock, as collectors expect it: nothing is decided by it.
    return Span(name, role, context, within.parent_id, time.time_ns(), attributes=attributes, began_ns=time.monotonic_ns())


def end(span: Span) -> Span:
    """Have a span that has begun here end now; return it."""
    span.end_ns = span.start_ns + time.monotonic_ns() - span.began_ns
    return span


def end_request(span: Span, method: str, route: str, status: int) -> Span:
    """Have the span of a request that was answered here end now; return it.

    Args:
        span: A server's.
        method: HTTP method, or another word where a caller invented one.
        route: Template of the path.
        status: Of the answer.
    """
    span.name = f"{method} {route}"
    span.attributes |= {"http.request.method": method, "http.route": route, "http.response.status_code": status}
    if status >= 500:
        span.failed = True
        span.attributes["error.type"] = str(status)
    return end(span)


class Traces(Protocol):
    """Where spans go: into a queue with a limit, from where a thread of its own exports them. Nobody waits for that."""

    def samples(self, trace_id: str) -> bool:
        """Tell whether a trace that begins here is to be told, as `OTEL_TRACES_SAMPLER` says."""

    def tell(self, spans: Iterable[Span]) -> None:
        """Have spans that have ended exported; what finds no room is dropped and counted."""

    def drop(self, spans: int) -> None:
        """Count spans that will never be told."""

    def collect(self) -> "Iterable[Metric]":
        """Return what became of spans so far, for a registry of metrics."""

    async def close(self) -> None:
        """Export what waits, as far as that goes within a second."""


def open_traces(mode: Mode, service: str, instance: str) -> Traces | None:
    """Return where a process tells its spans; None where traces are off, also by OTEL_SDK_DISABLED.

    Args:
        mode: Off, or to a collector by OTLP over HTTP, which the standard `OTEL_…` variables describe.
        service: Name of the kind of process, unless OTEL_SERVICE_NAME has another.
        instance: Name of the process.

    Raises:
        TracesError: OpenTelemetry is not installed, or one of its variables is wrong.
    """
    if mode == "off" or environ.get("OTEL_SDK_DISABLED", "").lower() == "true":
        return None
    try:
        from sql.otel import open_otlp
    except ImportError:
        raise TracesError("SAGA_TRACES needs OpenTelemetry, which is not installed: pip install 'sagaledger[otel]'") from None
    return open_otlp(service, instance)
