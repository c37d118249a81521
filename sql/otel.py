"""Spans as OpenTelemetry has them: batches for a collector, by OTLP over HTTP. Imported where traces are on (`tracing.py`).

A thread of the SDK's exports from a queue of OTEL_BSP_MAX_QUEUE_SIZE spans. While the collector is away, spans are dropped and
counted, and that is logged once; the lines that the SDK itself would log of every attempt are only read for the reason.
"""

import asyncio
import logging
import threading
from collections.abc import Iterable, Sequence
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from os import environ
from typing import Final
from urllib.parse import urlsplit

import structlog
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk import trace as sdk
from opentelemetry.sdk.resources import SERVICE_INSTANCE_ID, SERVICE_NAME, SERVICE_NAMESPACE, SERVICE_VERSION, Resource
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.sampling import Decision
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import SpanContext, SpanKind, Status, StatusCode, TraceFlags
from prometheus_client import Metric
from prometheus_client.core import CounterMetricFamily

from sql.tracing import Span, TracesError

CLOSE_S: Final = 1.0
"""Seconds that the end of a process waits for a collector: what it then has not taken is lost."""
QUEUE_MAX: Final = 2048
"""OpenTelemetry's own default."""
REASON_MAX: Final = 200
_SCOPE: Final = InstrumentationScope("sagaledger")
_SAMPLED: Final = TraceFlags(TraceFlags.SAMPLED)

log = structlog.get_logger(__name__)


def open_otlp(service: str, instance: str) -> "OtelTraces":
    """Return where spans go, as the `OTEL_…` variables say.

    Raises:
        TracesError: One of them is wrong.
    """
    protocol = _variable("PROTOCOL")
    if protocol not in (None, "http/protobuf"):
        raise TracesError("OTEL_EXPORTER_OTLP_PROTOCOL is wrong: spans are sent by http/protobuf only")
    address = urlsplit(_variable("ENDPOINT") or "http://localhost:4318")
    if address.scheme not in ("http", "https") or not address.netloc:
        raise TracesError("OTEL_EXPORTER_OTLP_ENDPOINT is wrong: it is an http or https URL")
    try:
        return OtelTraces(OTLPSpanExporter(), service, instance)
    except ValueError:  # its words may be those of a secret
        raise TracesError("an OTEL_… variable is wrong: see docs/tracing.md") from None


def _variable(name: str) -> str | None:
    return environ.get(f"OTEL_EXPORTER_OTLP_TRACES_{name}") or environ.get(f"OTEL_EXPORTER_OTLP_{name}") or None


class OtelTraces:
    """Where spans go; see `tracing.Traces`.

    Args:
        exporter: Takes batches.
        service: Name of the kind of process, unless OTEL_SERVICE_NAME has another.
        instance: Name of the process.
    """

    def __init__(self, exporter: SpanExporter, service: str, instance: str) -> None:
        provider = sdk.TracerProvider(resource=_resource(service, instance), shutdown_on_exit=False)
        self._resource, self._sampler = provider.resource, provider.sampler
        self._room = int(environ.get("OTEL_BSP_MAX_QUEUE_SIZE") or QUEUE_MAX)
        self._exporter = _Counting(exporter, instance)
        self._processor = BatchSpanProcessor(self._exporter, max_queue_size=self._room)
        self._told = 0
        self._dropped = 0
        self._never_told = 0

    def samples(self, trace_id: str) -> bool:
        """See `Traces`."""
        decision = self._sampler.should_sample(None, int(trace_id, 16), "", SpanKind.SERVER).decision
        return decision is Decision.RECORD_AND_SAMPLE

    def tell(self, spans: Iterable[Span]) -> None:
        """See `Traces`."""
        for span in spans:
            # The SDK drops the oldest without a word where there is no room for one more.
            if self._told - self._dropped - self._exporter.taken >= self._room:
                self._dropped += 1
            self._told += 1
            self._processor.on_end(_readable(span, self._resource))

    def drop(self, spans: int) -> None:
        """See `Traces`."""
        self._never_told += spans

    def collect(self) -> Iterable[Metric]:
        """See `Traces`."""
        spans = CounterMetricFamily("saga_spans_total", "Spans by what became of them", labels=["outcome"])
        spans.add_metric(["exported"], self._exporter.exported)
        spans.add_metric(["failed"], self._exporter.failed)
        spans.add_metric(["dropped"], self._dropped + self._never_told)
        return (spans,)

    async def close(self) -> None:
        """See `Traces`."""
        # It waits for as long as a collector does not answer, so nobody waits for it but for a moment.
        closing = threading.Thread(target=self._processor.shutdown, name="traces", daemon=True)
        closing.start()
        await asyncio.to_thread(closing.join, CLOSE_S)


