"""The deployment with containers, without containers: each service's command, environment and health check, run here."""

import json
import os
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.acceptance.commands import ROOT, call, clean_environment, wait_for
from tests.acceptance.databases import dropped_afterwards

GIVEN = {"POSTGRES_PASSWORD": "canary", "GRAFANA_PASSWORD": "canary"}
METRICS = {
    "saga_started_total", "saga_finished_total", "saga_duration_seconds", "saga_active", "saga_step_attempts_total",
    "saga_step_duration_seconds", "saga_claims_total", "saga_claim_lag_seconds", "saga_listener_connected",
    "saga_lease_lost_total", "saga_outbox_pending", "saga_outbox_dead", "saga_breaker_state",
    "saga_tcc_phase_duration_seconds", "saga_tcc_timeouts_total", "http_request_duration_seconds",
}  # fmt: skip
"""Names that are part of the public surface."""


def compose() -> dict[str, Any]:
    text = (ROOT / "compose.yaml").read_text()
    parsed: dict[str, Any] = yaml.safe_load(re.sub(r"\$\{(\w+):\?[^}]*\}", lambda match: GIVEN[match[1]], text))
    return parsed


def own_services() -> dict[str, dict[str, Any]]:
    return {name: service for name, service in compose()["services"].items() if service["image"] == "sagaledger"}


def test_it_has_what_a_deployment_needs() -> None:
    services = compose()["services"]

    participants = {"orders", "inventory", "payments", "shipping", "notifications"}
    assert set(services) == participants | {"postgres", "migrate", "edge", "orchestrator", "prometheus", "grafana"}
    assert services["postgres"]["image"] == "postgres:18"
    assert services["orchestrator"]["deploy"]["replicas"] == 3
    assert all(service["read_only"] for service in own_services().values())
    assert all("healthcheck" in service for name, service in own_services().items() if name != "migrate")


def test_nothing_starts_before_the_schema_is_there() -> None:
    services = own_services()

    assert services.pop("migrate")["depends_on"] == {"postgres": {"condition": "service_healthy"}}
    for service in services.values():
        assert service["depends_on"] == {"migrate": {"condition": "service_completed_successfully"}}


def test_no_password_stands_in_the_file_and_no_port_is_open_to_the_network() -> None:
    text = (ROOT / "compose.yaml").read_text()

    assert re.findall(r"PASSWORD: (?!\$\{)", text) == []
    assert all(port.startswith("127.0.0.1:") for service in compose()["services"].values() for port in service.get("ports", []))


def test_every_file_that_is_named_is_there() -> None:
    mounts = [mount.split(":")[0] for service in compose()["services"].values() for mount in service.get("volumes", [])]
    copied = re.findall(r"^COPY (.+) \S+$", (ROOT / "deploy/Dockerfile").read_text(), re.MULTILINE)

    missing = [name for name in mounts if name.startswith("./") and not (ROOT / name).is_file()]
    missing += [name for names in copied for name in names.split() if not (ROOT / name).exists()]
    assert missing == []


def test_the_image_is_built_from_what_is_let_through_to_it() -> None:
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    copied = re.findall(r"^COPY (.+) \S+$", (ROOT / "deploy/Dockerfile").read_text(), re.MULTILINE)

    assert {name for names in copied for name in names.split()} == {line[1:] for line in ignored if line.startswith("!")}


def test_prometheus_asks_services_that_are_there_at_the_ports_they_have() -> None:
    config = yaml.safe_load((ROOT / "deploy/prometheus.yml").read_text())
    jobs = {job["job_name"]: job for job in config["scrape_configs"]}
    environment = {name: service["environment"] for name, service in own_services().items()}

    assert jobs["edge"]["static_configs"][0]["targets"] == [f"edge:{environment['edge']['SAGA_ADMIN_PORT']}"]
    (replicas,) = jobs["orchestrator"]["dns_sd_configs"]
    assert (replicas["names"], replicas["port"]) == (["orchestrator"], int(environment["orchestrator"]["SAGA_METRICS_PORT"]))
    urls = {value.removeprefix("http://") for name, value in environment["edge"].items() if value.startswith("http://")}
    assert set(jobs["participant"]["static_configs"][0]["targets"]) == urls
    assert [ROOT / "deploy" / name for name in config["rule_files"]] == [ROOT / "deploy/alerts.yml"]


