"""Where spans go: nowhere and at no price unless asked for; else to a collector that may be slow, away or full."""

import asyncio
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
import structlog
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from opentelemetry.trace import SpanKind

from sql.otel import OtelTraces, open_otlp
from sql.tracing import Context, Event, Role, Span, TracesError, made_context, open_traces

ROOT = Path(__file__).parents[2]
PARTS = ("cli", "edge_api.main", "orchestrator.main", "participants.main")


class Exporter(SpanExporter):
    """Takes batches as it is told."""

    def __init__(self) -> None:
        self.spans: list[ReadableSpan] = []
        self.takes = True
        self.open = threading.Event()
        self.open.set()

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        self.open.wait(10)
        self.spans += spans if self.takes else ()
        return SpanExportResult.SUCCESS if self.takes else SpanExportResult.FAILURE


@pytest.fixture(autouse=True)
def _hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "10")


@pytest.fixture
def exporter() -> Iterator[Exporter]:
    exporter = Exporter()
    yield exporter
    exporter.open.set()


def span(name: str = "reserve") -> Span:
    context = made_context()
    attributes = {"saga.step": "reserve", "saga.attempt": 2}
    events = [Event("retry", 2000, {"saga.attempt": 2})]
    return Span(name, Role.CLIENT, context, "00f067aa0ba902b7", 1000, 5000, {**attributes}, events, failed=True)


def counted(traces: OtelTraces) -> dict[str, float]:
    (metric,) = traces.collect()
    return {sample.labels["outcome"]: sample.value for sample in metric.samples}


def wait_for_count(traces: OtelTraces, **wanted: int) -> None:
    deadline = time.monotonic() + 10
    while not wanted.items() <= counted(traces).items():
        assert time.monotonic() < deadline, counted(traces)
        time.sleep(0.005)


def test_a_process_that_is_not_told_to_trace_imports_nothing_of_opentelemetry() -> None:
    code = f"import {', '.join(PARTS)}, sys; sys.exit('opentelemetry' in sys.modules or 'requests' in sys.modules)"

    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, timeout=60, check=False).returncode == 0
    assert open_traces("off", "edge", "edge-1") is None


def test_what_switches_opentelemetry_off_switches_traces_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_SDK_DISABLED", "true")

    assert open_traces("otlp", "edge", "edge-1") is None


def test_traces_that_are_asked_for_without_the_extra_are_refused_in_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "sql.otel")
    monkeypatch.setitem(sys.modules, "opentelemetry.exporter.otlp.proto.http.trace_exporter", None)

    with pytest.raises(TracesError, match=r"not installed: pip install 'sagaledger\[otel\]'$"):
        open_traces("otlp", "edge", "edge-1")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "collector:4318"),
        ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "/v1/traces"),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"),
        ("OTEL_BSP_MAX_QUEUE_SIZE", "0"),
        ("OTEL_BSP_MAX_QUEUE_SIZE", "many"),
    ],
)
def test_a_variable_that_is_wrong_is_refused_at_the_start(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(name, value)

    with pytest.raises(TracesError):
        open_otlp("edge", "edge-1")


def test_a_span_is_exported_as_it_is_told(exporter: Exporter, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment=test")
    traces, one = OtelTraces(exporter, "sagaledger-edge", "edge-1"), span()

    traces.tell([one])
    wait_for_count(traces, exported=1)

    (seen,) = exporter.spans
    assert seen.context is not None
    assert seen.parent is not None
    assert f"{seen.context.trace_id:032x}-{seen.context.span_id:016x}" == f"{one.context.trace_id}-{one.context.span_id}"
    assert f"{seen.parent.span_id:016x}" == one.parent_id
    assert (seen.name, seen.kind, seen.start_time, seen.end_time) == ("reserve", SpanKind.CLIENT, 1000, 5000)
    assert dict(seen.attributes or {}) == one.attributes
    assert [(event.name, event.timestamp) for event in seen.events] == [("retry", 2000)]
    assert not seen.status.is_ok
    assert {**seen.resource.attributes}.items() >= {
        ("service.name", "sagaledger-edge"),
        ("service.instance.id", "edge-1"),
        ("deployment.environment", "test"),
    }


def test_the_name_of_the_service_is_the_standard_variables_where_it_is_set(
    exporter: Exporter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_SERVICE_NAME", "shop")
    traces = OtelTraces(exporter, "sagaledger-edge", "edge-1")

    traces.tell([span()])
    wait_for_count(traces, exported=1)

    assert exporter.spans[0].resource.attributes["service.name"] == "shop"


def test_a_collector_that_is_away_is_counted_and_said_once_until_it_is_back(exporter: Exporter) -> None:
    exporter.takes = False
    traces = OtelTraces(exporter, "edge", "edge-1")
    with structlog.testing.capture_logs() as lines:
        for failed in (1, 2, 3):
            traces.tell([span()])
            wait_for_count(traces, failed=failed)
        exporter.takes = True
        traces.tell([span()])
        wait_for_count(traces, exported=1, failed=3, dropped=0)

    assert [(line["event"], line["replica"]) for line in lines] == [
        ("traces_not_exported", "edge-1"),
        ("traces_exported_again", "edge-1"),
    ]


def test_what_finds_no_room_is_dropped_and_counted_and_nobody_waits(
    exporter: Exporter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_BSP_MAX_QUEUE_SIZE", "8")
    monkeypatch.setenv("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "4")
    exporter.open.clear()
    traces = OtelTraces(exporter, "edge", "edge-1")

    began_s = time.monotonic()
    traces.tell([span() for _ in range(1000)])
    assert time.monotonic() - began_s < 5

    exporter.open.set()
    seen = len(exporter.spans)
    deadline = time.monotonic() + 10
    while sum(counted(traces).values()) < 1000:
        assert time.monotonic() < deadline, counted(traces)
        time.sleep(0.005)
    assert counted(traces)["dropped"] >= 1000 - 8 - 4 - seen


async def test_the_end_of_a_process_does_not_wait_for_a_collector_that_hangs(exporter: Exporter) -> None:
    exporter.open.clear()
    traces = OtelTraces(exporter, "edge", "edge-1")
    traces.tell([span()])

    async with asyncio.timeout(5):
        await traces.close()


async def test_what_waits_is_exported_at_the_end_of_a_process(exporter: Exporter, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "60000")
    traces = OtelTraces(exporter, "edge", "edge-1")
    traces.tell([span("one"), span("two")])

    await traces.close()

    assert [each.name for each in exporter.spans] == ["one", "two"]


@pytest.mark.parametrize(("sampler", "sampled"), [("always_on", True), ("parentbased_always_off", False)])
def test_a_trace_that_begins_here_is_told_as_the_sampler_says(
    exporter: Exporter, monkeypatch: pytest.MonkeyPatch, sampler: str, sampled: bool
) -> None:
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", sampler)

    assert OtelTraces(exporter, "edge", "edge-1").samples(made_context().trace_id) is sampled


def test_a_context_made_up_here_names_no_span() -> None:
    made = made_context(sampled=False)

    assert (made.parent_id, made.sampled) == (None, False)
    assert Context(made.trace_id, "00f067aa0ba902b7").parent_id == "00f067aa0ba902b7"
