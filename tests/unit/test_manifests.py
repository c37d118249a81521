"""The manifests for Kubernetes: whole in themselves, closed, and about processes, ports and settings that there are."""

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from edge_api.monitoring import CLIENT_ROUTES
from orchestrator.settings import Settings
from participants.settings import PORTS, ParticipantSettings
from tests.documents import blocks
from tests.kubernetes import FOLDER, container_of, manifests, of_kind, workloads

ROOT = Path(__file__).parents[2]
VERSIONS = {
    "Namespace": "v1",
    "ConfigMap": "v1",
    "Service": "v1",
    "Deployment": "apps/v1",
    "Job": "batch/v1",
    "PodDisruptionBudget": "policy/v1",
    "NetworkPolicy": "networking.k8s.io/v1",
}
SERVED = {"edge": {route.path for route in CLIENT_ROUTES}, "orchestrator": {"/healthz", "/readyz"}}
DEPLOYED = {"edge", "orchestrator", *PORTS}


def pods_of(selector: dict[str, str]) -> list[str]:
    """Components whose pods have these labels."""
    return [name for name, pod in workloads().items() if selector.items() <= pod["metadata"]["labels"].items()]


def port_names(name: str) -> set[str]:
    return {port["name"] for port in container_of(workloads()[name])["ports"]}


