"""One order's trace over real processes: from its request through a replica that dies to the last compensation."""

import json
import os
import signal
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.acceptance.canaries import ADDRESS, PAYMENT_METHOD, PERSON, SECRET
from tests.acceptance.commands import Up, call, wait_for
from tests.collector import Collector, Received, collecting

pytestmark = pytest.mark.acceptance
CLIENT, TRACE = "00f067aa0ba902b7", "4bf92f3577b34da6a3ce929d0e0e4736"
CORRELATION, DELIVERED, CUSTOMER = "shop/trace-7", "shop/trace-8", "qx7customer"
KEY = f"shop-{SECRET}-1234"
SETTINGS = {
    "SAGA_TRACES": "otlp",
    "OTEL_BSP_SCHEDULE_DELAY": "50",
    "SAGA_API_KEYS": f"shop={KEY}",
    "SAGA_LOG_LEVEL": "info",
    "SAGA_FAULTS": "1",
    "SAGA_LEASE_S": "5",
    "SAGA_STEP_TIMEOUT_S": "2.6",
    "SAGA_POLL_INTERVAL_S": "0.5",
    "SAGA_RETRY_FIRST_S": "0.02",
}
ORDER = {
    "customer_id": CUSTOMER,
    "currency": "GBP",
    "items": [{"sku": "MUG", "quantity": 2, "unit_price_minor": 450}],
    "payment_method": PAYMENT_METHOD,
    "shipping_address": ADDRESS,
}
SERVER, CLIENT_KIND = 2, 3
# Each span under what it is part of, but for the participants' parts of calls.
COURSE = {
    "place_order": [
        *("authorize_payment", "create_order", "reserve_inventory", "capture_payment"),
        *("undo reserve_inventory", "undo create_order", "undo authorize_payment"),
    ],
    "authorize_payment": ["POST /payments/authorize"],
    "create_order": ["POST /orders"],
    "reserve_inventory": ["reserve_inventory taken over", "POST /inventory/reservations"],
    "capture_payment": ["POST /payments/capture/{authorization_id}"],
    "undo authorize_payment": ["POST /payments/void/{authorization_id}"],
}


@dataclass(frozen=True)
class Told:
    """A stack's trace of one order that failed, and the logs of it and of one that was delivered."""

    order: str
    delivered: str
    trace: list[Received]
    collector: Collector
    logs: dict[str, list[dict[str, Any]]]

    def span(self, name: str, kind: int | None = None) -> Received:
        (found,) = [span for span in self.trace if span.name == name and kind in (None, span.kind)]
        return found


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Told:
    """An order whose replica is killed while it reserves, and whose capture is then refused; another one is delivered."""
    folder = tmp_path_factory.mktemp("traces")
    with collecting() as collector:
        up = Up(folder, "--port", "0", "--replicas", "2", **SETTINGS, OTEL_EXPORTER_OTLP_ENDPOINT=collector.url)
        try:
            order, delivered = _orders(up, collector)
            for name in ("place_order", "deliver_order"):
                wait_for(lambda name=name: any(span.name == name for span in collector.spans), timeout_s=20)
        finally:
            assert up.stop() == 0
    lines = {path.stem: _lines(path) for path in folder.glob("**/*.log")}
    return Told(order, delivered, collector.of(TRACE), collector, {name: found for name, found in lines.items() if found})


def _orders(up: Up, collector: Collector) -> tuple[str, str]:
    addresses = up.ready()
    participants = {name: part["url"] for name, part in addresses["participants"].items()}
    secrets = {name: part.get("secret", "") for name, part in addresses["participants"].items()}

    def tell(name: str, path: str, body: Any) -> None:
        headers = {"Idempotency-Key": "tell", **({"Authorization": f"Bearer {secrets[name]}"} if secrets[name] else {})}
        assert call(participants[name] + path, body, **headers)[0] in (200, 201, 204)

    tell("inventory", "/inventory/products", {"sku": "MUG", "name": "A mug", "initial_stock": 10})
    tell("inventory", "/test/delay", {"ms": 2400, "path": "/inventory/reservations"})
    tell("payments", "/test/fail-next", {"mode": "reject", "path": "/payments/capture"})
    tell("orders", "/customers", {"customer_id": CUSTOMER, "name": f"{PERSON} Ann"})

    def place(body: Any, **headers: str) -> str:
        answer = call(f"{addresses['edge_url']}/orders", body, Authorization=f"Bearer {KEY}", **headers)
        assert answer[0] in (200, 202), answer
        return str(answer[1]["order_ledger_id"])

    order = place(ORDER, **{"Idempotency-Key": "o", "X-Correlation-ID": CORRELATION, "traceparent": f"00-{TRACE}-{CLIENT}-01"})
    with psycopg.connect(addresses["database_url"], autocommit=True) as ledger:
        reserving = "select 1 from ledger_journal where order_ledger_id = %s and step = 'reserve_inventory' and kind = 'intent'"
        wait_for(lambda: ledger.execute(reserving, (order,)).fetchone(), timeout_s=20)
        # What a replica had told and its collector had not got when it was killed would be lost.
        wait_for(lambda: any(span.name == "POST /orders" and span.kind == CLIENT_KIND for span in collector.of(TRACE)))
        ((owner,),) = ledger.execute("select lease_owner from order_ledger where order_ledger_id = %s", (order,)).fetchall()
        os.kill(int(owner.split("-")[-2]), signal.SIGKILL)
        ended = "select 1 from order_ledger where order_ledger_id = %s and status = 'FAILED'"
        wait_for(lambda: ledger.execute(ended, (order,)).fetchone(), timeout_s=40)
    said = {"Idempotency-Key": "d", "X-Correlation-ID": DELIVERED, "Prefer": "wait=30"}
    return order, place({**ORDER, "saga": "deliver_order"}, **said)


