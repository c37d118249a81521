"""Every process exposes its metrics under their fixed names, and no caller can make their labels grow."""

import re
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import pytest
from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families

from orchestrator.outcome import Rejected, Succeeded, Unknown
from orchestrator.sagas import SHIPPED
from sql.models import Direction, Status
from tests.acceptance.stack import Stack
from tests.acceptance.stack_shop import SKU, Shop
from tests.metrics import EXPOSED, PROCESS

pytestmark = pytest.mark.acceptance
PARTICIPANTS = {"orders", "inventory", "payments", "shipping", "notifications"}
VALUES: dict[str, set[str]] = {
    "saga": {saga.name for saga in SHIPPED},
    "step": {step.name for saga in SHIPPED for step in saga.steps},
    "direction": set(Direction),
    "woken_by": {"notify", "poll", "timer"},
    "phase": {"try", "confirm", "cancel"},
    "participant": PARTICIPANTS,
    "kind": {"live", "dead"},
    "source": {"cache", "disk"},
    "method": {"GET", "POST", "PUT", "DELETE", "HEAD", "OPTIONS", "PATCH", "CONNECT", "TRACE", "OTHER"},
}
OUTCOMES = {kind.__name__.lower() for kind in (Succeeded, Rejected, Unknown)} | {"committed", "rolled_back"}
TABLES = {"order_ledger", "order_ledger_items", "order_personal", "ledger_journal", "outbox", "event_delivery", "purged_order"}


def job_of(stack: Stack, url: str) -> str:
    if url in stack.participants.values():
        return "participant"
    return "edge" if url in stack.admin_urls else "orchestrator"


def urls_of(stack: Stack) -> list[str]:
    return [*stack.admin_urls, *(replica.url for replica in stack.replicas), *stack.participants.values()]


async def scrape(shop: Shop, url: str) -> dict[str, Metric]:
    """Return what a process exposes, by name; a counter's with `_total`, as it is asked for."""
    answer = await shop.call("GET", f"{url}/metrics")
    assert answer.status == 200
    families = text_string_to_metric_families(answer.body.decode())
    # Beside each counter the library tells when it began, as a metric of its own that nobody has a use for.
    told = (family for family in families if not family.name.endswith("_created"))
    return {f"{family.name}_total" if family.type == "counter" else family.name: family for family in told}


def labels_of(family: Metric) -> Iterator[tuple[str, str]]:
    for sample in family.samples:
        yield from ((name, value) for name, value in sample.labels.items() if name not in ("le", "quantile"))


@pytest.fixture
async def worked(shop: Shop) -> Shop:
    """A shop with orders of every kind behind it, and with callers who tried to make labels of their own."""
    await shop.ends(await shop.place("metrics-placed"))
    await shop.post("metrics-declined", payment_method="pm_declined")
    await shop.ends(await shop.place("metrics-tried", saga="checkout_tcc"))
    stranger: dict[str, Any] = {"saga": f"evil-{uuid4()}"}
    await shop.post("metrics-stranger", **stranger)
    for url in (*shop.stack.edge_urls, *shop.stack.participants.values(), *shop.stack.admin_urls):
        await shop.call("BREW", f"{url}/{uuid4()}")
        await shop.call("GET", f"{url}/orders/{uuid4()}")
        await shop.call("POST", f"{url}/sagas/evil-{uuid4()}", {"sku": SKU})
    return shop


async def test_each_process_exposes_its_metrics_with_their_labels(worked: Shop) -> None:
    seen: dict[str, dict[str, set[str]]] = {job: {} for job in EXPOSED}
    await worked.delay("inventory", 1000, "/inventory/reservations")
    on_its_way = await worked.place("metrics-on-its-way")
    for url in urls_of(worked.stack):
        job = job_of(worked.stack, url)
        found = await scrape(worked, url)
        assert found.keys() - PROCESS == EXPOSED[job].keys(), url
        assert found.keys() >= PROCESS, url
        for name in EXPOSED[job]:
            seen[job].setdefault(name, set()).update(label for label, _ in labels_of(found[name]))

    await worked.ends(on_its_way)
    # Of what nobody has caused yet there is a name and no sample: no call was wrong itself, and no webhook is registered.
    rare = {"saga_calls_refused_total", "saga_webhook_attempts_total"}
    assert {(job, name) for job, of in EXPOSED.items() for name in of if seen[job][name] != of[name]} == {
        (job, name) for job, of in EXPOSED.items() for name in of if name in rare
    }


async def test_no_caller_makes_a_label_of_his_own(worked: Shop) -> None:
    for url in urls_of(worked.stack):
        for name, family in (await scrape(worked, url)).items():
            for label, value in labels_of(family):
                if label == "status":
                    allowed = re.fullmatch(r"[1-5][0-9]{2}", value) if name.startswith("http_") else value in set(Status)
                elif label == "route":
                    allowed = not re.search(r"[0-9a-f]{8}-|evil", value)
                elif label == "outcome":
                    allowed = value in OUTCOMES
                elif label == "table":
                    allowed = value in TABLES
                else:
                    allowed = value in VALUES[label] if name.startswith(("saga_", "http_")) else True
                assert allowed, f"{url} {name} {label}={value}"