def test_every_file_is_applied_and_every_object_is_of_a_kind_that_there_is() -> None:
    applied = yaml.safe_load((FOLDER / "kustomization.yaml").read_text())["resources"]

    assert {path.name for path in FOLDER.glob("*.yaml")} == {*applied, "kustomization.yaml"}
    for document in manifests():
        assert document["apiVersion"] == VERSIONS[document["kind"]]
        assert re.fullmatch(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", document["metadata"]["name"])
        assert document.keys() <= {"apiVersion", "kind", "metadata", "spec", "data"}
    named = [(document["kind"], document["metadata"]["name"]) for document in manifests()]
    assert len(named) == len(set(named))


def test_what_is_deployed_is_all_there_is_to_run() -> None:
    assert set(of_kind("Deployment")) == DEPLOYED
    assert set(workloads()) == DEPLOYED | {"migrate"}
    assert {name: container_of(pod)["args"] for name, pod in workloads().items()} == {
        "migrate": ["saga", "migrate"],
        "edge": ["saga", "edge"],
        "orchestrator": ["saga", "orchestrator"],
        **{name: ["saga", "participant", name] for name in PORTS},
    }


@pytest.mark.parametrize("name", sorted(DEPLOYED | {"migrate"}))
def test_a_pod_can_do_nothing_beyond_its_work(name: str) -> None:
    pod = workloads()[name]["spec"]
    container = container_of(workloads()[name])

    user = re.findall(r"^USER (\d+)$", (ROOT / "deploy/Dockerfile").read_text(), re.MULTILINE)[0]
    assert pod["securityContext"] == {
        "runAsNonRoot": True,
        "runAsUser": int(user),
        "runAsGroup": int(user),
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert (pod["automountServiceAccountToken"], pod["enableServiceLinks"]) == (False, False)
    assert not {"hostNetwork", "hostPID", "hostIPC"} & pod.keys()
    assert pod["volumes"] == [{"name": "tmp", "emptyDir": {"sizeLimit": "64Mi"}}]
    assert {"cpu", "memory"} == container["resources"]["requests"].keys()
    assert "memory" in container["resources"]["limits"]


@pytest.mark.parametrize("name", sorted(DEPLOYED))
def test_a_pod_is_asked_whether_it_lives_and_whether_it_is_ready(name: str) -> None:
    container = container_of(workloads()[name])

    for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
        asked = container[probe]["httpGet"]
        assert asked["path"] in SERVED.get(name, {"/healthz"})
        assert asked["port"] in port_names(name)
    # A database that is away must not have everything restarted.
    assert container["livenessProbe"]["httpGet"]["path"] == "/healthz"


@pytest.mark.parametrize("name", sorted(DEPLOYED))
def test_a_pod_gets_the_time_that_it_takes_to_stop(name: str) -> None:
    container, pod = container_of(workloads()[name]), workloads()[name]["spec"]

    before = container.get("lifecycle", {}).get("preStop", {}).get("exec", {}).get("command", ["sleep", "0"])[1]
    assert pod["terminationGracePeriodSeconds"] >= Settings.model_fields["shutdown_s"].default + int(before) + 5


def test_every_variable_is_a_setting_and_nothing_secret_stands_in_a_manifest() -> None:
    known = {f"SAGA_{field}".upper() for settings in (Settings, ParticipantSettings) for field in settings.model_fields}

    for name, pod in workloads().items():
        for variable in container_of(pod)["env"]:
            assert variable["name"] in known, name
            secret = bool(re.search(r"SECRET|TOKEN|KEYS|DATABASE_URL", variable["name"]))
            assert secret == ("valueFrom" in variable), variable["name"]
    assert of_kind("ConfigMap")["sagaledger"]["data"].keys() <= known
    assert of_kind("Secret") == {}


def test_every_secret_that_is_referred_to_is_written_down_and_no_process_has_anothers() -> None:
    written = {
        (secret, key)
        for secret, keys in re.findall(r"^\| `([a-z-]+)` \| (.+?) \|", (FOLDER / "README.md").read_text(), re.MULTILINE)
        for key in re.findall(r"`([a-z-]+)`", keys)
    }
    used: dict[str, set[tuple[str, str]]] = {}
    for name, pod in workloads().items():
        references = [v["valueFrom"]["secretKeyRef"] for v in container_of(pod)["env"] if "valueFrom" in v]
        used[name] = {(reference["name"], reference["key"]) for reference in references}

    assert set().union(*used.values()) == written
    own = {name: {f"sagaledger-{name}"} for name in used} | {"migrate": {"sagaledger-migrations"}}
    for name in ("edge", "orchestrator"):
        own[name].add("sagaledger-admin")
    assert {name: {secret for secret, _ in of} for name, of in used.items()} == own


def test_services_lead_to_pods_and_settings_lead_to_services() -> None:
    services = of_kind("Service")
    for service in services.values():
        (name,) = pods_of(service["spec"]["selector"])
        assert {port["targetPort"] for port in service["spec"]["ports"]} <= port_names(name)
        by_name = {port["name"]: port["containerPort"] for port in container_of(workloads()[name])["ports"]}
        assert all(port["port"] == by_name[port["targetPort"]] for port in service["spec"]["ports"])

    told: dict[str, Any] = of_kind("ConfigMap")["sagaledger"]["data"]
    for participant, port in PORTS.items():
        assert told[f"SAGA_{participant.upper()}_URL"] == f"http://{participant}:{port}"
        assert services[participant]["spec"]["ports"][0]["port"] == port
    assert (told["SAGA_ENVIRONMENT"], told["SAGA_ENABLED"]) == ("prod", "false")


def test_every_deployment_survives_a_drained_node_and_says_who_may_call_it() -> None:
    budgets = [pods_of(budget["spec"]["selector"]["matchLabels"]) for budget in of_kind("PodDisruptionBudget").values()]
    policies = of_kind("NetworkPolicy")

    assert sorted(name for names in budgets for name in names) == sorted(DEPLOYED)
    assert policies.pop("nobody-by-default")["spec"] == {"podSelector": {}, "policyTypes": ["Ingress"]}
    assert set(policies) == DEPLOYED
    for name, policy in policies.items():
        assert pods_of(policy["spec"]["podSelector"]["matchLabels"]) == [name]
        for rule in policy["spec"]["ingress"]:
            assert {port["port"] for port in rule["ports"]} <= port_names(name)
            for caller in rule.get("from", []):
                assert "namespaceSelector" in caller or len(pods_of(caller["podSelector"]["matchLabels"])) == 1
    (to_all,) = [
        (name, rule["ports"]) for name, policy in policies.items() for rule in policy["spec"]["ingress"] if "from" not in rule
    ]
    assert to_all == ("edge", [{"port": "http"}])
    for name, deployment in of_kind("Deployment").items():
        assert deployment["spec"]["replicas"] >= 2
        assert pods_of(deployment["spec"]["selector"]["matchLabels"]) == [name]


def test_the_image_is_of_this_release() -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]

    assert {container_of(pod)["image"] for pod in workloads().values()} == {f"sagaledger:{version}"}
    assert set(of_kind("Job")) == {f"migrate-{version.replace('.', '-')}"}


def test_the_command_of_the_readme_applies_the_folder() -> None:
    assert blocks("deploy/kubernetes/README.md", "console") == ["$ kubectl apply --kustomize deploy/kubernetes\n"]