def _lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines() if line.startswith("{")]


def test_an_order_has_one_trace_whose_spans_all_have_their_parents_and_are_told_once(told: Told) -> None:
    ids = [span.span_id for span in told.trace]
    roots = [span for span in told.trace if span.parent_id == CLIENT]

    assert len(set(ids)) == len(ids)
    assert [(span.name, span.kind) for span in roots] == [("POST /orders", SERVER)]
    assert {span.parent_id for span in told.trace} - {CLIENT} <= set(ids)
    assert told.span("place_order").parent_id == roots[0].span_id
    assert {span.service for span in told.trace} == {
        *("sagaledger-edge", "sagaledger-orchestrator", "payments", "orders", "inventory"),
    }


@pytest.mark.parametrize("parent", COURSE)
def test_spans_stand_where_they_belong(told: Told, parent: str) -> None:
    of = told.span(parent).span_id
    parts = sorted((span for span in told.trace if span.parent_id == of), key=lambda span: span.start_ns)

    assert [span.name for span in parts] == COURSE[parent]


def test_every_call_has_its_participants_part_also_the_one_whose_owner_died(told: Told) -> None:
    calls = [span for span in told.trace if span.kind == CLIENT_KIND]

    assert len(calls) == 8
    for span in calls:
        (part,) = [other for other in told.trace if other.parent_id == span.span_id]
        assert (part.kind, part.service) == (SERVER, part.service)
        assert part.service in ("payments", "orders", "inventory")
        assert part.attributes["saga.step"] == span.attributes["saga.step"]
    assert {span.attributes["saga.order_ledger_id"] for span in told.trace} == {told.order}


def test_the_takeover_and_the_end_are_told(told: Told) -> None:
    saga, lost = told.span("place_order"), told.span("reserve_inventory taken over")
    again = told.span("POST /inventory/reservations", CLIENT_KIND)

    assert (saga.failed, saga.attributes["saga.status"]) == (True, "FAILED")
    assert "takeover" in saga.events
    assert (lost.failed, lost.attributes["error.type"], lost.attributes["saga.attempt"]) == (True, "taken_over", 1)
    assert (again.failed, again.attributes["saga.outcome"], again.attributes["saga.attempt"]) == (False, "succeeded", 2)
    assert again.attributes["saga.lease_epoch"] > lost.attributes["saga.lease_epoch"]
    refused = told.span("POST /payments/capture/{authorization_id}", CLIENT_KIND)
    assert (refused.attributes["http.response.status_code"], refused.attributes["error.type"]) == (422, "422")
    assert all(span.end_ns >= span.start_ns for span in told.trace)


def test_nothing_of_a_person_and_no_secret_is_in_any_span(told: Told) -> None:
    text = told.collector.text.lower()

    assert told.order in text
    assert [mark for mark in (PERSON, SECRET, CUSTOMER, "mug") if mark in text] == []


def test_every_line_about_an_order_carries_its_correlation_id_and_every_call_the_trace(told: Told) -> None:
    seen = set()
    for order, correlation_id, calls in ((told.order, CORRELATION, 8), (told.delivered, DELIVERED, 7)):
        about = {name: [line for line in lines if order in json.dumps(line)] for name, lines in told.logs.items()}
        assert {line.get("correlation_id") for lines in about.values() for line in lines} == {correlation_id}
        requests = [line for lines in about.values() for line in lines if line["event"] == "request"]
        assert len(requests) == calls
        assert len({line["traceparent"].split("-")[1] for line in requests}) == 1
        seen |= {name for name, lines in about.items() if lines}

    assert seen == {
        *("edge", "orchestrator-1", "orchestrator-2"),
        *("orders", "inventory", "payments", "shipping", "notifications"),
    }


def test_an_order_that_came_without_a_trace_has_one_of_its_own_from_the_edge_on(told: Told) -> None:
    (saga,) = [span for span in told.collector.spans if span.name == "deliver_order"]
    trace = told.collector.of(saga.trace_id)
    ids = {span.span_id for span in trace}

    assert [span.service for span in trace if not span.parent_id] == ["sagaledger-edge"]
    assert all(span.parent_id in ids for span in trace if span.parent_id)
    assert {"shipping", "notifications"} <= {span.service for span in trace}