def expressions() -> Iterator[str]:
    for group in yaml.safe_load((ROOT / "deploy/alerts.yml").read_text())["groups"]:
        for rule in group["rules"]:
            assert {"summary", "action"} <= set(rule["annotations"]), rule
            yield rule["expr"]
    for panel in json.loads((ROOT / "deploy/grafana/sagaledger.json").read_text())["panels"]:
        yield from (target["expr"] for target in panel["targets"])


def test_alerts_and_dashboards_use_metrics_that_are_promised() -> None:
    used = {
        re.sub(r"_(bucket|count|sum)$", "", name)
        for expression in expressions()
        for name in re.findall(r"\b(?:saga|http)_[a-z_]+", expression)
    }

    assert used <= METRICS
    assert used


class Deployment:
    """The own services as processes of this machine, with hosts and ports mapped to local ones."""

    def __init__(self, database_url: str, folder: Path, stack: ExitStack) -> None:
        self._folder = folder
        self._stack = stack
        self._ports: dict[str, int] = {}
        self._database_url = database_url

    def port(self, name: str) -> int:
        if name not in self._ports:
            held = self._stack.enter_context(socket.socket())
            held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # the service may bind it beside this one
            held.bind(("0.0.0.0", 0))
            self._ports[name] = held.getsockname()[1]
        return self._ports[name]

    def environment(self, service: dict[str, Any]) -> dict[str, str]:
        mapped = {}
        for name, value in service["environment"].items():
            if name == "SAGA_DATABASE_URL":
                assert value == "postgresql://sagaledger:canary@postgres:5432/sagaledger"
                value = self._database_url
            elif match := re.fullmatch(r"http://(\w+):\d+", value):
                value = f"http://127.0.0.1:{self.port(match[1])}"
            elif name.endswith("_PORT"):
                value = str(self.port(name))
            mapped[name] = value
        if service["command"][1] == "participant":
            mapped["SAGA_PARTICIPANT_PORT"] = str(self.port(service["command"][2]))
        return clean_environment(**mapped)

    def run(self, service: dict[str, Any], command: list[str]) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            _local(command),
            cwd=self._folder,
            env=self.environment(service),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def start(self, service: dict[str, Any]) -> None:
        process = subprocess.Popen(_local(service["command"]), cwd=self._folder, env=self.environment(service))
        self._stack.callback(process.wait, 30)
        self._stack.callback(process.terminate)


def _local(command: list[str]) -> list[str]:
    assert command[0] == "saga", command
    return [sys.executable, "-m", "cli", *command[1:]]


def _health_command(service: dict[str, Any]) -> list[str]:
    assert service["healthcheck"]["test"][0] == "CMD"
    command: list[str] = service["healthcheck"]["test"][1:]
    return command


@pytest.mark.acceptance
def test_each_service_starts_is_healthy_and_together_they_complete_an_order(tmp_path: Path, server_url: str) -> None:
    services = own_services()
    with ExitStack() as stack:
        url = stack.enter_context(dropped_afterwards(server_url, f"saga_compose_{os.getpid()}"))
        deployment = Deployment(url, tmp_path, stack)
        migrated = deployment.run(services["migrate"], services["migrate"]["command"])
        assert migrated.returncode == 0, migrated.stderr
        services.pop("migrate")
        for service in services.values():
            assert deployment.run(service, _health_command(service)).returncode == 1, "not healthy before it is started"
        for service in services.values():
            deployment.start(service)
        for name, service in services.items():
            command = _health_command(service)
            assert wait_for(lambda s=service, c=command: deployment.run(s, c).returncode == 0), name

        product = {"sku": "MUG", "name": "A mug", "initial_stock": 10}
        inventory = f"http://127.0.0.1:{deployment.port('inventory')}"
        assert call(f"{inventory}/inventory/products", product, **{"Idempotency-Key": "p"})[0] in (200, 201)
        item = {"sku": "MUG", "quantity": 2, "unit_price_minor": 450}
        body = {"customer_id": "17850", "currency": "GBP", "items": [item], "payment_method": "pm_card"}
        edge = f"http://127.0.0.1:{deployment.port('SAGA_PORT')}"
        status, order = call(f"{edge}/orders", body, **{"Idempotency-Key": "o", "Prefer": "wait=20"})
        assert (status, order["status"]) == (200, "COMPLETED")