class _Counting(SpanExporter):
    """An exporter whose failures are counted, and logged when they begin and when they end.

    Args:
        exporter: Takes batches.
        instance: Name of the process, which the thread that exports would not log by itself.

    Attributes:
        taken: Spans that it was given.
        exported: Those of them that the collector took.
        failed: Those that it did not take.
    """

    def __init__(self, exporter: SpanExporter, instance: str) -> None:
        self.taken = 0
        self.exported = 0
        self.failed = 0
        self._exporter = exporter
        self._instance = instance
        self._fails = False
        self._said = _Said()
        library = logging.root.getChild("opentelemetry")
        library.addHandler(self._said)
        library.propagate = False

    def export(self, spans: Sequence[sdk.ReadableSpan]) -> SpanExportResult:
        """Export a batch; nothing is raised."""
        self.taken += len(spans)
        try:
            result, reason = self._exporter.export(spans), self._said.last
        except Exception as error:
            result, reason = SpanExportResult.FAILURE, type(error).__name__
        fails = result is not SpanExportResult.SUCCESS
        if fails and not self._fails:
            lost = "spans are lost, and counted in saga_spans_total"
            log.warning("traces_not_exported", replica=self._instance, error=reason, consequence=lost)
        elif self._fails and not fails:
            log.warning("traces_exported_again", replica=self._instance)
        self._fails = fails
        if fails:
            self.failed += len(spans)
        else:
            self.exported += len(spans)
        return result

    def shutdown(self) -> None:
        """End it; what it has in hand is given up."""
        self._exporter.shutdown()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Do nothing: nothing is kept here."""
        return True


class _Said(logging.Handler):
    """Keeps the last thing that the SDK has said, of errors only what they are: an address may have a secret in it."""

    last = ""

    def emit(self, record: logging.LogRecord) -> None:
        """See `logging.Handler`."""
        given = record.args if isinstance(record.args, tuple) else ()
        words = tuple(type(each).__name__ if isinstance(each, BaseException) else each for each in given)
        with suppress(TypeError, ValueError):  # whatever it says, and however: spans go on
            self.last = (str(record.msg) % words if words else str(record.msg))[:REASON_MAX]


def _resource(service: str, instance: str) -> Resource:
    ours = {SERVICE_NAMESPACE: "sagaledger", SERVICE_INSTANCE_ID: instance}
    with suppress(PackageNotFoundError):  # where it is run without being installed
        ours[SERVICE_VERSION] = version("sagaledger")
    if not environ.get("OTEL_SERVICE_NAME") and "service.name=" not in environ.get("OTEL_RESOURCE_ATTRIBUTES", ""):
        ours[SERVICE_NAME] = service
    return Resource.create(ours)


def _readable(span: Span, resource: Resource) -> sdk.ReadableSpan:
    trace_id = int(span.context.trace_id, 16)
    parent = None
    if span.parent_id is not None:
        parent = SpanContext(trace_id, int(span.parent_id, 16), is_remote=True, trace_flags=_SAMPLED)
    return sdk.ReadableSpan(
        name=span.name,
        context=SpanContext(trace_id, int(span.context.span_id, 16), is_remote=False, trace_flags=_SAMPLED),
        parent=parent,
        resource=resource,
        attributes=span.attributes,
        events=tuple(sdk.Event(event.name, event.attributes, event.at_ns) for event in span.events),
        kind=SpanKind[span.role.name],
        instrumentation_scope=_SCOPE,
        status=Status(StatusCode.ERROR if span.failed else StatusCode.UNSET),
        start_time=span.start_ns,
        end_time=span.end_ns,
    )
