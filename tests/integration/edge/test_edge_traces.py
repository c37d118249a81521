"""The edge's part of traces: which it tells, what it leaves of the order for others, and what a collector's absence costs."""

from collections.abc import Iterator
from typing import Any

import pytest
from aiohttp import web
from structlog.testing import capture_logs

from tests.collector import Collector, Received, collecting
from tests.integration.edge.service import Edge, Scripted, StartEdge, eventually

CLIENT, TRACE = "00f067aa0ba902b7", "4bf92f3577b34da6a3ce929d0e0e4736"
WANTED, UNWANTED = f"00-{TRACE}-{CLIENT}-01", f"00-{TRACE}-{CLIENT}-00"


@pytest.fixture
def collector(monkeypatch: pytest.MonkeyPatch) -> Iterator[Collector]:
    with collecting() as served:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", served.url)
        monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "20")
        yield served


async def told(collector: Collector, trace_id: str, *names: str) -> dict[str, Received]:
    """Wait for spans of these names; no other has come."""

    async def look() -> bool:
        return {span.name for span in collector.of(trace_id)} >= set(names)

    await eventually(look, timeout_s=15)
    found = {span.name: span for span in collector.of(trace_id)}
    assert (set(found), len(collector.of(trace_id))) == (set(names), len(names))
    return found


async def declined(_: Any) -> web.Response:
    return web.json_response({"title": "no"}, status=402)


async def test_an_order_that_ends_at_the_edge_has_its_whole_trace(
    start_edge: StartEdge, payments: Scripted, collector: Collector
) -> None:
    payments.answer = declined
    edge = await start_edge(payments_url=payments.url, traces="otlp")

    reply = await edge.place(headers={"traceparent": WANTED})

    call = "POST /payments/authorize"
    spans = await told(collector, TRACE, "POST /orders", "place_order", "authorize_payment", call)
    assert [spans[name].parent_id for name in spans] == [
        {"POST /orders": CLIENT, "place_order": spans["POST /orders"].span_id}.get(name)
        or {"authorize_payment": spans["place_order"].span_id, call: spans["authorize_payment"].span_id}[name]
        for name in spans
    ]
    assert reply.headers["traceparent"] == f"00-{TRACE}-{spans['POST /orders'].span_id}-01"
    assert payments.calls[0][0]["traceparent"] == f"00-{TRACE}-{spans[call].span_id}-01"
    assert spans["place_order"].attributes["saga.status"] == "DECLINED"
    assert (spans[call].attributes["http.response.status_code"], spans[call].failed) == (402, True)
    assert (spans["POST /orders"].attributes["http.response.status_code"], spans["POST /orders"].failed) == (402, False)
    assert spans["place_order"].start_ns <= spans["authorize_payment"].start_ns


async def test_an_order_that_a_word_ends_is_told_by_the_edge_that_took_it(start_edge: StartEdge, collector: Collector) -> None:
    edge = await start_edge(payments_url="http://127.0.0.1:1", traces="otlp")
    order = (await edge.place(headers={"traceparent": WANTED}, saga="place_unpaid_order")).id
    await told(collector, TRACE, "POST /orders")

    cancelled = await edge.call(
        "POST", f"/orders/{order}/cancel", data=b'{"reason": "changed my mind"}', **{"Content-Type": "application/json"}
    )

    spans = await told(collector, TRACE, "POST /orders", "place_unpaid_order")
    assert (cancelled.status, spans["place_unpaid_order"].attributes["saga.status"]) == (200, "CANCELLED")
    assert spans["place_unpaid_order"].events == ("operator", "status")
    verb = cancelled.headers["traceparent"].split("-")[1]
    assert (await told(collector, verb, "POST /orders/{order_ledger_id}/cancel")).popitem()[1].attributes[
        "saga.order_ledger_id"
    ] == order


@pytest.mark.parametrize(
    ("sampler", "given"), [("parentbased_always_on", UNWANTED), ("parentbased_traceidratio", None)], ids=["asked", "sampled"]
)
async def test_nothing_is_told_of_an_order_whose_trace_nobody_wants_and_nobody_after_the_edge_tells_of_it(
    start_edge: StartEdge,
    payments: Scripted,
    collector: Collector,
    monkeypatch: pytest.MonkeyPatch,
    sampler: str,
    given: str | None,
) -> None:
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", sampler)
    monkeypatch.setenv("OTEL_TRACES_SAMPLER_ARG", "0")
    edge = await start_edge(payments_url=payments.url, traces="otlp")

    reply = await edge.place(headers={"traceparent": given} if given else None)
    await edge.place(headers={"traceparent": WANTED.replace("4bf", "5bf")})
    await told(collector, TRACE.replace("4bf", "5bf"), "POST /orders", "POST /payments/authorize")

    (row, _) = await edge.orders()
    assert reply.headers["traceparent"] == row["traceparent"] == payments.calls[0][0]["traceparent"]
    assert row["traceparent"].endswith("-00")
    assert {span.trace_id for span in collector.spans} == {TRACE.replace("4bf", "5bf")}


async def test_reads_have_no_span(start_edge: StartEdge, collector: Collector) -> None:
    edge = await start_edge(payments_url="http://127.0.0.1:1", traces="otlp")

    await edge.get("/sagas", traceparent=WANTED)
    await edge.call("POST", "/orders", traceparent=WANTED)

    (span,) = (await told(collector, TRACE, "POST /orders")).values()
    assert span.attributes["http.response.status_code"] == 415


async def test_a_collector_that_is_away_costs_no_order_anything_and_is_said_once(
    start_edge: StartEdge, payments: Scripted, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "1")
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "20")
    with capture_logs() as lines:
        edge = await start_edge(payments_url=payments.url, traces="otlp")

        async def lost(spans: int) -> bool:
            async with edge.session.get(f"{edge.admin_url}/metrics") as response:
                text = await response.text()
            return any(
                line.startswith('saga_spans_total{outcome="failed"}') and float(line.split()[-1]) >= spans
                for line in text.splitlines()
            )

        for spans in (2, 4):
            assert (await edge.place()).status == 202
            await eventually(lambda spans=spans: lost(spans), timeout_s=15)

    (line,) = [line for line in lines if line["event"].startswith("traces")]
    assert (line["event"], line["log_level"]) == ("traces_not_exported", "warning")
    assert "ConnectionError" in line["error"] or "export" in line["error"]
    assert "127.0.0.1" not in line["error"]


async def test_an_edge_that_is_to_trace_and_can_not_says_why_and_does_not_start(
    start_edge: StartEdge, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")

    with pytest.raises(Exception, match=r"^OTEL_EXPORTER_OTLP_PROTOCOL is wrong: spans are sent by http/protobuf only$"):
        await start_edge(traces="otlp")


async def test_without_traces_the_context_is_that_of_the_client_or_one_in_which_no_span_has_begun(edge: Edge) -> None:
    kept, made = await edge.place(headers={"traceparent": WANTED}), await edge.place()

    _, trace_id, span_id, flags = made.headers["traceparent"].split("-")
    assert kept.headers["traceparent"] == WANTED
    assert (span_id, flags) == (trace_id[:16], "01")


@pytest.fixture
async def edge(start_edge: StartEdge, payments: Scripted) -> Edge:
    return await start_edge(payments_url=payments.url)
