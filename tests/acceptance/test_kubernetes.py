"""The deployment with Kubernetes, without Kubernetes: each pod's command and environment, and its probes, run here."""

from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from participants.settings import PORTS
from tests.acceptance.commands import call, wait_for
from tests.acceptance.test_compose import Deployment, secret, server  # noqa: F401  (a fixture)
from tests.kubernetes import container_of, environment_of, workloads
from tests.servers import Server

pytestmark = pytest.mark.acceptance
CLIENT_KEY = "canary-shop-key-of-a-client"


def secrets() -> dict[tuple[str, str], str]:
    """What the README of the manifests asks for."""
    users = {"migrations": "migrations", "edge": "edge", "orchestrator": "orchestrator", **{name: name for name in PORTS}}
    made = {
        (f"sagaledger-{name}", "database-url"): f"postgresql://saga_{user}@postgres:5432/sagaledger"
        for name, user in users.items()
    }
    made |= {(f"sagaledger-{name}", "secret"): secret(f"{name}_secret") for name in PORTS}
    made["sagaledger-edge", "participant-secrets"] = f"payments={secret('payments_secret')}"
    of_all = ",".join(f"{name}={secret(f'{name}_secret')}" for name in PORTS)
    made["sagaledger-orchestrator", "participant-secrets"] = of_all
    made["sagaledger-admin", "token"] = secret("admin_token")
    return made


def services() -> dict[str, dict[str, Any]]:
    """What runs in each pod, once the switch is on and a client has a key."""
    found = {}
    for name, pod in workloads().items():
        environment = environment_of(pod, secrets()) | {"SAGA_ENABLED": "true"}
        if name == "edge":
            environment["SAGA_API_KEYS"] = f"shop={CLIENT_KEY}"
        found[name] = {"command": container_of(pod)["args"], "environment": environment}
    return found


def probes_of(name: str, deployment: Deployment) -> list[str]:
    ports = {"edge": "SAGA_PORT", "orchestrator": "SAGA_METRICS_PORT"}
    container = container_of(workloads()[name])
    paths = {container[probe]["httpGet"]["path"] for probe in ("startupProbe", "livenessProbe", "readinessProbe")}
    return [f"http://127.0.0.1:{deployment.port(ports.get(name, name))}{path}" for path in sorted(paths)]


def test_each_pod_starts_answers_its_probes_and_together_they_complete_an_order(tmp_path: Path, server: Server) -> None:  # noqa: F811
    pods = services()
    with ExitStack() as stack:
        deployment = Deployment(server, tmp_path, stack)
        migrate = pods.pop("migrate")
        migrated = deployment.run(migrate, migrate["command"])
        assert migrated.returncode == 0, migrated.stderr
        for pod in pods.values():
            deployment.start(pod)
        for name in pods:
            for url in probes_of(name, deployment):
                assert wait_for(lambda asked=url: call(asked)[0] == 200), url

        inventory = f"http://127.0.0.1:{deployment.port('inventory')}"
        product = {"sku": "MUG", "name": "A mug", "initial_stock": 10}
        known = {"Authorization": f"Bearer {secret('inventory_secret')}"}
        assert call(f"{inventory}/inventory/products", product, **{"Idempotency-Key": "p", **known})[0] == 201
        item = {"sku": "MUG", "quantity": 2, "unit_price_minor": 450}
        body = {"customer_id": "17850", "currency": "GBP", "items": [item], "payment_method": "pm_card"}
        edge = f"http://127.0.0.1:{deployment.port('SAGA_PORT')}"
        asked = {"Authorization": f"Bearer {CLIENT_KEY}", "Idempotency-Key": "o", "Prefer": "wait=20"}
        status, order = call(f"{edge}/orders", body, **asked)
        assert (status, order["status"]) == (200, "COMPLETED")
        metrics = f"http://127.0.0.1:{deployment.port('SAGA_ADMIN_PORT')}/metrics"
        assert call(metrics)[0] == 401
